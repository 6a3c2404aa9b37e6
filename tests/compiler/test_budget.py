"""What the mapper plans for: the configuration's memory, or a slower one."""

from dataclasses import replace

import pytest

from eyas.compiler.budget import Budget
from eyas.config import Config, Glb, Memory
from eyas.errors import ConfigError

CONFIG = replace(
    Config.load("tiny4x4"), glb=Glb(2, 4), memory=Memory(bus_bytes=8, latency_cycles=70)
)


def test_of_the_configuration():
    budget = Budget.of(CONFIG)
    assert budget == Budget(fmap_words=256, bytes_per_cycle=8, latency_cycles=70)
    assert budget.word_cycles == 1


@pytest.mark.parametrize(
    ("asked", "planned", "word_cycles"), [(2.5, 2.5, 3.2), (8, 8, 1), (30, 8, 1)]
)
def test_another_memory(asked, planned, word_cycles):
    """A memory that is faster than the bus is as fast as the bus."""
    budget = Budget.of(CONFIG, bytes_per_cycle=asked)
    assert (budget.bytes_per_cycle, budget.word_cycles) == (planned, word_cycles)
    assert budget.latency_cycles == 70


@pytest.mark.parametrize("latency", [0, 5])
def test_another_latency(latency):
    assert Budget.of(CONFIG, latency_cycles=latency) == Budget(256, 8, latency)


@pytest.mark.parametrize("speed", [0, -1.5])
def test_a_memory_that_moves_nothing(speed):
    with pytest.raises(ConfigError, match=rf"bytes per cycle must be above 0, not {speed}"):
        Budget.of(CONFIG, bytes_per_cycle=speed)
