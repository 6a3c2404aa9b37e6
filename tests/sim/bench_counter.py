"""cocotb tests of the component in test_cocotb_runner.py."""

import os

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge


@cocotb.test()
async def counts(dut):
    Clock(dut.clk, 10, unit="ns").start()
    dut.step.value = step = int(os.environ["STEP"])
    dut.rst.value = 1
    await RisingEdge(dut.clk)
    dut.rst.value = 0
    await RisingEdge(dut.clk)
    for n in range(10):
        assert dut.count.value.to_unsigned() == n * step % 256
        await RisingEdge(dut.clk)


@cocotb.test()
async def counts_nonsense(dut):
    Clock(dut.clk, 10, unit="ns").start()
    await RisingEdge(dut.clk)
    assert dut.count.value.to_unsigned() == 77, "the count is not 77"
