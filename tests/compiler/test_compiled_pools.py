"""Max pools beside convolutions, wherever they stand: every tensor, and that they run beside."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from compiled_runs import CONFIGS, run_and_compare
from pool_graphs import POSITIONS, SHAPE, behind_each_other, output, pool_graph

from eyas.command import Opcode
from eyas.compiler.budget import Budget
from eyas.compiler.ir import Convolution, MaxPool
from eyas.compiler.passes import run_passes
from eyas.compiler.room import rooms
from eyas.compiler.writer import compile_graph
from eyas.config import Glb

MACHINES = {
    "3x5": CONFIGS["3x5"],
    "edge8x8": CONFIGS["edge8x8"],
    "tiny4x4, 1 KiB": replace(CONFIGS["tiny4x4"], glb=Glb(1, 4)),
}


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("position", POSITIONS)
def test_every_position(position, name, batch):
    graph = run_passes(replace(pool_graph(position), batch=batch))
    shape = (batch, *SHAPE) if batch > 1 else SHAPE
    ifmap = np.random.default_rng(batch).integers(-128, 128, shape, np.int8)
    for options in ({}, {"reuse_memory": True, "intermediates": False}):
        run_and_compare(graph, MACHINES[name], ifmap, **options)


def engines(program, graph):
    """Of each COMPUTE and VECTOR, in order, whether it is a pool's."""
    pools = {n for n, layer in enumerate(graph.layers) if isinstance(layer, MaxPool)}
    kinds = Opcode.COMPUTE, Opcode.VECTOR
    return [
        program.places[n, 0] in pools for n, c in enumerate(program.commands) if c.opcode in kinds
    ]


@pytest.mark.parametrize("position", POSITIONS)
def test_pools_run_beside(position):
    """Convolutions before or behind them have tiles between theirs."""
    shape = (8, 60, 50)
    graph = run_passes(pool_graph(position, shape=shape))
    config = MACHINES["edge8x8"]
    beside = {
        graph.layers[n].name
        for n, room in enumerate(rooms(graph, config, Budget.of(config)))
        if room.beside
    }
    assert beside == {layer.name for layer in graph.layers if isinstance(layer, MaxPool)}
    order = engines(compile_graph(graph, config), graph)
    changes = sum(a != b for a, b in pairwise(order))
    if position is not behind_each_other:
        assert changes > 4, "layer by layer there are two changes a pool"
    assert changes >= 3


def test_a_pool_does_not_wait_for_the_end_of_a_convolution():
    """Its first tile comes before the last of the layer that it reads."""
    graph = run_passes(pool_graph(output, shape=(8, 60, 50)))
    order = engines(compile_graph(graph, MACHINES["edge8x8"]), graph)
    assert order.index(True) < len(order) // 4


def test_a_pool_without_convolutions():
    graph = run_passes(pool_graph(lambda b: b.max_pool(b.max_pool("x"), 3)))
    assert not any(isinstance(layer, Convolution) for layer in graph.layers)
    ifmap = np.random.default_rng(3).integers(-128, 128, SHAPE, np.int8)
    for config in MACHINES.values():
        run_and_compare(graph, config, ifmap)
