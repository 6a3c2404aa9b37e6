"""The register map over AXI4-Lite."""

import random
from dataclasses import replace

import pytest
from amaranth.sim import Simulator

from eyas.config import Config
from eyas.config import Control as ControlConfig
from eyas.hw.control import Control
from eyas.registers import MAGIC, VERSION, Counter, Fault, Register

CONFIG = replace(Config.load("tiny4x4"), control=ControlConfig(counter_width=48))


async def idle(ctx, cycles):
    for _ in range(cycles):
        await ctx.tick()


async def write(ctx, axi, address, value, rng=None):
    """Address and data come together or one before the other, and the answer is taken late."""
    late = rng.randint(-3, 3) if rng else 0
    ctx.set(axi.aw.payload, address)
    ctx.set(axi.w.p.data, value)
    ctx.set(axi.aw.valid, late >= 0)
    ctx.set(axi.w.valid, late <= 0)
    await idle(ctx, abs(late))
    ctx.set(axi.aw.valid, 1)
    ctx.set(axi.w.valid, 1)
    await ctx.tick().until(axi.aw.ready & axi.w.ready)
    ctx.set(axi.aw.valid, 0)
    ctx.set(axi.w.valid, 0)
    await idle(ctx, rng.randint(0, 3) if rng else 0)
    ctx.set(axi.b.ready, 1)
    await ctx.tick().until(axi.b.valid)
    ctx.set(axi.b.ready, 0)


async def read(ctx, axi, address, rng=None):
    ctx.set(axi.ar.payload, address)
    ctx.set(axi.ar.valid, 1)
    await ctx.tick().until(axi.ar.ready)
    ctx.set(axi.ar.valid, 0)
    await idle(ctx, rng.randint(0, 9) if rng else 0)
    ctx.set(axi.r.ready, 1)
    data, resp = await ctx.tick().sample(axi.r.p.data, axi.r.p.resp).until(axi.r.valid)
    ctx.set(axi.r.ready, 0)
    assert resp == 0
    return data


def simulate(bench, config=CONFIG, *, sequencer=None):
    """Runs `bench(ctx, dut)` and beside it `sequencer(ctx, dut)`, both to their ends."""
    dut = Control(config)
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)

    def testbench(process):
        async def play(ctx):
            await process(ctx, dut)

        return play

    for process in (bench, sequencer):
        if process is not None:
            simulator.add_testbench(testbench(process))
    simulator.run()


async def run_program(ctx, dut, cycles, fault=Fault.NONE):
    """Plays the sequencer: busy from the cycle after `start` on, for so many cycles."""
    await ctx.tick().until(dut.start)
    ctx.set(dut.busy, 1)
    for _ in range(cycles - 1):
        await ctx.tick()
        assert not ctx.get(dut.start)
    ctx.set(dut.done, 1)
    ctx.set(dut.fault, fault)
    await ctx.tick()
    ctx.set(dut.done, 0)
    ctx.set(dut.busy, 0)


def test_registers_read_back(seed):
    rng = random.Random(seed)

    async def bench(ctx, dut):
        constants = {
            Register.MAGIC: MAGIC,
            Register.VERSION: VERSION,
            Register.CONFIG_HASH: CONFIG.hash,
            Register.STATUS: 0,
            Register.CONTROL: 0,
            0x1C: 0,
            0xFC: 0,
            0x200: 0,
        }
        for address, value in constants.items():
            if address != Register.CONTROL:
                await write(ctx, dut.axi, address, 0xFFFFFFFF, rng)
            assert await read(ctx, dut.axi, address, rng) == value, hex(address)
        for _ in range(5):
            address, length = rng.getrandbits(32), rng.getrandbits(27)
            await write(ctx, dut.axi, Register.PROGRAM_ADDRESS, address, rng)
            await write(ctx, dut.axi, Register.PROGRAM_LENGTH, length, rng)
            assert await read(ctx, dut.axi, Register.PROGRAM_ADDRESS, rng) == address
            assert await read(ctx, dut.axi, Register.PROGRAM_LENGTH, rng) == length
            assert (ctx.get(dut.address), ctx.get(dut.length)) == (address, length)

    simulate(bench)


