"""The array core, from tile slots and GLB words to psums in the banks, against a literal loop nest."""

from collections import deque
from dataclasses import replace

import numpy as np
import pytest
from amaranth.sim import Simulator
from segments import make_segment, random_choices, reference_psums

from eyas.config import Array, Config, Glb, Noc, PsumBank, Spad
from eyas.hw.array_core import ArrayCore

CONFIG = Config(
    "core", Array(3, 5), Glb(4, 4), spad=Spad(filters=64, psums=16), psum_bank=PsumBank(64)
)


class CoreBench:
    """Serves GLB reads, feeds segments through the slots, and drains the psum banks."""

    def __init__(self, config, segments, fmaps, filters, seed, busy=0.0):
        self.config, self.segments = config, segments
        self.memories = {"ifmap_read": fmaps, "filter_read": filters}
        self.rng = np.random.default_rng(seed)
        self.busy = busy
        self.core = ArrayCore(config)
        self.tiles = []
        self.array_busy = 0
        self.cycles = 0

    def run(self, limit=100_000):
        sim = Simulator(self.core)
        sim.add_clock(1e-8)
        self.limit = limit
        sim.add_testbench(self._slots)
        sim.add_testbench(self._drain, background=True)
        sim.add_testbench(self._count, background=True)
        for name in self.memories:
            for port in getattr(self.core, name):
                sim.add_testbench(self._reader(port, self.memories[name]), background=True)
        sim.run()
        return self.tiles

    def _reader(self, port, words):
        data = words.reshape(-1, 8).view(np.uint64)[:, 0]

        async def serve(ctx):
            pipe = deque([None, None])
            while True:
                ready = self.rng.random() >= self.busy
                ctx.set(port.request.ready, ready)
                answer = pipe.popleft()
                ctx.set(port.valid, answer is not None)
                ctx.set(port.data, answer or 0)
                _, _, valid, address = await ctx.tick().sample(
                    port.request.valid, port.request.payload
                )
                pipe.append(int(data[address]) if valid and ready else None)

        return serve

    async def _slots(self, ctx):
        core, slots = self.core, self.config.noc.tile_slots
        in_use = [False] * slots
        queue = deque(self.segments)
        target, expected = 0, sum(s["last"] for s in self.segments)
        while len(self.tiles) < expected:
            ctx.set(core.taken, 0)
            if queue and not in_use[target]:
                segment = queue.popleft()
                for name in core.slots[target].shape().members:
                    if name in segment:
                        ctx.set(getattr(core.slots[target], name), segment[name])
                ctx.set(core.taken, 1 << target)
                in_use[target] = True
                target = (target + 1) % slots
            _, _, computed = await ctx.tick().sample(core.computed)
            self.cycles += 1
            assert self.cycles < self.limit, "the array core hangs"
            for slot in range(slots):
                if computed >> slot & 1:
                    in_use[slot] = False

    async def _count(self, ctx):
        while True:
            _, _, issued = await ctx.tick().sample(self.core.issued)
            self.array_busy += issued

    async def _drain(self, ctx):
        core = self.core
        lasts = [s for s in self.segments if s["last"]]
        for number, segment in enumerate(lasts):
            memory = number & 1
            while not ctx.get(core.full) >> memory & 1:
                await ctx.tick()
            ctx.set(core.drain_memory, memory)
            out = np.zeros((segment["columns"], segment["steps"] * segment["psums"]), np.int64)
            for address in range(out.shape[1]):
                ctx.set(core.drain_address, address)
                await ctx.tick()
                out[:, address] = [ctx.get(core.drain_data[c]) for c in range(len(out))]
            ctx.set(core.drained, 1 << memory)
            await ctx.tick()
            ctx.set(core.drained, 0)
            self.tiles.append(out)


def lively(rng, words):
    return rng.integers(-128, 128, (words, 8)).astype(np.int8)


def check(config, segments, seed, busy=0.0):
    rng = np.random.default_rng(seed)
    fmaps, filters = lively(rng, config.glb.fmap_words), lively(rng, config.glb.filter_words)
    bench = CoreBench(config, segments, fmaps, filters, seed, busy)
    tiles = bench.run()
    expected, old = [], None
    for segment in segments:
        old = reference_psums(config, segment, fmaps, filters, None if segment["first"] else old)
        if segment["last"]:
            expected.append(old)
    for number, (got, want) in enumerate(zip(tiles, expected, strict=True)):
        wrong = np.argwhere(got != want)
        assert not len(wrong), f"seed {seed}, tile {number}: column, psum {wrong[0]} of {len(wrong)}"
    return bench


@pytest.mark.parametrize("seed", range(12))
def test_random_segments(seed):
    rng = np.random.default_rng(seed)
    config = replace(CONFIG, noc=Noc(int(rng.choice([2, 4]))))
    segments = []
    for _ in range(3):
        choices = random_choices(config, rng)
        parts = int(rng.integers(1, 4))
        for part in range(parts):
            flags = {"first": int(part == 0), "last": int(part == parts - 1)}
            filter_base = int(rng.integers(0, 64))
            segments.append(make_segment(config, **{**choices, **flags, "filter_base": filter_base}))
    check(config, segments, seed, busy=[0.0, 0.3, 0.7][seed % 3])


def test_switching_costs_no_cycle():
    """Pass, tile and filter bank change without a bubble where feeding is not the bound."""
    choices = dict(
        p=4, q=4, taps=3, unit_rows=3, tap_chunks=1, channel_chunks=2, we=2, wf=1, wm=1, steps=6,
        stride=(1, 1), height=6, width=8, y0=0, x0=0,
    )  # fmt: skip
    segments = [make_segment(CONFIG, **choices) for _ in range(4)]
    bench = check(CONFIG, segments, 1)
    steps = sum(s["steps"] * s["passes"] for s in segments)
    t = 4 * 4 * 3
    rows = CONFIG.array.rows
    assert bench.array_busy == (steps + rows) * t
    assert bench.cycles < bench.array_busy + 150  # the first fetch and the last drain
