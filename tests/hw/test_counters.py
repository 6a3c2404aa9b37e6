"""Counters against sums in Python: any events, any visits, any reads."""

import random
from collections import deque
from dataclasses import replace

import pytest
from amaranth.sim import Simulator

from eyas.config import Config, Control
from eyas.hw.counters import READERS, Counters
from eyas.hw.interfaces import GLB_READ_LATENCY
from eyas.registers import Counter

BASE = Config.load("eyeriss168")


def config(width):
    return replace(BASE, control=Control(counter_width=width))


def read(ctx, port, counter):
    """Reads one counter through a GlbRead port; checks the latency that the port promises."""

    async def transfer():
        ctx.set(port.request.payload, counter)
        ctx.set(port.request.valid, 1)
        await ctx.tick().until(port.request.ready)
        ctx.set(port.request.valid, 0)
        for _ in range(GLB_READ_LATENCY - 1):
            assert not ctx.get(port.valid)
            await ctx.tick()
        assert ctx.get(port.valid)
        return ctx.get(port.data)

    return transfer()


def simulate(dut, bench):
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()


def random_events(layout, rng, density):
    """Some fields greatest, some random, some zero."""
    values = {}
    for name, field in layout:
        greatest = (1 << field.width) - 1
        values[name] = rng.choice([greatest, rng.randint(0, greatest)])
        if rng.random() >= density:
            values[name] = 0
    return values


@pytest.mark.parametrize(("width", "density"), [(16, 1.0), (33, 0.3), (48, 1.0), (64, 0.3)])
def test_every_event_counts(width, density, seed):
    rng = random.Random(seed)
    dut = Counters(config(width))
    expected = dict.fromkeys(Counter, 0)

    async def bench(ctx):
        for _ in range(3):
            ctx.set(dut.clear, 1)
            await ctx.tick()
            ctx.set(dut.clear, 0)
            expected.update(dict.fromkeys(Counter, 0))
            await count(ctx, rng.choice([5, 150, 1200]))
            for counter in [*Counter, *Counter][:: rng.choice([1, -1])]:
                got = await read(ctx, dut.read[rng.randrange(READERS)], counter)
                assert got == expected[counter] % (1 << width), counter.name

    async def count(ctx, cycles):
        for _ in range(cycles):
            running = rng.random() < 0.8
            events = random_events(dut.layout, rng, density)
            ctx.set(dut.running, running)
            for name, value in events.items():
                ctx.set(dut.events[name], value)
                if running or not name.startswith("stall"):
                    expected[Counter[name.upper()]] += value
            expected[Counter.CYCLES] += running
            # Reads that come at any time disturb nothing.
            ctx.set(dut.read[1].request.valid, rng.random() < 0.7)
            ctx.set(dut.read[1].request.payload, rng.randrange(32))
            await ctx.tick()
        ctx.set(dut.running, 0)
        ctx.set(dut.read[1].request.valid, 0)
        for name, _ in dut.layout:
            ctx.set(dut.events[name], 0)
        await ctx.tick().repeat(4)

    simulate(dut, bench)


def test_low_parts_survive_the_longest_time_between_visits():
    """Greatest events in every cycle while reads take every visit that they can get."""
    dut = Counters(config(64))
    cycles = 2000

    async def bench(ctx):
        ctx.set(dut.running, 1)
        for name, field in dut.layout:
            ctx.set(dut.events[name], (1 << field.width) - 1)
        ctx.set(dut.read[1].request.valid, 1)
        await ctx.tick().repeat(cycles)
        ctx.set(dut.read[1].request.valid, 0)
        ctx.set(dut.running, 0)
        for name, _ in dut.layout:
            ctx.set(dut.events[name], 0)
        await ctx.tick().repeat(4)
        for name, field in dut.layout:
            got = await read(ctx, dut.read[0], Counter[name.upper()])
            assert got == cycles * ((1 << field.width) - 1), name

    simulate(dut, bench)


def test_two_readers_get_their_own_answers(seed):
    rng = random.Random(seed)
    dut = Counters(config(48))
    answers = [[], []]

    async def bench(ctx):
        ctx.set(dut.running, 1)
        for name in [Counter(n).name.lower() for n in range(1, 9)]:
            ctx.set(dut.events[name], 1)
            await ctx.tick().repeat(rng.randint(1, 9))
            ctx.set(dut.events[name], 0)
        ctx.set(dut.running, 0)
        wanted = [deque(range(1, 9)), deque(range(1, 9))]
        for _ in range(200):
            for port, queue in zip(dut.read, wanted, strict=True):
                ctx.set(port.request.valid, bool(queue))
                ctx.set(port.request.payload, queue[0] if queue else 31)
            _, _, *seen = await ctx.tick().sample(
                *(s for port in dut.read for s in (port.request.ready, port.valid, port.data))
            )
            for n, queue in enumerate(wanted):
                ready, valid, value = seen[3 * n : 3 * n + 3]
                if queue and ready:
                    queue.popleft()
                if valid:
                    answers[n].append(value)

    simulate(dut, bench)
    assert answers[0] == answers[1]
    assert len(answers[0]) == 8
    assert all(answers[0])


def test_numbers_beyond_the_counters_and_counters_left_out_read_as_zero():
    for width, numbers in ((48, (24, 31)), (0, (0, 12, 31))):
        dut = Counters(config(width))

        async def bench(ctx, dut=dut, numbers=numbers):
            ctx.set(dut.running, 1)
            ctx.set(dut.events["useful_macs"], 5)
            await ctx.tick().repeat(300)
            for number in numbers:
                assert await read(ctx, dut.read[1], number) == 0

        simulate(dut, bench)
