"""The timing model against the RTL: cycles, every counter, every layer's share, to the last one."""

import random

import pytest
import timing_cases
from timing_cases import CONFIGS, differences, layer_program, network_program, random_timing

from eyas.config import Config
from eyas.sim.memory_timing import MemoryTiming
from eyas.sim.program_run import ProgramRunner
from eyas.sim.tflite_networks import random_network

LAYERS = 34
"""Random layers on each machine."""
NETWORKS = 4
"""Random networks on each machine, with pools and, where it can, merges."""
SLOW_CONFIGS = 8
SLOW_LAYERS = 40


@pytest.fixture(scope="module", params=list(CONFIGS))
def runner(request):
    with ProgramRunner(CONFIGS[request.param]) as runner:
        yield runner


@pytest.mark.parametrize("number", range(LAYERS))
def test_random_layers(runner, number, seed):
    rng = random.Random(f"{runner.config.name} {number} {seed}")
    program, shape = layer_program(rng, runner.config)
    timing = random_timing(rng)
    print(f"seed {seed}, {shape}, {timing}")
    assert not differences(runner, program, timing)


@pytest.mark.parametrize("number", range(NETWORKS))
def test_random_networks(runner, number, seed):
    rng = random.Random(f"network {runner.config.name} {number} {seed}")
    graph = timing_cases.random_network(rng, runner.config.ppu.merge)
    timing = random_timing(rng)
    print(f"seed {seed}, {[layer.name for layer in graph.layers]}, {timing}")
    assert not differences(runner, network_program(graph, runner.config), timing)


@pytest.mark.parametrize("order", ["acBDegFH", "ABCDEFGH", "ABceDFGH"])
def test_tiles_that_take_turns(order):
    config = CONFIGS["3x5"]
    with ProgramRunner(config) as runner:
        assert not differences(runner, timing_cases.turns_program(config, order))


def test_the_demo_network(seed):
    config = CONFIGS["4x4"]
    with ProgramRunner(config) as runner:
        assert not differences(runner, network_program("demo/digits.onnx", config))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet8", "dscnn", "vww", "autoencoder"])
@pytest.mark.parametrize("rate", [1.0, 4.0])
def test_tflite_networks(name, rate):
    config = CONFIGS["8x8"]
    program = network_program(random_network(name), config)
    with ProgramRunner(config) as runner:
        timing = MemoryTiming(latency_cycles=60, bytes_per_cycle=rate)
        assert not differences(runner, program, timing)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(SLOW_CONFIGS))
def test_random_machines(number, seed):
    rng = random.Random(f"machine {number} {seed}")
    _many_layers(timing_cases.random_config(rng), rng)


@pytest.mark.slow
def test_the_largest_preset(seed):
    _many_layers(Config.load("eyeriss168"), random.Random(seed))


def _many_layers(config, rng):
    print(config)
    with ProgramRunner(config) as runner:
        for _ in range(SLOW_LAYERS):
            program, shape = layer_program(rng, config)
            timing = random_timing(rng)
            assert not differences(runner, program, timing), f"{shape}, {timing}"
        for _ in range(NETWORKS):
            graph = timing_cases.random_network(rng, config.ppu.merge)
            assert not differences(runner, network_program(graph, config))
