"""The vector unit against NumPy: its cocotb bench, and with a real GLB."""

import random
from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib.wiring import connect
from amaranth.sim import Simulator
from vector_pools import CONFIG, WORDS, make_pool, ref_pool

from eyas.command import VECTOR_TILE, VECTOR_WINDOW, Opcode, pack
from eyas.hw.glb import Glb
from eyas.hw.interfaces import GLB_READ_LATENCY
from eyas.hw.vector_unit import VectorUnit
from eyas.sim.cocotb_runner import run_bench

TWO_PORTS = replace(CONFIG, glb=replace(CONFIG.glb, ifmap_ports=2))


async def command(ctx, dut, opcode, block, fields, values):
    """Hands over one command."""
    payload = sum(word << 32 * n for n, word in enumerate(pack(fields, **values)))
    ctx.set(dut.command.payload, {"opcode": opcode, "block": block, "payload": payload})
    ctx.set(dut.command.valid, 1)
    await ctx.tick().until(dut.command.ready)
    ctx.set(dut.command.valid, 0)


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
        await command(ctx, dut, Opcode.SET, 1, VECTOR_WINDOW, pool.window)
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


def test_vector_unit():
    run_bench(VectorUnit(CONFIG), "vector_unit", "bench_vector_unit", env={"COUNT": 100})


@pytest.mark.parametrize("config", [CONFIG, TWO_PORTS], ids=["1-bank", "2-banks"])
def test_with_the_real_glb(seed, config):
    rng = random.Random(seed)
    shape = {"window": (3, 3), "stride": (2, 2), "padding": (1, 1, 1, 1), "size": (9, 11)}
    pool = make_pool(rng, blocks=2, pitches=(1, 0), **shape)
    np.testing.assert_array_equal(rtl_pool_with_glb(config, pool, rng), ref_pool(pool))