@pytest.mark.parametrize("fault", [Fault.NONE, Fault.MEMORY_WRITE])
def test_a_run_from_start_to_interrupt(fault, seed):
    rng = random.Random(seed)

    async def sequencer(ctx, dut):
        for _ in range(2):
            await run_program(ctx, dut, 60, fault)
        for _ in range(200):
            assert not ctx.get(dut.start)
            await ctx.tick()

    async def bench(ctx, dut):
        for _ in range(2):
            await write(ctx, dut.axi, Register.CONTROL, 1, rng)
            assert await read(ctx, dut.axi, Register.STATUS) & 3 == 1
            assert not ctx.get(dut.interrupt)
            await write(ctx, dut.axi, Register.CONTROL, 1, rng)  # while it runs: ignored
            await ctx.tick().until(~dut.busy)
            assert await read(ctx, dut.axi, Register.STATUS) == 2 | fault << 8
            assert ctx.get(dut.interrupt)
        await write(ctx, dut.axi, Register.CONTROL, 2, rng)  # clears, but does not start
        assert await read(ctx, dut.axi, Register.STATUS) == 2 | fault << 8

    simulate(bench, sequencer=sequencer)


@pytest.mark.parametrize("clear", [0, 2])
def test_counters_over_the_registers(clear, seed):
    """Both halves of a counter; cleared by a start only when it says so."""
    rng = random.Random(seed)
    macs = (1 << 32) - 1

    async def sequencer(ctx, dut):
        for _ in range(2):
            await ctx.tick().until(dut.start)
            ctx.set(dut.busy, 1)
            ctx.set(dut.events["stall_commands"], 1)
            ctx.set(dut.events["useful_macs"], macs)
            await ctx.tick().repeat(77)
            ctx.set(dut.busy, 0)
            ctx.set(dut.events["useful_macs"], 0)

    async def bench(ctx, dut):
        for run in (1, 2):
            await write(ctx, dut.axi, Register.CONTROL, 1 | clear)
            await ctx.tick().until(~dut.busy)
            await ctx.tick().repeat(3)
            runs = 1 if clear else run
            expected = dict.fromkeys(Counter, 0)
            expected |= {Counter.CYCLES: 77 * runs, Counter.STALL_COMMANDS: 77 * runs}
            expected |= {Counter.USEFUL_MACS: 77 * macs * runs}
            for counter in rng.sample([*Counter], len(Counter)):
                address = Register.COUNTERS + 8 * counter
                low = await read(ctx, dut.axi, address, rng)
                high = await read(ctx, dut.axi, address + 4, rng)
                assert low | high << 32 == expected[counter]

    simulate(bench, sequencer=sequencer)


def test_without_counters_they_read_as_zero():
    async def bench(ctx, dut):
        ctx.set(dut.busy, 1)
        await ctx.tick().repeat(9)
        for counter in Counter:
            assert await read(ctx, dut.axi, Register.COUNTERS + 8 * counter) == 0

    simulate(bench, replace(CONFIG, control=ControlConfig(counter_width=0)))


def test_counters_over_the_read_port_of_store():
    async def bench(ctx, dut):
        ctx.set(dut.busy, 1)
        await ctx.tick().repeat(500)
        ctx.set(dut.busy, 0)
        await ctx.tick().repeat(3)
        port = dut.counter_read
        ctx.set(port.request.payload, Counter.CYCLES)
        ctx.set(port.request.valid, 1)
        await ctx.tick().until(port.request.ready)
        ctx.set(port.request.valid, 0)
        (value,) = await ctx.tick().sample(port.data).until(port.valid)
        assert value == 500

    simulate(bench)
