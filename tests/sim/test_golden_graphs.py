"""sim/golden.py: whole graphs, with every tensor where the graph says that it is."""

from dataclasses import replace

import numpy as np
import pytest

from eyas.command import Dialect, MergeOp
from eyas.compiler.ir import (
    AveragePool,
    Convolution,
    Graph,
    MaxPool,
    Merge,
    Requantization,
    Tensor,
    View,
)
from eyas.errors import ModelError
from eyas.sim import golden


def requantization(m, rng):
    """Scales of about 1/2000, so that random psums land inside of int8."""
    multiplier = rng.integers(1 << 30, (1 << 31) - 1, m).astype(np.int32)
    return Requantization(Dialect.TFLITE, multiplier, np.full(m, -10, np.int8))


@pytest.fixture
def network():
    rng = np.random.default_rng(5)
    first = Convolution(
        "first",
        "x",
        "a",
        rng.integers(-128, 128, (4, 2, 3, 3), np.int8),
        np.zeros(4, np.int32),
        requantization(4, rng),
    )
    pool = MaxPool("pool", "a", "b", (2, 2), (2, 2))
    second = Convolution(
        "second",
        "b",
        "c",
        rng.integers(-128, 128, (3, 4, 1, 1), np.int8),
        np.zeros(3, np.int32),
        requantization(3, rng),
    )
    shapes = {"x": (2, 6, 6), "a": (4, 4, 4), "b": (4, 2, 2), "c": (3, 2, 2)}
    tensors = {name: Tensor(name, shape) for name, shape in shapes.items()}
    return Graph("network", ["x"], ["c"], tensors, [first, pool, second])


def test_run_graph_gives_every_tensor(network):
    x = np.random.default_rng(6).integers(-128, 128, (2, 6, 6), np.int8)
    tensors = golden.run_graph(network, {"x": x})
    a = golden.convolution(x, network.layers[0])
    b = golden.max_pool(a, network.layers[1])
    c = golden.convolution(b, network.layers[2])
    assert list(tensors) == ["x", "a", "b", "c"]
    for name, expected in zip("xabc", (x, a, b, c), strict=True):
        np.testing.assert_array_equal(tensors[name], expected)
        assert tensors[name].shape == network.tensors[name].shape


def test_run_graph_of_a_batch(network):
    x = np.random.default_rng(7).integers(-128, 128, (3, 2, 6, 6), np.int8)
    tensors = golden.run_graph(replace(network, batch=3), {"x": x})
    for n in range(3):
        for name, expected in golden.run_graph(network, {"x": x[n]}).items():
            np.testing.assert_array_equal(tensors[name][n], expected)
    with pytest.raises(ModelError, match=r"must be int8 of shape \(3, 2, 6, 6\), not int8 of .*"):
        golden.run_graph(replace(network, batch=3), {"x": x[:2]})


def test_run_graph_refuses_wrong_inputs(network):
    with pytest.raises(ModelError, match=r"^network: input x is missing$"):
        golden.run_graph(network, {})
    with pytest.raises(
        ModelError, match=r"input x must be int8 of shape \(2, 6, 6\), not uint8 of"
    ):
        golden.run_graph(network, {"x": np.zeros((2, 6, 6), np.uint8)})
    with pytest.raises(ModelError, match=r"not int8 of shape \(2, 6, 5\)$"):
        golden.run_graph(network, {"x": np.zeros((2, 6, 5), np.int8)})


def part_of(shape, parent, *place):
    return lambda name: Tensor(name, shape, view=View(parent, *place))


def whole(shape):
    return lambda name: Tensor(name, shape)


def graph_of(layers, tensors, outputs, **values):
    made = {name: make(name) for name, make in tensors.items()}
    return Graph("net", ["x"], outputs, made, layers, **values)


def pointwise(name, ifmap, ofmap, m, c, merge=None):
    rng = np.random.default_rng(len(name))
    filters = rng.integers(-128, 128, (m, c, 1, 1), np.int8)
    how = requantization(m, rng)
    return Convolution(name, ifmap, ofmap, filters, np.zeros(m, np.int32), how, merge=merge)


def test_layers_write_into_their_parent_and_read_parts_of_it():
    """Two layers concatenate; a pool reads channels of both, and a third all of it in a row."""
    tensors = {
        "x": whole((3, 4, 5)),
        "both": whole((7, 4, 5)),
        "a": part_of((3, 4, 5), "both"),
        "b": part_of((4, 4, 5), "both", 3),
        "middle": part_of((4, 3, 3), "both", 2, 1, 2),
        "row": part_of((7, 1, 20), "both"),
        "p": whole((4, 2, 2)),
        "c": whole((2, 1, 20)),
    }
    layers = [
        pointwise("first", "x", "a", 3, 3),
        AveragePool("second", "a", "d", (2, 2)),
        pointwise("third", "x", "b", 4, 3),
        MaxPool("pool", "middle", "p", (2, 2)),
        pointwise("fourth", "row", "c", 2, 7),
    ]
    tensors["d"] = whole((3, 3, 4))
    graph = graph_of(layers, tensors, ["p", "c"])
    x = np.random.default_rng(1).integers(-128, 128, (3, 4, 5), np.int8)
    result = golden.run_graph(graph, {"x": x})
    assert result.keys() == tensors.keys()
    a, b = golden.convolution(x, layers[0]), golden.convolution(x, layers[2])
    both = np.concatenate([a, b])
    np.testing.assert_array_equal(result["both"], both)
    np.testing.assert_array_equal(result["a"], a)
    np.testing.assert_array_equal(result["b"], b)
    np.testing.assert_array_equal(result["d"], golden.average_pool(a, layers[1]))
    middle = both[2:6, 1:4, 2:5]
    np.testing.assert_array_equal(result["p"], golden.max_pool(middle, layers[3]))
    row = both.reshape(7, 1, 20)
    np.testing.assert_array_equal(result["c"], golden.convolution(row, layers[4]))


def test_merges_read_their_operand():
    rng = np.random.default_rng(2)
    left, right = rng.integers(-500, 500, (2, 256)).astype(np.int32)
    merge = Merge(MergeOp.ADD, "k", left, right, 1 << 30, -2)
    tensors = {"x": whole((3, 2, 2)), "k": whole((4, 2, 2)), "y": whole((4, 2, 2))}
    layer = pointwise("conv", "x", "y", 4, 3, merge)
    constant = rng.integers(-128, 128, (4, 2, 2), np.int8)
    graph = graph_of([layer], tensors, ["y"], constants={"k": constant})
    x = rng.integers(-128, 128, (3, 2, 2), np.int8)
    result = golden.run_graph(graph, {"x": x})
    np.testing.assert_array_equal(result["k"], constant)
    y = golden.convolution(x, pointwise("conv", "x", "y", 4, 3))
    for at in np.ndindex(y.shape):
        total = int(left[int(y[at]) & 0xFF]) + int(right[int(constant[at]) & 0xFF])
        half = (total + 1) >> 1  # times 1/2, then 1/4 away from zero
        expected = (half + 2 - (half < 0)) >> 2
        assert result["y"][at] == min(max(expected, -128), 127)
    assert len(np.unique(result["y"])) > 8
