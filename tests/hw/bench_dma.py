"""cocotb bench of the LOAD or the STORE engine: the agents of dma_agents.py, stalling at random.

Environment: CONFIG (JSON of the configuration), COMMANDS (how many).
"""

import json
import os
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge
from dma_agents import (
    GlbReader,
    GlbWriter,
    Pulses,
    ReadMemory,
    Source,
    Stalls,
    WriteMemory,
    engine_command,
)
from test_dma_load import cases as load_cases
from test_dma_load import ref_load
from test_dma_store import COUNTERS, FMAP, ref_store
from test_dma_store import cases as store_cases

from eyas.command import Opcode
from eyas.config import Config

SIZE = 1 << 16


async def play(dut, agents, until, limit=200_000):
    """As dma_agents.play: drives after a rising edge, sees what is there before the next one."""
    names = [name for agent in agents for name in agent.samples]
    drive(dut, agents)
    dut.rst.value = 1
    Clock(dut.clk, 10, unit="ns").start()
    await RisingEdge(dut.clk)
    dut.rst.value = 0
    for _ in range(limit):
        await FallingEdge(dut.clk)
        seen = {name: int(getattr(dut, name).value) for name in names}
        for agent in agents:
            agent.observe(seen)
        if until():
            return
        await RisingEdge(dut.clk)
        drive(dut, agents)
    raise AssertionError("nothing moves any more")


def drive(dut, agents):
    for agent in agents:
        for name, value in agent.drive().items():
            getattr(dut, name).value = int(value)


def set_up(cases):
    """(configuration, random numbers, commands, a maker of stalls)"""
    rng = random.Random(cocotb.RANDOM_SEED)
    config = Config.from_dict(json.loads(os.environ["CONFIG"]))
    commands = []
    while len(commands) < int(os.environ["COMMANDS"]):
        commands += cases(rng)

    def stalls():
        return Stalls(rng, rng.choice([0, 0.1, 0.5, 0.8]))

    return config, rng, commands, stalls


def bus(config):
    return config.memory.bus_bytes, config.memory.burst_beats


@cocotb.test
async def load(dut):
    """Every word of every command lands, whoever stalls."""
    config, rng, commands, stalls = set_up(load_cases)
    memory = rng.randbytes(SIZE)
    spaces, expected = ({}, {}), ({}, {})
    loads = [command for command in commands if command.opcode == Opcode.LOAD]
    for command in loads:
        ref_load(command, memory, expected)
    ended = Pulses("port__ended")
    agents = [
        Source("port__command", map(engine_command, commands), stalls()),
        ReadMemory("axi", memory, *bus(config), latency=25, jitter=60, stalls=stalls()),
        GlbWriter("fmap_write", spaces[0], stalls()),
        GlbWriter("filter_write", spaces[1], stalls()),
        ended,
    ]
    await play(dut, agents, lambda: len(ended.seen) == len(loads))
    assert spaces == expected


@cocotb.test
async def store(dut):
    """Memory holds every lane of every command, whoever stalls."""
    config, _, commands, stalls = set_up(store_cases)
    memory, expected = bytearray(SIZE), bytearray(SIZE)
    for command in commands:
        ref_store(command, expected)
    ended = Pulses("port__ended")
    agents = [
        Source("port__command", map(engine_command, commands), stalls()),
        WriteMemory("axi", memory, *bus(config), latency=25, stalls=stalls()),
        GlbReader("fmap_read", FMAP, stalls()),
        GlbReader("counter_read", COUNTERS, stalls()),
        ended,
    ]
    await play(dut, agents, lambda: len(ended.seen) == len(commands))
    assert memory == expected
