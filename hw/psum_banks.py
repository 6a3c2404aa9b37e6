"""The psum banks: per column two memories, one accumulating while the other drains, or waits with
the psums of a tile that takes turns with this one.

    emission (A0) ─► address at A2 ─► old psum at A3 + psum of the last row ─► written at A4
    drain_memory, drain_address ─────► drain_data[col] one cycle later

An address may be accumulated into again 3 cycles later (a step has at least 3 micro-cycles). The
memory that drains must not be the one that accumulates: the step gate holds a tile back until its
memory is empty.
"""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from eyas.config import Config
from eyas.hw.array_layouts import emission_layout
from eyas.hw.delay import delayed
from eyas.hw.interfaces import PSUM_WIDTH
from eyas.hw.memories import SpadMemory
from eyas.hw.pe import PSUM_READ_STAGE, PSUM_WRITE_STAGE, SUM_STAGE
from eyas.hw.shared_modules import add_shared


class PsumBanks(wiring.Component):
    def __init__(self, config: Config):
        self.config = config
        cols, depth = config.array.cols, config.psum_bank.depth
        super().__init__(
            {
                "emission": In(emission_layout(config)),
                "psums": In(signed(config.spad.psum_width)).array(cols),  # A3
                "drain_memory": In(1),
                "drain_address": In(range(depth)),
                "drain_data": Out(signed(PSUM_WIDTH)).array(cols),
            }
        )

    def elaborate(self, platform):
        m = Module()
        read = delayed(m, self.emission, PSUM_READ_STAGE, "read")
        add = delayed(m, read, SUM_STAGE - PSUM_READ_STAGE, "add")
        write = delayed(m, add, PSUM_WRITE_STAGE - SUM_STAGE, "write")
        drained_memory = delayed(m, self.drain_memory, 1, "drained_memory")
        addresses = [Signal(range(self.config.psum_bank.depth), name=f"address{k}") for k in (0, 1)]
        for k in (0, 1):
            accumulates = read.valid & (read.memory == k)
            m.d.comb += addresses[k].eq(Mux(accumulates, read.address, self.drain_address))
        for col in range(self.config.array.cols):
            self._column(m, platform, col, addresses, add, write, drained_memory)
        return m

    def _column(self, m, platform, col, addresses, add, write, drained_memory):
        total = Signal(signed(PSUM_WIDTH), name=f"total{col}")
        old = []
        for k in (0, 1):
            storage = SpadMemory(self.config.psum_bank.depth, PSUM_WIDTH, style="block")
            add_shared(m, f"bank{col}_{k}", storage, platform, "psum_memory")
            m.d.comb += [
                storage.read_address.eq(addresses[k]),
                storage.write_address.eq(write.address),
                storage.write_data.eq(total),
                storage.write_enable.eq(write.valid & (write.memory == k)),
            ]
            old.append(storage.read_data.as_signed())
        m.d.comb += self.drain_data[col].eq(Mux(drained_memory, old[1], old[0]))
        base = Mux(add.clear, 0, Mux(add.memory, old[1], old[0]))
        m.d.sync += total.eq(base + self.psums[col])
