"""Passes change how a graph computes, not what: random tables, clamps and readers."""

from dataclasses import replace

import numpy as np
import pytest

from eyas.command import Dialect
from eyas.compiler.activation import identity_convolution, is_identity
from eyas.compiler.ir import Convolution, Graph, MaxPool, Requantization, Tensor
from eyas.compiler.passes import drop_unused_layers, fuse_activations, run_passes
from eyas.numerics import encode_scale
from eyas.sim.golden import run_graph


def chain(tables, seed=0, dialect=Dialect.ONNX):
    """A convolution and one layer a table behind it: tensors x, t0, t1, …"""
    rng = np.random.default_rng(seed)
    multiplier, shift = (1 << 30, -7) if dialect == Dialect.TFLITE else encode_scale(0.01)
    how = Requantization(
        dialect, np.full(5, multiplier, np.int32), np.full(5, shift, np.int8), -7, -100, 90
    )
    filters = rng.integers(-128, 128, (5, 3, 2, 2), np.int8)
    bias = rng.integers(-9000, 9000, 5, np.int32)
    layers: list = [Convolution("conv", "x", "t0", filters, bias, how)]
    for n, table in enumerate(tables):
        layers.append(identity_convolution(f"table{n}", f"t{n}", f"t{n + 1}", 5, table))
    names = [f"t{n}" for n in range(len(tables) + 1)]
    tensors = {"x": Tensor("x", (3, 6, 7))} | {n: Tensor(n, (5, 5, 6)) for n in names}
    return Graph("net", ["x"], names[-1:], tensors, layers)


def ifmap(seed=0):
    return {"x": np.random.default_rng(seed).integers(-128, 128, (3, 6, 7), np.int8)}


def tables(kind, count, seed=0):
    rng = np.random.default_rng(seed)
    values = np.arange(256).astype(np.uint8).astype(np.int8)
    if kind == "random":
        return list(rng.integers(-128, 128, (count, 256), np.int8))
    limits = np.sort(rng.integers(-128, 128, (count, 2)))
    return [np.clip(values, low, high).astype(np.int8) for low, high in limits]


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("kind", ["clamp", "random"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_activations_move_into_the_convolution(kind, count, dialect):
    for seed in range(5):
        graph = chain(tables(kind, count, seed), seed, dialect)
        fused = run_passes(graph)
        assert [layer.name for layer in fused.layers] == ["conv"]
        assert fused.tensors.keys() == {"x", f"t{count}"}
        table = fused.layers[0].requantization.table
        assert (table is None) == (kind == "clamp"), "a clamp needs no table"
        name = graph.outputs[0]
        before, after = (run_graph(g, ifmap(seed))[name] for g in (graph, fused))
        assert np.array_equal(before, after)


def test_identity_layer_applies_its_table():
    table = np.random.default_rng(1).integers(-128, 128, 256, np.int8)
    layer = identity_convolution("table", "x", "y", 3, table)
    graph = Graph("net", ["x"], ["y"], {n: Tensor(n, (3, 6, 7)) for n in "xy"}, [layer])
    x = ifmap()
    assert np.array_equal(run_graph(graph, x)["y"], table[x["x"].view(np.uint8)])
    assert is_identity(layer)
    assert not is_identity(replace(layer, bias=layer.bias + 1))
    assert run_passes(graph).layers == [layer], "there is nothing in front of it"


def test_no_fusion_where_the_value_in_between_is_an_output():
    graph = chain(tables("random", 1))
    graph = replace(graph, outputs=["t0", "t1"])
    assert len(fuse_activations(graph).layers) == 2


def test_no_fusion_where_another_layer_reads_the_value_in_between():
    graph = chain(tables("random", 1))
    pool = MaxPool("pool", "t0", "p", (2, 2))
    graph = replace(
        graph,
        layers=[*graph.layers, pool],
        tensors=graph.tensors | {"p": Tensor("p", (5, 4, 5))},
        outputs=["t1", "p"],
    )
    assert len(run_passes(graph).layers) == 3


def test_no_fusion_with_a_pooling_layer():
    graph = chain(tables("random", 1))
    pool = MaxPool("pool", "x", "t0", (2, 2))
    tensors = {"x": Tensor("x", (5, 6, 7))} | {n: Tensor(n, (5, 5, 6)) for n in ("t0", "t1")}
    graph = replace(graph, layers=[pool, graph.layers[1]], tensors=tensors)
    assert [layer.name for layer in run_passes(graph).layers] == ["pool", "table0"]


def test_layers_without_use_go():
    graph = chain(tables("random", 2))
    graph = replace(graph, outputs=["t1"])
    kept = drop_unused_layers(graph)
    assert [layer.name for layer in kept.layers] == ["conv", "table0"]
    assert kept.tensors.keys() == {"x", "t0", "t1"}
