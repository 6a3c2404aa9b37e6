"""A row's part of the NoC controller: fetches for its units and says when a step may start.

              unit ──┬──────────────┬────────────────┐
                     ▼              ▼                ▼
               IfmapFetch      FilterFetch      pass queue (active, ring lane, slot)
                     │ beats        │ values         │
                     └────► X-bus ◄─┘                ▼
                  arrived, loaded ─────────► the row's present pass ──► ready, step

Fetching runs ahead of computing as far as ring space and filter banks go. The row works on a step
while `valid`; at `step_end` it gives back what the step no longer needs. `ready` says that all of
what the present step needs has arrived; it holds once it is up.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from eyas.config import Config, bits_for
from eyas.hw.array_layouts import row_step_layout, x_bus_layout
from eyas.hw.filter_fetch import FilterFetch
from eyas.hw.ifmap_fetch import IfmapFetch
from eyas.hw.interfaces import GlbRead
from eyas.hw.tile_slots import select, slot_layout
from eyas.hw.unit_walker import unit_layout

PASS_QUEUE = 4
"""Passes that fetching may be ahead of computing, at least.

Units are dealt row after row, pass by pass, and row r computes a step behind row r-1. With one
step a pass, the first row only gets its next unit when the last row has room for `rows - 1` more:
the queues of a row hold as many.
"""


class RowController(wiring.Component):
    def __init__(self, config: Config):
        self.config = config
        slots = config.noc.tile_slots
        super().__init__(
            {
                "slots": In(slot_layout(config)).array(slots),
                "unit": In(stream.Signature(unit_layout(config))),
                "ifmaps_read": Out(slots),  # pulses: the segment's last word is here
                "filters_read": Out(slots),
                "ifmap_glb": Out(GlbRead),
                "filter_glb": Out(GlbRead),
                "x_bus": Out(x_bus_layout(config)),
                "arrived": Out(1),
                # The present step, from the step gate.
                "valid": In(1),
                "last_step": In(1),  # of the pass
                "step_end": In(1),
                "ifmaps_ready": Out(1),
                "filters_ready": Out(1),
                "step": Out(row_step_layout(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.ifmaps = ifmaps = IfmapFetch(self.config)
        m.submodules.filters = filters = FilterFetch(self.config)
        for number, slot in enumerate(self.slots):
            m.d.comb += [ifmaps.slots[number].eq(slot), filters.slots[number].eq(slot)]
        wiring.connect(m, ifmaps.glb, wiring.flipped(self.ifmap_glb))
        wiring.connect(m, filters.glb, wiring.flipped(self.filter_glb))
        m.d.comb += [self.ifmaps_read.eq(ifmaps.done), self.filters_read.eq(filters.done)]
        passes = self._deal(m, ifmaps, filters)
        self._drive_bus(m, ifmaps, filters)
        self._consume(m, ifmaps, filters, passes)
        return m

    def _deal(self, m, ifmaps, filters):
        """Hands a unit to both fetchers and to the pass queue, each at its own time."""
        unit = self.unit.payload
        depth = max(PASS_QUEUE, self.config.array.rows)
        queues = []
        for part, target in (("ifmap", ifmaps), ("filter", filters)):
            layout = unit_layout(self.config, part)
            queue = fifo.SyncFIFO(width=layout.size, depth=depth)
            m.submodules[f"{part}_units"] = queue
            m.d.comb += [
                target.unit.valid.eq(queue.r_rdy),
                target.unit.payload.eq(queue.r_data),
                queue.r_en.eq(target.unit.ready),
            ]
            queues.append((queue, Cat(unit[name] for name in layout.members)))
        self.pass_layout = data.StructLayout(
            {"active": 1, "lane": 2, "slot": bits_for(self.config.noc.tile_slots)}
        )
        m.submodules.passes = passes = fifo.SyncFIFO(width=self.pass_layout.size, depth=depth)
        queues.append((passes, Cat(unit.active, unit.lane[:2], unit.slot)))
        m.d.comb += self.unit.ready.eq(Cat(queue.w_rdy for queue, _ in queues).all())
        for queue, content in queues:
            m.d.comb += [
                queue.w_en.eq(self.unit.valid & self.unit.ready),
                queue.w_data.eq(content),
            ]
        return passes

    def _drive_bus(self, m, ifmaps, filters):
        m.d.comb += [
            self.x_bus.ifmap_mask.eq(ifmaps.mask),
            self.x_bus.ifmap_address.eq(ifmaps.ring),
            self.x_bus.ifmap_data.eq(ifmaps.beat),
            self.x_bus.filter_mask.eq(filters.mask),
            self.x_bus.filter_address.eq(filters.address),
            self.x_bus.filter_data.eq(filters.value),
            self.arrived.eq(ifmaps.arrived),
        ]

    def _consume(self, m, ifmaps, filters, passes):
        beats = self.config.spad.ifmap_beats
        queued = data.View(self.pass_layout, passes.r_data)
        positions = range(self.config.spad.ifmap_beats + 1)
        known = Signal()  # the registers below describe the row's present or next pass
        active = Signal()
        lane = Signal(2)
        span, advance = Signal(positions), Signal(positions)
        span_beats, advance_beats = Signal(range(beats + 1)), Signal(range(beats + 1))
        base = Signal(range(beats))  # ring beat of the present step's first position
        present = Signal(range(beats + 1))  # positions in the ring from `base` on
        loaded = Signal(range(3))  # filter banks
        bank = Signal()

        consumed = Signal()
        pass_end = Signal()
        freed = Signal(range(beats + 1))
        m.d.comb += [
            consumed.eq(self.step_end & self.valid & active),
            pass_end.eq(self.step_end & self.valid & self.last_step),
            freed.eq(Mux(consumed, Mux(self.last_step, span_beats, advance_beats), 0)),
            ifmaps.freed.eq(freed),
            filters.freed.eq(consumed & self.last_step),
        ]
        released = Mux(consumed, Mux(self.last_step, span, advance), 0)
        m.d.sync += [
            present.eq(present + ifmaps.arrived - released),
            base.eq(base + freed),
            loaded.eq(loaded + filters.loaded - filters.freed),
            bank.eq(bank ^ filters.freed),
        ]
        with m.If(~known | pass_end):
            m.d.comb += passes.r_en.eq(1)
            m.d.sync += [known.eq(passes.r_rdy), active.eq(queued.active), lane.eq(queued.lane)]
            for register, name in (
                (span, "span"),
                (advance, "advance"),
                (span_beats, "span_beats"),
                (advance_beats, "advance_beats"),
            ):
                m.d.sync += register.eq(select(m, self.slots, queued.slot, name))
        m.d.comb += [
            self.ifmaps_ready.eq(~self.valid | (known & (~active | (present >= span)))),
            self.filters_ready.eq(~self.valid | ~known | ~active | (loaded != 0)),
            self.step.active.eq(self.valid & active & known),
            self.step.filter_bank.eq(bank),
            self.step.ring_base.eq(Cat(lane, base)),
        ]
