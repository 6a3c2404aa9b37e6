"""Walks the windows of a VECTOR command: for each, the inputs that no window before it has read.

    for each channel block, ofmap row e, ofmap column f:  one Window on `o`

         x0 < 0                    in_width
          ┌─────┬─────────────────────┐            a window that sticks out is offered as its part
          │ ┌───┼───┐                 │            inside: address of the first input, lines and
       0 ─┼─┼───┼───┼── line 0        │            taps inside; `empty` if there is nothing to read
          │ │   │###│   line 1        │
          │ └───┼───┘                 │

    3 taps, stride 1    column 0 1 2 3 4 5 6         # read with this window, for it and those
    (VECTOR_OPEN_WINDOWS     0 # # #                   behind it
    windows are open)        1   + + #               + read with a window before it
                             2     + + #
                             3       + + #

    5 taps, stride 1         0 # # # # #             more overlap than are open: the fourth begins
                             1   + + + + #           afresh, and so does every third behind it
                             2     + + + + #
                             3       # # # # #

The first window of a row reads all of its columns, and so does every VECTOR_OPEN_WINDOWS-th behind
it if taps > VECTOR_OPEN_WINDOWS * stride_x; any other reads its last min(taps, stride_x). Columns
between windows (stride_x > taps) are never read.

Throughput: a window every other cycle along an ofmap row. From the last window of a row to the
first of the next it takes 3 cycles and one for each line above the buffer, from block to block one
more; a reader that spends 4 cycles or more on two windows does not see the 3. Latency: the first
window is offered 5 cycles after `start`, later by the lines of its row above the buffer.

Back-pressure: `o` is a stream from a register; the walk waits while it is full.

All addresses wrap at the address bits of the fmap banks. Limits: no size greater than the words
of the fmap banks, no coordinate of a window beyond twice that.
"""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from eyas.command import VECTOR_OPEN_WINDOWS, VECTOR_TILE, VECTOR_WINDOW, layout
from eyas.config import Config, bits_for

EXTENT_WIDTH = VECTOR_WINDOW["taps"].width


def address_width(config: Config) -> int:
    """Address bits of the fmap banks."""
    return bits_for(config.glb.fmap_words)


def window_layout(config: Config) -> data.StructLayout:
    """What is to be read with a window, and where its result goes."""
    return data.StructLayout(
        {
            "address": address_width(config),  # of the first input
            "lines": EXTENT_WIDTH,  # in_pitch apart
            "first": EXTENT_WIDTH,  # taps of the first and last input of a line: columns from the
            "last": EXTENT_WIDTH,  # left edge of the window, in padding or not
            "empty": 1,  # nothing is read: lines, first and last mean nothing
            "goes_on": 1,  # the next window needs the inputs that were read for it so far
            "out_address": address_width(config),
        }
    )


