"""A row's ifmap side: fetches the words of its units and sends them down the X-bus as beats.

    unit ─► walk over steps, positions, columns, words ─► GLB request, or padding
                        │ order queue (what comes next, where it goes)
    GLB data ─► data queue ─► serialiser: one beat (4 lanes) a cycle with its column mask

A position is walked only after its ring space has been reserved: nothing is pushed, so no word can
block another. On the first step of a unit the row fetches `span` positions, on each further one
`advance`, each for every column of filter set 0; the mask makes a beat reach the same column of all
filter sets. Coordinates outside of the ifmap buffer yield the padding value without a GLB read.

`arrived` pulses when the last beat of a position is on the bus. One word a cycle into the GLB, one
beat a cycle out.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from eyas.config import WORD_LANES, Config, bits_for
from eyas.hw.interfaces import WORD_WIDTH, GlbRead
from eyas.hw.tile_slots import select, slot_layout
from eyas.hw.unit_walker import unit_layout

QUEUE_WORDS = 8
"""Words on their way: covers the GLB's latency and two beats a word."""


def _order_layout(config: Config) -> data.StructLayout:
    return data.StructLayout(
        {
            "pad": 1,
            "value": 8,
            "halves": 2,  # which of the word's two beats are sent
            "ring": bits_for(config.spad.ifmap_beats),  # of the first beat sent
            "mask": config.array.cols,
            "position_end": 1,
        }
    )


