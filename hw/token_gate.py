"""Holds each engine's next command until it has its tokens, and gives tokens when commands end.

    heads[e] ─► tokens there? ─► ports[e].command ─► engine e ─► ports[e].ended
                   ▲                  └─► gives of commands that run ─┘
                   └──── a counter for each ordered pair ◄────┘

A command is offered when every pair in `wait` has a token and there is room to remember its gives;
it takes the tokens when the engine takes it. SETs neither wait nor give. Each `ended` pulse applies
the oldest give of its pair. `halt` keeps back every command that has not been offered yet.

Combinational from head to engine; a token given by an `ended` pulse counts in the next cycle.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from eyas.command import TOKEN_WIDTH, Engine, Opcode
from eyas.config import Config
from eyas.hw.command_queues import ENGINES, QueuedCommand
from eyas.hw.interfaces import EnginePort


class GiveQueue(wiring.Component):
    """First in, first out, one bit wide: whether each command that runs gives a token."""

    def __init__(self, depth: int):
        self.depth = depth
        super().__init__(
            {
                "push": In(1),
                "give": In(1),
                "pop": In(1),
                "oldest": Out(1),
                "room": Out(1),
                "empty": Out(1),
                "clear": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        gives = Signal(self.depth)  # the youngest in bit 0
        level = Signal(range(self.depth + 1))
        with m.If(self.push):
            m.d.sync += gives.eq(Cat(self.give, gives[:-1]))
        with m.If(self.clear):
            m.d.sync += level.eq(0)
        with m.Elif(self.push != self.pop):
            m.d.sync += level.eq(level + Mux(self.push, 1, -1))
        m.d.comb += [
            self.oldest.eq(gives.bit_select((level - 1)[: (self.depth - 1).bit_length()], 1)),
            self.room.eq(level != self.depth),
            self.empty.eq(level == 0),
        ]
        return m


def others(engine: Engine) -> list[Engine]:
    """The other engines, ascending: bit k of EnginePort.ended is for the k-th."""
    return [other for other in ENGINES if other != engine]


class TokenGate(wiring.Component):
    """See the module's text. `idle`: nothing is on offer and every command taken has ended.
    `missing[e]`, bit s: the command at engine e's head lacks a token from engine s."""

    def __init__(self, config: Config):
        self.in_flight = max(8, config.memory.outstanding)
        super().__init__(
            {
                "heads": In(stream.Signature(QueuedCommand)).array(len(ENGINES)),
                "ports": In(EnginePort).array(len(ENGINES)),
                "missing": Out(len(ENGINES)).array(len(ENGINES)),
                "halt": In(1),
                "clear": In(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        self.tokens = {
            (source, target): Signal(TOKEN_WIDTH, name=f"{source.name}_{target.name}".lower())
            for target in ENGINES
            for source in others(target)
        }
        self.takes = {pair: Signal(name=f"take{n}") for n, pair in enumerate(self.tokens)}
        self.gives = {pair: Signal(name=f"give{n}") for n, pair in enumerate(self.tokens)}
        self.queues = {}
        busy = []
        for engine in ENGINES:
            self._remember(m, engine)
            busy.append(self._gate(m, engine))
        m.d.comb += self.idle.eq(~Cat(busy).any())
        for pair, count in self.tokens.items():
            take, give = self.takes[pair], self.gives[pair]
            with m.If(self.clear):
                m.d.sync += count.eq(0)
            with m.Elif(take != give):
                m.d.sync += count.eq(count + Mux(give, 1, -1))
        return m

    def _remember(self, m, engine):
        """The gives of the engine's commands that run, for each of the other engines."""
        for k, target in enumerate(others(engine)):
            queue = GiveQueue(self.in_flight)
            m.submodules[f"gives_{engine.name}_{target.name}".lower()] = queue
            self.queues[engine, target] = queue
            ended = self.ports[engine].ended[k]
            m.d.comb += [
                queue.clear.eq(self.clear),
                queue.give.eq(self.heads[engine].p.header.give[target]),
                queue.pop.eq(ended),
                self.gives[engine, target].eq(ended & queue.oldest),
            ]

    def _gate(self, m, engine):
        """Offers the engine its next command. Returns whether the engine is not idle."""
        head, command = self.heads[engine], self.ports[engine].command
        header = head.p.header
        queues = [self.queues[engine, target] for target in others(engine)]
        is_set = header.opcode == Opcode.SET
        offered = Signal(name=f"offered_{engine.name}".lower())
        taken = Signal(name=f"taken_{engine.name}".lower())
        for source in others(engine):
            lacks = header.wait[source] & ~is_set & (self.tokens[source, engine] == 0)
            m.d.comb += self.missing[engine][source].eq(lacks & head.valid)
            m.d.comb += self.takes[source, engine].eq(taken & header.wait[source])
        room = Cat(queue.room for queue in queues).all()
        open_ = is_set | (~self.missing[engine].any() & room)
        m.d.comb += [
            command.valid.eq(head.valid & open_ & (~self.halt | offered)),
            command.p.opcode.eq(header.opcode),
            command.p.block.eq(header.block),
            command.p.payload.eq(head.p.payload),
            head.ready.eq(command.valid & command.ready),
            taken.eq(command.valid & command.ready & ~is_set),
            *(queue.push.eq(taken) for queue in queues),
        ]
        m.d.sync += offered.eq(command.valid & ~command.ready)
        running = ~Cat(queue.empty for queue in queues).all()
        return command.valid | running | self.ports[engine].busy
