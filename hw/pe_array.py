"""The PE array: rows of PEs, their shared filter spads, and the delays between stages.

    x_bus[r] ──► row r: PE PE PE … ◄── step[r] (active, filter bank, ring base)
                        │  │  │         micro (address offsets, common to all rows)
                        ▼  ▼  ▼
                 row r+1 …              psums of the last row: `psums`, at stage A3

Control is delayed once, here, and broadcast; a PE holds none. Latency: a micro-cycle issued at A0
shows in `psums` three cycles later. Writes on the X-buses take one cycle: a beat may be read by the
micro-cycle of the next cycle.
"""

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from eyas.config import Config, bits_for
from eyas.hw.array_layouts import micro_cycle_layout, row_step_layout, x_bus_layout
from eyas.hw.delay import delayed
from eyas.hw.filter_spads import FilterSpads
from eyas.hw.pe import PE, PSUM_READ_STAGE, PSUM_WRITE_STAGE, SUM_STAGE
from eyas.hw.shared_modules import add_shared

LANE_BITS = 2


class PEArray(wiring.Component):
    def __init__(self, config: Config):
        self.config = config
        rows, cols = config.array.rows, config.array.cols
        super().__init__(
            {
                "micro": In(micro_cycle_layout(config)),
                "step": In(row_step_layout(config)).array(rows),
                "x_bus": In(x_bus_layout(config)).array(rows),
                "psums": Out(signed(config.spad.psum_width)).array(cols),
            }
        )

    def elaborate(self, platform):
        m = Module()
        control = self._delay_control(m)
        chain = [0] * self.config.array.cols
        for row in range(self.config.array.rows):
            chain = self._row(m, platform, row, control, chain)
        for col, psum in enumerate(chain):
            m.d.comb += self.psums[col].eq(psum)
        return m

    def _delay_control(self, m):
        psum = delayed(m, self.micro.psum, PSUM_READ_STAGE, "psum")
        return {
            "psum_read_address": psum,
            "first": delayed(m, self.micro.first, SUM_STAGE, "first"),
            "psum_write_address": delayed(
                m, psum, PSUM_WRITE_STAGE - PSUM_READ_STAGE, "psum_write"
            ),
            "psum_write_enable": delayed(m, self.micro.valid, PSUM_WRITE_STAGE, "valid"),
        }

    def _row(self, m, platform, row, control, chain):
        """Adds the PEs of a row; returns their chain outputs."""
        spad = self.config.spad
        step, bus = self.step[row], self.x_bus[row]
        filters = FilterSpads(spad, self.config.array.cols)
        add_shared(m, f"filters{row}", filters, platform, "filter_spads")
        m.d.comb += [
            filters.write_mask.eq(bus.filter_mask),
            filters.write_address.eq(bus.filter_address),
            filters.write_data.eq(bus.filter_data),
            filters.read_address.eq(Cat(self.micro.filter, step.filter_bank)),
        ]
        ring_lane = Signal(bits_for(spad.ifmap_lanes), name=f"ring_lane{row}")
        m.d.comb += ring_lane.eq(step.ring_base + self.micro.lane)
        lane = delayed(m, ring_lane[:LANE_BITS], 1, f"lane{row}")
        active = delayed(m, step.active, 1, f"active{row}")
        out = []
        for col in range(self.config.array.cols):
            pe = PE(spad)
            add_shared(m, f"pe{row}_{col}", pe, platform, "pe")
            m.d.comb += [getattr(pe, name).eq(value) for name, value in control.items()]
            m.d.comb += [
                pe.ifmap_write_enable.eq(bus.ifmap_mask[col]),
                pe.ifmap_write_address.eq(bus.ifmap_address),
                pe.ifmap_write_data.eq(bus.ifmap_data),
                pe.ifmap_address.eq(ring_lane[LANE_BITS:]),
                pe.lane.eq(lane),
                pe.active.eq(active),
                pe.filter.eq(filters.read_data[col]),
                pe.chain_in.eq(chain[col]),
            ]
            out.append(pe.chain_out)
        return out
