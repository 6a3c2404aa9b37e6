"""cocotb bench of the array core: random segments through the tile slots, GLB ports that are busy
at random, every psum in the banks against the loop nest of tests/hw/segments.py."""

import json
import os
from collections import deque

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from segments import make_segment, random_choices, reference_psums

from eyas.config import Config
from eyas.hw.tile_slots import slot_layout

CONFIG = Config.from_dict(json.loads(os.environ["CONFIG"]))
SLOT = slot_layout(CONFIG)
LIMIT_CYCLES = 50_000


def slot_bits(segment) -> int:
    """A slot's port value; addresses wrap at the slot's width."""
    values = {}
    for name, value in segment.items():
        if name in SLOT.members:
            width = SLOT[name].width
            values[name] = value & ((1 << width) - 1) if value >= 0 else value
    return SLOT.const(values).as_bits()


class Bench:
    """Feeds segments, serves GLB reads, drains the psum banks."""

    def __init__(self, dut, rng, busy):
        self.dut, self.rng, self.busy = dut, rng, busy
        self.words = {
            "ifmap_read": self.lively(CONFIG.glb.fmap_words),
            "filter_read": self.lively(CONFIG.glb.filter_words),
        }
        self.issued = self.cycles = 0

    def lively(self, words):
        return self.rng.integers(-128, 128, (words, 8)).astype(np.int8)

    async def start(self):
        dut = self.dut
        Clock(dut.clk, 10, unit="ns").start()
        dut.rst.value = 1
        dut.taken.value = dut.drained.value = dut.drain_memory.value = dut.drain_address.value = 0
        for slot in range(CONFIG.noc.tile_slots):
            getattr(dut, f"slots__{slot}").value = 0
        for _ in range(3):
            await RisingEdge(dut.clk)
        dut.rst.value = 0
        for name, words in self.words.items():
            for row in range(CONFIG.array.rows):
                cocotb.start_soon(self.serve(f"{name}__{row}", words))
        cocotb.start_soon(self.count())

    async def serve(self, port, words):
        """Ready at random; a word two cycles after its request."""
        data = words.view(np.uint64)[:, 0]
        valid, ready, payload, answer_valid, answer = (
            getattr(self.dut, f"{port}__{name}")
            for name in ("request__valid", "request__ready", "request__payload", "valid", "data")
        )
        pipe = deque([None])
        while True:
            open_now = int(self.rng.random() >= self.busy)
            ready.value = open_now
            await RisingEdge(self.dut.clk)
            asked = open_now and valid.value
            pipe.append(payload.value.to_unsigned() if asked else None)
            address = pipe.popleft()
            answer_valid.value = int(address is not None)
            if address is not None:
                answer.value = int(data[address])

    async def count(self):
        while True:
            await RisingEdge(self.dut.clk)
            self.issued += int(self.dut.issued.value)
            self.cycles += 1

    async def run(self, segments):
        """Puts the segments through; returns the psums of each tile."""
        feeding = cocotb.start_soon(self.feed(segments))
        tiles = []
        for number, segment in enumerate(s for s in segments if s["last"]):
            tiles.append(await self.drain(segment, (self.drained_tiles + number) & 1))
        self.drained_tiles += len(tiles)
        await feeding
        return tiles

    drained_tiles = 0
    target = 0

    async def feed(self, segments):
        """Each segment into the next slot, once that has been computed."""
        dut, slots = self.dut, CONFIG.noc.tile_slots
        in_use = 0
        queue = deque(segments)
        while queue or in_use:
            dut.taken.value = 0
            if queue and not in_use >> self.target & 1:
                getattr(dut, f"slots__{self.target}").value = slot_bits(queue.popleft())
                dut.taken.value = 1 << self.target
                in_use |= 1 << self.target
                self.target = (self.target + 1) % slots
            await RisingEdge(dut.clk)
            in_use &= ~dut.computed.value.to_unsigned()
        dut.taken.value = 0

    async def drain(self, segment, memory):
        dut, begin = self.dut, self.cycles
        while not dut.full.value.to_unsigned() >> memory & 1:
            await RisingEdge(dut.clk)
            assert self.cycles - begin < LIMIT_CYCLES, "the array core hangs"
        dut.drain_memory.value = memory
        psums = np.zeros((segment["columns"], segment["steps"] * segment["psums"]), np.int64)
        for address in range(psums.shape[1] + 1):
            dut.drain_address.value = address % psums.shape[1]
            await RisingEdge(dut.clk)
            if address:  # a psum is there in the cycle after its address
                for col in range(len(psums)):
                    value = getattr(dut, f"drain_data__{col}").value
                    psums[col, address - 1] = value.to_signed()
        dut.drained.value = 1 << memory
        await RisingEdge(dut.clk)
        dut.drained.value = 0
        return psums

    def check(self, segments, tiles):
        fmaps, filters = self.words["ifmap_read"], self.words["filter_read"]
        expected, psums, memory = [], [None, None], 0
        for segment in segments:
            old = None if segment["first"] else psums[memory]
            psums[memory] = reference_psums(CONFIG, segment, fmaps, filters, old)
            if segment["last"]:
                expected.append(psums[memory])
            memory ^= segment["last"] | segment["swap"]
        assert all(np.any(tile) for tile in expected)
        for number, (got, want) in enumerate(zip(tiles, expected, strict=True)):
            wrong = np.argwhere(got != want)
            assert not len(wrong), (
                f"tile {number}: {len(wrong)} wrong, first column, psum {wrong[0]}"
            )