class WindowWalker(wiring.Component):
    """See the module's text.

    Members
    -------
    start : In(1), a pulse; only while not `busy`
    tile : In(VECTOR_TILE), held while `busy` or `o.valid`
    window : In(VECTOR_WINDOW), likewise
    busy : Out(1), more windows may come
    o : Out(stream of window_layout)
    """

    def __init__(self, config: Config):
        self._address_width = address_width(config)
        super().__init__(
            {
                "start": In(1),
                "tile": In(layout(VECTOR_TILE)),
                "window": In(layout(VECTOR_WINDOW)),
                "busy": Out(1),
                "o": Out(stream.Signature(window_layout(config))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        self._make_registers()
        self._clip_taps(m)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.FSM() as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                self._start(m)
            with m.State("BLOCK"):
                self._next_block(m)
            with m.State("NEXT"):
                m.next = "OFFER"
                with m.If(self._windows == 0):
                    self._next_row(m)
            with m.State("LINES"):
                self._clip_lines(m)
            with m.State("OFFER"):
                self._offer_window(m)
        return m

    def _make_registers(self):
        def count(name):
            return Signal(self._address_width + 1, name=name, reset_less=True)

        def address(name):
            return Signal(self._address_width, name=name, reset_less=True)

        def coordinate(name):
            # One bit for the sign, one because windows may begin beyond the buffer.
            shape = signed(max(self._address_width, EXTENT_WIDTH) + 2)
            return Signal(shape, name=name, reset_less=True)

        self._blocks, self._rows, self._windows = map(count, ("blocks", "rows", "windows"))
        self._block_in, self._block_out = address("block_in"), address("block_out")
        self._row_in, self._row_out = address("row_in"), address("row_out")
        self._column0, self._out = address("column0"), address("out_address")
        self._row_y, self._y, self._x = map(coordinate, ("row_y", "y", "x"))
        self._lines = Signal(EXTENT_WIDTH, name="lines", reset_less=True)
        self._left, self._last = coordinate("left"), coordinate("last")
        self._overlap = Signal(EXTENT_WIDTH, name="overlap", reset_less=True)
        self._many_overlap = Signal(name="many_overlap", reset_less=True)
        self._open = Signal(range(VECTOR_OPEN_WINDOWS), name="open", reset_less=True)

    def _start(self, m: Module):
        with m.If(self.start):
            m.d.sync += [
                self._blocks.eq(self.tile.blocks),
                self._block_in.eq(self.tile.in_base - self.tile.x0),
                self._block_out.eq(self.tile.out_base),
            ]
            m.next = "BLOCK"

    def _next_block(self, m: Module):
        m.d.sync += [
            self._blocks.eq(self._blocks - 1),
            self._block_in.eq(self._block_in + self.tile.in_plane),
            self._block_out.eq(self._block_out + self.tile.out_plane),
            self._rows.eq(self.tile.out_height),
            self._row_in.eq(self._block_in),
            self._row_out.eq(self._block_out),
            self._row_y.eq(self.tile.y0),
            self._windows.eq(0),
        ]
        m.next = "NEXT"
        with m.If(self._blocks == 0):
            m.next = "IDLE"

    def _next_row(self, m: Module):
        m.d.sync += [
            self._rows.eq(self._rows - 1),
            self._row_in.eq(self._row_in + self.window.y_step),
            self._row_out.eq(self._row_out + self.tile.out_pitch),
            self._row_y.eq(self._row_y + self.window.stride_y),
            self._lines.eq(self.window.rows),
            self._y.eq(self._row_y),
            self._windows.eq(self.tile.out_width),
            self._column0.eq(self._row_in),
            self._out.eq(self._row_out),
            self._x.eq(self.tile.x0),
            self._open.eq(0),
        ]
        m.next = "LINES"
        with m.If(self._rows == 0):
            m.next = "BLOCK"

    def _clip_lines(self, m: Module):
        """Drops the lines above the buffer one by one, then those below it."""
        below = self.tile.in_height[: self._address_width + 1] - self._y
        with m.If((self._y < 0) & (self._lines != 0)):
            m.d.sync += [
                self._y.eq(self._y + 1),
                self._column0.eq(self._column0 + self.tile.in_pitch),
                self._lines.eq(self._lines - 1),
            ]
        with m.Else():
            with m.If(below <= 0):
                m.d.sync += self._lines.eq(0)
            with m.Elif(below < self._lines):
                m.d.sync += self._lines.eq(below)
            m.next = "OFFER"
            with m.If(self._windows == 0):
                m.next = "NEXT"

    def _clip_taps(self, m: Module):
        """Which columns are read with the window at x, a cycle after x and `open` have changed.

        left: the first one that has not been read, on any side of the buffer's left edge.
        last: tap of the last one that lies left of the buffer's right edge.
        """
        taps, stride = self.window.taps, self.window.stride_x
        right = self.tile.in_width[: self._address_width + 1] - self._x
        m.d.sync += [
            self._overlap.eq(Mux(taps > stride, taps - stride, 0)),
            self._many_overlap.eq(taps > sum([stride] * VECTOR_OPEN_WINDOWS)),
            self._left.eq(self._x + Mux(self._open == 0, 0, self._overlap)),
            self._last.eq(Mux(right < taps, right, taps) - 1),
        ]

    def _offer_window(self, m: Module):
        """Offers the window at x, without the taps left of the buffer.

        `open` is 0 at a window that begins afresh. Behind it, it counts the windows from this one
        on that were open with it; where all that overlap are open it need not change any more.
        """
        column = Mux(self._left < 0, 0, self._left)
        first = column - self._x
        begins = self._open == 0
        ends = self._many_overlap & (self._open == 1)
        window = self.o.payload
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [
                self.o.valid.eq(1),
                window.address.eq(self._column0 + column),
                window.lines.eq(self._lines),
                window.first.eq(first),
                window.last.eq(self._last),
                window.empty.eq((first > self._last) | (self._lines == 0)),
                window.goes_on.eq(~ends & (self._windows != 1)),
                window.out_address.eq(self._out),
                self._windows.eq(self._windows - 1),
                self._out.eq(self._out + 1),
                self._x.eq(self._x + self.window.stride_x),
            ]
            with m.If(begins):
                m.d.sync += self._open.eq(VECTOR_OPEN_WINDOWS - 1)
            with m.Elif(self._many_overlap):
                m.d.sync += self._open.eq(self._open - 1)
            m.next = "NEXT"
