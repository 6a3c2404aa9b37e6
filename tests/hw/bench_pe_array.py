"""cocotb bench of the PE array: rings and filters filled over the X-buses, steps with random
bubbles, every psum that leaves the last row against the sum that it should be."""

import json
import os
import random

import cocotb
from bench_pe import sign
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from eyas.config import Config
from eyas.hw.array_layouts import micro_cycle_layout, row_step_layout, x_bus_layout
from eyas.hw.pe import SUM_STAGE

CONFIG = Config.from_dict(json.loads(os.environ["CONFIG"]))
ROWS, COLS = CONFIG.array.rows, CONFIG.array.cols
LANES, FILTERS = CONFIG.spad.ifmap_lanes, CONFIG.spad.filters
MICRO, STEP, BUS = (f(CONFIG) for f in (micro_cycle_layout, row_step_layout, x_bus_layout))


def bits(layout, **values):
    return layout.const(values).as_bits()


async def fill(dut, rng):
    """Random rings and filter banks in every PE; different data for different columns."""
    rings = [[[0] * LANES for _ in range(COLS)] for _ in range(ROWS)]
    filters = [[[0] * 2 * FILTERS for _ in range(COLS)] for _ in range(ROWS)]
    for address in range(2 * FILTERS):
        for pick in range(2):  # two masks that share the columns out
            for row in range(ROWS):
                half = [c for c in range(COLS) if c % 2 == pick]
                value, lanes = rng.randrange(256), [rng.randrange(256) for _ in range(4)]
                beat = address % (LANES // 4)
                for col in half:
                    filters[row][col][address] = sign(value, 8)
                    rings[row][col][4 * beat : 4 * beat + 4] = [sign(v, 8) for v in lanes]
                mask = sum(1 << c for c in half)
                getattr(dut, f"x_bus__{row}").value = bits(
                    BUS,
                    ifmap_mask=mask,
                    ifmap_address=beat,
                    ifmap_data=int.from_bytes(bytes(lanes), "little"),
                    filter_mask=mask,
                    filter_address=address,
                    filter_data=value,
                )
            await RisingEdge(dut.clk)
    for row in range(ROWS):
        getattr(dut, f"x_bus__{row}").value = 0
    return rings, filters


@cocotb.test()
async def psums_ripple_down_the_columns(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    Clock(dut.clk, 10, unit="ns").start()
    dut.rst.value = 1
    dut.micro.value = 0
    for row in range(ROWS):
        getattr(dut, f"x_bus__{row}").value = 0
        getattr(dut, f"step__{row}").value = 0
    await RisingEdge(dut.clk)
    await RisingEdge(dut.clk)
    dut.rst.value = 0
    rings, filters = await fill(dut, rng)
    checked = 0
    for p, q in ((3, 1), (4, 5), (7, 2), (3, 8)):
        checked += await run_steps(dut, rng, rings, filters, p, q, count=3 * ROWS)
    assert checked > 100


async def run_steps(dut, rng, rings, filters, p, q, count):
    """Row r works on item n - r in step n; item n leaves the last row in step n + ROWS."""
    items = [
        [
            {
                "active": int(rng.random() < 0.8),
                "filter_bank": rng.randrange(2),
                "ring_base": rng.randrange(LANES),
            }
            for _ in range(ROWS)
        ]
        for _ in range(count)
    ]
    pending, checked = [], 0
    for n in range(count + ROWS + 1):
        for row in range(ROWS):
            step = items[n - row][row] if 0 <= n - row < count else {"active": 0}
            getattr(dut, f"step__{row}").value = bits(STEP, **step)
        for lane in range(q):
            for j in range(p):
                while rng.random() < 0.2:
                    dut.micro.value = 0
                    checked += await tick(dut, pending)
                dut.micro.value = bits(
                    MICRO, valid=1, first=int(lane == 0), psum=j, filter=lane * p + j, lane=lane
                )
                if lane == 0 and 0 <= n - ROWS < count:
                    sums = [
                        expected(items[n - ROWS], rings, filters, col, p, q, j)
                        for col in range(COLS)
                    ]
                    pending.append([SUM_STAGE, sums])
                checked += await tick(dut, pending)
    dut.micro.value = 0
    for _ in range(SUM_STAGE + 1):
        checked += await tick(dut, pending)
    return checked


def expected(item, rings, filters, col, p, q, j):
    total = 0
    for row, step in enumerate(item):
        if step["active"]:
            for lane in range(q):
                value = rings[row][col][(step["ring_base"] + lane) % LANES]
                weight = filters[row][col][step["filter_bank"] * FILTERS + lane * p + j]
                total += value * weight
    return total


async def tick(dut, pending):
    """One cycle; compares the psums whose time has come. Returns how many."""
    due = [sums for delay, sums in pending if delay == 0]
    for entry in pending:
        entry[0] -= 1
    pending[:] = [entry for entry in pending if entry[0] >= 0]
    await RisingEdge(dut.clk)
    for sums in due:
        got = [getattr(dut, f"psums__{col}").value.to_signed() for col in range(COLS)]
        assert got == sums
    return len(due)
