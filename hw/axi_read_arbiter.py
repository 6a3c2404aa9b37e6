"""Two read managers on one AXI4 read port: LOAD with ID 0, command fetch with ID 1.

    load     ─► AR ─┐ priority to commands     ┌─► R (ID 0) load
    commands ─► AR ─┴─► axi ──► memory ──► axi ┴─► R (ID 1) commands

Combinational both ways. An address that memory was offered stays until it is taken, even if a
command fetch comes in the meantime. Data may come back with IDs interleaved; a client that is not
ready holds up the other one, so a client must never wait for something of the other's.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from eyas.config import Config
from eyas.hw.axi import axi_read

LOAD_ID = 0
COMMANDS_ID = 1


class AxiReadArbiter(wiring.Component):
    """See the module's text. `beat` pulses for each beat that memory delivers."""

    def __init__(self, config: Config):
        bits = config.memory.bus_bytes * 8
        super().__init__(
            {
                "load": In(axi_read(bits)),
                "commands": In(axi_read(bits)),
                "axi": Out(axi_read(bits)),
                "beat": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        self._addresses(m)
        self._data(m)
        return m

    def _addresses(self, m):
        held = Signal()  # an offered address of LOAD was not taken
        to_commands = self.commands.ar.valid & ~held
        m.d.sync += held.eq(self.axi.ar.valid & ~self.axi.ar.ready & ~to_commands)
        m.d.comb += [
            self.axi.ar.valid.eq(self.load.ar.valid | self.commands.ar.valid),
            self.axi.ar.p.eq(Mux(to_commands, self.commands.ar.p, self.load.ar.p)),
            self.axi.ar.p.id.eq(Mux(to_commands, COMMANDS_ID, LOAD_ID)),
            self.commands.ar.ready.eq(self.axi.ar.ready & to_commands),
            self.load.ar.ready.eq(self.axi.ar.ready & ~to_commands),
        ]

    def _data(self, m):
        for_commands = self.axi.r.p.id == COMMANDS_ID
        m.d.comb += [
            self.load.r.p.eq(self.axi.r.p),
            self.commands.r.p.eq(self.axi.r.p),
            self.load.r.valid.eq(self.axi.r.valid & ~for_commands),
            self.commands.r.valid.eq(self.axi.r.valid & for_commands),
            self.axi.r.ready.eq(Mux(for_commands, self.commands.r.ready, self.load.r.ready)),
            self.beat.eq(self.axi.r.valid & self.axi.r.ready),
        ]
