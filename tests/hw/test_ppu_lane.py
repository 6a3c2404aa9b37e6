"""The PPU lane against the golden requantisation: values of every kind, a new one in each cycle."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.sim import Simulator

from eyas.command import Dialect
from eyas.config import Config, Ppu
from eyas.hw.ppu_lane import PPULane, lane_latency
from eyas.sim.requantize import INT32_MAX, INT32_MIN, requantize, wrap_int32

CONFIG = Config.load("edge8x8")


def random_int32(rng, count):
    """Every magnitude; one in four of few significant bits, so that roundings tie."""
    values = rng.integers(INT32_MIN, INT32_MAX, count, endpoint=True)
    few = values >> 25 << rng.integers(0, 25, count)
    values = np.where(rng.random(count) < 0.25, few, values)
    values >>= rng.integers(0, 32, count)
    corners = [0, 1, -1, INT32_MAX, INT32_MIN, 1 << 24, (1 << 24) + 1, -(1 << 24) - 3, 1 << 30]
    values[: len(corners)] = corners
    return values


def any_parameters(rng, dialect, value):
    """Most scales bring their value near int8, the others are anything."""
    count = len(value)
    onnx = dialect == Dialect.ONNX
    bits, shifts = (24, (-128, 127)) if onnx else (31, (-31, 30))
    multiplier = rng.integers(1 << bits - 1, 1 << bits, count)
    multiplier[::3] = 1 << bits - 1  # a power of two: exact ties
    multiplier[1::7] = (1 << bits) - 1
    if not onnx:
        multiplier[2::7] = rng.integers(0, 1 << 31, len(multiplier[2::7]))
    magnitude = np.frexp(np.abs(value).astype(np.float64))[1]
    shift = rng.integers(3, 10, count) - magnitude - (24 if onnx else 0)
    shift = np.where(rng.random(count) < 0.3, rng.integers(*shifts, count, endpoint=True), shift)
    return multiplier, np.clip(shift, *shifts)


def near_ties(rng, dialect, count):
    """(value, multiplier, shift) that come close to n + 1/2, so that every rounding matters."""
    onnx = dialect == Dialect.ONNX
    bits = 24 if onnx else 31
    multiplier = rng.integers(1 << bits - 1, 1 << bits, count)
    shift = rng.integers(-23, -9, count) - (24 if onnx else 0)
    scale = np.ldexp(multiplier.astype(np.float64), shift - (0 if onnx else 31))
    value = np.rint((rng.integers(-130, 130, count) + 0.5) / scale).astype(np.int64)
    value += rng.integers(-1, 2, count) << rng.integers(0, 9, count)
    return np.clip(value, INT32_MIN, INT32_MAX), multiplier, shift


def double_ties(rng, count):
    """(value, multiplier, shift), ONNX: products of 25 to 28 bits next to n + 1/2, in which the
    rounding to 24 bits ties or decides about the tie of the rounding to an integer."""
    value = rng.choice([3, 5, 7, 9, 11, 13], count)
    odd = 2 * rng.integers(0, 128, count) + 1
    bits = rng.integers(25, 28, count)
    dropped = bits - np.frexp(odd.astype(np.float64))[1]
    product = (odd << dropped) + rng.integers(-8, 9, count)
    fits = (product % value == 0) & (product // value >> 23 == 1)
    value, multiplier = value[fits], (product // value)[fits]
    value *= rng.choice([-1, 1], value.size)
    spare = rng.integers(0, 26, value.size)
    return value << spare, multiplier, -(dropped[fits] + 1 + spare)


def cases(rng, dialect, count):
    """(psum, bias, multiplier, shift), half of them near a tie; the sum may wrap."""
    value = random_int32(rng, count // 2)
    parts = [(value, *any_parameters(rng, dialect, value)), near_ties(rng, dialect, count // 2)]
    value, multiplier, shift = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    bias = rng.permutation(random_int32(rng, count))
    return wrap_int32(value - bias), bias, multiplier, shift


def rtl(lane, batch, constants, table_half=0, tables=(), idle=0.0, seed=0):
    """Runs a batch through the lane, one value in each cycle but for idle ones; its outputs."""
    rng = np.random.default_rng(seed)
    outputs, accepted, arrived = [], [], []

    async def bench(ctx):
        for name, value in constants.items():
            ctx.set(lane.constants[name], value)
        for half, table in enumerate(tables):
            for index, entry in enumerate(table):
                ctx.set(lane.table_write, 1)
                ctx.set(lane.table_address, half * 256 + index)
                ctx.set(lane.table_data, int(entry) & 0xFF)
                await ctx.tick()
        ctx.set(lane.table_write, 0)
        pending, cycle = list(zip(*batch, strict=True)), 0
        while pending or cycle < accepted[-1] + lane.latency + 2:
            valid = bool(pending) and rng.random() >= idle
            ctx.set(lane.valid, valid)
            if valid:
                psum, bias, multiplier, shift = map(int, pending.pop(0))
                ctx.set(lane.psum, psum)
                ctx.set(
                    lane.params,
                    {
                        "bias": bias & 0xFFFFFFFF,
                        "multiplier": multiplier,
                        "shift": shift & 0xFF,
                    },
                )
                ctx.set(lane.table_half, table_half)
                accepted.append(cycle)
            if ctx.get(lane.value_valid):
                arrived.append(cycle)
                outputs.append(ctx.get(lane.value))
            await ctx.tick()
            cycle += 1

    simulator = Simulator(lane)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert [cycle - lane.latency for cycle in arrived] == accepted
    return np.array(outputs, np.uint8).view(np.int8)


def constants_of(dialect, zero_point=0, clamp=(-128, 127), table=0):
    return {
        "dialect": dialect,
        "zero_point": zero_point,
        "clamp_min": clamp[0],
        "clamp_max": clamp[1],
        "table": table,
    }


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize(
    ("zero_point", "clamp"), [(0, (-128, 127)), (-128, (-128, 90)), (127, (-7, 127))]
)
def test_equals_golden(dialect, zero_point, clamp):
    batch = cases(np.random.default_rng([dialect, zero_point + 128]), dialect, 12_000)
    ref = requantize(*batch, dialect, zero_point, *clamp)
    out = rtl(PPULane(CONFIG), batch, constants_of(dialect, zero_point, clamp))
    np.testing.assert_array_equal(out, ref)
    assert np.unique(ref).size > 100


@pytest.mark.parametrize("dialect", list(Dialect))
def test_every_shift(dialect):
    """Every shift with values of every magnitude and sign."""
    low, high = (-128, 127) if dialect == Dialect.ONNX else (-31, 30)
    bits = np.arange(31)
    values = np.concatenate([[0, INT32_MIN], 1 << bits, -(1 << bits), (3 << bits) >> 1])
    shift, value = (grid.reshape(-1) for grid in np.meshgrid(np.arange(low, high + 1), values))
    multiplier = np.full(value.shape, (1 << 23) + 1 if dialect == Dialect.ONNX else (1 << 30) + 1)
    batch = value, np.zeros_like(value), multiplier, shift
    out = rtl(PPULane(CONFIG), batch, constants_of(dialect))
    np.testing.assert_array_equal(out, requantize(*batch, dialect))


def test_onnx_double_ties():
    value, multiplier, shift = double_ties(np.random.default_rng(4), 100_000)
    batch = value, np.zeros_like(value), multiplier, shift
    out = rtl(PPULane(CONFIG), batch, constants_of(Dialect.ONNX))
    np.testing.assert_array_equal(out, requantize(*batch, Dialect.ONNX))


@pytest.mark.parametrize("half", [0, 1])
def test_table(half):
    rng = np.random.default_rng(half)
    tables = rng.integers(-128, 128, (2, 256))
    batch = cases(rng, Dialect.ONNX, 1000)
    constants = constants_of(Dialect.ONNX, 5, (-100, 100), table=1)
    out = rtl(PPULane(CONFIG), batch, constants, half, tables, idle=0.3)
    ref = requantize(*batch, Dialect.ONNX, 5, -100, 100, tables[half])
    np.testing.assert_array_equal(out, ref)


def test_without_tables_it_is_a_cycle_shorter():
    config = replace(CONFIG, ppu=Ppu(lanes=1, tables=False))
    assert lane_latency(config) == lane_latency(CONFIG) - 1
    lane = PPULane(config)
    batch = cases(np.random.default_rng(9), Dialect.TFLITE, 500)
    out = rtl(lane, batch, constants_of(Dialect.TFLITE), idle=0.5)
    np.testing.assert_array_equal(out, requantize(*batch, Dialect.TFLITE))
