"""A row's filter side: fetches the filter blocks of its units into the free filter bank.

    unit ─► wait for a free bank ─► GLB requests ─► word queue ─► serialiser: one value a cycle

A unit's blocks, one for each filter set, lie one behind the other, each padded to whole words. The
values of a block go, with the column mask of its filter set, to consecutive spad addresses of the
bank.

`loaded` pulses when the last value of a unit is on the bus. One unit at a time.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from eyas.config import WORD_LANES, Config, bits_for
from eyas.hw.interfaces import WORD_WIDTH, GlbRead
from eyas.hw.tile_slots import select, slot_layout
from eyas.hw.unit_walker import unit_layout

QUEUE_WORDS = 4
"""Words on their way; eight values each, so four cover the GLB's latency many times over."""


class FilterFetch(wiring.Component):
    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "slots": In(slot_layout(config)).array(config.noc.tile_slots),
                "unit": In(stream.Signature(unit_layout(config, "filter"))),
                "done": Out(config.noc.tile_slots),  # pulse: last word of the segment is here
                "glb": Out(GlbRead),
                "freed": In(1),  # the row has finished with a bank
                "loaded": Out(1),
                "mask": Out(config.array.cols),
                "address": Out(range(2 * config.spad.filters)),
                "value": Out(8),
            }
        )

    def elaborate(self, platform):
        m = Module()
        unit = Signal(unit_layout(self.config, "filter"))
        busy = Signal()  # a unit's words are being asked for or sent
        fresh = Signal()
        finish = Signal()
        banks_taken = Signal(range(3))
        start = self.unit.valid & self.unit.ready
        payload = self.unit.payload
        m.d.comb += self.unit.ready.eq(~busy & ((banks_taken != 2) | ~payload.active))
        m.d.sync += fresh.eq(start & payload.active)
        with m.If(start):
            m.d.sync += [unit.eq(payload), busy.eq(payload.active)]
        with m.If(finish):
            m.d.sync += busy.eq(0)
        taken = start & payload.active
        m.d.sync += banks_taken.eq(banks_taken + taken - self.freed)

        ends, slot = Signal(), Signal.like(unit.slot)
        with m.If(finish):
            m.d.comb += [ends.eq(unit.last), slot.eq(unit.slot)]
        with m.Elif(start & ~payload.active):
            m.d.comb += [ends.eq(payload.last), slot.eq(payload.slot)]
        m.d.comb += self.done.bit_select(slot, 1).eq(ends)

        fields = {
            name: select(m, self.slots, unit.slot, name)
            for name in ("unit_words", "filters", "wm", "filter_mask")
        }
        words = fifo.SyncFIFO(width=WORD_WIDTH, depth=QUEUE_WORDS)
        m.submodules.words = words
        self._request(m, unit, fields, words, busy, fresh)
        self._serialise(m, fields, words, fresh, finish)
        return m

    def _request(self, m, unit, fields, words, busy, fresh):
        address = Signal.like(unit.filter)
        words_left = Signal.like(fields["unit_words"])
        waiting = Signal(range(QUEUE_WORDS + 1))
        request = self.glb.request
        asked = request.valid & request.ready
        m.d.comb += [
            request.valid.eq(busy & ~fresh & (words_left != 0) & (waiting != QUEUE_WORDS)),
            request.payload.eq(address),
            words.w_en.eq(self.glb.valid),
            words.w_data.eq(self.glb.data),
        ]
        m.d.sync += waiting.eq(waiting + asked - (words.r_en & words.r_rdy))
        with m.If(fresh):
            m.d.sync += [address.eq(unit.filter), words_left.eq(fields["unit_words"])]
        with m.Elif(asked):
            m.d.sync += [address.eq(address + 1), words_left.eq(words_left - 1)]

    def _serialise(self, m, fields, words, fresh, finish):
        value = Signal(range(self.config.spad.filters))
        sets_left = Signal.like(fields["wm"])
        bank = Signal()
        mask, next_mask = Signal(self.config.array.cols), Signal(self.config.array.cols)
        shifted = Signal()  # next_mask names the next filter set's columns
        last_value = Signal()
        last_byte = value[: bits_for(WORD_LANES)] == WORD_LANES - 1
        send = Signal()
        m.d.comb += [
            shifted.eq((mask & next_mask) == 0),
            last_value.eq(value == fields["filters"] - 1),
            send.eq(words.r_rdy & (~last_value | shifted | (sets_left == 1))),
            words.r_en.eq(send & (last_byte | last_value)),
            finish.eq(send & last_value & (sets_left == 1)),
        ]
        with m.If(~shifted):
            m.d.sync += next_mask.eq(next_mask << 1)
        with m.If(send):
            m.d.sync += value.eq(Mux(last_value, 0, value + 1))
            with m.If(last_value):
                m.d.sync += [
                    sets_left.eq(sets_left - 1),
                    mask.eq(next_mask),
                    next_mask.eq(next_mask << 1),
                ]
        with m.If(finish):
            m.d.sync += bank.eq(~bank)
        with m.If(fresh):
            m.d.sync += [
                mask.eq(fields["filter_mask"]),
                next_mask.eq(fields["filter_mask"] << 1),
                sets_left.eq(fields["wm"]),
            ]
        m.d.sync += [
            self.mask.eq(Mux(send, mask, 0)),
            self.address.eq(Cat(value, bank)),
            self.value.eq(words.r_data.word_select(value[: bits_for(WORD_LANES)], 8)),
            self.loaded.eq(finish),
        ]
