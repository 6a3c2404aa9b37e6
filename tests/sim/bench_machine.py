"""cocotb test of a compiled layer on the whole machine, with random back-pressure on both buses."""

import os

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge

from eyas.compiler.writer import compile_graph
from eyas.config import Config
from eyas.registers import MAGIC, VERSION, Counter, Fault, Register
from eyas.sim.benches.axi_memory import AxiLiteHost, AxiMemory
from eyas.sim.golden import run_graph
from eyas.sim.layer_cases import LayerShape, layer_graph, layer_input


@cocotb.test()
async def layer(dut):
    seed = cocotb.RANDOM_SEED
    config = Config.load(os.environ["CONFIG"])
    shape = LayerShape.parse(os.environ["SHAPE"])
    graph, ifmap = layer_graph(shape, seed=seed), layer_input(shape, seed=seed)
    program = compile_graph(graph, config)
    image = program.memory_image()
    program.write_tensor(image, "ifmap", ifmap)

    Clock(dut.clk, 10, unit="ns").start()
    dut.rst.value = 1
    memory = AxiMemory(dut, bytearray(image), stall=0.3, latency=7, seed=seed)
    host = AxiLiteHost(dut, stall=0.3, seed=seed)
    await ClockCycles(dut.clk, 3)
    dut.rst.value = 0
    assert await host.read(Register.MAGIC) == MAGIC
    assert await host.read(Register.VERSION) == VERSION
    assert await host.read(Register.CONFIG_HASH) == config.hash

    await host.write(Register.PROGRAM_ADDRESS, program.program_address)
    await host.write(Register.PROGRAM_LENGTH, len(program.commands))
    await host.write(Register.CONTROL, 3)
    for _ in range(50 * program.predicted_cycles):
        await RisingEdge(dut.clk)
        if dut.interrupt.value == 1:
            break
    status = await host.read(Register.STATUS)
    assert status & 3 == 2, "done, and not busy"
    assert Fault(status >> 8) == Fault.NONE
    after = image.copy()
    after[:] = memory.data
    for name, expected in run_graph(graph, {"ifmap": ifmap}).items():
        assert (program.read_tensor(after, name) == expected).all(), f"tensor {name}"
    for counter, bytes_moved in (
        (Counter.MEMORY_READ_BYTES, memory.read_bytes),
        (Counter.MEMORY_WRITE_BYTES, memory.write_bytes),
    ):
        assert await host.read(Register.COUNTERS + 8 * counter) == bytes_moved
