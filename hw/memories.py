"""Small on-chip memories in the style that the configuration asks for.

Every memory here has one write port and one read port with a registered output: data follows its
address by one cycle. A read of the address that is being written gives an undefined value; the
machine never does that where it matters, and saying so (`no_rw_check`) saves the bypass logic that
synthesis would otherwise build around a block RAM.
"""

from amaranth.hdl import Instance, Module, Shape
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

LUT_RAM = {"ram_style": "distributed"}
"""Without it a small memory with a registered output silently takes a whole block RAM."""
BLOCK_RAM = {"ram_style": "block", "no_rw_check": 1}


class SpadMemory(wiring.Component):
    """`depth` words of `lanes` lanes of `width` bits, written lane by lane.

    style: "lut", "block", or "macro": an instance of a module `eyas_sram_<depth>x<bits>` with ports
    clk, write_enable (one bit a lane), write_address, write_data, read_address, read_data, for the
    user to wrap an SRAM macro in.
    """

    def __init__(self, depth: int, width: int, lanes: int = 1, style: str = "lut"):
        self.depth, self.width, self.lanes, self.style = depth, width, lanes, style
        super().__init__(
            {
                "write_enable": In(lanes),
                "write_address": In(range(depth)),
                "write_data": In(width * lanes),
                "read_address": In(range(depth)),
                "read_data": Out(width * lanes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        if self.style == "macro":
            m.submodules.macro = self._macro()
            return m
        attrs = LUT_RAM if self.style == "lut" else BLOCK_RAM
        shape = Shape(self.width * self.lanes)
        m.submodules.memory = storage = memory.Memory(
            shape=shape, depth=self.depth, init=[], attrs=attrs
        )
        write = storage.write_port(granularity=self.width if self.lanes > 1 else None)
        read = storage.read_port()
        m.d.comb += [
            write.en.eq(self.write_enable),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
            read.addr.eq(self.read_address),
            read.en.eq(1),
            self.read_data.eq(read.data),
        ]
        return m

    def _macro(self):
        from amaranth.hdl import ClockSignal

        return Instance(
            f"eyas_sram_{self.depth}x{self.width * self.lanes}",
            i_clk=ClockSignal(),
            i_write_enable=self.write_enable,
            i_write_address=self.write_address,
            i_write_data=self.write_data,
            i_read_address=self.read_address,
            o_read_data=self.read_data,
        )
