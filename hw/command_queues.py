"""The command queues: one block RAM for what is fetched and what waits for each engine.

    i: beats ─► fetched ─► mover ─┬─► LOAD queue    ─┐           ┌─► heads[LOAD]
                                  ├─► COMPUTE queue ─┼─► mover ──┼─► heads[COMPUTE]
                                  └─► STORE queue   ─┘           └─► heads[STORE]

Four regions of `control.queue_depth` slots, a slot holds a command, a word of the memory is a bus
beat. The mover does one job at a time: it brings the oldest command of a queue whose head is free
into the head (a shift register, LOAD first), or else the oldest fetched command into the queue of
its engine. A fetched beat waits while the mover writes, for B cycles at most, and for nothing else.

A fetched END raises `end`, a header that means nothing `invalid`: the command stays where it is and
nothing more is moved into the queues, until `clear`. A full queue holds up the fetched commands
behind it, whatever engine they are for.

Latency: B + 2 cycles a job, where B are the beats of a command (8 or 4). So where the mover is not
busy, a command is at its engine's head 2 B + 5 cycles after its last beat came in, and the next one
B + 3 cycles after a head was taken. Throughput: a command each 2 B + 4 cycles.
"""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from eyas.command import BLOCKS, COMMAND_BYTES, PAYLOAD_WORDS, RUNS, Engine, Opcode, header_layout
from eyas.config import Config
from eyas.hw.command_fetch import command_beats
from eyas.hw.memories import BLOCK_RAM

ENGINES = (Engine.LOAD, Engine.COMPUTE, Engine.STORE)
FETCHED = Engine.NONE
"""Region of the fetched commands."""

QueuedCommand = data.StructLayout({"header": header_layout(), "payload": PAYLOAD_WORDS * 32})


def is_valid(header):
    """Whether the header (END apart) has an engine that knows its opcode and block."""
    runs = [
        (header.opcode == opcode) & (header.engine == engine)
        for opcode, (engine, _) in RUNS.items()
    ]
    sets = [(header.engine == engine) & (header.block < len(BLOCKS[engine])) for engine in ENGINES]
    return Cat(runs).any() | ((header.opcode == Opcode.SET) & Cat(sets).any())


