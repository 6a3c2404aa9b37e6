"""A row's ifmap side: fetches the words of its units and sends them down the X-bus as beats.

    unit ─► IfmapWalker ─► GLB request, or padding
                │ order queue (what comes next, where it goes)
    GLB data ───┴► data queue ─► serialiser: one beat (4 lanes) a cycle with its column mask

The walker reserves ring space before it offers a word: nothing is pushed, so no word can block
another. A beat's mask names the same column of all filter sets: multicast. Padding takes its turn
in the order queue but reads nothing.

`arrived` pulses when the last beat of a position is on the bus. One word a cycle from the GLB, one
beat a cycle onto the bus, which is registered.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from eyas.config import BEAT_LANES, Config
from eyas.hw.ifmap_walker import IfmapWalker, beat_order_layout
from eyas.hw.interfaces import WORD_WIDTH, GlbRead
from eyas.hw.tile_slots import slot_layout
from eyas.hw.unit_walker import unit_layout

QUEUE_WORDS = 8
"""Words on their way: covers the GLB's latency and two beats a word."""


class IfmapFetch(wiring.Component):
    def __init__(self, config: Config):
        self.config = config
        beats = config.spad.ifmap_beats
        super().__init__(
            {
                "slots": In(slot_layout(config)).array(config.noc.tile_slots),
                "unit": In(stream.Signature(unit_layout(config, "ifmap"))),
                "done": Out(config.noc.tile_slots),  # pulse: last word of the segment is here
                "glb": Out(GlbRead),
                "freed": In(range(beats + 1)),  # beats that the ring gives back in this cycle
                "arrived": Out(1),
                "mask": Out(config.array.cols),
                "ring": Out(range(beats)),
                "beat": Out(8 * BEAT_LANES),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.walker = walker = IfmapWalker(self.config)
        wiring.connect(m, wiring.flipped(self.unit), walker.unit)
        m.d.comb += [walker.freed.eq(self.freed), self.done.eq(walker.done)]
        m.d.comb += [its.eq(mine) for its, mine in zip(walker.slots, self.slots, strict=True)]
        order = fifo.SyncFIFO(width=beat_order_layout(self.config).size, depth=QUEUE_WORDS)
        m.submodules.order = order
        word_taken = Signal()
        self._request(m, walker.word, order, word_taken)
        self._serialise(m, order, word_taken)
        return m

    def _request(self, m, word, order, word_taken):
        """Asks the GLB for the word, if the queues have room for it."""
        waiting = Signal(range(QUEUE_WORDS + 1))  # words asked for and not yet sent on
        possible = Signal()
        asked = Signal()
        request = self.glb.request
        m.d.comb += [
            possible.eq(word.valid & order.w_rdy & (waiting != QUEUE_WORDS)),
            request.valid.eq(possible & ~word.payload.order.pad),
            request.payload.eq(word.payload.address),
            word.ready.eq(possible & (word.payload.order.pad | request.ready)),
            order.w_en.eq(word.ready),
            order.w_data.eq(word.payload.order),
            asked.eq(word.ready & ~word.payload.order.pad),
        ]
        m.d.sync += waiting.eq(waiting + asked - word_taken)

    def _serialise(self, m, order, word_taken):
        m.submodules.words = words = fifo.SyncFIFO(width=WORD_WIDTH, depth=QUEUE_WORDS)
        entry = data.View(beat_order_layout(self.config), order.r_data)
        second = Signal()  # the word's lower half has been sent
        have, last = Signal(), Signal()
        half = words.r_data.word_select(second | ~entry.halves[0], 8 * BEAT_LANES)
        m.d.comb += [
            words.w_en.eq(self.glb.valid),
            words.w_data.eq(self.glb.data),
            have.eq(order.r_rdy & (entry.pad | words.r_rdy)),
            last.eq(have & (second | (entry.halves != 0b11))),
            order.r_en.eq(last),
            word_taken.eq(last & ~entry.pad),
            words.r_en.eq(word_taken),
        ]
        with m.If(have):
            m.d.sync += second.eq(~last)
        m.d.sync += [
            self.mask.eq(Mux(have, entry.mask, 0)),
            self.ring.eq(entry.ring + second),
            self.beat.eq(Mux(entry.pad, entry.value.replicate(BEAT_LANES), half)),
            self.arrived.eq(last & entry.position_end),
        ]
