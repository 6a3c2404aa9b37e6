"""Runs a program: fetches its commands, queues them for their engines, minds the tokens.

    start ─► CommandFetch ─► CommandQueues ─► TokenGate ─┬─► load
                 │                                       ├─► compute
               axi (AR, R)                               └─► store (STORE and VECTOR)

A run ends, with a `done` pulse, when END has been met, every queue is empty and every engine idle.
It also ends at a fault: no further command is offered, the engines finish what they have been
offered, and `fault` says what came first. `start` begins with clean queues and no tokens; it is
ignored while `busy`.

Latency: a first command that waits for nothing is offered 3 B + 6 cycles and the memory's latency
after `start`, where B are the bus beats of a command. See CommandQueues for the rest.
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from eyas.command import Engine
from eyas.config import Config
from eyas.hw.axi import ADDRESS_WIDTH, axi_read
from eyas.hw.command_fetch import LENGTH_WIDTH, CommandFetch
from eyas.hw.command_queues import CommandQueues
from eyas.hw.interfaces import EnginePort
from eyas.hw.token_gate import TokenGate
from eyas.registers import Fault


class Sequencer(wiring.Component):
    """See the module's text. `read_fault`, `write_fault`: pulses of LOAD and STORE. The three
    compute outputs, for the counters: why COMPUTE has no command (at most one of them is set)."""

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "address": In(ADDRESS_WIDTH),
                "length": In(LENGTH_WIDTH),
                "busy": Out(1),
                "done": Out(1),
                "fault": Out(Fault),
                "axi": Out(axi_read(config.memory.bus_bytes * 8)),
                "load": In(EnginePort),
                "compute": In(EnginePort),
                "store": In(EnginePort),
                "read_fault": In(1),
                "write_fault": In(1),
                "compute_waits_load": Out(1),
                "compute_waits_store": Out(1),
                "compute_empty": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.fetch = fetch = CommandFetch(self.config)
        m.submodules.queues = queues = CommandQueues(self.config)
        m.submodules.gate = gate = TokenGate(self.config)
        connect(m, flipped(self.axi), fetch.axi)
        connect(m, fetch.o, queues.i)
        for engine, port in enumerate((self.load, self.compute, self.store)):
            connect(m, queues.heads[engine], gate.heads[engine])
            connect(m, gate.ports[engine], flipped(port))
        begin = Signal()
        m.d.comb += [
            fetch.start.eq(begin),
            fetch.address.eq(self.address),
            fetch.length.eq(self.length),
            fetch.freed.eq(queues.freed),
            queues.clear.eq(begin),
            gate.clear.eq(begin),
        ]
        self._run(m, begin, fetch, queues, gate)
        self._watch_compute(m, queues, gate)
        return m

    def _run(self, m, begin, fetch, queues, gate):
        failed = self.fault != Fault.NONE
        m.d.comb += [
            begin.eq(self.start & ~self.busy),
            fetch.run.eq(self.busy & ~queues.end & ~failed),
            gate.halt.eq(failed),
            self.done.eq(
                self.busy & ((queues.end & queues.empty) | failed) & gate.idle & ~fetch.busy
            ),
        ]
        with m.If(begin):
            m.d.sync += [self.busy.eq(1), self.fault.eq(Fault.NONE)]
        with m.Elif(self.done):
            m.d.sync += self.busy.eq(0)
        with m.Elif(self.busy & ~failed):
            no_end = fetch.exhausted & queues.drained & ~queues.end
            with m.If(queues.invalid | no_end):
                m.d.sync += self.fault.eq(Fault.COMMAND)
            with m.If(fetch.fault | self.read_fault):
                m.d.sync += self.fault.eq(Fault.MEMORY_READ)
            with m.If(self.write_fault):
                m.d.sync += self.fault.eq(Fault.MEMORY_WRITE)

    def _watch_compute(self, m, queues, gate):
        missing = gate.missing[Engine.COMPUTE]
        m.d.comb += [
            self.compute_waits_load.eq(missing[Engine.LOAD]),
            self.compute_waits_store.eq(missing[Engine.STORE] & ~missing[Engine.LOAD]),
            self.compute_empty.eq(~queues.heads[Engine.COMPUTE].valid),
        ]
