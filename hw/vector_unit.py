"""Vector unit: pooling layers from GLB to GLB, 8 lanes of int8 wide.

    command ─► WindowWalker ─windows─► reader ─addresses─► GLB read port
                                          │                     │ words, GLB_READ_LATENCY later
                                          └ last, out address ─►│
                                                             ┌──▼───┐   ┌─────────┐
                                                             │ lanes├──►│ results │─► GLB write
                                                             └──────┘   └─────────┘

MAX_POOL: lane by lane the maximum over the inputs of a window that lie inside the buffer, -128 if
none does (docs/architecture.md, VECTOR).

Throughput: a word read a cycle, from window to window without a gap: a window with n inputs inside
the buffer takes max(n, 1) cycles, but two windows take at least 5, because a result needs 5 cycles
to leave and RESULT_SLOTS of them fit. With a free GLB, a VECTOR whose windows have 4 inputs or more
raises `done` START_CYCLES + inputs cycles after its transfer, and one later for each line by which
its first row begins above the buffer.

Back-pressure: reads and writes wait for the GLB as long as they must. The last read of a window
waits for room for its result, because the GLB's answers cannot be held.

Another reduction over windows is one more entry of REDUCTIONS.
"""

from collections.abc import Callable
from dataclasses import dataclass

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from eyas.command import VECTOR_TILE, VECTOR_WINDOW, Opcode, VectorOp, layout
from eyas.config import WORD_LANES, Config
from eyas.hw.interfaces import GLB_READ_LATENCY, EngineCommand, GlbRead, GlbWrite
from eyas.hw.window_walker import WindowWalker, window_layout

START_CYCLES = 12
"""From the transfer of a VECTOR to `done`, beside the cycles of its windows."""
RESULT_SLOTS = 2
"""Results that may be on their way from the last read of a window to the GLB."""

Word = data.ArrayLayout(signed(8), WORD_LANES)


@dataclass(frozen=True)
class Reduction:
    """How a lane folds the inputs of a window: from `identity`, one `combine` an input."""

    identity: int
    combine: Callable[[Value, Value], Value]


REDUCTIONS = {
    VectorOp.MAX_POOL: Reduction(-128, lambda so_far, value: Mux(value > so_far, value, so_far)),
}