class CommandQueues(wiring.Component):
    """See the module's text. `empty`: nothing waits for an engine, `drained`: nothing is fetched,
    `freed` pulses when a fetched command has left its slot."""

    def __init__(self, config: Config):
        self.depth = config.control.queue_depth
        self.beats = command_beats(config)
        self.beat_bits = config.memory.bus_bytes * 8
        super().__init__(
            {
                "clear": In(1),
                "i": In(stream.Signature(self.beat_bits)),
                "freed": Out(1),
                "heads": Out(stream.Signature(QueuedCommand)).array(len(ENGINES)),
                "end": Out(1),
                "invalid": Out(1),
                "empty": Out(1),
                "drained": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        regions = len(ENGINES) + 1
        self.level = Array(Signal(range(self.depth + 1), name=f"level{r}") for r in range(regions))
        self.oldest = Array(Signal(range(self.depth), name=f"oldest{r}") for r in range(regions))
        self.free = Array(Signal(range(self.depth), name=f"free{r}") for r in range(regions))
        self.loaded = Signal(len(ENGINES))
        memory = Memory(
            shape=self.beat_bits, depth=regions * self.depth * self.beats, init=[], attrs=BLOCK_RAM
        )
        m.submodules.memory = memory
        self.write, self.read = memory.write_port(), memory.read_port()
        self._arrivals(m)
        self._mover(m)
        self._heads(m)
        waiting = [self.level[engine] != 0 for engine in ENGINES]
        m.d.comb += [
            self.empty.eq(~Cat(waiting, self.loaded).any()),
            self.drained.eq(self.level[FETCHED] == 0),
        ]
        with m.If(self.clear):
            for counter in (*self.level, *self.oldest, *self.free):
                m.d.sync += counter.eq(0)
            m.d.sync += [self.loaded.eq(0), self.end.eq(0), self.invalid.eq(0)]
        return m

    def _arrivals(self, m):
        """Fetched beats fill slots; they come in order, and only where a slot is free."""
        self.arrival_beat = beat = Signal(range(self.beats))
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += beat.eq(beat + 1)
            with m.If(beat == self.beats - 1):
                m.d.sync += self.level[FETCHED].eq(self.level[FETCHED] + 1)
                m.d.sync += self.free[FETCHED].eq(self.free[FETCHED] + 1)
        with m.If(self.clear):
            m.d.sync += beat.eq(0)

    def _mover(self, m):
        """Reads the beats of the oldest command of `source`; a beat is `got` a cycle later."""
        source = self.source = Signal(range(len(self.level)))
        reading, beat = Signal(), Signal(range(self.beats))
        got, got_beat = self.got, self.got_beat = Signal(), Signal(range(self.beats))
        refused = Signal()
        self.done = got & (got_beat == self.beats - 1)
        m.d.comb += self.read.addr.eq(Cat(beat, self.oldest[source], source))
        with m.If(self.clear | refused):
            m.d.sync += [reading.eq(0), got.eq(0)]
        with m.Elif(~reading & ~got):
            self._choose(m, source, reading)
            m.d.sync += beat.eq(0)
        with m.Else():
            m.d.sync += [got.eq(reading), got_beat.eq(beat), beat.eq(beat + 1)]
            with m.If(beat == self.beats - 1):
                m.d.sync += reading.eq(0)
        with m.If(self.done):
            m.d.sync += self.level[source].eq(self.level[source] - 1)
            m.d.sync += self.oldest[source].eq(self.oldest[source] + 1)
        self._dispatch(m, refused)

    def _choose(self, m, source, reading):
        """The next job: an empty head that can be filled, or else a fetched command."""
        refill = [~self.loaded[engine] & (self.level[engine] != 0) for engine in ENGINES]
        with m.If(refill[Engine.LOAD]):
            m.d.sync += source.eq(Engine.LOAD)
        with m.Elif(refill[Engine.COMPUTE]):
            m.d.sync += source.eq(Engine.COMPUTE)
        with m.Elif(refill[Engine.STORE]):
            m.d.sync += source.eq(Engine.STORE)
        with m.Else():
            m.d.sync += source.eq(FETCHED)
        dispatch = ~self.drained & ~self.end & ~self.invalid
        m.d.sync += reading.eq(Cat(refill).any() | dispatch)

    def _dispatch(self, m, refused):
        """Writes the beats of a fetched command into its engine's queue, if its header lets it."""
        header = data.View(header_layout(), self.read.data[:32])
        kept, first = Signal(range(len(ENGINES))), self.got_beat == 0
        target = Signal.like(kept)
        writing = self.got & (self.source == FETCHED)
        m.d.comb += [target.eq(Mux(first, header.engine, kept)), self.i.ready.eq(~writing)]
        with m.If(writing & first):
            m.d.sync += kept.eq(target)
            with m.If(header.opcode == Opcode.END):
                m.d.comb += refused.eq(1)
                m.d.sync += self.end.eq(1)
            with m.Elif(~is_valid(header)):
                m.d.comb += refused.eq(1)
                m.d.sync += self.invalid.eq(1)
            with m.Elif(self.level[target] == self.depth):
                m.d.comb += refused.eq(1)
        arrival = Cat(self.arrival_beat, self.free[FETCHED], Const(FETCHED, 2))
        m.d.comb += [
            self.write.en.eq(Mux(writing, ~refused, self.i.valid)),
            self.write.addr.eq(
                Mux(writing, Cat(self.got_beat, self.free[target], target), arrival)
            ),
            self.write.data.eq(Mux(writing, self.read.data, self.i.payload)),
        ]
        m.d.comb += self.freed.eq(self.done & writing)
        with m.If(self.freed):
            m.d.sync += self.level[target].eq(self.level[target] + 1)
            m.d.sync += self.free[target].eq(self.free[target] + 1)

    def _heads(self, m):
        """A shift register for each engine: no multiplexer, and its payload holds still."""
        for engine, head in zip(ENGINES, self.heads, strict=True):
            bits = Signal(COMMAND_BYTES * 8, name=f"head_{engine.name.lower()}")
            mine = self.source == engine
            with m.If(self.got & mine):
                m.d.sync += bits.eq(Cat(bits[self.beat_bits :], self.read.data))
            with m.If(self.done & mine):
                m.d.sync += self.loaded[engine].eq(1)
            with m.If(head.valid & head.ready):
                m.d.sync += self.loaded[engine].eq(0)
            m.d.comb += [head.valid.eq(self.loaded[engine]), head.payload.eq(bits)]
