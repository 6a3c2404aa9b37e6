"""Walks over the ifmap words that a row's unit needs, in the order in which its PEs take them.

    for step:  for position (span on the first step, advance on each further one):
        for a in we:  for b in wf:  for word:           one word a cycle

Coordinates and addresses move by additions only; four registers hold where the present word,
column, ofmap row and position begin. A position's first word is offered only when the ring has room
for the whole position, and taking it reserves that room. Words outside of the ifmap buffer are
marked as padding. Inactive units are passed over.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from eyas.config import WORD_LANES, Config, bits_for
from eyas.hw.tile_slots import select, slot_layout
from eyas.hw.unit_walker import unit_layout


def beat_order_layout(config: Config) -> data.StructLayout:
    """What becomes of a word: which beats of it are sent, and where they go."""
    return data.StructLayout(
        {
            "pad": 1,  # take `value` for every lane instead of reading the GLB
            "value": 8,
            "halves": 2,  # which of the word's two beats are sent
            "ring": bits_for(config.spad.ifmap_beats),  # ring beat of the first one
            "mask": config.array.cols,
            "position_end": 1,
        }
    )


def ifmap_word_layout(config: Config) -> data.StructLayout:
    """A word to fetch."""
    address = bits_for(config.glb.fmap_words)
    return data.StructLayout({"address": address, "order": beat_order_layout(config)})


class IfmapWalker(wiring.Component):
    def __init__(self, config: Config):
        self.config = config
        beats = config.spad.ifmap_beats
        super().__init__(
            {
                "slots": In(slot_layout(config)).array(config.noc.tile_slots),
                "unit": In(stream.Signature(unit_layout(config, "ifmap"))),
                "freed": In(range(beats + 1)),  # beats that the ring gives back in this cycle
                "word": Out(stream.Signature(ifmap_word_layout(config))),
                "done": Out(config.noc.tile_slots),  # pulse: last word of the segment is taken
            }
        )

    def elaborate(self, platform):
        m = Module()
        unit = Signal(unit_layout(self.config, "ifmap"))
        busy, fresh, finish = Signal(), Signal(), Signal()
        taken = Signal()
        m.d.comb += taken.eq(self.word.valid & self.word.ready)
        self._take_unit(m, unit, busy, fresh, finish)
        names = (
            "steps", "span", "advance", "position_gap", "beats", "we", "wf", "stride_y", "we_step",
            "wf_step", "ifmap_plane", "ifmap_height", "ifmap_width", "pad_value", "ifmap_mask",
        )  # fmt: skip
        field = {name: select(m, self.slots, unit.slot, name) for name in names}
        half = unit.lane[2]  # a position begins with the upper half of its first word
        ends = self._count(m, field, half, taken, fresh)
        m.d.comb += finish.eq(taken & ends["unit"])
        self._place(m, field, unit, ends, taken, fresh)
        opens = ends["first_word"] & ends["first_column"]
        space = self._reserve(m, field, taken & opens)
        m.d.comb += self.word.valid.eq(busy & ~fresh & (~opens | space))
        self._direct(m, field, half, ends, taken, fresh)
        return m

    def _take_unit(self, m, unit, busy, fresh, finish):
        """`fresh` in the cycle in which the walk's registers take the unit's first word."""
        offered = self.unit.payload
        start, passed_over, end = Signal(), Signal(), Signal()
        slot = Signal.like(unit.slot)
        m.d.comb += [
            self.unit.ready.eq(~busy),
            start.eq(self.unit.valid & self.unit.ready),
            passed_over.eq(start & ~offered.active),
            # Reading the last word takes the GLB two more cycles, fewer than any new LOAD takes.
            end.eq(Mux(passed_over, offered.last, finish & unit.last)),
            slot.eq(Mux(passed_over, offered.slot, unit.slot)),
            self.done.bit_select(slot, 1).eq(end),
        ]
        m.d.sync += fresh.eq(start)
        with m.If(start):
            m.d.sync += [unit.eq(offered), busy.eq(offered.active)]
        with m.If(finish):
            m.d.sync += busy.eq(0)

    def _count(self, m, field, half, taken, fresh):
        """The loop counters. Returns which loops the present word begins or ends."""
        steps, positions, a, b = (
            Signal.like(field[name], name=f"{name}_left") for name in ("steps", "span", "we", "wf")
        )
        word = Signal(range(self.config.spad.ifmap_lanes // WORD_LANES + 1))
        ends = {
            name: Signal(name=f"ends_{name}") for name in ("word", "piece", "column", "position")
        }
        m.d.comb += [
            ends["word"].eq(word == ((field["beats"] + half + 1) >> 1) - 1),
            ends["piece"].eq(ends["word"] & (b == 1)),
            ends["column"].eq(ends["piece"] & (a == 1)),
            ends["position"].eq(ends["column"] & (positions == 1)),
        ]
        with m.If(taken):
            m.d.sync += word.eq(word + 1)
            with m.If(ends["word"]):
                m.d.sync += [word.eq(0), b.eq(b - 1)]
            with m.If(ends["piece"]):
                m.d.sync += [b.eq(field["wf"]), a.eq(a - 1)]
            with m.If(ends["column"]):
                m.d.sync += [a.eq(field["we"]), positions.eq(positions - 1)]
            with m.If(ends["position"]):
                m.d.sync += [positions.eq(field["advance"]), steps.eq(steps - 1)]
        with m.If(fresh):
            m.d.sync += [
                steps.eq(field["steps"]),
                positions.eq(field["span"]),
                a.eq(field["we"]),
                b.eq(field["wf"]),
                word.eq(0),
            ]
        return {
            **ends,
            "unit": ends["position"] & (steps == 1),
            "first_word": word == 0,
            "first_column": (a == field["we"]) & (b == field["wf"]),
        }

    def _place(self, m, field, unit, ends, taken, fresh):
        """Address and coordinates of the present word."""
        address, column, row, position = (
            Signal.like(unit.address, name=name)
            for name in ("address", "column", "row", "position")
        )
        y, x, position_x = Signal.like(unit.y), Signal.like(unit.x), Signal.like(unit.x)
        next_column, next_row, next_position = (Signal.like(address) for _ in range(3))
        # The words that a stride leaves out lie between two steps.
        gap = Signal.like(field["position_gap"])
        m.d.comb += [
            gap.eq(Mux(ends["position"], field["position_gap"], 0)),
            next_column.eq(column + field["wf_step"]),
            next_row.eq(row + field["we_step"]),
            next_position.eq(position + gap + 1),
        ]
        with m.If(taken):
            m.d.sync += address.eq(address + field["ifmap_plane"])
            with m.If(ends["word"]):
                m.d.sync += [r.eq(next_column) for r in (address, column)]
                m.d.sync += x.eq(x + field["wf_step"])
            with m.If(ends["piece"]):
                m.d.sync += [r.eq(next_row) for r in (address, column, row)]
                m.d.sync += [x.eq(position_x), y.eq(y + field["stride_y"])]
            with m.If(ends["column"]):
                m.d.sync += [r.eq(next_position) for r in (address, column, row, position)]
                m.d.sync += [r.eq(position_x + gap + 1) for r in (x, position_x)]
                m.d.sync += y.eq(unit.y)
        with m.If(fresh):
            m.d.sync += [r.eq(unit.address) for r in (address, column, row, position)]
            m.d.sync += [x.eq(unit.x), position_x.eq(unit.x), y.eq(unit.y)]
        # As unsigned numbers, negative coordinates are beyond any buffer.
        inside_y = y.as_unsigned() < field["ifmap_height"]
        inside_x = x.as_unsigned() < field["ifmap_width"]
        m.d.comb += [
            self.word.payload.address.eq(address),
            self.word.payload.order.pad.eq(~(inside_y & inside_x)),
            self.word.payload.order.value.eq(field["pad_value"]),
        ]

    def _reserve(self, m, field, opened):
        """Counts the ring's free beats. Returns whether another position fits."""
        beats = self.config.spad.ifmap_beats
        free = Signal(range(beats + 1), init=beats)
        m.d.sync += free.eq(free + self.freed - Mux(opened, field["beats"], 0))
        return free >= field["beats"]

    def _direct(self, m, field, half, ends, taken, fresh):
        """Where the word's beats go: column mask and ring address."""
        order = self.word.payload.order
        mask = Signal(self.config.array.cols)
        ring, position_ring, next_ring = (Signal.like(order.ring) for _ in range(3))
        m.d.comb += next_ring.eq(position_ring + field["beats"])
        with m.If(taken):
            m.d.sync += ring.eq(ring + Mux(ends["first_word"] & half, 1, 2))
            with m.If(ends["word"]):
                m.d.sync += [ring.eq(position_ring), mask.eq(mask << 1)]
            with m.If(ends["column"]):
                m.d.sync += [r.eq(next_ring) for r in (ring, position_ring)]
                m.d.sync += mask.eq(field["ifmap_mask"])
        with m.If(fresh):
            m.d.sync += mask.eq(field["ifmap_mask"])
        even = ~(field["beats"][0] ^ half)  # the last beat wanted is a word's upper half
        m.d.comb += [
            order.halves.eq(Cat(~(ends["first_word"] & half), ~ends["word"] | even)),
            order.ring.eq(ring),
            order.mask.eq(mask),
            order.position_end.eq(ends["column"]),
        ]
