"""One lane's assembler: consecutive channels of an ofmap position become a masked GLB word.

    value ─► byte of the word being filled ─► word to be written ─► GLB

A word is complete with its last byte or with the last channel of its position; it is written if any
of its bytes is to be. The bytes of the next word may arrive while it waits for the GLB; `blocked`
says that the next word is complete too. Throughput: a value a cycle.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from eyas.config import WORD_BYTES, Config
from eyas.hw.drain_columns import ofmap_column_layout
from eyas.hw.drain_descriptor import channel_width, drain_descriptor_layout, position_width
from eyas.hw.interfaces import GlbWrite


def drain_step_layout(config: Config) -> data.StructLayout:
    """What all lanes share: the place in the order of DrainOrder, and what follows."""
    return data.StructLayout(
        {
            "load": 1,  # `column` holds for the values to come
            "take": 1,  # a value arrives
            "next_channel": channel_width(config),
            "next_position": position_width(config),
            "last_channel": 1,
            "distance": drain_descriptor_layout(config)["ofmap_base"].width,  # to the next word
        }
    )


class OfmapAssembler(wiring.Component):
    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "column": In(ofmap_column_layout(config)),
                "step": In(drain_step_layout(config)),
                "value": In(8),
                "blocked": Out(1),  # no value may arrive
                "idle": Out(1),  # every word has been written
                "write": Out(GlbWrite),
            }
        )

    def elaborate(self, platform):
        m = Module()
        step, request = self.step, self.write.request
        byte, word_end, address = self._place(m)
        valid = self._valid(m)
        content, mask = Signal(8 * WORD_BYTES), Signal(WORD_BYTES)
        complete, complete_address = Signal(), Signal.like(address)
        moves = complete & ~request.valid
        m.d.comb += [
            self.blocked.eq(complete & request.valid),
            self.idle.eq(~complete & ~request.valid),
        ]
        with m.If(request.valid & request.ready):
            m.d.sync += request.valid.eq(0)
        with m.If(moves):
            m.d.sync += [
                request.valid.eq(mask.any()),
                request.payload.address.eq(complete_address),
                request.payload.data.eq(content),
                request.payload.mask.eq(mask),
                complete.eq(0),
                mask.eq(0),
            ]
        with m.If(step.take):
            m.d.sync += [
                content.word_select(byte, 8).eq(self.value),
                mask.eq(Mux(moves, 0, mask) | (valid << byte)),
                complete.eq(word_end),
            ]
        with m.If(step.take & word_end):
            m.d.sync += complete_address.eq(address)
        return m

    def _place(self, m):
        """Byte of the next value in its word, whether that word ends with it, and its address."""
        step, column = self.step, self.column
        byte, first_byte = Signal(3), Signal(3)
        word, position = Signal.like(column.address), Signal.like(column.address)
        word_end, moved = Signal(), Signal.like(column.address)
        m.d.comb += [
            word_end.eq(step.last_channel | byte.all()),
            moved.eq(
                Mux(
                    step.load,
                    column.address,
                    Mux(step.last_channel, position, word) + step.distance,
                )
            ),
        ]
        with m.If(step.load):
            m.d.sync += [byte.eq(column.byte), first_byte.eq(column.byte)]
        with m.Elif(step.take):
            m.d.sync += byte.eq(Mux(step.last_channel, first_byte, byte + 1))
        with m.If(step.load | (step.take & word_end)):
            m.d.sync += word.eq(moved)
        with m.If(step.load | (step.take & step.last_channel)):
            m.d.sync += position.eq(moved)
        return byte, word_end, word

    def _valid(self, m):
        """Whether the next value is to be written at all."""
        step, column = self.step, self.column
        positions, channels = Signal.like(column.positions), Signal.like(column.channels)
        position_valid, channel_valid = Signal(), Signal()
        with m.If(step.load):
            m.d.sync += [
                positions.eq(column.positions),
                channels.eq(column.channels),
                position_valid.eq(column.positions != 0),
                channel_valid.eq(column.channels != 0),
            ]
        with m.Elif(step.take & step.last_channel):
            m.d.sync += channel_valid.eq(channels != 0)
            with m.If(step.next_position == positions):
                m.d.sync += position_valid.eq(0)
        with m.Elif(step.take & (step.next_channel == channels)):
            m.d.sync += channel_valid.eq(0)
        return position_valid & channel_valid
