"""Walks the three loops of a LOAD or STORE descriptor and cuts every run into AXI bursts.

    command ──► START ──► RUN ──► BURST ──► o: one burst after the other
                  ▲        ▲        │
                  │        └────────┤ end of a run of n0 words
                  └─────────────────┘ end of the command

A burst holds the words that are left in the run, at most `memory.burst_beats` beats, and ends at a
4 KiB boundary. A descriptor that moves nothing (n0, n1 or n2 is 0) gives one `empty` burst, so that
whatever follows keeps the order of the commands. SET commands are taken and ignored.

Throughput: a burst a cycle, and a cycle more for each run and for each command. Back-pressure: a
burst waits for `o.ready`. The command's registers are those of its producer: `command` is taken
with the last burst, and until then the fields that no burst carries (`space`, `byte_enable`) can be
read from its payload.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from eyas.command import DESCRIPTOR, Opcode, layout
from eyas.config import WORD_BYTES, Config
from eyas.hw.axi import ADDRESS_WIDTH, PAGE_BYTES
from eyas.hw.interfaces import GLB_ADDRESS_WIDTH, EngineCommand

WORD_SHIFT = WORD_BYTES.bit_length() - 1
MEMORY_WORD_BITS = ADDRESS_WIDTH - WORD_SHIFT
"""Memory addresses and strides are multiples of a word and computed in words."""
PAGE_WORD_BITS = (PAGE_BYTES // WORD_BYTES).bit_length() - 1
COUNT_BITS = DESCRIPTOR["n0"].width


def burst_words(config: Config) -> int:
    """Words of the longest burst."""
    return config.memory.burst_beats * config.memory.bus_bytes // WORD_BYTES


def burst_layout(config: Config) -> data.StructLayout:
    """A burst: `words` from word `memory` of memory and from word `glb` of the GLB on."""
    return data.StructLayout(
        {
            "memory": MEMORY_WORD_BITS,
            "glb": GLB_ADDRESS_WIDTH,
            "words": range(burst_words(config) + 1),
            "last": 1,  # of its command
            "empty": 1,  # moves nothing; `last` is set too
        }
    )


class DescriptorWalker(wiring.Component):
    """See the module's text. `active`: there is a command that is not a SET."""

    def __init__(self, config: Config):
        self.longest = burst_words(config)
        super().__init__(
            {
                "command": In(stream.Signature(EngineCommand)),
                "o": Out(stream.Signature(burst_layout(config))),
                "active": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        fields = data.View(layout(DESCRIPTOR), self.command.p.payload)
        is_set = self.command.p.opcode == Opcode.SET
        taken = self.o.valid & self.o.ready
        m.d.comb += [
            self.active.eq(self.command.valid & ~is_set),
            self.command.ready.eq(is_set | (taken & self.o.p.last)),
        ]
        self.words = Signal(range(self.longest + 1))  # of the present burst
        self.start = Signal()  # the first run is that of the descriptor itself
        self.next_run = Signal()  # the next run becomes the present one
        self.block_ends = Signal()  # … and is the last of n1
        self.advance = Signal()  # the next burst of the present run
        m.d.comb += self.o.p.words.eq(self.words)
        memory = self._address(m, "memory", fields, WORD_SHIFT)
        self._address(m, "glb", fields, 0)
        self._loops(m, fields, taken, memory)
        return m

    def _loops(self, m, fields, taken, memory):
        left = Signal(COUNT_BITS)  # words of the run
        runs = Signal(COUNT_BITS)  # of the block, the next one included
        blocks = Signal(COUNT_BITS)
        final_run = Signal()
        run_ends = left == self.words
        nothing = (fields.n0 == 0) | (fields.n1 == 0) | (fields.n2 == 0)
        m.d.comb += [self.words.eq(self._cut(left, memory)), self.block_ends.eq(runs == 1)]
        with m.FSM():
            with m.State("START"), m.If(self.active):
                m.d.comb += [self.o.valid.eq(nothing), self.start.eq(1)]
                m.d.comb += [self.o.p.empty.eq(1), self.o.p.last.eq(1)]
                m.d.sync += [runs.eq(fields.n1), blocks.eq(fields.n2)]
                with m.If(~nothing):
                    m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += self.next_run.eq(1)
                m.d.sync += [left.eq(fields.n0), final_run.eq(self.block_ends & (blocks == 1))]
                m.d.sync += runs.eq(Mux(self.block_ends, fields.n1, runs - 1))
                with m.If(self.block_ends):
                    m.d.sync += blocks.eq(blocks - 1)
                m.next = "BURST"
            with m.State("BURST"):
                m.d.comb += [self.o.valid.eq(1), self.o.p.last.eq(final_run & run_ends)]
                m.d.comb += self.advance.eq(taken)
                with m.If(taken):
                    m.d.sync += left.eq(left - self.words)
                    with m.If(run_ends):
                        m.next = "RUN"
                        with m.If(final_run):
                            m.next = "START"

    def _cut(self, left, memory):
        """The burst takes what is left of the run, up to the longest burst and to the page."""
        bits = self.longest.bit_length() - 1
        size = Mux(left[bits:].any(), self.longest, left[:bits])
        room = self.longest - memory[:bits]
        at_page_end = memory[bits:PAGE_WORD_BITS].all()
        return Mux(at_page_end & (size > room), room, size)

    def _address(self, m, name, fields, shift):
        """Registers for the address of the burst, of the next run, and of the block that it belongs
        to. Returns the first."""
        base = fields[f"{name}_address"][shift:]
        stride1 = fields[f"{name}_stride1"][shift:]
        stride2 = fields[f"{name}_stride2"][shift:]
        run = Signal(len(base))
        block = Signal(len(base))
        step = Mux(self.block_ends, block, run) + Mux(self.block_ends, stride2, stride1)
        following = Mux(self.start, base, step)
        with m.If(self.start | self.next_run):
            m.d.sync += run.eq(following)
        with m.If(self.start | (self.next_run & self.block_ends)):
            m.d.sync += block.eq(following)
        burst = Signal(len(base), name=name)
        m.d.comb += self.o.p[name].eq(burst)
        with m.If(self.next_run):
            m.d.sync += burst.eq(run)
        with m.Elif(self.advance):
            m.d.sync += burst.eq(burst + self.words)
        return burst
