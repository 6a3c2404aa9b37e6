"""Walk over the columns of a tile, and leave with each lane what it must know of its next column.

    column c = (set * we + a) * wf + b ──► lane c mod lanes

Both walkers need additions alone. `start` begins a tile; after a cycle a column (and one for every
channel block that a new filter set skips), `ready` says that all lanes have what they need, and
`take` lets the walker prepare the columns after these.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from eyas.config import WORD_LANES, Config, bits_for
from eyas.hw.drain_descriptor import channel_width, drain_descriptor_layout, position_width
from eyas.hw.param_fetch import channel_bits


class ColumnWalker(wiring.Component):
    """What both have in common: the digits of c, and one lane after the other.

    A subclass sets `column`, what there is to know of the present column, and in `elaborate_column`
    moves it on to the next one where `step` is set.
    """

    def __init__(self, config: Config, shape):
        self.config = config
        super().__init__(
            {
                "tile": In(drain_descriptor_layout(config)),
                "start": In(1),
                "take": In(1),
                "ready": Out(1),
                "lanes": Out(shape).array(config.ppu.lanes),
            }
        )
        self.column = Signal(shape)
        self.busy = Signal()  # `column` is not complete yet
        self.step = Signal()
        self.row = Signal(len(self.tile.we))  # a
        self.last_row = Signal()
        self.last_piece = Signal()

    def elaborate(self, platform):
        m = Module()
        piece = Signal(len(self.tile.wf))  # b
        lane = Signal(bits_for(len(self.lanes)))
        last_lane = lane == len(self.lanes) - 1
        # The tile holds still, so that this need not be part of the path to the addresses.
        final_piece, final_row = Signal.like(piece), Signal.like(self.row)
        m.d.sync += [final_piece.eq(self.tile.wf - 1), final_row.eq(self.tile.we - 1)]
        m.d.comb += [
            self.last_piece.eq(piece == final_piece),
            self.last_row.eq(self.row == final_row),
            self.step.eq(~self.ready & ~self.busy),
        ]
        with m.If(self.start):
            m.d.sync += [piece.eq(0), self.row.eq(0), lane.eq(0), self.ready.eq(0)]
        with m.Elif(self.take):
            m.d.sync += self.ready.eq(0)
        with m.Elif(self.step):
            m.d.sync += [lane.eq(Mux(last_lane, 0, lane + 1)), self.ready.eq(last_lane)]
            m.d.sync += piece.eq(Mux(self.last_piece, 0, piece + 1))
            with m.If(self.last_piece):
                m.d.sync += self.row.eq(Mux(self.last_row, 0, self.row + 1))
            for number, known in enumerate(self.lanes):
                with m.If(lane == number):
                    m.d.sync += known.eq(self.column)
        self.elaborate_column(m)
        return m

    def elaborate_column(self, m):
        raise NotImplementedError


class ParamColumns(ColumnWalker):
    """First channel of each column, set * p: the parameters' address."""

    def __init__(self, config: Config):
        super().__init__(config, channel_bits(config))

    def elaborate_column(self, m):
        with m.If(self.start):
            m.d.sync += self.column.eq(0)
        with m.Elif(self.step & self.last_piece & self.last_row):
            m.d.sync += self.column.eq(self.column + self.tile.p)


def ofmap_column_layout(config: Config) -> data.StructLayout:
    """Where the ofmap values of a column go, and which of them.

    A limit that the column does not reach has all bits set.
    """
    return data.StructLayout(
        {
            "address": drain_descriptor_layout(config)["ofmap_base"].width,  # first word
            "byte": 3,  # of the first channel in its word
            "positions": position_width(config),  # that are written
            "channels": channel_width(config),  # that are written
        }
    )


class OfmapColumns(ColumnWalker):
    """Addresses and limits of each column.

    The address of the present column is kept for the whole column, for its ofmap row (piece 0) and
    for its filter set (row 0 and piece 0), so that each digit has a place to step from.
    """

    def __init__(self, config: Config):
        super().__init__(config, ofmap_column_layout(config))

    def elaborate_column(self, m):
        tile, column = self.tile, self.column
        new_set = Signal()
        m.d.comb += new_set.eq(self.step & self.last_piece & self.last_row)
        self._addresses(m, new_set)
        f_left = Signal(len(tile.f_valid))
        m_left = Signal(len(tile.m_valid))
        f_after, f_all = _less(f_left, tile.steps)
        m_after, m_all = _less(m_left, tile.p)
        row_written = Signal()
        m.d.comb += [
            row_written.eq(self.row < tile.we_valid),
            column.positions.eq(f_left | f_all.replicate(len(column.positions))),
            column.channels.eq(
                Mux(row_written, m_left | m_all.replicate(len(column.channels)), 0),
            ),
        ]
        with m.If(self.start | (self.step & self.last_piece)):
            m.d.sync += f_left.eq(tile.f_valid)
        with m.Elif(self.step):
            m.d.sync += f_left.eq(f_after)
        with m.If(self.start):
            m.d.sync += m_left.eq(tile.m_valid)
        with m.Elif(new_set):
            m.d.sync += m_left.eq(m_after)

    def _addresses(self, m, new_set):
        tile, column = self.tile, self.column
        of_row, of_set = Signal.like(tile.ofmap_base), Signal.like(tile.ofmap_base)
        blocks = Signal(range((self.config.spad.psums + WORD_LANES - 1) // WORD_LANES + 1))
        origin, distance = Signal.like(of_row), Signal.like(of_row)
        moved = Signal.like(of_row)
        with m.If(self.busy):  # a channel block further
            m.d.comb += [origin.eq(of_set), distance.eq(tile.ofmap_plane)]
        with m.Elif(~self.last_piece):
            m.d.comb += [origin.eq(column.address), distance.eq(tile.steps)]
        with m.Elif(~self.last_row):
            m.d.comb += [origin.eq(of_row), distance.eq(tile.ofmap_pitch)]
        with m.Else():
            m.d.comb += origin.eq(of_set)
        m.d.comb += [
            moved.eq(Mux(self.start, tile.ofmap_base, origin + distance)),
            self.busy.eq(blocks != 0),
        ]
        with m.If(self.start | self.busy | self.step):
            m.d.sync += column.address.eq(moved)
        with m.If(self.start | self.busy | (self.step & self.last_piece)):
            m.d.sync += of_row.eq(moved)
        with m.If(self.start | self.busy):
            m.d.sync += of_set.eq(moved)
        channel = column.byte + tile.p
        with m.If(self.start):
            m.d.sync += [column.byte.eq(tile.ofmap_lane), blocks.eq(0)]
        with m.Elif(new_set):
            m.d.sync += [column.byte.eq(channel), blocks.eq(channel[3:])]
        with m.Elif(self.busy):
            m.d.sync += blocks.eq(blocks - 1)


def _less(left, taken):
    """`left` - `taken`, not below zero, and whether there were as many."""
    difference = left - taken
    enough = ~difference[-1]
    return Mux(enough, difference[: len(left)], 0), enough
