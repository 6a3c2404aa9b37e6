"""cocotb tests of the AXI agents, on copy_machine.v."""

import json
import os
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from copy_machine import END, PLANT, Plant, encode, load, store

from eyas.registers import MAGIC, Counter, Fault, Register
from eyas.sim.benches.axi_memory import AxiLiteHost, AxiMemory

STALL, LATENCY = (json.loads(os.environ[name]) for name in ("STALL", "LATENCY"))


class Machine:
    def __init__(self, dut):
        self.dut = dut
        rng = random.Random(cocotb.RANDOM_SEED)
        Clock(dut.clk, 10, unit="ns").start()
        dut.rst.value = 1
        self.data = bytearray(rng.randbytes(0x8000))
        self.memory = AxiMemory(
            dut, self.data, latency=LATENCY, stall=STALL, seed=cocotb.RANDOM_SEED
        )
        self.host = AxiLiteHost(dut, stall=STALL, seed=cocotb.RANDOM_SEED)

    async def reset(self):
        await ClockCycles(self.dut.clk, 3)
        self.dut.rst.value = 0

    async def run(self, commands):
        self.data[0x1000 : 0x1000 + 32 * len(commands)] = encode(commands)
        await self.host.write(Register.PROGRAM_ADDRESS, 0x1000)
        await self.host.write(Register.PROGRAM_LENGTH, len(commands))
        await self.host.write(Register.CONTROL, 3)
        for _ in range(20_000):
            await RisingEdge(self.dut.clk)
            if self.dut.interrupt.value == 1:
                return Fault((await self.host.read(Register.STATUS)) >> 8)
        raise AssertionError("no interrupt")


@cocotb.test()
async def copies(dut):
    machine = Machine(dut)
    await machine.reset()
    assert await machine.host.read(Register.MAGIC) == MAGIC
    before = bytes(machine.data)
    commands = [load(0x2000, 5, 200), store(0x4800, 6, 100, enable=0x5A), END]
    assert await machine.run(commands) == Fault.NONE
    for n in range(800):
        enabled = 0x5A >> n % 8 & 1
        assert machine.data[0x4800 + n] == before[0x2008 + n if enabled else 0x4800 + n]
    assert machine.data[0x4B20:] == before[0x4B20:]
    counted = await machine.host.read(Register.COUNTERS + 8 * Counter.MEMORY_READ_BYTES)
    assert counted == machine.memory.read_bytes == 3 * 32 + 200 * 8
    assert machine.memory.write_bytes == 800
    cycles = await machine.host.read(Register.COUNTERS + 8 * Counter.CYCLES)
    assert cycles >= 5 * LATENCY + 300  # five accesses wait for the memory, 300 words move


@cocotb.test()
async def outside_is_an_error(dut):
    machine = Machine(dut)
    await machine.reset()
    assert await machine.run([load(0x9000, 0, 2), END]) == Fault.MEMORY_READ
    assert await machine.run([store(0x9000, 0, 2), END]) == Fault.MEMORY_WRITE
    assert machine.memory.errors == 2


@cocotb.test()
async def breach(dut):
    """Fails: the machine's wlast is early."""
    machine = Machine(dut)
    await machine.reset()
    await machine.host.write(PLANT, Plant.LAST)
    await machine.run([store(0x4000, 0, 4), END])
