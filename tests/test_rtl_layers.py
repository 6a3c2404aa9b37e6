"""Random layers on random memories through the RTL: equal to the interpreter, which is equal to the
reference arithmetic; and the counters that need no clock equal to those that the interpreter works
out.
"""

import random
from pathlib import Path

import pytest

from eyas.command import Dialect
from eyas.config import Array, Config, Glb, Memory
from eyas.registers import Counter
from eyas.sim.layer_cases import LayerShape
from eyas.sim.layer_run import LayerRunner
from eyas.sim.simulator import MemoryTiming

CONFIGS = {
    "1x1": Config(
        "one", Array(1, 1), Glb(8, 4, ifmap_ports=4, filter_ports=2), memory=Memory(bus_bytes=8)
    ),
    "3x5": Config.load(Path(__file__).parent / "three-by-five.toml"),
    "4x4": Config.load("tiny4x4"),
    "8x8": Config.load("edge8x8"),
    "12x14": Config.load("eyeriss168"),
}
LAYERS = 14
"""Layers on each array."""


def random_shape(rng: random.Random) -> LayerShape:
    """Any convolution whose ofmap is at least one value, small enough for a single PE."""
    r, s = (rng.choice([1, 1, 2, 3, 3, 5, 7, 11]) for _ in range(2))
    kind = rng.choice(["dense", "dense", "dense", "depthwise", "grouped"])
    c, m, groups = rng.randint(1, 40), rng.randint(1, 40), 1
    if kind == "depthwise":
        m = groups = c
    elif kind == "grouped":
        groups = rng.randint(2, 4)
        c, m = groups * rng.randint(1, 9), groups * rng.randint(1, 9)
    dilation, padding = rng.choice([1, 1, 1, 2]), rng.randint(0, 3)
    h, w = (max(1, dilation * (n - 1) + 1 - 2 * padding) + rng.randint(0, 14) for n in (r, s))
    return LayerShape(c, m, h, w, r, s, rng.choice([1, 1, 2, 3]), padding, dilation, groups)


def random_timing(rng: random.Random) -> MemoryTiming:
    return MemoryTiming(
        latency_cycles=rng.choice([1, 5, 60, 200]),
        bytes_per_cycle=rng.choice([1.5, 2.4, 4, 8]),
        outstanding=rng.choice([1, 4, 32]),
        stall=rng.choice([0, 0, 0.2, 0.6]),
        reorder=rng.random() < 0.3,
        seed=rng.randrange(1000),
    )


@pytest.fixture(scope="module", params=list(CONFIGS))
def runner(request):
    with LayerRunner(CONFIGS[request.param]) as runner:
        yield runner


def check(result, where):
    assert result.program_mismatch is None, f"{where}: interpreter, {result.program_mismatch}"
    assert result.rtl_mismatch is None, f"{where}: RTL, {result.rtl_mismatch}"
    for counter, count in result.counts.items():
        assert result.run.counters[counter] == count, f"{where}: {counter.name}"
    assert result.run.counters[Counter.USEFUL_MACS] == result.shape.macs, where
    counters = result.run.counters
    stalls = sum(n for counter, n in counters.items() if counter.name.startswith("STALL_"))
    assert counters[Counter.ARRAY_BUSY] + stalls == counters[Counter.CYCLES], where


@pytest.mark.parametrize("number", range(LAYERS))
def test_random_layers(runner, number, seed):
    rng = random.Random(f"{runner.config.name} {number} {seed}")
    shape, timing = random_shape(rng), random_timing(rng)
    data = rng.choice(["random", "random", "random", "min", "max", "ramp"])
    where = f"seed {seed}, {runner.config.name}, {shape}, {data}, {timing}"
    print(where)
    dialect = Dialect(rng.randrange(len(Dialect)))
    check(runner.run_layer(shape, data=data, seed=number, dialect=dialect, timing=timing), where)
