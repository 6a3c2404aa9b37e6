"""The array with everything that keeps it fed: from tile slots and GLB words to psums in the banks.

    tile slots ─┬─► UnitWalker ─► RowControllers ─► X-buses ─┐
                │       GLB words ─►┘      │ ready           ▼
                └─► StepGate ◄─────────────┘            PEArray ─► PsumBanks ─► drain
                       └──────── micro-cycles, step flags ─►┘

A segment is announced by a pulse on its bit of `taken` once its slot is filled; slots are used in
order, round and round. `fetched` rises when the GLB has been read for the segment's last word,
`computed` pulses when no row needs the slot any more.
"""

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from eyas.config import Config
from eyas.hw.interfaces import PSUM_WIDTH, GlbRead
from eyas.hw.pe_array import PEArray
from eyas.hw.psum_banks import PsumBanks
from eyas.hw.row_controller import RowController
from eyas.hw.shared_modules import add_shared
from eyas.hw.step_gate import StepGate, item_layout
from eyas.hw.tile_slots import slot_layout
from eyas.hw.unit_walker import UnitWalker


class ArrayCore(wiring.Component):
    def __init__(self, config: Config):
        self.config = config
        rows, cols, slots = config.array.rows, config.array.cols, config.noc.tile_slots
        super().__init__(
            {
                "slots": In(slot_layout(config)).array(slots),
                "taken": In(slots),
                "fetched": Out(slots),
                "computed": Out(slots),
                "ifmap_read": Out(GlbRead).array(rows),
                "filter_read": Out(GlbRead).array(rows),
                # The drain's side of the psum banks.
                "full": Out(2),
                "drained": In(2),
                "drain_memory": In(1),
                "drain_address": In(range(config.psum_bank.depth)),
                "drain_data": Out(signed(PSUM_WIDTH)).array(cols),
                # For stall and access counters.
                "pending": Out(1),  # a segment that the step gate has not come to the end of
                "running": Out(1),  # a step is under way, or waits for its data
                "issued": Out(1),  # a micro-cycle
                "emitted": Out(1),  # a psum of every column in use
                "wait_ifmaps": Out(1),
                "wait_filters": Out(1),
                "wait_psum_banks": Out(1),
                "stages": Out(item_layout(config)).array(rows + 1),
                "rows_active": Out(rows),
                "ifmap_masks": Out(cols).array(rows),  # PEs that take a beat, by row
                "filter_masks": Out(cols).array(rows),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.walker = walker = UnitWalker(self.config)
        m.submodules.gate = gate = StepGate(self.config)
        m.submodules.array = array = PEArray(self.config)
        m.submodules.psum_banks = banks = PsumBanks(self.config)
        rows = []
        for number in range(self.config.array.rows):
            row = RowController(self.config)
            add_shared(m, f"row{number}", row, platform, "row_controller")
            rows.append(row)
        self._share_slots(m, walker, gate, rows)
        self._connect_rows(m, walker, gate, array, rows)
        self._connect_banks(m, gate, array, banks)
        self._track_fetching(m, rows)
        self._report(m, gate, array)
        return m

    def _share_slots(self, m, walker, gate, rows):
        for number, slot in enumerate(self.slots):
            m.d.comb += [consumer.slots[number].eq(slot) for consumer in (walker, gate, *rows)]
        for consumer in (walker, gate):
            m.d.sync += consumer.filled.eq((consumer.filled | self.taken) & ~consumer.walked)
        m.d.comb += self.computed.eq(gate.computed)

    def _connect_rows(self, m, walker, gate, array, rows):
        m.d.comb += [
            array.micro.eq(gate.micro),
            gate.ifmaps_ready.eq(Cat(row.ifmaps_ready for row in rows)),
            gate.filters_ready.eq(Cat(row.filters_ready for row in rows)),
        ]
        for number, row in enumerate(rows):
            wiring.connect(m, walker.units[number], row.unit)
            wiring.connect(m, row.ifmap_glb, wiring.flipped(self.ifmap_read[number]))
            wiring.connect(m, row.filter_glb, wiring.flipped(self.filter_read[number]))
            m.d.comb += [
                row.valid.eq(gate.stages[number].valid),
                row.last_step.eq(gate.stages[number].last_step),
                row.step_end.eq(gate.step_end),
                array.step[number].eq(row.step),
                array.x_bus[number].eq(row.x_bus),
            ]

    def _connect_banks(self, m, gate, array, banks):
        m.d.comb += [
            banks.emission.eq(gate.emission),
            banks.drain_memory.eq(self.drain_memory),
            banks.drain_address.eq(self.drain_address),
            self.full.eq(gate.full),
            gate.drained.eq(self.drained),
        ]
        for col in range(self.config.array.cols):
            m.d.comb += [
                banks.psums[col].eq(array.psums[col]),
                self.drain_data[col].eq(banks.drain_data[col]),
            ]

    def _track_fetching(self, m, rows):
        for slot in range(self.config.noc.tile_slots):
            done = Signal(2 * len(rows), name=f"fetched{slot}")
            pulses = Cat(Cat(row.ifmaps_read[slot], row.filters_read[slot]) for row in rows)
            m.d.comb += self.fetched[slot].eq(done.all())
            m.d.sync += done.eq(done | pulses)
            with m.If(self.taken[slot]):
                m.d.sync += done.eq(0)

    def _report(self, m, gate, array):
        m.d.comb += [
            self.pending.eq(gate.filled.any()),
            self.running.eq(gate.running),
            self.issued.eq(gate.micro.valid),
            self.emitted.eq(gate.emission.valid),
            self.wait_ifmaps.eq(gate.wait_ifmaps),
            self.wait_filters.eq(gate.wait_filters),
            self.wait_psum_banks.eq(gate.wait_psum_banks),
            self.rows_active.eq(Cat(step.active for step in array.step)),
        ]
        m.d.comb += [mine.eq(its) for mine, its in zip(self.stages, gate.stages, strict=True)]
        for row, bus in enumerate(array.x_bus):
            m.d.comb += [
                self.ifmap_masks[row].eq(bus.ifmap_mask),
                self.filter_masks[row].eq(bus.filter_mask),
            ]