class IfmapFetch(wiring.Component):
    def __init__(self, config: Config):
        self.config = config
        beats = config.spad.ifmap_beats
        super().__init__(
            {
                "slots": In(slot_layout(config)).array(config.noc.tile_slots),
                "unit": In(stream.Signature(unit_layout(config))),
                "done": Out(config.noc.tile_slots),  # pulse: last word of the segment is here
                "glb": Out(GlbRead),
                "freed": In(range(beats + 1)),  # beats that the ring gives back in this cycle
                "arrived": Out(1),
                "mask": Out(config.array.cols),
                "ring": Out(range(beats)),
                "beat": Out(WORD_WIDTH // 2),
            }
        )

    def elaborate(self, platform):
        m = Module()
        unit = self._hold_unit(m)
        order = fifo.SyncFIFO(width=_order_layout(self.config).size, depth=QUEUE_WORDS)
        m.submodules.order = order
        self.issue = Signal()  # a word is requested (or padded) in this cycle
        self.fields = {
            name: select(m, self.slots, unit.slot, name)
            for name in (
                "steps", "span", "advance", "position_gap", "beats", "we", "wf", "stride_y",
                "we_step", "wf_step", "ifmap_plane", "ifmap_height", "ifmap_width", "pad_value",
                "ifmap_mask",
            )
        }  # fmt: skip
        entry = self._walk(m, unit)
        self._request(m, unit, entry, order)
        self._serialise(m, order)
        return m

    def _hold_unit(self, m):
        """The unit at work, in registers; `self.busy` says whether there is one."""
        unit = Signal(unit_layout(self.config))
        self.busy = Signal()
        self.finish = Signal()
        self.start = Signal()
        m.d.comb += [
            self.unit.ready.eq(~self.busy),
            self.start.eq(self.unit.valid & self.unit.ready),
        ]
        with m.If(self.start):
            m.d.sync += [unit.eq(self.unit.payload), self.busy.eq(self.unit.payload.active)]
        with m.If(self.finish):
            m.d.sync += self.busy.eq(0)
        # Every word has been asked for; the segment's ifmap buffer is read once they are back.
        ends = Signal()
        slot = Signal.like(unit.slot)
        payload = self.unit.payload
        with m.If(self.finish):
            m.d.comb += [ends.eq(unit.last), slot.eq(unit.slot)]
        with m.Elif(self.start & ~payload.active):
            m.d.comb += [ends.eq(payload.last), slot.eq(payload.slot)]
        m.d.comb += self.done.bit_select(slot, 1).eq(ends)
        return unit

    def _walk(self, m, unit):
        """Registers that say which word is next, and how they move on at an issue."""
        f = self.fields
        first_step = Signal()
        fresh = Signal()  # the unit's registers hold its first word
        steps_left = Signal.like(f["steps"])
        positions_left = Signal.like(f["span"])
        a_left, b_left = Signal.like(f["we"]), Signal.like(f["wf"])
        word = Signal(range(self.config.spad.ifmap_lanes // WORD_LANES + 1))
        # Addresses and coordinates of the present word, of its column's first word, of the first
        # column of its ofmap row, and of the first column of its position.
        address, column, row, position = (
            Signal.like(unit.address, name=n) for n in ("address", "column", "row", "position")
        )
        y, x, position_x = Signal.like(unit.y), Signal.like(unit.x), Signal.like(unit.x)
        mask = Signal(self.config.array.cols)
        ring = Signal(range(self.config.spad.ifmap_beats))
        position_ring = Signal.like(ring)
        half = unit.lane[2]  # the position's first beat is the upper half of its first word
        words = (f["beats"] + half + 1) >> 1

        last_word = Signal()
        last_column = Signal()
        last_position = Signal()
        m.d.comb += [
            last_word.eq(word == words - 1),
            last_column.eq((a_left == 1) & (b_left == 1)),
            last_position.eq(positions_left == 1),
            self.finish.eq(
                self.busy
                & self.issue
                & last_word
                & last_column
                & last_position
                & (steps_left == 1)
            ),
        ]
        first_word = Signal()
        m.d.comb += first_word.eq(word == 0)

        next_column = Signal.like(address)
        next_row = Signal.like(address)
        next_position = Signal.like(address)
        gap = Signal.like(f["position_gap"])
        next_ring = Signal.like(ring)
        m.d.comb += [
            next_column.eq(column + f["wf_step"]),
            next_row.eq(row + f["we_step"]),
            gap.eq(Mux(last_position, f["position_gap"], 0)),
            next_position.eq(position + 1 + gap),
            next_ring.eq(position_ring + f["beats"]),
        ]
        with m.If(self.issue):
            m.d.sync += [
                word.eq(word + 1),
                address.eq(address + f["ifmap_plane"]),
                ring.eq(ring + Mux(first_word & half, 1, 2)),
            ]
            with m.If(last_word):
                m.d.sync += [
                    word.eq(0),
                    b_left.eq(b_left - 1),
                    column.eq(next_column),
                    address.eq(next_column),
                    x.eq(x + f["wf_step"]),
                    mask.eq(mask << 1),
                    ring.eq(position_ring),
                ]
                with m.If(b_left == 1):
                    m.d.sync += [
                        b_left.eq(f["wf"]),
                        a_left.eq(a_left - 1),
                        row.eq(next_row),
                        column.eq(next_row),
                        address.eq(next_row),
                        x.eq(position_x),
                        y.eq(y + f["stride_y"]),
                    ]
                with m.If(last_column):
                    m.d.sync += [
                        a_left.eq(f["we"]),
                        position.eq(next_position),
                        row.eq(next_position),
                        column.eq(next_position),
                        address.eq(next_position),
                        position_x.eq(position_x + 1 + gap),
                        x.eq(position_x + 1 + gap),
                        y.eq(unit.y),
                        mask.eq(f["ifmap_mask"]),
                        position_ring.eq(next_ring),
                        ring.eq(next_ring),
                        positions_left.eq(positions_left - 1),
                    ]
                    with m.If(last_position):
                        m.d.sync += [
                            positions_left.eq(f["advance"]),
                            steps_left.eq(steps_left - 1),
                        ]
        with m.Elif(fresh):
            m.d.sync += [
                steps_left.eq(f["steps"]),
                positions_left.eq(f["span"]),
                a_left.eq(f["we"]),
                b_left.eq(f["wf"]),
                mask.eq(f["ifmap_mask"]),
                word.eq(0),
                y.eq(unit.y),
                *(register.eq(unit.address) for register in (address, column, row, position)),
                *(register.eq(unit.x) for register in (x, position_x)),
            ]
        m.d.sync += fresh.eq(self.start)
        m.d.comb += first_step.eq(fresh)

        # Reserve the ring space of a position with its first word.
        space = Signal(
            range(self.config.spad.ifmap_beats + 1), init=self.config.spad.ifmap_beats
        )
        opens = Signal()
        m.d.comb += opens.eq(first_word & (a_left == f["we"]) & (b_left == f["wf"]))
        self.may_issue = Signal()
        m.d.comb += self.may_issue.eq(self.busy & ~fresh & (~opens | (space >= f["beats"])))
        m.d.sync += space.eq(space + self.freed - Mux(self.issue & opens, f["beats"], 0))

        entry = Signal(_order_layout(self.config))
        inside = Signal()
        even = Signal()  # the last beat wanted is a word's upper half
        m.d.comb += [
            inside.eq(
                (y.as_unsigned() < f["ifmap_height"]) & (x.as_unsigned() < f["ifmap_width"])
            ),
            even.eq(~(f["beats"][0] ^ half)),
            entry.pad.eq(~inside),
            entry.value.eq(f["pad_value"]),
            entry.halves.eq(Cat(~(first_word & half), ~last_word | even)),
            entry.ring.eq(ring),
            entry.mask.eq(mask),
            entry.position_end.eq(last_word & last_column),
        ]
        self.address = address
        return entry

    def _request(self, m, unit, entry, order):
        """Asks the GLB for the word, if the queues have room for it."""
        waiting = Signal(range(QUEUE_WORDS + 1))  # words asked for and not yet sent on
        self.word_taken = Signal()
        request = self.glb.request
        possible = Signal()
        m.d.comb += [
            possible.eq(self.may_issue & order.w_rdy & (waiting != QUEUE_WORDS)),
            request.valid.eq(possible & ~entry.pad),
            request.payload.eq(self.address),
            self.issue.eq(possible & (entry.pad | request.ready)),
            order.w_en.eq(self.issue),
            order.w_data.eq(entry),
        ]
        asked = self.issue & ~entry.pad
        m.d.sync += waiting.eq(waiting + asked - self.word_taken)

    def _serialise(self, m, order):
        m.submodules.words = words = fifo.SyncFIFO(width=WORD_WIDTH, depth=QUEUE_WORDS)
        m.d.comb += [words.w_en.eq(self.glb.valid), words.w_data.eq(self.glb.data)]
        entry = data.View(_order_layout(self.config), order.r_data)
        second = Signal()  # the word's lower half has been sent
        upper = second | ~entry.halves[0]
        have = order.r_rdy & (entry.pad | words.r_rdy)
        last = Signal()
        padding = Cat(*[entry.value] * (WORD_LANES // 2))
        word_half = words.r_data.word_select(upper, WORD_WIDTH // 2)
        m.d.comb += [
            last.eq(have & (second | (entry.halves != 3))),
            order.r_en.eq(last),
            self.word_taken.eq(last & ~entry.pad),
            words.r_en.eq(self.word_taken),
        ]
        with m.If(have):
            m.d.sync += second.eq(~last)
        # Registered: the bus is long.
        m.d.sync += [
            self.mask.eq(Mux(have, entry.mask, 0)),
            self.ring.eq(entry.ring + second),
            self.beat.eq(Mux(entry.pad, padding, word_half)),
            self.arrived.eq(last & entry.position_end),
        ]
