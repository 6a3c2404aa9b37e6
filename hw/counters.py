"""The hardware counters: exact, and small because one adder serves all of them.

    events ─► register ─► low part of each counter, free-running ─┐ index
                                                                  ▼
              sweep, or a read ─► index ─► memory of totals ─► adder ─► memory, read data

Each counter has only its low bits in flip-flops, enough for what can come in between two visits. A
visit brings the counter's total in memory up to date: the low part replaces the old one, and if it
has wrapped since (its top bit fell), the rest is incremented. To read a counter is to visit it, so
a read sees every event but those of the last two cycles. `clear` zeroes the low parts and restarts
the sweep, which until its end takes the totals that it has not come by as zero.

Timing: a visit every other cycle; every second one may be a read, whose `valid` comes
GLB_READ_LATENCY cycles after its request, like that of the GLB. Counters wrap at their width.
CYCLES and the stalls count only while `running`.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from eyas.config import Config, bits_for
from eyas.hw.interfaces import GlbRead
from eyas.registers import Counter

READERS = 2
"""Registers (index 0, first) and STORE (index 1)."""
_INDEX_WIDTH = bits_for(len(Counter))
_VISIT_CYCLES = 2 * 2 * len(Counter)
"""At most between two visits of a counter: a visit takes two cycles, and half of them are reads."""
_HEADROOM = _VISIT_CYCLES.bit_length() + 1
"""Bits of a low part beyond those of its event: it advances by less than half its range."""
_GROUP_BITS = 2
_GROUP = 1 << _GROUP_BITS


def counter_events(config: Config) -> data.StructLayout:
    """Increments a cycle, a field for each Counter but CYCLES, named like it in lower case."""
    rows, cols = config.array.rows, config.array.cols
    greatest = {
        Counter.USEFUL_MACS: 2**32 - 1,
        Counter.ACTIVE_MACS: rows * cols,
        Counter.SPAD_WRITES: 2 * rows * cols,
        Counter.GLB_READS: 2 * rows + 1,
        Counter.GLB_WRITES: config.ppu.lanes,
        Counter.GLB_DMA_WORDS: 2,
        Counter.GLB_VECTOR_WORDS: 2,
        Counter.NOC_IFMAP_BEATS: rows,
        Counter.NOC_FILTER_VALUES: rows,
        Counter.NOC_PSUMS: cols,
        Counter.MEMORY_READ_BYTES: config.memory.bus_bytes,
        Counter.MEMORY_WRITE_BYTES: config.memory.bus_bytes,
    }
    counters = [counter for counter in Counter if counter != Counter.CYCLES]
    return data.StructLayout({c.name.lower(): range(greatest.get(c, 1) + 1) for c in counters})


def choose(index, values):
    """`values[index]`, zero beyond the last one, as a tree of two-way choices."""
    if not len(index):
        return values[0] if values else Const(0)
    return Mux(index[0], choose(index[1:], values[1::2]), choose(index[1:], values[0::2]))


class Counters(wiring.Component):
    """See the module's text. The request of a read is the number of a Counter."""

    def __init__(self, config: Config):
        self.width = config.control.counter_width
        self.layout = counter_events(config)
        self.low_widths = self._low_widths()
        super().__init__(
            {
                "events": In(self.layout),
                "running": In(1),
                "clear": In(1),
                "read": In(GlbRead).array(READERS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        if self.width:
            index, visit, known = Signal(_INDEX_WIDTH), Signal(), Signal()
            taken = self._visits(m, index, visit, known)
            value = self._update(m, index, visit, known)
        else:
            taken, value = self._grant(m, 1), 0
        for number, port in enumerate(self.read):
            on_its_way = Signal(name=f"on_its_way{number}")
            m.d.sync += [on_its_way.eq(taken[number]), port.valid.eq(on_its_way)]
            m.d.comb += port.data.eq(value)
        return m

    def _low_widths(self):
        """Few different ones: for events of one bit, for numbers, for what a command adds."""
        events = sorted(field.width for _, field in self.layout)
        widths = {events[0], events[-2], events[-1]}
        return sorted({min(width + _HEADROOM, self.width) for width in widths})

    def _grant(self, m, free):
        """Makes readers ready when `free`, in order of priority. Returns who transfers."""
        taken = []
        for port in self.read:
            m.d.comb += port.request.ready.eq(free)
            taken.append(port.request.valid & free)
            free = free & ~port.request.valid
        return taken

    def _visits(self, m, index, visit, known):
        """Chooses whom to visit in every first cycle of two. Returns which reader transfers."""
        sweep = Signal(range(len(Counter)))
        clearing = Signal()
        readers_turn = Signal()
        taken = self._grant(m, visit & readers_turn)
        reading = Cat(taken).any()
        request = Mux(taken[0], self.read[0].request.payload, self.read[1].request.payload)
        m.d.sync += visit.eq(~visit)
        m.d.comb += index.eq(Mux(reading, request, sweep))
        m.d.comb += known.eq(~clearing | (index < sweep))
        with m.If(visit):
            m.d.sync += readers_turn.eq(~reading)
            with m.If(~reading):
                m.d.sync += sweep.eq(sweep + 1)
                with m.If(sweep == len(Counter) - 1):
                    m.d.sync += [sweep.eq(0), clearing.eq(0)]
        with m.If(self.clear):
            m.d.sync += [sweep.eq(0), clearing.eq(1)]
        return taken

    def _low_parts(self, m):
        """A free-running counter for each Counter."""
        parts = []
        for counter in Counter:
            name = counter.name.lower()
            event = self.running if counter == Counter.CYCLES else self.events[name]
            if name.startswith("stall"):  # an array that is not running does not stall
                event = event & self.running
            width = next(
                w for w in self.low_widths if w >= len(event) + _HEADROOM or w == self.width
            )
            increment = Signal(len(event), name=f"increment_{name}")
            low = Signal(width, name=f"low_{name}")
            m.d.sync += [increment.eq(event), low.eq(low + increment)]
            with m.If(self.clear):
                m.d.sync += [increment.eq(0), low.eq(0)]
            parts.append(low)
        return parts

    def _snapshot(self, m, parts, index, visit, visited):
        """The visited low part as it was at the visit, a cycle later.

        Chosen in two steps with registers in between: synthesis makes one large multiplexer twice
        as large.
        """
        groups = []
        for first in range(0, len(parts), _GROUP):
            candidates = parts[first : first + _GROUP]
            group = Signal(max(len(part) for part in candidates), name=f"group{first}")
            with m.If(visit):
                m.d.sync += group.eq(choose(index[:_GROUP_BITS], candidates))
            groups.append(group)
        return choose(visited[_GROUP_BITS:], groups)

    def _update(self, m, index, visit, known):
        """Brings the visited total up to date. Returns it, two cycles after the visit."""
        memory = Memory(shape=self.width, depth=1 << _INDEX_WIDTH, init=[])
        m.submodules.totals = memory
        read, write = memory.read_port(), memory.write_port()
        kind = Signal(len(self.low_widths))  # which width the low part has; zero if not known
        visited, total, value = Signal.like(index), Signal(self.width), Signal(self.width)
        parts = self._low_parts(m)
        low = self._snapshot(m, parts, index, visit, visited)
        with m.If(visit):
            m.d.sync += [visited.eq(index), kind.eq(0)]
            with m.Switch(index):
                for counter, part in zip(Counter, parts, strict=True):
                    with m.Case(counter):
                        this = 1 << self.low_widths.index(len(part))
                        m.d.sync += kind.eq(Mux(known, this, 0))
        kept, carry = Const(0, 0), Const(0, 0)
        for n, width in enumerate(self.low_widths):
            kept = Cat(kept, kind[:n].any().replicate(width - len(kept)))
            wrapped = kind[n] & read.data[width - 1] & ~low[width - 1]
            carry = Cat(carry, Const(0, width - len(carry)), wrapped)
        kept = Cat(kept, kind.any().replicate(self.width - len(kept)))
        m.d.comb += [
            total.eq(((read.data & kept) + carry)[: self.width] | low),
            read.addr.eq(index),
            write.addr.eq(visited),
            write.data.eq(total),
            write.en.eq(~visit),
        ]
        m.d.sync += value.eq(total)
        return value
