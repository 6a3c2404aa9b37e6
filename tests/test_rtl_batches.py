"""Batches through the RTL, in all loop orders and with random memories.

Every tensor of every image equals the reference arithmetic, image by image.
"""

from dataclasses import replace

import numpy as np
import pytest
from compiled_runs import RUN, reference
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import convolution, graph_of
from random_graphs import graphs

from eyas.compiler.ir import Graph
from eyas.compiler.mapping import Mapping
from eyas.compiler.passes import run_passes
from eyas.compiler.writer import compile_graph
from eyas.config import Config
from eyas.registers import Counter
from eyas.sim.program_run import ProgramRunner
from eyas.sim.simulator import MemoryTiming

TINY = Config.load("tiny4x4")


@pytest.fixture(scope="module")
def runner():
    with ProgramRunner(TINY) as runner:
        yield runner


def run_and_compare(runner: ProgramRunner, graph: Graph, seed: int, **options):
    rng = np.random.default_rng(seed)
    shape = graph.tensors[graph.inputs[0]].shape
    ifmaps = rng.integers(-128, 128, (graph.batch, *shape), np.int8)
    program = compile_graph(graph, TINY, **options)
    timing = MemoryTiming(
        latency_cycles=int(rng.choice([1, 60])),
        bytes_per_cycle=float(rng.choice([1.5, 4])),
        stall=float(rng.choice([0, 0.3])),
        seed=seed,
    )
    result = runner.run(program, {graph.inputs[0]: ifmaps}, timing=timing)
    assert result.mismatches(reference(graph, ifmaps)) == {}
    assert result.run.counters[Counter.USEFUL_MACS] == program.macs


@settings(RUN, max_examples=12)
@given(graph=graphs(), batch=st.integers(2, 4), seed=st.integers(0, 999))
def test_any_graph(runner, graph, batch, seed):
    run_and_compare(runner, run_passes(replace(graph, batch=batch)), seed)


@pytest.mark.parametrize("ifmaps", ["block", "segment"])
@pytest.mark.parametrize("filters", ["group", "segment"])
def test_loop_orders(runner, ifmaps, filters):
    rng = np.random.default_rng(2)
    layers = [
        convolution(rng, "a", "ifmap", "a", (20, 9, 3, 3), padding=(1,) * 4),
        convolution(rng, "b", "a", "b", (20, 1, 3, 3), groups=20, padding=(1,) * 4),
        convolution(rng, "fc", "b", "ofmap", (11, 20, 6, 7)),
    ]
    dense = Mapping(
        3, 4, 3, 2, 1, 2, 4, 3, 1, 2, ifmaps=ifmaps, filters=filters, order="groups"
    )  # fmt: skip
    depthwise = replace(dense, q=8, p=1, taps=1, wm=1, seg_taps=3, seg_chunks=1)
    graph = replace(graph_of(layers, (9, 6, 7)), batch=3)
    orders = [{}, {"order": "blocks", "windows": 3}]
    if filters == "segment":
        orders.append({"order": "blocks", "windows": 3, "tiles_together": 2})
        orders.append({"order": "blocks", "block_rows": 2, "tiles_together": 2})
    for changes in orders:
        mappings = {"a": replace(dense, **changes), "b": replace(depthwise, **changes)}
        run_and_compare(runner, graph, 3, mappings=mappings)
