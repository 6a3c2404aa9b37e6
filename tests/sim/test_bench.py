"""Measurements in RTL, held against the interpreter's counts and a run of its own."""

from dataclasses import replace

import numpy as np
import pytest

from eyas.command import COMMAND_BYTES, Opcode
from eyas.compiler.passes import run_passes
from eyas.compiler.profile import SNAPSHOT_BYTES, with_profile
from eyas.compiler.writer import compile_graph
from eyas.config import Config, Control
from eyas.errors import ConfigError
from eyas.registers import Counter
from eyas.sim.bench import Bench, useful_macs
from eyas.sim.interpreter import Interpreter
from eyas.sim.memory_timing import MemoryTiming
from eyas.sim.program_run import ProgramRunner
from eyas.sim.shape_network import ShapeNetwork

TINY = Config.load("tiny4x4")


def small_graph():
    """A layer of each sort: 5 of the array, one of the vector unit."""
    net = ShapeNetwork("small", (3, 14, 14))
    x = net.conv("conv1", net.input, 12, 3, padding=1)
    y = net.conv("conv2", net.depthwise("dw", x), 12, 1, relu=False)
    x = net.max_pool("max", net.add("add", y, x), 2, 2)
    x = net.conv("grouped", x, 8, 3, groups=2)
    return net.graph(net.average_pool("mean", x, 5))


MACS = dict(
    conv1=12 * 3 * 9 * 196, dw=12 * 9 * 196, conv2=12 * 12 * 196, grouped=8 * 6 * 9 * 25
)  # fmt: skip


class Lines(list):
    """Keeps what it is told."""

    status = list.append


@pytest.fixture(scope="module")
def told():
    return Lines()


@pytest.fixture(scope="module")
def measurement(told):
    with Bench(TINY, reporter=told) as bench:
        return bench.measure_graph(small_graph())


@pytest.fixture(scope="module")
def program():
    return with_profile(compile_graph(run_passes(small_graph()), TINY, intermediates=False))


@pytest.fixture(scope="module")
def interpreted(program):
    interpreter = Interpreter(TINY, program.memory_image())
    interpreter.run(program.program_address, len(program.commands))
    return interpreter.counts


def test_macs_and_layers(measurement):
    macs = {record.layer: record.macs for record in measurement.layers}
    assert {layer: n for layer, n in macs.items() if n} == MACS == useful_macs(small_graph())
    assert [entry.name for entry in measurement.entries] == list(macs)
    assert {"max", "mean"} <= set(macs)
    assert "add" not in macs  # in the drain of conv2
    assert measurement.total.macs == sum(MACS.values())


def test_cycles_are_those_of_the_run(measurement, program):
    with ProgramRunner(TINY) as runner:
        rng = np.random.default_rng(3)  # other values: cycles do not depend on them
        ifmap = rng.integers(-128, 128, (3, 14, 14), np.int8)
        counters = runner.run(program, {"input": ifmap}).run.counters
    total = measurement.total
    assert total.cycles == counters[Counter.CYCLES] == sum(r.cycles for r in measurement.layers)
    stalled = sum(total.stalls.values())
    assert total.cycles - stalled == counters[Counter.ARRAY_BUSY]
    assert total.utilisation == total.macs / (16 * counters[Counter.CYCLES])
    assert all(sum(r.stalls.values()) <= r.cycles for r in measurement.layers)
    assert measurement.seconds > 0


def test_traffic_is_the_interpreters(measurement, interpreted, program):
    total, c = measurement.total, Counter
    assert total.memory_read_bytes == interpreted[c.MEMORY_READ_BYTES]
    assert total.memory_write_bytes == interpreted[c.MEMORY_WRITE_BYTES]
    loaded = sum(
        command.values["n0"] * command.values["n1"] * command.values["n2"]
        for command in program.commands
        if command.opcode == Opcode.LOAD
    )
    fetched = COMMAND_BYTES * len(program.commands)
    assert total.memory_read_bytes == 8 * loaded + fetched
    pooled = 2 * 7 * 7  # ofmap words of the max pool, 12 channels
    assert total.glb_writes == interpreted[c.GLB_WRITES] + loaded + pooled
    everything = (c.GLB_READS, c.GLB_WRITES, c.GLB_DMA_WORDS, c.GLB_VECTOR_WORDS)
    assert total.glb_reads + total.glb_writes == sum(interpreted[n] for n in everything)
    snapshots = len(program.layers) * SNAPSHOT_BYTES
    stored = (interpreted[c.MEMORY_WRITE_BYTES] - snapshots) // 8
    vector_read = interpreted[c.GLB_VECTOR_WORDS] - pooled
    assert total.glb_reads == interpreted[c.GLB_READS] + stored + vector_read


def test_spads_noc_and_energy_are_the_interpreters(measurement, interpreted):
    total, c = measurement.total, Counter
    assert total.energy["alu"] == interpreted[c.ACTIVE_MACS]
    assert total.spad_accesses == 4 * interpreted[c.ACTIVE_MACS] + interpreted[c.SPAD_WRITES]
    values = 4 * interpreted[c.NOC_IFMAP_BEATS] + interpreted[c.NOC_FILTER_VALUES]
    values += 4 * interpreted[c.NOC_PSUMS]
    assert values <= 8 * total.noc_words < values + 8 * len(measurement.layers)
    assert total.energy["dram"] == 200 * (total.memory_read_bytes + total.memory_write_bytes)


def test_progress(measurement, told):
    assert any(line.startswith("small: compiling, layer 1 of ") for line in told)
    assert any(line.startswith("small: simulating, ") for line in told)


def test_the_model_gives_the_same_figures(measurement):
    """It counts what the RTL counts; cycles may be off by a few."""
    with Bench(TINY, engine="model") as bench:
        model = bench.measure_graph(small_graph())
    assert (model.engine, measurement.engine) == ("model", "rtl")
    assert model.total.cycles == pytest.approx(measurement.total.cycles, rel=0.01)
    for key in ("macs", "memory_bytes", "glb_reads", "glb_writes", "spad_accesses"):
        assert getattr(model.total, key) == getattr(measurement.total, key), key


def test_a_batch(measurement):
    """Everything is of two images: more traffic, but filters that serve both may come once, and
    fmaps that stay in the GLB for one image may be too large for two."""
    with Bench(TINY) as bench:
        both = bench.measure_graph(small_graph(), batch=2).total
    one = measurement.total
    assert both.batch == 2
    assert both.macs == 2 * one.macs
    assert 1.3 * one.cycles < both.cycles < 2.05 * one.cycles
    assert 1.3 * one.memory_bytes < both.memory_bytes < 2.3 * one.memory_bytes
    assert both.energy["alu"] > 1.5 * one.energy["alu"]


def test_less_bandwidth_costs_cycles(measurement):
    timing = replace(MemoryTiming.of(TINY), bytes_per_cycle=0.5)
    with Bench(TINY, timing) as bench:
        slow = bench.measure_graph(small_graph())
    assert slow.bytes_per_cycle == 0.5
    assert measurement.bytes_per_cycle == 4
    assert slow.total.cycles >= slow.total.memory_bytes / 0.5 > measurement.total.cycles
    assert slow.total.memory_bytes < measurement.total.memory_bytes  # the mapper knows


def test_no_counters():
    with pytest.raises(ConfigError, match=r"and control\.counter_width is 0"):
        Bench(replace(TINY, control=Control(counter_width=0)))
