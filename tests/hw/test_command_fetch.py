"""Command fetch: the whole program in order, never more than there is room for, and it stops."""

import random
from dataclasses import replace

import pytest
from dma_agents import Pulses, ReadMemory, Stalls, play
from test_axi_read_arbiter import Program

from eyas.command import COMMAND_BYTES
from eyas.config import Config, Control, Memory
from eyas.hw.command_fetch import CommandFetch

BASE = Config.load("tiny4x4")


def config(bus_bytes, queue_depth=4, **memory):
    control = Control(queue_depth=queue_depth, counter_width=0)
    return replace(BASE, memory=Memory(bus_bytes=bus_bytes, **memory), control=control)


def reader_of(config, content, *, latency=20, rng=None, stall=0.0):
    return ReadMemory(
        "axi",
        content,
        config.memory.bus_bytes,
        config.memory.burst_beats,
        latency=latency,
        stalls=Stalls(rng, stall),
    )


@pytest.mark.parametrize("stall", [0.0, 0.5])
@pytest.mark.parametrize("bus_bytes", [4, 8])
@pytest.mark.parametrize("burst_beats", [2, 4, 16])
@pytest.mark.parametrize("length", [1, 19])
def test_the_program_comes_in_order(bus_bytes, burst_beats, length, stall, seed):
    rng = random.Random(seed)
    chosen = config(bus_bytes, burst_beats=burst_beats)
    content = rng.randbytes(1 << 14)
    address = 4096 - 64
    reader = reader_of(chosen, content, rng=rng, stall=stall)
    beats = COMMAND_BYTES // bus_bytes
    program = Program(address, length, beats, Stalls(rng, stall))
    exhausted, busy = Pulses("exhausted"), Pulses("busy")
    play(
        CommandFetch(chosen),
        [program, reader, exhausted, busy],
        lambda: len(program.taken) == length * beats and exhausted.seen[-1][0] == exhausted.cycle,
    )
    fetched = b"".join(beat.to_bytes(bus_bytes, "little") for beat in program.taken)
    assert fetched == content[address : address + length * COMMAND_BYTES]
    assert sum(n for *_, n in reader.bursts) == length * beats
    assert busy.seen[-1][0] < exhausted.seen[-1][0]


class Hoarder(Program):
    """Never gives a slot back."""

    def drive(self):
        return super().drive() | {"freed": 0}


@pytest.mark.parametrize("queue_depth", [2, 8])
def test_no_more_commands_than_there_is_room_for(queue_depth):
    chosen = config(4, queue_depth)
    reader = reader_of(chosen, bytes(1 << 12))
    program = Hoarder(0, 64, 8, Stalls())
    busy = Pulses("busy")
    play(CommandFetch(chosen), [program, reader, busy], lambda: busy.cycle == 300)
    assert len(program.taken) == 8 * queue_depth
    assert busy.seen[-1][0] < 200


class Stopper(Program):
    """Lets `run` fall when a few beats have come in."""

    def drive(self):
        return super().drive() | {"run": len(self.taken) < 11}


@pytest.mark.parametrize("burst_beats", [4, 16])
def test_it_stops_and_takes_in_what_is_on_its_way(burst_beats):
    chosen = config(4, 8, burst_beats=burst_beats)
    reader = reader_of(chosen, bytes(1 << 12))
    program = Stopper(0, 64, 8, Stalls())
    busy = Pulses("busy")
    play(CommandFetch(chosen), [program, reader, busy], lambda: busy.cycle == 400)
    asked = sum(n for *_, n in reader.bursts)
    assert 11 <= asked < 8 * 64
    assert len(program.taken) == asked
    assert busy.seen[-1][0] == reader.beats[-1]
