"""Whole networks on eyeriss168: utilisation and memory traffic, by the timing model and in RTL.

python -m pytest -m slow -s tests/test_networks_performance.py        # about half an hour

The timing model's figures are the RTL's (tests/sim/test_timing_model.py), so that most bars can be
held in a moment.
"""

import pytest

from eyas.config import Config
from eyas.sim.bench import Bench
from eyas.sim.memory_timing import MemoryTiming

EYERISS = Config.load("eyeriss168")
WIDE, NARROW = 8.0, 2.4
"""Bytes a cycle of memory: a bus width, and what Eyeriss had."""


def measure(engine, network, bytes_per_cycle=WIDE, batch=1, config=EYERISS):
    timing = MemoryTiming(latency_cycles=60, bytes_per_cycle=bytes_per_cycle)
    with Bench(config, timing, engine) as bench:
        measurement = bench.measure(network, batch)
    total = measurement.total
    figures = f"{total.cycles:,} cycles, {total.utilisation:.1%}"
    print(f"{network} of {batch}, {engine}, {bytes_per_cycle} bytes/cycle: {figures}, "
          f"{total.memory_bytes / total.macs:.4f} bytes/MAC")  # fmt: skip
    return measurement


@pytest.mark.parametrize(
    ("network", "bytes_per_cycle", "least"),
    [("alexnet", WIDE, 0.92), ("alexnet", NARROW, 0.90), ("mobilenet_v1", WIDE, 0.75)],
)
def test_utilisation_by_the_model(network, bytes_per_cycle, least):
    assert least <= measure("model", network, bytes_per_cycle).total.utilisation < 1


def test_memory_traffic_at_the_batch_of_eyeriss():
    total = measure("model", "alexnet", batch=4).total
    assert total.memory_bytes / total.macs <= 0.0064


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "least"),
    [("alexnet", 0.92), ("mobilenet_v1", 0.75), ("googlenet", 0.94), ("resnet50", 0.92)],
)
def test_utilisation_in_rtl(network, least):
    measurement = measure("rtl", network)
    assert measurement.tensors > 5
    assert not measurement.differences
    assert measurement.total.utilisation >= least


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bytes_per_cycle", "batch", "least"), [(WIDE, 1, 0.99), (WIDE, 3, 0.99), (NARROW, 1, 0.95)]
)
def test_vgg16_by_the_model(bytes_per_cycle, batch, least):
    total = measure("model", "vgg16", bytes_per_cycle, batch).total
    assert total.utilisation >= least
    assert total.memory_bytes / total.macs <= 0.0070


@pytest.mark.slow
@pytest.mark.parametrize(("size", "bytes_per_cycle"), [(4, 0.76), (8, 3.0), (16, WIDE), (32, WIDE)])
def test_arrays_of_all_sizes_by_the_model(size, bytes_per_cycle):
    config = Config.load(f"square{size}")
    assert measure("model", "vgg16_conv3_to_5", bytes_per_cycle, 1, config).total.utilisation > 0.92
