"""Fmaps that stay in the GLB, and pools beside convolutions, through the RTL on random memories.

Tokens and fences are all that keeps what shares the GLB apart: slow memories, and ones that pause,
try them. Every tensor in memory equals the reference arithmetic.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from compiled_runs import RUN, reference
from hypothesis import given, settings
from hypothesis import strategies as st
from kept import keeping_all, residual_network
from pool_graphs import POSITIONS, pool_graph
from random_graphs import graphs

from eyas.compiler.ir import Graph
from eyas.compiler.passes import run_passes
from eyas.compiler.writer import compile_graph
from eyas.config import Config
from eyas.registers import Counter
from eyas.sim.program_run import ProgramRunner
from eyas.sim.simulator import MemoryTiming

CONFIGS = {
    "one ifmap port": Config.load("tiny4x4"),
    "two ifmap ports": Config.load(Path(__file__).parent / "three-by-five.toml"),
}


@pytest.fixture(scope="module", params=list(CONFIGS))
def runner(request):
    with ProgramRunner(CONFIGS[request.param]) as runner:
        yield runner


def run_and_compare(runner: ProgramRunner, graph: Graph, seed: int, **options) -> int:
    """How many tensors stayed in the GLB."""
    graph = run_passes(graph)
    rng = np.random.default_rng(seed)
    shape = graph.tensors[graph.inputs[0]].shape
    shape = (graph.batch, *shape) if graph.batch > 1 else shape
    ifmaps = rng.integers(-128, 128, shape, np.int8)
    program = compile_graph(graph, runner.config, **options)
    timing = MemoryTiming(
        latency_cycles=int(rng.choice([1, 60, 300])),
        bytes_per_cycle=float(rng.choice([0.5, 1.5, 4])),
        stall=float(rng.choice([0, 0.4])),
        reorder=bool(rng.choice([False, True])),
        seed=seed,
    )
    result = runner.run(program, {graph.inputs[0]: ifmaps}, timing=timing)
    wrong = result.mismatches(reference(graph, ifmaps))
    if options.get("reuse_memory"):  # others may lie where a tensor was
        wrong = {name: what for name, what in wrong.items() if name in graph.outputs}
    assert wrong == {}, f"{timing}"
    assert result.run.counters[Counter.USEFUL_MACS] == program.macs
    return len(program.unstored)


@pytest.mark.parametrize("intermediates", [False, True])
@pytest.mark.parametrize("shape", [(12, 9, 8), (12, 20, 18)])
def test_all_kinds_of_layers(runner, shape, intermediates):
    """Some fmaps of the larger one do not fit."""
    for batch in (1, 2):
        graph = replace(residual_network(4, shape)[0], batch=batch)
        with keeping_all():
            stayed = run_and_compare(runner, graph, 5 + batch, intermediates=intermediates)
        assert (stayed > 3) != intermediates


@pytest.mark.parametrize("position", POSITIONS)
def test_pools(runner, position):
    for seed in (1, 2):
        run_and_compare(runner, pool_graph(position, seed), seed, intermediates=False)


@settings(RUN, max_examples=15)
@given(
    graph=graphs((11, 9, 8), more=("conv", "depthwise", "stride", "max", "merge")),
    batch=st.integers(1, 2),
    seed=st.integers(0, 999),
    reuse=st.booleans(),
)
def test_any_graph(runner, graph, batch, seed, reuse):
    with keeping_all():
        graph = replace(graph, batch=batch)
        run_and_compare(runner, graph, seed, intermediates=False, reuse_memory=reuse)
