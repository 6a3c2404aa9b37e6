"""Fetches the program from memory, command by command, as far ahead as there is room for it.

    start, address, length ─► AR, a burst a command         R ─► o: beats, in order

Where `memory.burst_beats` is shorter than a command, a command takes several bursts. A command is
asked for only when one of the `control.queue_depth` slots behind `o` is free (`freed` gives one
back), so that R never waits for room: LOAD shares R, and a command that held it up while it waited
for room in LOAD's queue would lock the machine.

Latency: two cycles from `start` to the first AR. Throughput: a burst every other cycle. No command
beyond `length` is fetched. When `run` falls no further bursts are asked for, and `busy` falls when
the last one is in.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from eyas.command import COMMAND_BYTES
from eyas.config import Config
from eyas.hw.axi import ADDRESS_WIDTH, OKAY, axi_read

LENGTH_WIDTH = ADDRESS_WIDTH - (COMMAND_BYTES.bit_length() - 1)
"""As many commands as fill the address space."""


def command_beats(config: Config) -> int:
    """Bus beats of a command."""
    return COMMAND_BYTES // config.memory.bus_bytes


class CommandFetch(wiring.Component):
    """See the module's text. `exhausted`: the program's last command has come in."""

    def __init__(self, config: Config):
        self.slots = config.control.queue_depth
        self.burst_beats = min(command_beats(config), config.memory.burst_beats)
        self.pieces = command_beats(config) // self.burst_beats
        self.burst_bytes = self.burst_beats * config.memory.bus_bytes
        bits = config.memory.bus_bytes * 8
        super().__init__(
            {
                "start": In(1),
                "run": In(1),
                "address": In(ADDRESS_WIDTH),
                "length": In(LENGTH_WIDTH),
                "axi": Out(axi_read(bits)),
                "o": Out(stream.Signature(bits)),
                "freed": In(1),
                "busy": Out(1),
                "exhausted": Out(1),
                "fault": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        left = Signal(LENGTH_WIDTH)  # commands that are not asked for yet
        asked = Signal()  # an address is on offer
        slots = Signal(range(self.slots + 1))  # free ones
        flying = Signal(range(self.slots * self.pieces + 1))  # bursts
        ask, taken = Signal(), self.axi.r.valid & self.axi.r.ready
        arrived = taken & self.axi.r.p.last
        self._addresses(m, ask, asked, left, (left != 0) & (slots != 0))
        with m.If((asked & self.axi.ar.ready) != arrived):
            m.d.sync += flying.eq(flying + Mux(arrived, -1, 1))
        with m.If(self.start):
            m.d.sync += slots.eq(self.slots)
        with m.Elif(ask != self.freed):
            m.d.sync += slots.eq(slots + Mux(ask, -1, 1))
        m.d.comb += [
            self.axi.r.ready.eq(self.o.ready),
            self.o.valid.eq(self.axi.r.valid),
            self.o.payload.eq(self.axi.r.p.data),
            self.fault.eq(taken & (self.axi.r.p.resp != OKAY)),
            self.busy.eq(asked | (flying != 0)),
            self.exhausted.eq((left == 0) & ~self.busy),
        ]
        return m

    def _addresses(self, m, ask, asked, left, may_begin):
        """One burst after the other; `ask` says that the first one of a command takes its slot."""
        low = self.burst_bytes.bit_length() - 1
        address = Signal(ADDRESS_WIDTH - low)
        piece = Signal(range(self.pieces))
        final = piece == self.pieces - 1
        m.d.comb += [
            ask.eq(self.run & ~asked & (piece == 0) & may_begin),
            self.axi.ar.valid.eq(asked),
            self.axi.ar.p.address.eq(address << low),
            self.axi.ar.p.len.eq(self.burst_beats - 1),
        ]
        with m.If(self.start):
            m.d.sync += [address.eq(self.address >> low), left.eq(self.length), piece.eq(0)]
        with m.Elif(ask | (self.run & ~asked & (piece != 0))):
            m.d.sync += asked.eq(1)
        with m.Elif(asked & self.axi.ar.ready):
            m.d.sync += [asked.eq(0), address.eq(address + 1), piece.eq(Mux(final, 0, piece + 1))]
            with m.If(final):
                m.d.sync += left.eq(left - 1)