def random_segments(rng, count, least=1):
    """Tiles of at most three segments each."""
    segments = []
    for _ in range(count):
        choices = random_choices(CONFIG, rng)
        parts = int(rng.integers(least, 4))
        for part in range(parts):
            choices.update(first=int(part == 0), last=int(part == parts - 1))
            choices.update(filter_base=int(rng.integers(0, 64)))
            segments.append(make_segment(CONFIG, **choices))
    return segments


def taking_turns(rng, segments):
    """The same tiles, two at a time, a segment of the one or the other as chance has it.

    The first tile of two begins first and ends first, as psum memories drain in turn.
    """
    tiles, out = [[]], []
    for segment in segments:
        tiles[-1].append(segment)
        if segment["last"]:
            tiles.append([])
    for number in range(0, len(tiles) - 1, 2):
        pair = tiles[number : number + 2]
        middle = [0] * (len(pair[0]) - 1) + [1] * (len(pair[1]) - 1)
        turns = [0, *rng.permutation(middle), *[1] * bool(pair[1])]
        for turn, following in zip(turns, [*turns[1:], None], strict=True):
            segment = pair[turn].pop(0)
            segment["swap"] = int(not segment["last"] and following != turn)
            out.append(segment)
    return out


@cocotb.test()
@cocotb.parametrize(busy=[0.0, 0.3, 0.7])
async def random_tiles(dut, busy):
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    bench = Bench(dut, rng, busy)
    await bench.start()
    for _ in range(4):
        segments = random_segments(rng, 3)
        bench.check(segments, await bench.run(segments))


@cocotb.test()
async def random_tiles_take_turns(dut):
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    bench = Bench(dut, rng, busy=0.3)
    await bench.start()
    swaps = 0
    for _ in range(3):
        segments = taking_turns(rng, random_segments(rng, 4, least=3))
        bench.check(segments, await bench.run(segments))
        swaps += sum(segment["swap"] for segment in segments)
    assert swaps >= 4


@cocotb.test()
@cocotb.parametrize(turns=[False, True])
async def switching_costs_no_cycle(dut, turns):
    """Pass, tile and filter bank change without a bubble where feeding is not the bound."""
    bench = Bench(dut, np.random.default_rng(1), busy=0.0)
    await bench.start()
    choices = dict(
        p=4, q=4, taps=3, unit_rows=3, tap_chunks=1, channel_chunks=2, we=2, wf=1, wm=1, steps=12,
        stride=(1, 1), height=3, width=14, y0=0, x0=0,
    )  # fmt: skip
    segments = [make_segment(CONFIG, **choices) for _ in range(4)]
    if turns:  # two tiles of two segments
        for segment, first, last in zip(segments, (1, 1, 0, 0), (0, 0, 1, 1), strict=True):
            segment.update(first=first, last=last, swap=1 - last)
    bench.check(segments, await bench.run(segments))
    steps = sum(s["steps"] * s["passes"] for s in segments)
    t = 4 * 4 * 3
    assert bench.issued == (steps + CONFIG.array.rows) * t
    assert bench.cycles < bench.issued + 250  # the first fetch and the last drain


@cocotb.test()
async def passes_of_one_step(dut):
    """As in fully connected layers: the first row is as many passes ahead as there are rows."""
    bench = Bench(dut, np.random.default_rng(2), busy=0.0)
    await bench.start()
    choices = dict(
        p=3, q=2, taps=1, unit_rows=3, tap_chunks=3, channel_chunks=10, we=1, wf=1, wm=2, steps=1,
        stride=(1, 1), height=3, width=3, y0=0, x0=0,
    )  # fmt: skip
    segments = [make_segment(CONFIG, **choices)]
    bench.check(segments, await bench.run(segments))
