"""Fetches a tile's requantisation parameters and table from the filter GLB ahead of its drain.

    tile ─► requests ─► GLB ─► word ─┬─► parameter memories of all lanes ┐ two halves, which tiles
                                     └─► table memories of all lanes     ┘ take in turns
                                                                   tile ─► its psums may be read

Two words a channel, `wm * p` channels, then TABLE_WORDS of table where the tile has one. A half is
written when the last value of the tile before the previous one has left the lanes (`released`).

Latency: 2 cycles a channel and 8 a word of table, and about 6. One tile at a time.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from eyas.command import TABLE_WORDS
from eyas.config import WORD_BYTES, Config, bits_for
from eyas.hw.drain_descriptor import channel_width, drain_descriptor_layout
from eyas.hw.interfaces import GLB_READ_LATENCY, PARAM_LAYOUT, WORD_WIDTH, GlbRead
from eyas.hw.ppu_lane import TABLE_ENTRIES

_REQUEST_AHEAD = WORD_BYTES - 1 - GLB_READ_LATENCY
"""Asked for at this byte or later, the next word of table replaces no byte still to be written."""


def channel_bits(config: Config) -> int:
    """Bits that number the channels of a tile."""
    return bits_for(config.array.cols * config.spad.psums)


class ParamFetch(wiring.Component):
    def __init__(self, config: Config):
        self.config = config
        layout = drain_descriptor_layout(config)
        super().__init__(
            {
                "i": In(stream.Signature(layout)),
                "o": Out(stream.Signature(layout)),
                "read": Out(GlbRead),
                "released": In(2),  # pulse: the half's values have left the lanes
                "params_read": Out(1),  # pulse: everything of a tile has been read
                "param_write": Out(1),
                "param_address": Out(1 + channel_bits(config)),  # channel, then half
                "param_data": Out(PARAM_LAYOUT),
                "table_write": Out(1),
                "table_address": Out(range(2 * TABLE_ENTRIES)),  # entry, then half
                "table_data": Out(8),
            }
        )
        self.half = Signal()
        self.index = Signal(max(channel_bits(config), bits_for(TABLE_ENTRIES)))
        self.word = Signal(WORD_WIDTH)
        self.outstanding = Signal(range(GLB_READ_LATENCY + 1))  # requests not yet answered
        self.second = Signal()  # the next word to arrive is a channel's second one
        self.finished = Signal()

    def elaborate(self, platform):
        m = Module()
        tile, request = self.i.payload, self.read.request
        address, asked = Signal(len(tile.param_base)), Signal()
        occupied = self._occupied(m)
        m.d.comb += [
            asked.eq(request.valid & request.ready),
            request.payload.eq(address),
            self.o.payload.eq(tile),
            self.param_address.eq(Cat(self.index[: channel_bits(self.config)], self.half)),
            self.param_data.eq(Cat(self.word, self.read.data[:8])),
            self.table_address.eq(Cat(self.index[: bits_for(TABLE_ENTRIES)], self.half)),
            self.table_data.eq(self.word.word_select(self.index[:3], 8)),
        ]
        m.d.sync += self.outstanding.eq(self.outstanding + asked - self.read.valid)
        with m.If(asked):
            m.d.sync += address.eq(address + 1)
        with m.If(self.read.valid):
            m.d.sync += self.word.eq(self.read.data)
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [address.eq(tile.param_base), self.index.eq(0)]
                with m.If(self.i.valid & ~occupied):
                    m.next = "REQUEST"
            with m.State("REQUEST"):
                m.d.comb += request.valid.eq(1)
                self._take_params(m)
                with m.If(self._last_request(m, asked)):
                    m.next = "RECEIVE"
            with m.State("RECEIVE"):
                self._take_params(m)
                with m.If(self.outstanding == 0):
                    m.d.sync += self.index.eq(0)
                    with m.If(tile.table & self.config.ppu.tables):
                        m.next = "TABLE"
                    with m.Else():
                        m.d.comb += self.finished.eq(1)
                        m.next = "READ"
            with m.State("TABLE"):
                self._take_table(m)
            with m.State("READ"):
                m.d.comb += [self.o.valid.eq(1), self.i.ready.eq(self.o.ready)]
                with m.If(self.o.ready):
                    m.d.sync += self.half.eq(~self.half)
                    m.next = "IDLE"
        return m

    def _occupied(self, m):
        """Whether the half that is next still has readers."""
        occupied = Signal(2)
        filled = Signal(2)
        m.d.comb += filled.bit_select(self.half, 1).eq(self.finished)
        m.d.sync += [
            occupied.eq((occupied | filled) & ~self.released),
            self.params_read.eq(self.finished),
        ]
        return occupied.bit_select(self.half, 1)

    def _last_request(self, m, asked):
        """Counts requests; all counters are back at zero after the last one."""
        tile = self.i.payload
        second = Signal()
        channel, sets = Signal(channel_width(self.config)), Signal(len(tile.wm))
        last_channel = channel + 1 == tile.p
        last_set = sets + 1 == tile.wm
        with m.If(asked):
            m.d.sync += second.eq(~second)
            with m.If(second):
                m.d.sync += channel.eq(Mux(last_channel, 0, channel + 1))
                with m.If(last_channel):
                    m.d.sync += sets.eq(Mux(last_set, 0, sets + 1))
        return asked & second & last_channel & last_set

    def _take_params(self, m):
        """The second word of a channel completes the first one, in `word`."""
        m.d.comb += self.param_write.eq(self.read.valid & self.second)
        with m.If(self.read.valid):
            m.d.sync += [self.second.eq(~self.second), self.index.eq(self.index + self.second)]

    def _take_table(self, m):
        """A byte a cycle; asks for the next word in time for it to follow the present one."""
        writing = Signal()
        byte, word = self.index[:3], self.index[3 : bits_for(TABLE_ENTRIES)]
        last_byte, last_word = byte == WORD_BYTES - 1, word == TABLE_WORDS - 1
        m.d.comb += [
            self.read.request.valid.eq(
                (self.outstanding == 0) & (~writing | ((byte >= _REQUEST_AHEAD) & ~last_word)),
            ),
            self.table_write.eq(writing),
        ]
        m.d.sync += [
            self.index.eq(self.index + writing),
            writing.eq(self.read.valid | (writing & ~last_byte)),
        ]
        with m.If(writing & last_byte & last_word):
            m.d.comb += self.finished.eq(1)
            m.next = "READ"
