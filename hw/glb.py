"""The global buffer (GLB): fmaps in one, two or four banks, filters in as many of their own.

    fmap_read[n]  ──►┌─────────┐   word-interleaved: with two banks the lowest
    fmap_write[n] ──►│  fmap0  │   address bit picks the bank, with four the
                  └─►│  fmap1  │   two lowest
                     └─────────┘
    filter_read[n]──►┌─────────┐
    filter_write ───►│ filters │   likewise filters0, filters1, … where there are several
                     └─────────┘

Each bank (hw/glb_bank.py) does one read and one write a cycle. So each cycle moves
`glb.ifmap_ports` words of fmaps each way, reads `glb.filter_ports` words of filters and writes one.

Latency: a read's word arrives exactly GLB_READ_LATENCY cycles after its request transferred. A
write lands a cycle after its transfer; a read that transfers in any later cycle sees it. A read and
a write of one word that transfer in the same cycle give an undefined read: tokens keep engines
apart, and block RAM without the bypass saves some 60 LUTs a block.

Back-pressure: each bank grants for itself, one read and one write a cycle, and index 0 has the
highest priority. A client is `ready` when no client of higher priority asks for the same bank: it
depends on the others' `valid` and on its own address, never on its own `valid`. A client that is
not granted keeps its request up. Responses cannot be held.

Address bits that a bank does not need are ignored; what lies beyond a depth that is no power of
two is undefined.

For tools that look inside: in generated Verilog (hw/verilog.py) the words of a bank (names:
`Glb.fmap_banks` and `Glb.filter_banks` in eyas/config.py) lie in the array `words` of the module
`<glb>__<bank>`, where `<glb>` is the module of the Glb (`eyas__glb` if the top calls it `glb`).
With n banks, word a is entry a div n of bank a mod n. Lane l of a word is bits 8 l … 8 l + 7.
"""

from amaranth.hdl import Cat, Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, connect, flipped

from eyas.config import Config, bits_for
from eyas.hw.glb_bank import GlbBank, choose
from eyas.hw.interfaces import GlbRead, GlbWrite


class Glb(wiring.Component):
    """The whole buffer; sizes and the number of banks come from `config.glb`.

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
        reads, writes = self.filter_read, [self.filter_write]
        self._space(m, glb.filter_banks, glb.filter_words, reads=reads, writes=writes)
        reads, writes = self.fmap_read, self.fmap_write
        self._space(m, glb.fmap_banks, glb.fmap_words, reads=reads, writes=writes)
        return m

    @staticmethod
    def _space(m: Module, names: tuple[str, ...], words: int, *, reads, writes):
        """Makes the banks that hold `words` words together, and connects their clients."""
        depth = words // len(names)
        banks = [GlbBank(depth, readers=len(reads), writers=len(writes)) for _ in names]
        for name, bank in zip(names, banks, strict=True):
            m.submodules[name] = bank
        for index, client in enumerate(reads):
            _connect_read(m, [bank.read[index] for bank in banks], client)
        for index, client in enumerate(writes):
            _connect_write(m, [bank.write[index] for bank in banks], client)


def _connect_read(m: Module, ports: list, client):
    """Connects a client to its port at each bank."""
    if len(ports) == 1:
        connect(m, flipped(client), ports[0])
        return
    request = client.request
    chosen = _interleave(m, ports, request, request.payload)
    for port in ports:
        m.d.comb += port.request.payload.eq(request.payload >> len(chosen))
    answering = Cat(  # number of the bank that answers: at most one does, as one was asked
        Cat(port.valid for number, port in enumerate(ports) if number >> bit & 1).any()
        for bit in range(len(chosen))
    )
    m.d.comb += [
        client.valid.eq(Cat(port.valid for port in ports).any()),
        client.data.eq(choose(answering, [port.data for port in ports])),
    ]


def _connect_write(m: Module, ports: list, client):
    """Connects a client to its port at each bank."""
    if len(ports) == 1:
        connect(m, flipped(client), ports[0])
        return
    payload = client.request.payload
    chosen = _interleave(m, ports, client.request, payload.address)
    for port in ports:
        m.d.comb += [
            port.request.payload.address.eq(payload.address >> len(chosen)),
            port.request.payload.data.eq(payload.data),
            port.request.payload.mask.eq(payload.mask),
        ]


def _interleave(m: Module, ports: list, request, address: Value) -> Value:
    """Offers a request to the bank that its address picks, and returns that bank's number."""
    chosen = address[: bits_for(len(ports))]
    for number, port in enumerate(ports):
        m.d.comb += port.request.valid.eq(request.valid & (chosen == number))
    m.d.comb += request.ready.eq(choose(chosen, [port.request.ready for port in ports]))
    return chosen
