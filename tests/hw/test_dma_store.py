"""STORE: memory holds exactly the lanes to be written, at bus rate, and ends when answered."""

import random
from dataclasses import replace

import pytest
from dma_agents import GlbReader, Pulses, Source, Stalls, WriteMemory, engine_command, play

from eyas.command import Command, Engine, Opcode, Space
from eyas.config import Config, Memory
from eyas.hw.dma_store import StoreEngine

BASE = Config.load("tiny4x4")
NOISE = random.Random(5)
FMAP = [NOISE.getrandbits(64) for _ in range(1 << 16)]
COUNTERS = [NOISE.getrandbits(48) for _ in range(1 << 16)]


def config(bus_bytes, **memory):
    return replace(BASE, memory=Memory(bus_bytes=bus_bytes, **memory))


def store(address, glb, n0, n1=1, n2=1, space=Space.FMAP, byte_enable=0xFF, **strides):
    values = {"memory_address": address, "glb_address": glb, "n0": n0, "n1": n1, "n2": n2}
    values |= {"space": space, "byte_enable": byte_enable}
    return Command(Opcode.STORE, Engine.STORE, values | strides)


def ref_store(command, memory):
    v = command.values
    words = COUNTERS if v["space"] == Space.COUNTERS else FMAP
    for a2 in range(v["n2"]):
        for a1 in range(v["n1"]):
            to = v["memory_address"] + a1 * v.get("memory_stride1", 0)
            to += a2 * v.get("memory_stride2", 0)
            start = v["glb_address"] + a1 * v.get("glb_stride1", 0) + a2 * v.get("glb_stride2", 0)
            for a0 in range(v["n0"]):
                word = words[(start + a0) % (1 << 16)].to_bytes(8, "little")
                for lane in range(8):
                    if v["byte_enable"] >> lane & 1:
                        memory[to + 8 * a0 + lane] = word[lane]


def rtl_store(config, commands, memory, *, latency=60, stall=0.0, seed=1, **writer_options):
    """(cycles, end pulses, error pulses, memory agent)"""
    rng = random.Random(seed)
    dut = StoreEngine(config)
    writer = WriteMemory(
        "axi",
        memory,
        config.memory.bus_bytes,
        config.memory.burst_beats,
        latency=latency,
        stalls=Stalls(rng, stall),
    )
    for name, value in writer_options.items():
        setattr(writer, name, value)
    source = Source("port__command", map(engine_command, commands), Stalls(rng, stall))
    ended, fault, words, beats = (Pulses(n) for n in ("port__ended", "fault", "word", "beat"))
    fmap = GlbReader("fmap_read", FMAP, Stalls(rng, stall))
    counters = GlbReader("counter_read", COUNTERS, Stalls(rng, stall))
    cycles = play(
        dut,
        [source, writer, ended, fault, words, beats, fmap, counters],
        lambda: len(ended.seen) == len(commands),
    )
    assert len(words.seen) == len(fmap.requests.items)
    assert len(beats.seen) == len(writer.beats)
    return cycles, ended.seen, fault.seen, writer


def check(config, commands, **options):
    got, expected = bytearray(1 << 16), bytearray(1 << 16)
    for command in commands:
        ref_store(command, expected)
    cycles, ended, fault, writer = rtl_store(config, commands, got, **options)
    assert got == expected
    assert not fault
    assert all(value == 3 for _, value in ended)
    assert writer.most_in_flight <= config.memory.outstanding
    return cycles, writer


def cases(rng):
    """Descriptors of all shapes; the order of writes to one place shows too."""
    return [
        store(
            rng.choice([0, 8, 4096 - 8 * rng.randint(1, 20), 8 * rng.randint(0, 2000)]),
            rng.randrange(1 << 16),
            rng.choice([0, 1, 2, 3, 7, 14, 40]),
            rng.randint(0, 4),
            rng.randint(0, 3),
            rng.choice([Space.FMAP, Space.FMAP, Space.COUNTERS]),
            rng.choice([0xFF, 0xFF, 0x0F, 0x18, 0xE1]),
            memory_stride1=8 * rng.randint(0, 600),
            memory_stride2=8 * rng.randint(0, 600),
            glb_stride1=rng.randrange(1 << 16),
            glb_stride2=rng.randrange(1 << 16),
        )
        for _ in range(14)
    ]


@pytest.mark.parametrize("stall", [0.0, 0.4])
@pytest.mark.parametrize(
    ("bus_bytes", "memory"),
    [
        (4, {}),
        (8, {}),
        (4, {"burst_beats": 2, "outstanding": 1}),
        (8, {"burst_beats": 256, "outstanding": 2}),
        (8, {"burst_beats": 4, "outstanding": 32}),
    ],
)
def test_every_lane_lands(bus_bytes, memory, stall, seed):
    check(
        config(bus_bytes, **memory), cases(random.Random(seed)), latency=9, stall=stall, seed=seed
    )


def test_ends_in_order_with_its_last_response():
    commands = [store(0, 0, 10), store(0, 0, 0), store(512, 99, 1, 1, 0), store(256, 50, 5)]
    _, ended, _, writer = rtl_store(config(8), commands, bytearray(4096))
    first, second = writer.acknowledged
    assert [cycle for cycle, _ in ended] == [first, first + 1, first + 2, second]


def test_a_response_is_not_taken_for_a_command_that_moves_nothing():
    """Two responses in a row, and between their bursts one that is none."""
    commands = [store(0, 0, 1), store(0, 0, 0), store(64, 9, 1)]
    _, ended, _, writer = rtl_store(config(8), commands, bytearray(128), quiet_until=100)
    first, second = writer.acknowledged
    assert second == first + 2
    assert [cycle for cycle, _ in ended] == [first, first + 1, second]


@pytest.mark.parametrize("bus_bytes", [4, 8])
@pytest.mark.parametrize("run", [8, 14, 56])
def test_short_runs_stream_at_bus_rate(bus_bytes, run):
    strides = {"memory_stride1": (run + 3) * 8, "glb_stride1": run}
    cycles, writer = check(config(bus_bytes), [store(64, 3, run, 40, **strides)], latency=20)
    beats = 40 * run * 8 // bus_bytes
    assert len(writer.beats) == beats
    # From the first beat to the last there is no gap at all.
    assert writer.beats[-1] - writer.beats[0] == beats - 1
    assert cycles <= beats + 20 + 12


@pytest.mark.parametrize("bus_bytes", [4, 8])
def test_latency_is_as_promised(bus_bytes):
    """Two cycles from the command (offered in cycle 1) to AW, five more to the first beat."""
    _, _, _, writer = rtl_store(config(bus_bytes), [store(0, 0, 1)], bytearray(64))
    assert writer.bursts[0][0] == 3
    assert writer.beats[0] == 8


def test_commands_follow_each_other_without_a_gap():
    commands = [store(512 * k, 64 * k, 14, 3, memory_stride1=160) for k in range(8)]
    _, writer = check(config(8), commands, latency=20)
    assert writer.beats[-1] - writer.beats[0] == 8 * 42 - 1


def test_a_write_error_is_reported_and_the_command_still_ends():
    _, ended, fault, writer = rtl_store(config(4), [store(0, 0, 3)], bytearray(64), faulty=True)
    assert [cycle for cycle, _ in fault] == writer.acknowledged
    assert len(ended) == 1
