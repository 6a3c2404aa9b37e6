"""The AXI4-Lite registers: starts programs, tells how they ended, and shows the counters.

    axi ─► write ─► CONTROL ─► start, clear        busy, done, fault ─► STATUS ─► read ─► axi
                 └► PROGRAM_ADDRESS, _LENGTH       Counters ─► COUNTERS ───────┘

`eyas/registers.py` has the map. A write takes its address and data together and ignores the
strobes: registers are written whole. What is no register reads as zero, and writes to it do
nothing. A start while a program runs is ignored. `interrupt` is STATUS.done: high from the end of a
program to the next start.

A register answers in the cycle after its address, a counter within eight. The two halves of a
counter are read one after the other: exact when no program runs.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from eyas.config import Config
from eyas.hw.axi import ADDRESS_WIDTH, LITE_DATA_WIDTH, OKAY, AxiLite
from eyas.hw.command_fetch import LENGTH_WIDTH
from eyas.hw.counters import Counters, counter_events
from eyas.hw.interfaces import GlbRead
from eyas.registers import MAGIC, VERSION, Fault, Register

_NUMBER_BITS = 5
"""A counter's number in its address: two words each."""
_COUNTER_PAGE = Register.COUNTERS >> (_NUMBER_BITS + 3)


class Control(wiring.Component):
    """See the module's text.

    Members
    -------
    axi : In(AxiLite)
    start : Out(1), pulses; `address` and `length` of the program are there and stay
    busy, done, fault : In, from the sequencer; `done` is a pulse
    interrupt : Out(1)
    events : In(counter_events(config))
    counter_read : In(GlbRead), for STORE; the request is a Counter's number
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "axi": In(AxiLite),
                "start": Out(1),
                "address": Out(ADDRESS_WIDTH),
                "length": Out(LENGTH_WIDTH),
                "busy": In(1),
                "done": In(1),
                "fault": In(Fault),
                "interrupt": Out(1),
                "events": In(counter_events(config)),
                "counter_read": In(GlbRead),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.counters = counters = Counters(self.config)
        connect(m, flipped(self.counter_read), counters.read[1])
        m.d.comb += [counters.events.eq(self.events), counters.running.eq(self.busy)]
        self._write(m, counters)
        self._read(m, counters.read[0])
        with m.If(self.start):
            m.d.sync += self.interrupt.eq(0)
        with m.Elif(self.done):
            m.d.sync += self.interrupt.eq(1)
        return m

    def _write(self, m, counters):
        aw, w, b = self.axi.aw, self.axi.w, self.axi.b
        transfer = Signal()
        m.d.comb += [
            transfer.eq(aw.valid & w.valid & ~b.valid),
            aw.ready.eq(transfer),
            w.ready.eq(transfer),
            b.payload.eq(OKAY),
        ]
        m.d.sync += [self.start.eq(0), counters.clear.eq(0)]
        with m.If(b.ready):
            m.d.sync += b.valid.eq(0)
        with m.If(transfer):
            m.d.sync += b.valid.eq(1)
            with m.Switch(aw.payload[2:]):
                with m.Case(Register.CONTROL >> 2):
                    m.d.sync += self.start.eq(w.p.data[0] & ~self.busy & ~self.start)
                    m.d.sync += counters.clear.eq(w.p.data[1])
                with m.Case(Register.PROGRAM_ADDRESS >> 2):
                    m.d.sync += self.address.eq(w.p.data)
                with m.Case(Register.PROGRAM_LENGTH >> 2):
                    m.d.sync += self.length.eq(w.p.data)

    def _read(self, m, counter):
        ar, r = self.axi.ar, self.axi.r
        number, half = Signal(_NUMBER_BITS), Signal()
        m.d.comb += [counter.request.payload.eq(number), r.p.resp.eq(OKAY)]
        with m.FSM():
            with m.State("ADDRESS"):
                m.d.comb += ar.ready.eq(1)
                m.d.sync += [Cat(half, number).eq(ar.payload[2:]), r.p.data.eq(self._value(ar))]
                with m.If(ar.valid):
                    m.next = "ANSWER"
                    with m.If(ar.payload[_NUMBER_BITS + 3 :] == _COUNTER_PAGE):
                        m.next = "REQUEST"
            with m.State("REQUEST"):
                m.d.comb += counter.request.valid.eq(1)
                with m.If(counter.request.ready):
                    m.next = "COUNTER"
            with m.State("COUNTER"):
                m.d.sync += r.p.data.eq(counter.data.word_select(half, LITE_DATA_WIDTH))
                with m.If(counter.valid):
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += r.valid.eq(1)
                with m.If(r.ready):
                    m.next = "ADDRESS"

    def _value(self, ar):
        """The register at an address."""
        status = Cat(self.busy | self.start, self.interrupt, Const(0, 6), self.fault)
        values = {
            Register.MAGIC: MAGIC,
            Register.VERSION: VERSION,
            Register.CONFIG_HASH: self.config.hash,
            Register.STATUS: status,
            Register.PROGRAM_ADDRESS: self.address,
            Register.PROGRAM_LENGTH: self.length,
        }
        value = Const(0, LITE_DATA_WIDTH)
        for register, content in values.items():
            value = Mux(ar.payload[2:] == register >> 2, content, value)
        return value
