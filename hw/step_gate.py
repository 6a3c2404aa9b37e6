"""The step gate: issues micro-cycles in lockstep, and holds a step back until its data is there.

    items (segment, pass, step) ─► stage 0 ─► stage 1 ─► … ─► stage rows
                                     │ row 0    │ row 1         │ emission into the psum banks
    micro-cycle counters: tap, lane, filter ─► micro (common to all rows)

Row r works on the item in stage r; all stages move on together when a step ends. What row r-1 left
in its psum spad flows into row r during the `first` micro-cycles of the next step; what the last
row left is emitted to the psum banks in the same way, from stage `rows`.

A step's first micro-cycle waits until every row has what it needs and until the psum memory of the
emitted item holds no finished tile. In a step nothing waits. If no further item is known, empty
items flush the stages. Another micro-cycle shape (p, q, taps, ring pitch, depthwise) waits until
they are empty.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from eyas.config import Config, bits_for
from eyas.hw.array_layouts import emission_layout, micro_cycle_layout
from eyas.hw.pe import PSUM_WRITE_STAGE
from eyas.hw.tile_slots import select, slot_layout

SHAPE = ("p", "q", "taps", "depthwise", "tap_pitch", "psums")
"""Fields that all rows must share while a step runs."""


def item_layout(config: Config) -> data.StructLayout:
    """One step of one pass, on its way down the rows."""
    return data.StructLayout(
        {
            "valid": 1,
            "last_step": 1,  # of its pass
            "segment_end": 1,
            "tile_end": 1,
            "slot": bits_for(config.noc.tile_slots),
            "clear": 1,
            "memory": 1,
            "address": bits_for(config.psum_bank.depth),
            "columns": bits_for(config.array.cols + 1),
        }
    )


class StepGate(wiring.Component):
    def __init__(self, config: Config):
        self.config = config
        rows, slots = config.array.rows, config.noc.tile_slots
        super().__init__(
            {
                "slots": In(slot_layout(config)).array(slots),
                "filled": In(slots),  # segments not yet walked, taken in order, round and round
                "walked": Out(slots),  # pulse: the segment's last item is on its way
                "computed": Out(slots),  # pulse: no row needs the slot for computing any more
                "ifmaps_ready": In(rows),
                "filters_ready": In(rows),
                "stages": Out(item_layout(config)).array(rows + 1),
                "step_end": Out(1),
                "micro": Out(micro_cycle_layout(config)),
                "emission": Out(emission_layout(config)),
                "full": Out(2),  # psum memory holds a finished tile, ready to drain
                "drained": In(2),  # pulse: psum memory is empty again
                "running": Out(1),
                "wait_ifmaps": Out(1),
                "wait_filters": Out(1),
                "wait_psum_banks": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        self.shape = {
            name: Signal(slot_layout(self.config)[name].shape, name=f"shape_{name}")
            for name in SHAPE
        }
        self.occupied = Signal(2)
        self.push = Signal()
        item, same_shape, load_shape = self._items(m)
        self._stages(m, item, same_shape, load_shape)
        self._gate(m)
        self._micro_cycles(m)
        self._track_banks(m)
        return m

    def _items(self, m):
        """The next item to enter stage 0, and what its slot holds."""
        slot = Signal(range(self.config.noc.tile_slots))
        field = {
            name: select(m, self.slots, slot, name)
            for name in ("steps", "passes", "first", "last", "swap", "columns", *SHAPE)
        }
        known = Signal()  # registers below belong to the segment in `slot`
        same_shape = Signal()
        load_shape = Signal()
        steps_left = Signal.like(field["steps"])
        passes_left = Signal.like(field["passes"])
        clear = Signal()
        memory = Signal()
        item = Signal(item_layout(self.config))
        address = Signal.like(item.address)
        last_step, segment_end, tile_end = Signal(), Signal(), Signal()
        m.d.comb += [
            last_step.eq(steps_left == 1),
            segment_end.eq(last_step & (passes_left == 1)),
            tile_end.eq(segment_end & field["last"]),
            item.valid.eq(known),
            item.last_step.eq(last_step),
            item.segment_end.eq(segment_end),
            item.tile_end.eq(tile_end),
            item.slot.eq(slot),
            item.clear.eq(clear),
            item.memory.eq(memory),
            item.address.eq(address),
            item.columns.eq(field["columns"]),
        ]
        taken = self.push & known & same_shape
        with m.If(~known):
            m.d.sync += [
                known.eq(self.filled.bit_select(slot, 1)),
                same_shape.eq(Cat(field[n] == self.shape[n] for n in SHAPE).all()),
                steps_left.eq(field["steps"]),
                passes_left.eq(field["passes"]),
                address.eq(0),
                clear.eq(field["first"]),
            ]
        with m.Elif(taken):
            m.d.sync += [steps_left.eq(steps_left - 1), address.eq(address + field["psums"])]
            with m.If(last_step):
                m.d.sync += [
                    steps_left.eq(field["steps"]),
                    passes_left.eq(passes_left - 1),
                    address.eq(0),
                    clear.eq(0),
                ]
            with m.If(segment_end):
                m.d.sync += [
                    known.eq(0),
                    slot.eq(slot + 1),
                    memory.eq(memory ^ (field["last"] | field["swap"])),
                ]
                m.d.comb += self.walked.bit_select(slot, 1).eq(1)
        with m.If(load_shape):
            m.d.sync += [self.shape[name].eq(field[name]) for name in SHAPE]
            m.d.sync += same_shape.eq(1)
        return item, same_shape, load_shape

    def _stages(self, m, item, same_shape, load_shape):
        stages = self.stages
        behind = Signal()  # an item that still has rows to pass
        go_on = Signal()
        boundary = Signal()
        m.d.comb += [
            behind.eq(Cat(stage.valid for stage in stages[:-1]).any()),
            boundary.eq(self.step_end | ~self.running),
            go_on.eq(item.valid & same_shape),
            self.push.eq(boundary & (go_on | (self.running & behind))),
            load_shape.eq(boundary & item.valid & ~same_shape & ~(self.running & behind)),
        ]
        with m.If(boundary):
            m.d.sync += self.running.eq(self.push)
            m.d.sync += [stages[n + 1].eq(stages[n]) for n in range(len(stages) - 1)]
            m.d.sync += [stages[0].eq(item), stages[0].valid.eq(go_on)]
        last_row = stages[-2]
        ended = self.step_end & last_row.valid & last_row.segment_end
        m.d.comb += self.computed.bit_select(last_row.slot, 1).eq(ended)

    def _gate(self, m):
        self.begin = Signal(init=1)  # at the first micro-cycle of a step
        self.go = Signal()
        leaving = self.stages[-1]
        ifmaps, filters, bank = Signal(), Signal(), Signal()
        m.d.comb += [
            ifmaps.eq(self.ifmaps_ready.all()),
            filters.eq(self.filters_ready.all()),
            bank.eq(~leaving.valid | ~self.occupied.bit_select(leaving.memory, 1)),
            self.go.eq(self.running & (~self.begin | (ifmaps & filters & bank))),
        ]
        waiting = self.running & self.begin
        m.d.comb += [
            self.wait_psum_banks.eq(waiting & ~bank),
            self.wait_filters.eq(waiting & bank & ~filters),
            self.wait_ifmaps.eq(waiting & bank & filters & ~ifmaps),
        ]

    def _micro_cycles(self, m):
        shape, micro = self.shape, self.micro
        j, lane, tap = (Signal.like(shape[n], name=n) for n in ("p", "q", "taps"))
        first_tap = Signal(init=1)
        last_j, last_lane, last_tap = Signal(), Signal(), Signal()
        tap_lane = Signal.like(micro.lane)  # of lane 0 of the present tap
        filter_address = Signal.like(micro.filter)
        next_tap_lane = Signal.like(micro.lane)
        m.d.comb += [
            last_j.eq(j == shape["p"] - 1),
            last_lane.eq(lane == shape["q"] - 1),
            last_tap.eq(tap == shape["taps"] - 1),
            self.step_end.eq(self.go & last_j & last_lane & last_tap),
            next_tap_lane.eq(tap_lane + shape["tap_pitch"]),
            micro.valid.eq(self.go),
            micro.first.eq(first_tap & (shape["depthwise"] | (lane == 0))),
            micro.psum.eq(Mux(shape["depthwise"], lane, j)),
            micro.filter.eq(filter_address),
            micro.lane.eq(tap_lane + lane),
        ]
        with m.If(self.go):
            m.d.sync += [j.eq(j + 1), filter_address.eq(filter_address + 1)]
            with m.If(last_j):
                m.d.sync += [j.eq(0), lane.eq(lane + 1)]
                with m.If(last_lane):
                    m.d.sync += [
                        lane.eq(0),
                        tap.eq(tap + 1),
                        first_tap.eq(0),
                        tap_lane.eq(next_tap_lane),
                    ]
            m.d.sync += self.begin.eq(self.step_end)
        with m.If(self.step_end):
            m.d.sync += [tap.eq(0), first_tap.eq(1), tap_lane.eq(0), filter_address.eq(0)]

    def _track_banks(self, m):
        leaving, emission = self.stages[-1], self.emission
        m.d.comb += [
            emission.valid.eq(self.go & self.micro.first & leaving.valid),
            emission.clear.eq(leaving.clear),
            emission.memory.eq(leaving.memory),
            emission.address.eq(leaving.address + self.micro.psum),
        ]
        # `occupied` bars the next tile at once; `full` waits until the last psum is written.
        ended = Signal()
        m.d.comb += ended.eq(self.step_end & leaving.valid & leaving.tile_end)
        filled = Signal(2)
        m.d.comb += filled.bit_select(leaving.memory, 1).eq(ended)
        m.d.sync += self.occupied.eq((self.occupied | filled) & ~self.drained)
        late = filled
        for stage in range(PSUM_WRITE_STAGE + 1):
            register = Signal(2, name=f"filled_{stage}")
            m.d.sync += register.eq(late)
            late = register
        m.d.sync += self.full.eq((self.full | late) & ~self.drained)
