"""The rules of the intermediate representation: a graph that keeps them, and one to break each."""

from dataclasses import replace

import numpy as np
import pytest

from eyas.command import Dialect
from eyas.compiler.check import check
from eyas.compiler.ir import Convolution, Graph, MaxPool, Port, Requantization, Tensor
from eyas.errors import ModelError


def requantization(m, **changes):
    good = Requantization(
        Dialect.ONNX, np.full(m, 1 << 23, np.int32), np.full(m, -30, np.int8), zero_point=-4
    )
    return replace(good, **changes)


def convolution(**changes):
    filters = np.ones((6, 4, 3, 3), np.int8)
    bias = np.zeros(6, np.int32)
    good = Convolution("conv", "x", "y", filters, bias, requantization(6), padding=(1, 1, 1, 1))
    return replace(good, **changes)


def graph(conv=None, pool=None, **changes):
    tensors = [Tensor("x", (4, 8, 8)), Tensor("y", (6, 8, 8)), Tensor("z", (6, 4, 4))]
    good = Graph(
        "net",
        ["x"],
        ["z"],
        {tensor.name: tensor for tensor in tensors},
        [conv or convolution(), pool or MaxPool("pool", "y", "z", (2, 2), (2, 2))],
        [Port("image", "x", "float32", ("N", 4, 8, 8), 0.5, 3)],
        [Port("scores", "z", "int8", (1, 96))],
    )
    return replace(good, **changes)


def tensors(**changes):
    return graph().tensors | changes


def test_a_good_graph_passes():
    check(graph())
    tflite = requantization(6, dialect=Dialect.TFLITE, multiplier=np.full(6, 1 << 30, np.int32))
    check(graph(convolution(requantization=tflite)))


ROW = np.zeros(6, np.int32)
WIDE = np.full((6, 4, 3, 3), 127, np.int8)
BROKEN = [
    (lambda: graph(layers=[]), "graph: has no layers"),
    (lambda: graph(inputs=[]), "graph: needs an input and an output"),
    (lambda: graph(inputs=["q"]), "input q: is no tensor of the graph"),
    (lambda: graph(inputs=["x", "x"]), "input x: is listed twice"),
    (lambda: graph(outputs=["q"]), "output q: is never written"),
    (lambda: graph(tensors=tensors(y=Tensor("w", (6, 8, 8)))), "is listed as y but named w"),
    (lambda: graph(tensors=tensors(x=Tensor("x", (4, 8)))), "three positive numbers"),
    (lambda: graph(tensors=tensors(x=Tensor("x", (4, 0, 8)))), "three positive numbers"),
    (lambda: graph(tensors=tensors(x=Tensor("x", (4, 8, 8), 1.0, 200))), "zero point must be an"),
    (lambda: graph(tensors=tensors(x=Tensor("x", (4, 8, 8), 0.0))), "scale must be positive"),
    (lambda: graph(tensors=tensors(q=Tensor("q", (1, 1, 1)))), "tensor q: is never written"),
    (lambda: graph(layers=graph().layers[::-1]), "layer pool: reads y before it is written"),
    (lambda: graph(convolution(output="x")), "layer conv: x is already written"),
    (lambda: graph(convolution(output="q")), "layer conv: q is no tensor of the graph"),
    (lambda: graph(convolution(name="pool")), "layer pool: its name is taken by another layer"),
    (lambda: graph(convolution(stride=(0, 1))), "stride must be whole numbers of at least 1"),
    (lambda: graph(convolution(padding=(-1, 1, 1, 1))), "padding must be whole numbers of at le"),
    (lambda: graph(convolution(dilation=(1, 0))), "dilation must be whole numbers of at least 1"),
    (lambda: graph(convolution(groups=0)), "groups must be whole numbers of at least 1"),
    (lambda: graph(convolution(groups=2)), "in 2 groups do not fit 4 channels"),
    (lambda: graph(convolution(filters=WIDE.astype(np.int16))), "filters must be int8, not int16"),
    (lambda: graph(convolution(filters=WIDE[0])), "filters must have the shape"),
    (lambda: graph(convolution(bias=ROW[:5])), "bias must be int32 (6,), not int32 (5,)"),
    (lambda: graph(convolution(bias=ROW.astype(np.int64))), "bias must be int32 (6,), not int64"),
    (lambda: graph(convolution(pad_value=128)), "pad_value must be int8, not 128"),
    (
        lambda: graph(convolution(filters=WIDE, bias=ROW + (2**31 - 1000))),
        "layer conv: its sums may not fit into 32 bits",
    ),
    (
        lambda: graph(convolution(filters=WIDE, bias=ROW - (2**31 - 1000))),
        "layer conv: its sums may not fit into 32 bits",
    ),
    (lambda: graph(convolution(padding=(0, 0, 0, 0))), "its ofmap has shape (6, 6, 6), not (6, 8"),
    (lambda: graph(convolution(dilation=(9, 9))), "its window does not fit into an ifmap of sha"),
    (lambda: graph(pool=MaxPool("pool", "y", "z", (0, 2), (2, 2))), "window must be whole number"),
    (lambda: graph(input_ports=[Port("i", "y", "int8", (1, 384))]), "port i: y is no such tensor"),
    (lambda: graph(input_ports=[Port("i", "x", "int4", (1, 256))]), "type must be one of float32"),
    (lambda: graph(input_ports=[Port("i", "x", "int8", (1, "k"))]), "fixed but for the batch"),
    (lambda: graph(input_ports=[Port("i", "x", "int8", (1, 25))]), "does not hold 256 values"),
    (
        lambda: graph(input_ports=[Port("i", "x", "int8", (1, 256), -1.0)]),
        "scale must be positive and the zero point int8",
    ),
]


@pytest.mark.parametrize(("make", "message"), BROKEN, ids=[m[:40] for _, m in BROKEN])
def test_broken_rule(make, message):
    with pytest.raises(ModelError) as caught:
        check(make(), "some_pass")
    assert str(caught.value).startswith("net, after some_pass: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"multiplier": np.full(6, 1 << 23)}, "multiplier must be int32 (6,), not int64"),
        ({"multiplier": np.full(6, (1 << 23) - 1, np.int32)}, "multipliers must be from 2**23"),
        ({"multiplier": np.full(6, 1 << 24, np.int32)}, "multipliers must be from 2**23"),
        ({"shift": np.zeros(5, np.int8)}, "shift must be int8 (6,), not int8 (5,)"),
        ({"zero_point": -129}, "zero point must be int8, not -129"),
        ({"clamp_min": 5, "clamp_max": 4}, "clamp must be two int8 in order, not 5 and 4"),
        ({"table": np.zeros(255, np.int8)}, "table must be int8 (256,), not int8 (255,)"),
        (
            {"dialect": Dialect.TFLITE, "multiplier": np.full(6, -1, np.int32)},
            "multipliers must not be negative",
        ),
        (
            {"dialect": Dialect.TFLITE, "shift": np.full(6, 31, np.int8)},
            "shifts must be from -31 to 30",
        ),
    ],
)
def test_broken_requantization(changes, message):
    with pytest.raises(ModelError) as caught:
        check(graph(convolution(requantization=requantization(6, **changes))))
    assert message in str(caught.value)