class VectorUnit(wiring.Component):
    """See the module's text.

    Members
    -------
    command : In(stream of EngineCommand), SETs of block 1 (VECTOR_WINDOW) and VECTORs of engine
        STORE; ready while idle
    done : Out(1), pulses when a VECTOR has ended: its last result has transferred
    busy : Out(1), a VECTOR is in progress
    read : Out(GlbRead)
    write : Out(GlbWrite)
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "command": In(stream.Signature(EngineCommand)),
                "done": Out(1),
                "busy": Out(1),
                "read": Out(GlbRead),
                "write": Out(GlbWrite),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.walker = self._walker = WindowWalker(self.config)
        self._accept_command(m)
        finish, out_address = self._issue_reads(m)
        self._store_results(m, *self._reduce(m, finish, out_address))
        leaves = self.write.request.valid & self.write.request.ready
        m.d.sync += self._unwritten.eq(self._unwritten + finish - leaves)
        return m

    def _accept_command(self, m: Module):
        """Takes SETs and VECTORs while idle; ends a VECTOR when nothing of it is left anywhere."""
        tile = Signal(layout(VECTOR_TILE), reset_less=True)
        window = Signal(layout(VECTOR_WINDOW), reset_less=True)
        start, running = Signal(), Signal()
        command = self.command.payload
        m.d.comb += [
            self.command.ready.eq(~running),
            self.busy.eq(running),
            self._walker.start.eq(start),
            self._walker.tile.eq(tile),
            self._walker.window.eq(window),
        ]
        m.d.sync += start.eq(0)
        with m.If(self.command.valid & ~running):
            with m.If(command.opcode == Opcode.VECTOR):
                m.d.sync += [tile.eq(command.payload), start.eq(1), running.eq(1)]
            with m.Elif((command.opcode == Opcode.SET) & (command.block == 1)):
                m.d.sync += window.eq(command.payload)

        self._pitch, self._op, self._running = tile.in_pitch, window.op, running
        self._reading = Signal()
        self._unwritten = Signal(range(RESULT_SLOTS + 1))
        walked = ~(start | self._walker.busy | self._walker.o.valid)
        m.d.comb += self.done.eq(running & walked & ~self._reading & (self._unwritten == 0))
        with m.If(self.done):
            m.d.sync += running.eq(0)

    def _issue_reads(self, m: Module) -> tuple[Value, Value]:
        """Reads window after window. Returns a pulse for a window's last read, and its address."""
        window = Signal(window_layout(self.config))
        line = Signal.like(window.address)
        taps = Signal.like(window.taps)
        end_of_line = window.taps == 1
        last = window.empty | (end_of_line & (window.lines == 1))
        may_go = Signal()
        transfer = may_go & (window.empty | self.read.request.ready)
        finish = transfer & last
        m.d.comb += [
            may_go.eq(self._reading & (~last | (self._unwritten != RESULT_SLOTS))),
            self.read.request.valid.eq(may_go & ~window.empty),
            self.read.request.payload.eq(window.address),
            self._walker.o.ready.eq(~self._reading | finish),
        ]
        with m.If(self._walker.o.ready):
            next_window = self._walker.o.payload
            m.d.sync += [
                self._reading.eq(self._walker.o.valid),
                window.eq(next_window),
                line.eq(next_window.address),
                taps.eq(next_window.taps),
            ]
        with m.Elif(transfer & end_of_line):
            next_line = line + self._pitch
            m.d.sync += [
                window.address.eq(next_line),
                line.eq(next_line),
                window.taps.eq(taps),
                window.lines.eq(window.lines - 1),
            ]
        with m.Elif(transfer):
            m.d.sync += [
                window.address.eq(window.address + 1),
                window.taps.eq(window.taps - 1),
            ]
        return finish, window.out_address

    def _reduce(self, m: Module, last: Value, out_address: Value) -> tuple[Value, Value, Value]:
        """Folds the words as they arrive. Returns a finished window's pulse, word and address."""
        for stage in range(GLB_READ_LATENCY):  # in step with the words
            last_then = Signal(name=f"last_{stage}")
            address_then = Signal(len(out_address), name=f"address_{stage}", reset_less=True)
            m.d.sync += [last_then.eq(last), address_then.eq(out_address)]
            last, out_address = last_then, address_then
        folded = Signal(Word)
        result, word = Signal(Word), Word(self.read.data)
        m.d.comb += result.eq(folded)
        m.d.sync += folded.eq(result)
        with m.Switch(self._op):
            for op, reduction in REDUCTIONS.items():
                with m.Case(op):
                    for lane in range(WORD_LANES):
                        with m.If(self.read.valid):
                            value = reduction.combine(folded[lane], word[lane])
                            m.d.comb += result[lane].eq(value)
                        with m.If(last | ~self._running):
                            m.d.sync += folded[lane].eq(reduction.identity)
        return last, result, out_address

    def _store_results(self, m: Module, arrives: Value, word: Value, address: Value):
        """Results on their way to the write port: the newest, and the one on offer."""
        request = self.write.request
        result = data.StructLayout({"address": len(address), "word": Word})
        newest, offered = Signal(result, reset_less=True), Signal(result, reset_less=True)
        waiting = Signal()
        m.d.comb += [
            request.payload.address.eq(offered.address),
            request.payload.data.eq(offered.word),
            request.payload.mask.eq(-1),
        ]
        with m.If(~request.valid | request.ready):
            m.d.sync += [request.valid.eq(waiting), waiting.eq(0), offered.eq(newest)]
        with m.If(arrives):  # RESULT_SLOTS keeps the newest from being overwritten
            m.d.sync += [waiting.eq(1), newest.address.eq(address), newest.word.eq(word)]
