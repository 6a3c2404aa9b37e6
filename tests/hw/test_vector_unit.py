"""The vector unit against NumPy: random windows, strides, padding and GLB stalls; cycles."""

import random
from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib.wiring import connect
from amaranth.sim import Simulator
from vector_pools import CONFIG, WORDS, make_pool, random_pool, ref_pool

from eyas.command import VECTOR_TILE, VECTOR_WINDOW, Opcode, VectorOp, pack
from eyas.hw.glb import Glb
from eyas.hw.interfaces import GLB_READ_LATENCY
from eyas.hw.vector_unit import START_CYCLES, VectorUnit

TWO_PORTS = replace(CONFIG, glb=replace(CONFIG.glb, ifmap_ports=2))
MAX_POOL = {"op": VectorOp.MAX_POOL}


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


async def command(ctx, dut, opcode, block, fields, values):
    """Hands over one command."""
    payload = sum(word << 32 * n for n, word in enumerate(pack(fields, **values)))
    ctx.set(dut.command.payload, {"opcode": opcode, "block": block, "payload": payload})
    ctx.set(dut.command.valid, 1)
    await ctx.tick().until(dut.command.ready)
    ctx.set(dut.command.valid, 0)


def rtl_pool(pools, seed=0, *, read_rate=1.0, write_rate=1.0):
    """Runs commands one after the other on one unit. Returns (GLB, cycles, words moved) of each."""
    dut = VectorUnit(CONFIG)
    rng = random.Random(seed)
    rates = {"read_rate": read_rate, "write_rate": write_rate}
    glb = GlbModel(dut, np.zeros((WORDS, 8), np.int8), rng, **rates)
    results = []

    async def driver(ctx):
        for pool in pools:
            glb.words[:] = pool.glb
            moved = glb.read_words, glb.written_words
            await command(ctx, dut, Opcode.SET, 1, VECTOR_WINDOW, MAX_POOL | pool.window)
            await command(ctx, dut, Opcode.SET, 0, VECTOR_TILE, dict.fromkeys(pool.tile, 1))
            assert not ctx.get(dut.busy)
            await command(ctx, dut, Opcode.VECTOR, 0, VECTOR_TILE, pool.tile)
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


def rtl_pool_with_glb(config, pool, rng):
    """Runs a command on a unit with a real GLB, behind clients that are served first."""
    m = Module()
    m.submodules.unit = dut = VectorUnit(config)
    m.submodules.glb = glb = Glb(config, fmap_readers=2, fmap_writers=2, filter_readers=1)
    connect(m, dut.read, glb.fmap_read[1])
    connect(m, dut.write, glb.fmap_write[1])
    result = np.zeros((WORDS, 8), np.int8)
    requests = glb.fmap_read[0].request, glb.fmap_write[0].request

    async def driver(ctx):
        ctx.set(requests[1].valid, 1)
        for address, word in enumerate(pool.glb):
            data = int.from_bytes(word.tobytes(), "little")
            ctx.set(requests[1].payload, {"address": address, "data": data, "mask": 0xFF})
            await ctx.tick()
        await command(ctx, dut, Opcode.SET, 1, VECTOR_WINDOW, MAX_POOL | pool.window)
        await command(ctx, dut, Opcode.VECTOR, 0, VECTOR_TILE, pool.tile)
        while not ctx.get(dut.done):
            for request in requests:  # others read, and write nothing to some word
                ctx.set(request.valid, rng.random() < 0.5)
            ctx.set(requests[0].payload, rng.randrange(WORDS))
            ctx.set(requests[1].payload, {"address": WORDS - 1, "data": 0, "mask": 0})
            await ctx.tick()
        ctx.set(requests[1].valid, 0)
        ctx.set(requests[0].valid, 1)
        for address in range(WORDS + GLB_READ_LATENCY):
            ctx.set(requests[0].payload, address % WORDS)
            if address >= GLB_READ_LATENCY:
                word = ctx.get(glb.fmap_read[0].data).to_bytes(8, "little")
                result[address - GLB_READ_LATENCY] = np.frombuffer(word, np.int8)
            await ctx.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-8)
    simulator.add_testbench(driver)
    simulator.run()
    return result


@pytest.mark.parametrize("rates", [(1.0, 1.0), (0.6, 1.0), (1.0, 0.2), (0.3, 0.3)])
def test_random_pools(seed, rates):
    rng = random.Random(seed)
    pools = [random_pool(rng) for _ in range(25)]
    results = rtl_pool(pools, seed, read_rate=rates[0], write_rate=rates[1])
    for number, (pool, (glb, _, moved)) in enumerate(zip(pools, results, strict=True)):
        message = f"command {number}: {pool.tile} {pool.window}"
        np.testing.assert_array_equal(glb, ref_pool(pool), message)
        assert moved == (sum(pool.counts()), len(pool.counts())), message


@pytest.mark.parametrize("config", [CONFIG, TWO_PORTS], ids=["1-bank", "2-banks"])
def test_with_the_real_glb(seed, config):
    rng = random.Random(seed)
    shape = {"window": (3, 3), "stride": (2, 2), "padding": (1, 1, 1, 1), "size": (9, 11)}
    pool = make_pool(rng, blocks=2, pitches=(1, 0), **shape)
    np.testing.assert_array_equal(rtl_pool_with_glb(config, pool, rng), ref_pool(pool))


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
