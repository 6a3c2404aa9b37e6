"""The filter spads of one row of PEs: two banks, all PEs reading the same address.

Because the address is common, the PEs of four neighbouring columns share one 32-bit block RAM with
byte enables. An X-bus value is written into the spads of all columns that its mask names.

    address = bank * filters + value;  data one cycle after the address
"""

from amaranth.hdl import Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from eyas.config import Spad
from eyas.hw.memories import SpadMemory

SHARING = 4
"""PEs that share a block RAM."""


class FilterSpads(wiring.Component):
    def __init__(self, spad: Spad, cols: int):
        self.spad, self.cols = spad, cols
        depth = 2 * spad.filters
        super().__init__(
            {
                "write_mask": In(cols),
                "write_address": In(range(depth)),
                "write_data": In(8),
                "read_address": In(range(depth)),
                "read_data": Out(signed(8)).array(cols),
            }
        )

    def elaborate(self, platform):
        m = Module()
        sharing = 1 if self.spad.memory == "lut" else SHARING
        for start in range(0, self.cols, sharing):
            lanes = min(sharing, self.cols - start)
            spad = SpadMemory(2 * self.spad.filters, 8, lanes, self.spad.memory)
            m.submodules[f"filters{start}"] = spad
            m.d.comb += [
                spad.write_enable.eq(self.write_mask[start : start + lanes]),
                spad.write_address.eq(self.write_address),
                spad.write_data.eq(self.write_data.replicate(lanes)),
                spad.read_address.eq(self.read_address),
            ]
            for lane in range(lanes):
                m.d.comb += self.read_data[start + lane].eq(spad.read_data.word_select(lane, 8))
        return m
