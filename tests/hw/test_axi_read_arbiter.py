"""The arbiter between LOAD and command fetch, alone and with both real clients on it."""

import random
from dataclasses import replace

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out, connect, flipped
from dma_agents import GlbWriter, Pulses, ReadMemory, Sink, Source, Stalls, engine_command, play
from test_dma_load import load, ref_load

from eyas.command import COMMAND_BYTES, Space
from eyas.config import Config, Memory
from eyas.hw.axi import AxiAddress, axi_read, read_data
from eyas.hw.axi_read_arbiter import AxiReadArbiter
from eyas.hw.command_fetch import CommandFetch
from eyas.hw.dma_load import LoadEngine

BASE = Config.load("tiny4x4")


def config(bus_bytes, **memory):
    return replace(BASE, memory=Memory(bus_bytes=bus_bytes, **memory))


class Readers(wiring.Component):
    """LOAD and command fetch behind the arbiter; ports as those of the parts."""

    def __init__(self, config):
        self.load, self.fetch = LoadEngine(config), CommandFetch(config)
        self.arbiter = AxiReadArbiter(config)
        self.bits = config.memory.bus_bytes * 8
        parts = {**self.load.signature.members, **self.fetch.signature.members}
        parts["axi"] = Out(axi_read(self.bits))
        super().__init__(parts | {"beat": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules += [self.load, self.fetch, self.arbiter]
        connect(m, self.arbiter.load, self.load.axi)
        connect(m, self.arbiter.commands, self.fetch.axi)
        connect(m, self.arbiter.axi, flipped(self.axi))
        connect(m, self.load.port, flipped(self.port))
        connect(m, self.load.fmap_write, flipped(self.fmap_write))
        connect(m, self.load.filter_write, flipped(self.filter_write))
        connect(m, self.fetch.o, flipped(self.o))
        for name in ("start", "run", "address", "length", "freed"):
            m.d.comb += getattr(self.fetch, name).eq(getattr(self, name))
        m.d.comb += self.beat.eq(self.arbiter.beat)
        return m


class Program:
    """Starts the fetch and frees a command's slot some time after its last beat."""

    samples = ("o__valid", "o__payload")

    def __init__(self, address, length, beats, stalls):
        self.inputs = {"address": address, "length": length, "run": 1}
        self.beats, self.stalls, self.start = beats, stalls, 1
        self.taken, self.to_free, self.ready = [], 0, 0

    def drive(self):
        free = self.to_free > 0 and self.stalls.go()
        self.to_free -= free
        self.ready = self.stalls.go()
        return {**self.inputs, "start": self.start, "freed": free, "o__ready": self.ready}

    def observe(self, seen):
        self.start = 0
        if seen["o__valid"] and self.ready:
            self.taken.append(seen["o__payload"])
            self.to_free += len(self.taken) % self.beats == 0


@pytest.mark.parametrize("stall", [0.0, 0.4])
@pytest.mark.parametrize(
    ("bus_bytes", "memory"), [(4, {}), (8, {}), (4, {"burst_beats": 2, "outstanding": 2})]
)
def test_both_clients_get_their_own_data(bus_bytes, memory, stall, seed):
    rng = random.Random(seed)
    chosen = config(bus_bytes, **memory)
    content = rng.randbytes(1 << 15)
    address, length = 0x2FC0, 40
    loads = [
        load(8 * rng.randint(0, 900), 512 * n, rng.randint(1, 30), 3, memory_stride1=264)
        for n in range(20)
    ]
    spaces, expected = ({}, {}), ({}, {})
    for command in loads:
        ref_load(command, content, expected)
    reader = ReadMemory(
        "axi",
        content,
        bus_bytes,
        chosen.memory.burst_beats,
        latency=11,
        jitter=5,
        stalls=Stalls(rng, stall),
    )
    source = Source("port__command", map(engine_command, loads))
    program = Program(address, length, COMMAND_BYTES // bus_bytes, Stalls(rng, stall))
    ended, beats = Pulses("port__ended"), Pulses("beat")
    fmap = GlbWriter("fmap_write", spaces[Space.FMAP], Stalls(rng, stall))
    play(
        Readers(chosen),
        [source, reader, program, ended, beats, fmap, GlbWriter("filter_write", {})],
        lambda: (
            len(ended.seen) == len(loads)
            and len(program.taken) == length * COMMAND_BYTES // bus_bytes
        ),
    )
    assert spaces == expected
    fetched = b"".join(beat.to_bytes(bus_bytes, "little") for beat in program.taken)
    assert fetched == content[address : address + length * COMMAND_BYTES]
    assert len(beats.seen) == len(reader.beats) == sum(n for *_, n in reader.bursts)
    ids = {burst_id for _, burst_id, *_ in reader.bursts}
    assert ids == {0, 1}


def test_commands_go_first_but_never_take_an_offered_address_away(seed):
    """With both asking in every cycle commands win, unless LOAD's address is out already."""
    rng = random.Random(seed)
    addresses = [AxiAddress.const({"address": 64 * n, "id": 0, "len": 0}) for n in range(60)]
    bits = [address.as_bits() for address in addresses]
    first = Source("load__ar", bits, Stalls(rng, 0.3))
    second = Source("commands__ar", bits, Stalls(rng, 0.6))
    sink = Sink("axi__ar", Stalls(rng, 0.5))
    play(
        AxiReadArbiter(config(4)),
        [first, second, sink],
        lambda: not first.items and not second.items,
    )
    got = [AxiAddress.from_bits(payload) for payload in sink.items]
    for client in (0, 1):
        mine = [burst.address for burst in got if burst.id == client]
        assert mine == [64 * n for n in range(60)]


def test_commands_win_over_load():
    addresses = [AxiAddress.const({"address": 0, "id": 0, "len": 0}).as_bits()] * 5
    first, second = Source("load__ar", addresses), Source("commands__ar", addresses)
    sink = Sink("axi__ar")
    play(AxiReadArbiter(config(4)), [first, second, sink], lambda: not first.items)
    assert [AxiAddress.from_bits(p).id for p in sink.items] == [1] * 5 + [0] * 5


def test_data_go_by_their_id(seed):
    rng = random.Random(seed)
    shape = read_data(32)
    beats = [
        shape.const({"data": n, "id": rng.randrange(2), "resp": 0, "last": 1}).as_bits()
        for n in range(80)
    ]
    source = Source("axi__r", beats)
    sinks = [Sink("load__r", Stalls(rng, 0.3)), Sink("commands__r", Stalls(rng, 0.3))]
    play(AxiReadArbiter(config(4)), [source, *sinks], lambda: not source.items)
    for client, sink in enumerate(sinks):
        assert sink.items == [beat for beat in beats if shape.from_bits(beat).id == client]
