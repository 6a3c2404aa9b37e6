"""The STORE engine: GLB, or hardware counters, to memory.

    command ─► DescriptorWalker ─┬─► AW
                                 ├─► next burst ─► reader ─► fmap_read, counter_read
                                 │                             └─► words ─► W
                                 └─► record of each burst ─► B

An address goes out before its data. While one burst's words are read and sent, the address of the
next one is already out; up to `memory.outstanding` bursts wait for their responses, across runs and
across commands. The word queue has a credit for each read in flight, so that a word that comes back
from the GLB always has a place.

Latency: two cycles from a command to its first AW, five more to its first W beat.
Throughput: a beat a cycle. Back-pressure: everything waits for whoever is not ready, reads for
credits. `ended` pulses when the command's last response is in.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from eyas.command import DESCRIPTOR, Space, layout
from eyas.config import WORD_BYTES, Config
from eyas.hw.axi import OKAY, axi_write
from eyas.hw.descriptor_walker import WORD_SHIFT, DescriptorWalker, burst_words
from eyas.hw.interfaces import (
    GLB_ADDRESS_WIDTH,
    GLB_READ_LATENCY,
    WORD_WIDTH,
    EnginePort,
    GlbRead,
)

QueuedWord = data.StructLayout({"data": WORD_WIDTH, "strb": WORD_BYTES, "last": 1})
"""A word on its way to W; `last` of its burst."""


def read_burst(config: Config) -> data.StructLayout:
    """What the reader needs to know of a burst."""
    return data.StructLayout(
        {
            "glb": GLB_ADDRESS_WIDTH,
            "words": range(burst_words(config) + 1),
            "strb": WORD_BYTES,
            "counters": 1,
        }
    )


class WordReader(wiring.Component):
    """Reads the words of bursts into a queue, one a cycle, without a gap between bursts."""

    def __init__(self, config: Config):
        self.burst = read_burst(config)
        # A word's credit is away for five cycles; a narrow bus needs a word every other one.
        self.depth = 8 if config.memory.bus_bytes == WORD_BYTES else 4
        super().__init__(
            {
                "i": In(stream.Signature(self.burst)),
                "o": Out(stream.Signature(QueuedWord)),
                "fmap_read": Out(GlbRead),
                "counter_read": Out(GlbRead),
                "word": Out(1),  # a read has been issued
            }
        )

    def elaborate(self, platform):
        m = Module()
        burst = Signal(self.burst)
        active = Signal()
        credits = Signal(range(self.depth + 1), init=self.depth)
        final = burst.words == 1
        granted = Mux(burst.counters, self.counter_read.request.ready, self.fmap_read.request.ready)
        wanted = active & (credits != 0)
        m.d.comb += [
            self.fmap_read.request.valid.eq(wanted & ~burst.counters),
            self.counter_read.request.valid.eq(wanted & burst.counters),
            self.fmap_read.request.payload.eq(burst.glb),
            self.counter_read.request.payload.eq(burst.glb),
            self.word.eq(wanted & granted),
            self.i.ready.eq(~active | (self.word & final)),
        ]
        with m.If(self.i.ready):
            m.d.sync += [active.eq(self.i.valid), burst.eq(self.i.p)]
        with m.Elif(self.word):
            m.d.sync += [burst.glb.eq(burst.glb + 1), burst.words.eq(burst.words - 1)]
        with m.If(self.word != (self.o.valid & self.o.ready)):
            m.d.sync += credits.eq(credits + Mux(self.word, -1, 1))
        self._returns(m, Cat(burst.strb, final, burst.counters))
        return m

    def _returns(self, m, request):
        """Carries what belongs to a request along until its word comes back."""
        for n in range(GLB_READ_LATENCY):
            stage = Signal.like(request, name=f"stage{n}")
            m.d.sync += stage.eq(request)
            request = stage
        counters = request[-1]
        words = fifo.SyncFIFO(width=QueuedWord.size, depth=self.depth)
        m.submodules.words = words
        m.d.comb += [
            words.w_en.eq(self.fmap_read.valid | self.counter_read.valid),
            words.w_data.eq(
                Cat(Mux(counters, self.counter_read.data, self.fmap_read.data), request[:-1])
            ),
            self.o.valid.eq(words.r_rdy),
            self.o.p.eq(data.View(QueuedWord, words.r_data)),
            words.r_en.eq(self.o.ready),
        ]


class StoreEngine(wiring.Component):
    """See the module's text. `word` pulses for each GLB read (not of counters), `beat` for each
    beat that memory takes, `fault` for a write error."""

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "port": Out(EnginePort),
                "axi": Out(axi_write(config.memory.bus_bytes * 8)),
                "fmap_read": Out(GlbRead),
                "counter_read": Out(GlbRead),
                "word": Out(1),
                "beat": Out(1),
                "fault": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.walker = walker = DescriptorWalker(self.config)
        m.submodules.reader = reader = WordReader(self.config)
        m.submodules.records = records = fifo.SyncFIFO(
            width=2, depth=self.config.memory.outstanding
        )
        connect(m, flipped(self.port.command), walker.command)
        connect(m, flipped(self.fmap_read), reader.fmap_read)
        connect(m, flipped(self.counter_read), reader.counter_read)
        self._addresses(m, walker, reader, records)
        self._data(m, reader)
        self._responses(m, records)
        m.d.comb += [
            self.port.busy.eq(walker.active | records.r_rdy),
            self.word.eq(reader.fmap_read.request.valid & reader.fmap_read.request.ready),
        ]
        return m

    def _addresses(self, m, walker, reader, records):
        """Each burst goes to AW, to the reader and into the records in one cycle; an empty one
        only into the records."""
        burst = walker.o.p
        fields = data.View(layout(DESCRIPTOR), walker.command.p.payload)
        beats = burst.words << (1 if self.config.memory.bus_bytes < WORD_BYTES else 0)
        following = Signal(stream.Signature(reader.burst).members["payload"].shape)
        waiting = Signal()  # `following` waits for the reader
        free = records.w_rdy & ~waiting
        issue = Signal()
        m.d.comb += [
            self.axi.aw.valid.eq(walker.o.valid & ~burst.empty & free),
            self.axi.aw.p.address.eq(burst.memory << WORD_SHIFT),
            self.axi.aw.p.len.eq(beats - 1),
            walker.o.ready.eq(Mux(burst.empty, records.w_rdy, free & self.axi.aw.ready)),
            issue.eq(self.axi.aw.valid & self.axi.aw.ready),
            records.w_en.eq(walker.o.valid & walker.o.ready),
            records.w_data.eq(Cat(burst.last, burst.empty)),
            reader.i.valid.eq(waiting),
            reader.i.p.eq(following),
        ]
        with m.If(issue):
            m.d.sync += [
                waiting.eq(1),
                following.glb.eq(burst.glb),
                following.words.eq(burst.words),
                following.strb.eq(fields.byte_enable),
                following.counters.eq(fields.space == Space.COUNTERS),
            ]
        with m.Elif(reader.i.ready):
            m.d.sync += waiting.eq(0)

    def _data(self, m, reader):
        """Words to beats: a narrow bus sends the lower half first."""
        word, beat = reader.o, self.axi.w
        parts = WORD_WIDTH // len(beat.p.data)
        part = Signal(range(parts))
        final = part == parts - 1
        m.d.comb += [
            beat.valid.eq(word.valid),
            beat.p.data.eq(word.p.data.word_select(part, len(beat.p.data))),
            beat.p.strb.eq(word.p.strb.word_select(part, len(beat.p.strb))),
            beat.p.last.eq(word.p.last & final),
            word.ready.eq(beat.ready & final),
            self.beat.eq(beat.valid & beat.ready),
        ]
        with m.If(self.beat & (parts > 1)):
            m.d.sync += part.eq(part + 1)

    def _responses(self, m, records):
        last, empty = records.r_data[0], records.r_data[1]
        response = self.axi.b
        m.d.comb += [
            response.ready.eq(records.r_rdy & ~empty),
            records.r_en.eq(empty | response.valid),
            self.port.ended.eq((records.r_rdy & records.r_en & last).replicate(2)),
            self.fault.eq(response.valid & response.ready & (response.p.resp != OKAY)),
        ]
