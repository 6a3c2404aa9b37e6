"""The vector unit against NumPy: random windows, strides, padding and GLB stalls; cycles."""

import random
from dataclasses import dataclass, field

import numpy as np
import pytest
from amaranth.sim import Simulator

from eyas.command import VECTOR_TILE, VECTOR_WINDOW, Opcode, VectorOp, pack
from eyas.config import Config
from eyas.hw.interfaces import GLB_READ_LATENCY
from eyas.hw.vector_unit import START_CYCLES, VectorUnit

CONFIG = Config.load("tiny4x4")
WORDS = CONFIG.glb.fmap_words
MAX_POOL = {"op": VectorOp.MAX_POOL}


@dataclass
class Pool:
    """One VECTOR command: `tile` and `window` fields as docs/architecture.md names them."""

    tile: dict[str, int]
    window: dict[str, int]
    glb: np.ndarray = field(default=None)  # int8 (WORDS, 8) before the command

    @property
    def shape(self):
        return self.tile["blocks"], self.tile["out_height"], self.tile["out_width"]

    def inputs(self, e, f):
        """Offsets (y - y0, x - x0) of the inputs of ofmap position (e, f) that are inside."""
        tile, window = self.tile, self.window
        for i in range(window["rows"]):
            for t in range(window["taps"]):
                dy, dx = e * window["stride_y"] + i, f * window["stride_x"] + t
                inside_y = 0 <= tile["y0"] + dy < tile["in_height"]
                if inside_y and 0 <= tile["x0"] + dx < tile["in_width"]:
                    yield dy, dx

    def counts(self):
        """Inputs of each window, in order."""
        blocks, height, width = self.shape
        row_by_row = [len(list(self.inputs(e, f))) for e in range(height) for f in range(width)]
        return row_by_row * blocks


def ref_pool(pool):
    """The GLB after the command."""
    glb, tile = pool.glb.copy(), pool.tile
    for block, e, f in np.ndindex(pool.shape):
        base = tile["in_base"] + block * tile["in_plane"]
        reads = [(base + dy * tile["in_pitch"] + dx) % WORDS for dy, dx in pool.inputs(e, f)]
        result = pool.glb[reads].max(axis=0) if reads else np.full(8, -128, np.int8)
        out = tile["out_base"] + block * tile["out_plane"] + e * tile["out_pitch"] + f
        glb[out % WORDS] = result
    return glb


class GlbModel:
    """Memory behind the unit's two ports that grants at random and answers after the latency."""

    def __init__(self, dut, words, rng, *, read_rate, write_rate):
        self.dut, self.words, self.rng = dut, words.copy(), rng
        self.read_rate, self.write_rate = read_rate, write_rate
        self.read_words = self.written_words = 0

    async def run(self, ctx):
        read, write = self.dut.read, self.dut.write
        answers = [None] * GLB_READ_LATENCY
        held = None
        while True:
            answer = answers.pop(0)
            ctx.set(read.valid, answer is not None)
            ctx.set(read.data, self.rng.getrandbits(64) if answer is None else answer)
            ctx.set(read.request.ready, self.rng.random() < self.read_rate)
            ctx.set(write.request.ready, self.rng.random() < self.write_rate)
            asked, granted = ctx.get(read.request.valid), ctx.get(read.request.ready)
            address = ctx.get(read.request.payload)
            assert held is None or (asked and address == held), "a request must stay until granted"
            held = address if asked and not granted else None
            answers.append(self.word(address % WORDS) if asked and granted else None)
            self.read_words += asked and granted
            if ctx.get(write.request.valid) and ctx.get(write.request.ready):
                payload = ctx.get(write.request.payload)
                assert payload.mask == 0xFF
                lanes = payload.data.to_bytes(8, "little")
                self.words[payload.address % WORDS] = np.frombuffer(lanes, np.int8)
                self.written_words += 1
            await ctx.tick()

    def word(self, address):
        return int.from_bytes(self.words[address].tobytes(), "little")


def rtl_pool(pools, seed=0, *, read_rate=1.0, write_rate=1.0):
    """Runs commands one after the other on one unit. Returns (GLB, cycles, words moved) of each."""
    dut = VectorUnit(CONFIG)
    rng = random.Random(seed)
    rates = {"read_rate": read_rate, "write_rate": write_rate}
    glb = GlbModel(dut, np.zeros((WORDS, 8), np.int8), rng, **rates)
    results = []

    async def command(ctx, opcode, block, fields, values):
        words = pack(fields, **values)
        payload = sum(word << 32 * n for n, word in enumerate(words))
        ctx.set(dut.command.payload, {"opcode": opcode, "block": block, "payload": payload})
        ctx.set(dut.command.valid, 1)
        await ctx.tick().until(dut.command.ready)
        ctx.set(dut.command.valid, 0)

    async def driver(ctx):
        for pool in pools:
            glb.words[:] = pool.glb
            moved = glb.read_words, glb.written_words
            await command(ctx, Opcode.SET, 1, VECTOR_WINDOW, MAX_POOL | pool.window)
            await command(ctx, Opcode.SET, 0, VECTOR_TILE, dict.fromkeys(pool.tile, 1))
            assert not ctx.get(dut.busy)
            await command(ctx, Opcode.VECTOR, 0, VECTOR_TILE, pool.tile)
            cycles = 1
            while not ctx.get(dut.done):
                assert ctx.get(dut.busy)
                assert cycles < 20000, "no end"
                await ctx.tick()
                cycles += 1
            await ctx.tick()
            assert not ctx.get(dut.busy)
            assert not ctx.get(dut.done), "a pulse"
            moved = glb.read_words - moved[0], glb.written_words - moved[1]
            results.append((glb.words.copy(), cycles, moved))

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(driver)
    simulator.add_testbench(glb.run, background=True)
    simulator.run()
    return results


