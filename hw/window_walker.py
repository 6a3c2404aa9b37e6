"""Walks the windows of a VECTOR command and clips them to the buffer, without multiplications.

    for each channel block, ofmap row e, ofmap column f:  one Window on `o`

         x0 < 0                    in_width
          ┌─────┬─────────────────────┐            a window that sticks out is offered as its part
          │ ┌───┼───┐                 │            inside: address of the first input, lines and
       0 ─┼─┼───┼───┼── line 0        │            taps inside; `empty` if nothing is
          │ │   │###│   line 1        │
          │ └───┼───┘                 │

Throughput: a window every other cycle along an ofmap row. From the last window of a row to the
first of the next it takes 5 cycles and one for each line above the buffer, from block to block one
more; a reader that spends 4 cycles or more on a window does not see this. Latency: the first window
is offered 6 cycles after `start`, later by the lines of its row above the buffer.

Back-pressure: `o` is a stream from a register; the walk waits while it is full.

All addresses wrap at the address bits of the fmap banks. Limits: no size greater than the words
of the fmap banks, no coordinate of a window beyond twice that.
"""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from eyas.command import VECTOR_TILE, VECTOR_WINDOW, layout
from eyas.config import Config, bits_for

EXTENT_WIDTH = VECTOR_WINDOW["taps"].width


def address_width(config: Config) -> int:
    """Address bits of the fmap banks."""
    return bits_for(config.glb.fmap_words)


def window_layout(config: Config) -> data.StructLayout:
    """The part of a window that lies inside the buffer, and where its result goes."""
    return data.StructLayout(
        {
            "address": address_width(config),  # of the first input
            "lines": EXTENT_WIDTH,
            "taps": EXTENT_WIDTH,  # inputs a line; lines are in_pitch apart
            "empty": 1,  # no input is inside: lines and taps mean nothing
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
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.FSM() as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                self._start(m)
            with m.State("BLOCK"):
                self._next_block(m)
            with m.State("ROW"):
                self._next_row(m)
            with m.State("LINES"):
                self._clip_lines(m)
            with m.State("TAPS"):
                self._clip_taps(m)
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
        self._end = coordinate("end")

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
        ]
        m.next = "ROW"
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
            m.next = "TAPS"

    def _clip_taps(self, m: Module):
        """Drops the taps right of the buffer."""
        right = self.tile.in_width[: self._address_width + 1] - self._x
        m.d.sync += self._end.eq(Mux(right < self.window.taps, right, self.window.taps))
        m.next = "OFFER"
        with m.If(self._windows == 0):
            m.next = "ROW"

    def _offer_window(self, m: Module):
        """Offers the window at x, without the taps left of the buffer."""
        taps = self._end + Mux(self._x < 0, self._x, 0)
        window = self.o.payload
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [
                self.o.valid.eq(1),
                window.address.eq(self._column0 + Mux(self._x < 0, 0, self._x)),
                window.lines.eq(self._lines),
                window.taps.eq(taps),
                window.empty.eq((taps <= 0) | (self._lines == 0)),
                window.out_address.eq(self._out),
                self._windows.eq(self._windows - 1),
                self._out.eq(self._out + 1),
                self._x.eq(self._x + self.window.stride_x),
            ]
            m.next = "TAPS"
