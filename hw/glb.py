"""The global buffer (GLB): fmaps in one or two banks, filters in a bank of their own.

    fmap_read[n]  ──►┌─────────┐   word-interleaved: with two banks the lowest
    fmap_write[n] ──►│  fmap0  │   address bit picks the bank
                  └─►│  fmap1  │
                     └─────────┘
    filter_read[n]──►┌─────────┐
    filter_write ───►│ filters │
                     └─────────┘

    a bank:  requests ─► fixed priority ─► register ─► memory (registered output) ─► data
    cycle    0, transfer                   1           2, `valid`

Each bank is a simple dual-port memory with byte write enables: one read and one write a cycle. So
each cycle moves `glb.ifmap_ports` words of fmaps each way, and one filter word each way.

Latency: a read's word arrives exactly GLB_READ_LATENCY cycles after its request transferred. A
write lands a cycle after its transfer; a read that transfers in any later cycle sees it. A read and
a write of one word that transfer in the same cycle give an undefined read: tokens keep engines
apart, and block RAM without the bypass saves some 60 LUTs a block.

Back-pressure: index 0 has the highest priority. A client is `ready` when no client of higher
priority asks for the same bank: it depends on the others' `valid` and on its own address, never on
its own `valid`. A client that is not granted keeps its request up. Responses cannot be held.

Address bits that a bank does not need are ignored; what lies beyond a depth that is no power of
two is undefined.

For tools that look inside: in generated Verilog (hw/verilog.py) the words lie in the array `words`
of the modules `<glb>__fmap0`, `<glb>__fmap1` and `<glb>__filters`, where `<glb>` is the module of
the Glb (`eyas__glb` if the top calls it `glb`). With two banks, word a is entry a div 2 of fmap
(a mod 2). Lane l of a word is bits 8 l … 8 l + 7.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, connect, flipped

from eyas.config import Config, bits_for
from eyas.hw.interfaces import (
    GLB_READ_LATENCY,
    WORD_WIDTH,
    GlbRead,
    GlbWrite,
)
from eyas.hw.memories import BLOCK_RAM


def arbitrate(m: Module, requests: list) -> tuple[list[Value], Value, Value]:
    """Fixed priority among streams: drives their `ready`, the first one wins.

    Returns each stream's transfer, whether any transfers, and the number of the one that does.
    """
    transfers, number, taken = [], Const(0), Const(0)
    for request in requests:
        m.d.comb += request.ready.eq(~taken)
        transfers.append(request.valid & ~taken)
        taken = taken | request.valid
    for index, transfer in enumerate(transfers):
        number = number | Mux(transfer, index, 0)
    return transfers, taken, number


def choose(number: Value, values: list[Value]) -> Value:
    """values[number] as a tree of multiplexers: 40 % fewer LUTs than gating each value and OR."""
    if len(values) == 1:
        return values[0]
    bit = bits_for(len(values)) - 1
    half = 1 << bit
    return Mux(number[bit], choose(number, values[half:]), choose(number, values[:half]))


class GlbBank(wiring.Component):
    """One memory of `depth` words behind two fixed-priority arbiters; see the module's text."""

    def __init__(self, depth: int, *, readers: int, writers: int):
        self.depth = depth
        super().__init__({"read": In(GlbRead).array(readers), "write": In(GlbWrite).array(writers)})

    def elaborate(self, platform):
        m = Module()
        memory = Memory(shape=WORD_WIDTH, depth=self.depth, init=[], attrs=BLOCK_RAM)
        m.submodules.words = memory
        self._reads(m, memory.read_port())
        self._writes(m, memory.write_port(granularity=8))
        return m

    def _reads(self, m: Module, port):
        requests = [read.request for read in self.read]
        transfers, any_transfer, number = arbitrate(m, requests)
        address = Signal.like(port.addr, reset_less=True)
        enable = Signal()
        m.d.sync += [
            enable.eq(any_transfer),
            address.eq(choose(number, [request.payload for request in requests])),
        ]
        m.d.comb += [port.en.eq(enable), port.addr.eq(address)]
        for read, transfer in zip(self.read, transfers, strict=True):
            arrival = Signal(GLB_READ_LATENCY)  # a shift register in step with the memory
            m.d.sync += arrival.eq(Cat(transfer, arrival))
            m.d.comb += [read.valid.eq(arrival[-1]), read.data.eq(port.data)]

    def _writes(self, m: Module, port):
        requests = [write.request for write in self.write]
        _, any_transfer, number = arbitrate(m, requests)
        payloads = [request.payload for request in requests]
        mask = Signal.like(port.en)
        address = Signal.like(port.addr, reset_less=True)
        data = Signal.like(port.data, reset_less=True)
        m.d.sync += [
            mask.eq(Mux(any_transfer, choose(number, [p.mask for p in payloads]), 0)),
            address.eq(choose(number, [p.address for p in payloads])),
            data.eq(choose(number, [p.data for p in payloads])),
        ]
        m.d.comb += [port.en.eq(mask), port.addr.eq(address), port.data.eq(data)]


