"""The processing element: ifmap ring, psum spad, one multiplier, one adder.

All PEs execute the same micro-cycle with the same spad addresses, so there is no control in here.
What a micro-cycle does, and when, counted from A0, in which its addresses are issued:

    A0  filter address, ifmap lane address
    A1  filter value and ifmap beat arrive; lane select
    A2  operands registered; psum read address
    A3  product registered; old psum arrives; base = first ? chain_in : old psum; sum registered
    A4  psum written

`chain_out` is the old psum at A3: in the micro-cycles with `first` it is the finished psum of the
previous step, and the row below takes it as its starting value in that same cycle. An inactive PE
multiplies by zero, so that it passes on what it is given.

The next micro-cycle that reads the same psum must come at least three later: a step has at least
`MIN_PSUMS` psums.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from eyas.config import BEAT_LANES, Spad
from eyas.hw.memories import SpadMemory

PSUM_READ_STAGE = 2
SUM_STAGE = 3
PSUM_WRITE_STAGE = 4


class PE(wiring.Component):
    """One PE. The comment behind each port says at which stage it is sampled or valid."""

    def __init__(self, spad: Spad):
        self.spad = spad
        super().__init__(
            {
                "ifmap_write_enable": In(1),
                "ifmap_write_address": In(range(spad.ifmap_beats)),  # beats
                "ifmap_write_data": In(8 * BEAT_LANES),
                "ifmap_address": In(range(spad.ifmap_beats)),  # A0, beats
                "lane": In(range(BEAT_LANES)),  # A1
                "filter": In(signed(8)),  # A1
                "active": In(1),  # A1
                "psum_read_address": In(range(spad.psums)),  # A2
                "first": In(1),  # A3
                "psum_write_address": In(range(spad.psums)),  # A4
                "psum_write_enable": In(1),  # A4
                "chain_in": In(signed(spad.psum_width)),  # A3
                "chain_out": Out(signed(spad.psum_width)),  # A3
            }
        )

    def elaborate(self, platform):
        m = Module()
        ifmap, weight = self._operands(m)
        product = Signal(signed(16))
        m.d.sync += product.eq(ifmap * weight)
        self._accumulate(m, product)
        return m

    def _operands(self, m):
        m.submodules.ifmaps = ring = SpadMemory(self.spad.ifmap_beats, 8 * BEAT_LANES)
        m.d.comb += [
            ring.write_enable.eq(self.ifmap_write_enable),
            ring.write_address.eq(self.ifmap_write_address),
            ring.write_data.eq(self.ifmap_write_data),
            ring.read_address.eq(self.ifmap_address),
        ]
        ifmap = Signal(signed(8))
        weight = Signal(signed(8))
        m.d.sync += [
            ifmap.eq(ring.read_data.word_select(self.lane, 8)),
            weight.eq(self.filter),
        ]
        with m.If(~self.active):  # a register's synchronous reset: costs no logic
            m.d.sync += weight.eq(0)
        return ifmap, weight

    def _accumulate(self, m, product):
        m.submodules.psums = psums = SpadMemory(self.spad.psums, self.spad.psum_width)
        total = Signal(signed(self.spad.psum_width))
        base = Mux(self.first, self.chain_in, self.chain_out)
        m.d.sync += total.eq(base + product)
        m.d.comb += [
            psums.read_address.eq(self.psum_read_address),
            self.chain_out.eq(Cat(psums.read_data).as_signed()),
            psums.write_enable.eq(self.psum_write_enable),
            psums.write_address.eq(self.psum_write_address),
            psums.write_data.eq(total),
        ]