def make_pool(rng, *, window, stride, padding, size, blocks=1, pitches=(0, 0)):
    """A layer-like command over a whole fmap of `size`, its ofmap behind it."""
    (rows, taps), (height, width) = window, size
    top, left, bottom, right = padding
    out_height = (height + top + bottom - rows) // stride[0] + 1
    out_width = (width + left + right - taps) // stride[1] + 1
    in_pitch, out_pitch = width + pitches[0], out_width + pitches[1]
    tile = {
        "in_base": (5 - top * in_pitch - left) % 2**16,
        "out_base": 5 + blocks * height * in_pitch,
        "y0": -top,
        "x0": -left,
        "in_height": height,
        "in_width": width,
        "out_height": out_height,
        "out_width": out_width,
        "blocks": blocks,
        "in_pitch": in_pitch,
        "in_plane": height * in_pitch,
        "out_pitch": out_pitch,
        "out_plane": out_height * out_pitch,
    }
    window = {
        "rows": rows,
        "taps": taps,
        "stride_y": stride[0],
        "stride_x": stride[1],
        "y_step": stride[0] * in_pitch,
    }
    return Pool(tile, window, random_glb(rng))


def random_glb(rng):
    return np.frombuffer(rng.randbytes(WORDS * 8), np.int8).reshape(WORDS, 8)


def random_pool(rng):
    """Any window, also larger than the fmap or beside it; y0 and x0 anywhere around the buffer."""
    window = rng.randint(1, 5), rng.randint(1, 5)
    size = rng.randint(1, 9), rng.randint(1, 9)
    padding = [rng.randint(0, 4) for _ in range(4)]
    padding[2] += max(0, window[0] - size[0] - padding[0])
    padding[3] += max(0, window[1] - size[1] - padding[1])
    pool = make_pool(
        rng,
        window=window,
        stride=(rng.randint(1, 4), rng.randint(1, 4)),
        padding=padding,
        size=size,
        blocks=rng.randint(1, 3),
        pitches=(rng.randint(0, 2), rng.randint(0, 2)),
    )
    if rng.random() < 0.3:  # a tile in the middle of a fmap, or in nothing but padding
        pool.tile["y0"], pool.tile["x0"] = rng.randint(-8, 8), rng.randint(-8, 8)
    return pool


@pytest.mark.parametrize("rates", [(1.0, 1.0), (0.6, 1.0), (1.0, 0.2), (0.3, 0.3)])
def test_random_pools(seed, rates):
    rng = random.Random(seed)
    pools = [random_pool(rng) for _ in range(25)]
    results = rtl_pool(pools, seed, read_rate=rates[0], write_rate=rates[1])
    for number, (pool, (glb, _, moved)) in enumerate(zip(pools, results, strict=True)):
        message = f"command {number}: {pool.tile} {pool.window}"
        np.testing.assert_array_equal(glb, ref_pool(pool), message)
        assert moved == (sum(pool.counts()), len(pool.counts())), message


def layer_cases():
    both = (2, 2)
    return [
        pytest.param(both, both, (0, 0, 0, 0), (8, 8), 2, id="2x2-s2"),
        pytest.param((3, 3), both, (0, 0, 1, 1), (9, 9), 2, id="3x3-s2"),
        pytest.param((3, 3), both, (1, 1, 1, 1), (11, 10), 2, id="3x3-s2-padded"),
        pytest.param((3, 3), (1, 1), (1, 1, 1, 1), (7, 7), 1, id="3x3-s1-padded"),
        pytest.param((5, 5), (1, 1), (2, 2, 2, 2), (9, 9), 1, id="5x5-s1-padded"),
        pytest.param((7, 7), (1, 1), (0, 0, 0, 0), (7, 7), 3, id="7x7-global"),
    ]


@pytest.mark.parametrize(("window", "stride", "padding", "size", "blocks"), layer_cases())
def test_a_word_a_cycle(seed, window, stride, padding, size, blocks):
    shape = {"window": window, "stride": stride, "padding": padding, "size": size}
    pool = make_pool(random.Random(seed), blocks=blocks, **shape)
    [(glb, cycles, moved)] = rtl_pool([pool])
    np.testing.assert_array_equal(glb, ref_pool(pool))
    assert cycles == START_CYCLES + padding[0] + moved[0]


@pytest.mark.parametrize("taps", [1, 2])
def test_two_short_windows_take_five_cycles(seed, taps):
    shape = {"window": (1, taps), "stride": (1, 2), "padding": (0, 0, 0, 0), "size": (1, 40)}
    pool = make_pool(random.Random(seed), **shape)
    [(_, cycles, _)] = rtl_pool([pool])
    assert cycles <= START_CYCLES + 5 * len(pool.counts()) // 2


@pytest.mark.parametrize("size", ["blocks", "out_height", "out_width"])
def test_nothing_to_do_ends(seed, size):
    rng = random.Random(seed)
    pools = [random_pool(rng) for _ in range(3)]
    pools[1].tile[size] = 0
    for pool, (glb, _, _) in zip(pools, rtl_pool(pools), strict=True):
        np.testing.assert_array_equal(glb, ref_pool(pool))