class Glb(wiring.Component):
    """The whole buffer; sizes and the number of fmap banks come from `config.glb`.

    Members
    -------
    fmap_read : array of In(GlbRead), `fmap_readers` of them
    fmap_write : array of In(GlbWrite), `fmap_writers` of them
    filter_read : array of In(GlbRead), `filter_readers` of them
    filter_write : In(GlbWrite)
    """

    def __init__(
        self, config: Config, *, fmap_readers: int, fmap_writers: int, filter_readers: int
    ):
        self.config = config
        super().__init__(
            {
                "fmap_read": In(GlbRead).array(fmap_readers),
                "fmap_write": In(GlbWrite).array(fmap_writers),
                "filter_read": In(GlbRead).array(filter_readers),
                "filter_write": In(GlbWrite),
            }
        )

    def elaborate(self, platform):
        m = Module()
        glb = self.config.glb
        filters = GlbBank(glb.filter_words, readers=len(self.filter_read), writers=1)
        m.submodules.filters = filters
        self._connect(m, filters, self.filter_read, [self.filter_write])

        readers, writers = len(self.fmap_read), len(self.fmap_write)
        fmaps = [
            GlbBank(glb.fmap_words // glb.ifmap_ports, readers=readers, writers=writers)
            for _ in range(glb.ifmap_ports)
        ]
        for index, bank in enumerate(fmaps):
            m.submodules[f"fmap{index}"] = bank
        if glb.ifmap_ports == 1:
            self._connect(m, fmaps[0], self.fmap_read, self.fmap_write)
        else:
            for index, client in enumerate(self.fmap_read):
                self._interleave_read(m, [bank.read[index] for bank in fmaps], client)
            for index, client in enumerate(self.fmap_write):
                self._interleave_write(m, [bank.write[index] for bank in fmaps], client)
        return m

    @staticmethod
    def _connect(m: Module, bank: GlbBank, reads, writes):
        for client, port in zip([*reads, *writes], [*bank.read, *bank.write], strict=True):
            connect(m, flipped(client), port)

    @staticmethod
    def _interleave_read(m: Module, ports, client):
        chosen = client.request.payload[0]
        for port, mine in zip(ports, (~chosen, chosen), strict=True):
            m.d.comb += [
                port.request.valid.eq(client.request.valid & mine),
                port.request.payload.eq(client.request.payload >> 1),
            ]
        m.d.comb += [
            client.request.ready.eq(Mux(chosen, ports[1].request.ready, ports[0].request.ready)),
            client.valid.eq(ports[0].valid | ports[1].valid),
            client.data.eq(Mux(ports[1].valid, ports[1].data, ports[0].data)),
        ]

    @staticmethod
    def _interleave_write(m: Module, ports, client):
        request = client.request
        chosen = request.payload.address[0]
        for port, mine in zip(ports, (~chosen, chosen), strict=True):
            m.d.comb += [
                port.request.valid.eq(request.valid & mine),
                port.request.payload.address.eq(request.payload.address >> 1),
                port.request.payload.data.eq(request.payload.data),
                port.request.payload.mask.eq(request.payload.mask),
            ]
        m.d.comb += request.ready.eq(Mux(chosen, ports[1].request.ready, ports[0].request.ready))
