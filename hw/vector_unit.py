"""Vector unit: pooling layers from GLB to GLB, 8 lanes of int8 wide.

    command ─► WindowWalker ─windows─► reader ─addresses─► GLB read port
                                          │                     │ words, GLB_READ_LATENCY later
                                          │ for which windows,  │
                                          └ last, out address ─►│
                                                     ┌──────────▼───────────┐   ┌─────────┐
                                                     │ window   next   next │   │ results │
                                                     │      ◄──      ◄──    ├──►│         │─► GLB
                                                     └──────────────────────┘   └─────────┘  write

MAX_POOL: lane by lane the maximum over the inputs of a window that lie inside the buffer, -128 if
none does (docs/architecture.md, VECTOR).

Reuse: windows of an ofmap row overlap, and an input is read once for up to VECTOR_OPEN_WINDOWS of
them (WindowWalker says which; 3x3 of stride 1 reads 3 words a result, of stride 2 it reads 6). With
a window the reader goes line by line over the inputs that are new, from left to right. Tap t of the
window also belongs to the j-th window behind it if t >= j * stride_x, and its word goes into the
maxima of all of these. Behind the window's last word its result leaves, and the others move up by
one; they are dropped where the next window begins afresh.

Throughput: a word read a cycle, from window to window without a gap: a window with n new inputs
inside the buffer takes max(n, 1) cycles, but ends no sooner than 5 cycles after the last but one,
because a result needs 5 cycles to leave and RESULT_SLOTS of them fit. With a free GLB, a VECTOR
raises `done` START_CYCLES + the windows' cycles after its transfer, and one later for each line by
which its first row begins above the buffer. WindowWalker's way from channel block to block may
show: a cycle where the next one begins a line above the buffer and windows are short.

Back-pressure: reads and writes wait for the GLB as long as they must. The last read of a window
waits for room for its result, because the GLB's answers cannot be held.

Another reduction over windows is one more entry of REDUCTIONS: each input comes once a window.
"""

from collections.abc import Callable
from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from eyas.command import (
    VECTOR_OPEN_WINDOWS,
    VECTOR_TILE,
    VECTOR_WINDOW,
    Opcode,
    VectorOp,
    layout,
)
from eyas.config import WORD_LANES, Config
from eyas.hw.interfaces import GLB_READ_LATENCY, EngineCommand, GlbRead, GlbWrite
from eyas.hw.window_walker import WindowWalker, address_width, window_layout

START_CYCLES = 11
"""From the transfer of a VECTOR to `done`, beside the cycles of its windows."""
RESULT_SLOTS = 2
"""Results that may be on their way from the last read of a window to the GLB."""

Word = data.ArrayLayout(signed(8), WORD_LANES)


def read_layout(config: Config) -> data.StructLayout:
    """What goes with a read: which windows take its word; with a window's last one, what then."""
    return data.StructLayout(
        {
            "out_address": address_width(config),
            "goes_on": 1,
            "behind": VECTOR_OPEN_WINDOWS - 1,  # bit n: the n+1st window behind takes it too
        }
    )


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
        finish, read = self._issue_reads(m)
        self._store_results(m, *self._reduce(m, finish, read))
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
        self._stride = window.stride_x
        self._reading = Signal()
        self._unwritten = Signal(range(RESULT_SLOTS + 1))
        walked = ~(start | self._walker.busy | self._walker.o.valid)
        m.d.comb += self.done.eq(running & walked & ~self._reading & (self._unwritten == 0))
        with m.If(self.done):
            m.d.sync += running.eq(0)

    def _issue_reads(self, m: Module) -> tuple[Value, data.View]:
        """Reads window after window.

        Returns a pulse for a window's last read, and the `read_layout` of the current one.
        """
        window = Signal(window_layout(self.config))
        line = Signal.like(window.address)
        tap = Signal.like(window.first)
        end_of_line = tap == window.last
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
                tap.eq(next_window.first),
            ]
        with m.Elif(transfer & end_of_line):
            next_line = line + self._pitch
            m.d.sync += [
                window.address.eq(next_line),
                line.eq(next_line),
                tap.eq(window.first),
                window.lines.eq(window.lines - 1),
            ]
        with m.Elif(transfer):
            m.d.sync += [window.address.eq(window.address + 1), tap.eq(tap + 1)]
        read = Signal(read_layout(self.config))
        m.d.comb += [read.out_address.eq(window.out_address), read.goes_on.eq(window.goes_on)]
        for n in range(1, VECTOR_OPEN_WINDOWS):
            left_edge = sum([self._stride] * n)  # a product would take a multiplier
            m.d.comb += read.behind[n - 1].eq(tap >= left_edge)
        return finish, read

    def _reduce(self, m: Module, last: Value, read: data.View) -> tuple[Value, Value, Value]:
        """Folds the words as they arrive. Returns a finished window's pulse, word and address."""
        for stage in range(GLB_READ_LATENCY):  # in step with the words
            last_then = Signal(name=f"last_{stage}")
            read_then = Signal(read.shape(), name=f"read_{stage}", reset_less=True)
            m.d.sync += [last_then.eq(last), read_then.eq(read)]
            last, read = last_then, read_then
        windows = range(VECTOR_OPEN_WINDOWS)
        so_far = [Signal(Word, name=f"so_far_{n}") for n in windows]
        folded = [Signal(Word, name=f"folded_{n}") for n in windows]
        word, takes = Word(self.read.data), Cat(1, read.behind)
        with m.Switch(self._op):
            for op, reduction in REDUCTIONS.items():
                none = Word.const([reduction.identity] * WORD_LANES)
                with m.Case(op):
                    for n, behind in zip(windows, [*folded[1:], none], strict=True):
                        m.d.comb += folded[n].eq(so_far[n])
                        with m.If(self.read.valid & takes[n]):
                            combined = map(reduction.combine, so_far[n], word)
                            m.d.comb += [i.eq(o) for i, o in zip(folded[n], combined, strict=True)]
                        m.d.sync += so_far[n].eq(Mux(last, behind, folded[n]))
                        with m.If((last & ~read.goes_on) | ~self._running):
                            m.d.sync += so_far[n].eq(none)
        return last, folded[0], read.out_address

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
