"""Shares of layers: whose a snapshot's is, and that nothing is lost or counted twice."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from measurement_cases import counts

from eyas.command import Command, Engine, Opcode, Space
from eyas.config import Config, Control
from eyas.errors import ConfigError
from eyas.registers import Counter
from eyas.sim.bench_shares import Share, layer_shares, to_the_end

TINY = Config.load("tiny4x4")
COMPUTE, LOAD = (Command(Opcode[name], Engine[name], {}) for name in ("COMPUTE", "LOAD"))
SNAPSHOT = Command(Opcode.STORE, Engine.STORE, {"space": Space.COUNTERS})


def store(words: int) -> Command:
    return Command(Opcode.STORE, Engine.STORE, {"space": Space.FMAP, "n0": words, "n1": 3, "n2": 2})


def pool(words: int) -> Command:
    values = {"blocks": 2, "out_height": 5, "out_width": words}
    return Command(Opcode.VECTOR, Engine.STORE, values)


def shares(commands: list[tuple[int, Command]], profile, counters) -> list[Share]:
    layers = 1 + max(layer for layer, _ in commands)
    program = SimpleNamespace(
        commands=[command for _, command in commands],
        places=np.array([(layer, 0, 0, 0) for layer, _ in commands]),
        layers=[None] * layers,
    )
    return layer_shares(program, profile, counters, TINY)  # type: ignore[arg-type]


def test_layers_one_after_the_other():
    commands = [
        *((0, LOAD), (0, COMPUTE), (0, store(4)), (0, COMPUTE), (0, store(1)), (0, SNAPSHOT)),
        *((1, pool(7)), (1, store(9)), (1, SNAPSHOT)),
        *((2, COMPUTE), (2, store(2)), (2, SNAPSHOT)),
    ]
    profile = [counts(cycles=100), counts(cycles=20), counts(cycles=50)]
    first, second, third = shares(commands, profile, counts(cycles=177))
    assert (first.stored, first.vector_written) == (5 * 6, 0)
    assert (second.stored, second.vector_written) == (9 * 6, 2 * 5 * 7)
    assert (third.stored, third.vector_written) == (2 * 6, 0)
    assert [s.counters[Counter.CYCLES] for s in (first, second, third)] == [100, 20, 57]


def test_a_pool_beside_a_convolution_has_no_time_of_its_own():
    commands = [
        *((0, COMPUTE), (0, store(1)), (0, SNAPSHOT)),
        *((2, COMPUTE), (1, pool(7)), (1, store(9)), (2, store(2)), (1, SNAPSHOT)),
        *((2, COMPUTE), (2, store(2)), (2, SNAPSHOT)),
    ]
    profile = [counts(cycles=100), counts(cycles=80), counts(cycles=20)]
    first, second, third = shares(commands, profile, counts(cycles=200))
    assert first.counters[Counter.CYCLES] == 100
    assert second == Share()
    assert third == Share(counts(cycles=100), (9 + 2 + 2) * 6, 2 * 5 * 7)


def test_shares_add_up_to_the_end():
    profile = [counts(cycles=10, array_busy=6), counts(cycles=20, array_busy=5)]
    whole = to_the_end(profile, counts(cycles=33, array_busy=12), TINY)
    assert [entry[Counter.CYCLES] for entry in whole] == [10, 23]
    assert [entry[Counter.ARRAY_BUSY] for entry in whole] == [6, 6]


def test_counters_that_wrapped():
    """A share is right though a counter began again at zero in between."""
    wrap = 1 << 32
    profile = [counts(cycles=5, active_macs=wrap - 10), counts(cycles=5, active_macs=40 - wrap)]
    whole = to_the_end(profile, counts(cycles=11, active_macs=50), TINY)
    assert [entry[Counter.ACTIVE_MACS] for entry in whole] == [wrap - 10, 60]


def test_counters_that_a_layer_fills():
    narrow = replace(TINY, control=Control(counter_width=16))
    with pytest.raises(ConfigError, match="a layer of 4,096 cycles can fill counters of 16 bits"):
        to_the_end([counts(cycles=1)], counts(cycles=4096), narrow)
    to_the_end([counts(cycles=1)], counts(cycles=4095), narrow)
