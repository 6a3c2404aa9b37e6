"""sim/golden.py against loops over single values, and against onnxruntime's float operators, which
are exact while psums stay below 2**24."""

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from eyas.command import Dialect
from eyas.compiler.ir import Convolution, Graph, MaxPool, Requantization, Tensor
from eyas.errors import ModelError
from eyas.sim import golden


def requantization(m, rng, **values):
    """Scales of about 1/2000, so that random psums land inside of int8."""
    return Requantization(
        Dialect.TFLITE,
        rng.integers(1 << 30, (1 << 31) - 1, m).astype(np.int32),
        rng.integers(-11, -8, m).astype(np.int8),
        **values,
    )


@st.composite
def convolutions(draw):
    """(ifmap, layer) of any small shape."""
    groups = draw(st.integers(1, 3))
    c = groups * draw(st.integers(1, 3))
    m = groups * draw(st.integers(1, 3))
    r, s = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    dilation = (draw(st.integers(1, 2)), draw(st.integers(1, 3)))
    h = dilation[0] * (r - 1) + draw(st.integers(1, 5))
    w = dilation[1] * (s - 1) + draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    layer = Convolution(
        "layer",
        "ifmap",
        "ofmap",
        rng.integers(-128, 128, (m, c // groups, r, s), np.int8),
        rng.integers(-3000, 3000, m).astype(np.int32),
        requantization(m, rng, zero_point=draw(st.integers(-128, 127))),
        stride=(draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        dilation=dilation,
        padding=tuple(draw(st.integers(0, 2)) for _ in range(4)),
        groups=groups,
        pad_value=draw(st.integers(-128, 127)),
    )
    return rng.integers(-128, 128, (c, h, w), np.int8), layer


def loop_psum(ifmap, layer, m, e, f):
    """One psum, from Python's own integers."""
    per_group = layer.filters.shape[0] // layer.groups
    total = 0
    for c in range(layer.filters.shape[1]):
        for r in range(layer.filters.shape[2]):
            for s in range(layer.filters.shape[3]):
                channel = (m // per_group) * layer.filters.shape[1] + c
                y = e * layer.stride[0] + r * layer.dilation[0] - layer.padding[0]
                x = f * layer.stride[1] + s * layer.dilation[1] - layer.padding[1]
                inside = 0 <= y < ifmap.shape[1] and 0 <= x < ifmap.shape[2]
                value = int(ifmap[channel, y, x]) if inside else layer.pad_value
                total += value * int(layer.filters[m, c, r, s])
    return total


@settings(max_examples=60, deadline=None)
@given(convolutions())
def test_psums_equal_loops(case):
    ifmap, layer = case
    psums = golden.convolution_psums(ifmap, layer)
    assert psums.dtype == np.int32
    assert psums.shape == layer.output_shape(ifmap.shape)
    for position in np.ndindex(psums.shape):
        assert psums[position] == loop_psum(ifmap, layer, *position)


@settings(max_examples=40, deadline=None)
@given(convolutions())
def test_psums_equal_onnxruntime(case):
    ifmap, layer = case
    node = helper.make_node(
        "Conv",
        ["x", "w"],
        ["y"],
        strides=layer.stride,
        dilations=layer.dilation,
        pads=layer.padding,
        group=layer.groups,
    )
    # Its padding is zero: take pad_value off the ifmap, and put what that took off the psums back.
    y = run_node(
        node,
        x=(ifmap.astype(np.float32) - layer.pad_value)[None],
        w=layer.filters.astype(np.float32),
    )
    folded = layer.filters.astype(np.int64).sum((1, 2, 3)) * layer.pad_value
    expected = y[0].astype(np.int64) + folded[:, None, None]
    np.testing.assert_array_equal(golden.convolution_psums(ifmap, layer), expected)


def run_node(node, **inputs):
    values = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        for name, x in inputs.items()
    ]
    kind = values[0].type.tensor_type.elem_type
    output = helper.make_tensor_value_info("y", kind, None)
    graph = helper.make_graph([node], "node", values, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, inputs)[0]


def test_psums_wrap_in_32_bits():
    channels = 140_000  # 140,000 * 2**14 > 2**31
    layer = Convolution(
        "layer",
        "ifmap",
        "ofmap",
        np.full((1, channels, 1, 1), -128, np.int8),
        np.zeros(1, np.int32),
        requantization(1, np.random.default_rng(0)),
    )
    psums = golden.convolution_psums(np.full((channels, 1, 1), -128, np.int8), layer)
    assert psums[0, 0, 0] == channels * 2**14 - 2**32


@settings(max_examples=30, deadline=None)
@given(convolutions())
def test_convolution_requantises_each_channel_with_its_own_parameters(case):
    ifmap, layer = case
    ofmap = golden.convolution(ifmap, layer)
    psums = golden.convolution_psums(ifmap, layer)
    assert ofmap.dtype == np.int8
    how = layer.requantization
    for m in range(len(ofmap)):
        right = -int(how.shift[m])
        for psum, value in zip(psums[m].flat, ofmap[m].flat, strict=True):
            # Two roundings, as in tflite-micro; see eyas/numerics.py.
            v = (int(psum) + int(layer.bias[m])) * int(how.multiplier[m])
            high = (v + (1 << 30)) >> 31
            rounded = (high + (1 << (right - 1)) - (high < 0)) >> right
            assert value == min(max(rounded + how.zero_point, -128), 127)


@st.composite
def pools(draw):
    window = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    padding = tuple(draw(st.integers(0, window[i % 2] - 1)) for i in range(4))
    layer = MaxPool(
        "pool",
        "ifmap",
        "ofmap",
        window,
        stride=(draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        padding=padding,
    )
    shape = (draw(st.integers(1, 9)), window[0] + draw(st.integers(0, 4)), window[1] + 2)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng.integers(-128, -100, shape, np.int8), layer


@settings(max_examples=40, deadline=None)
@given(pools())
def test_max_pool_equals_loops(case):
    ifmap, layer = case
    ofmap = golden.max_pool(ifmap, layer)
    assert ofmap.dtype == np.int8
    assert ofmap.shape == layer.output_shape(ifmap.shape)
    _, height, width = ifmap.shape
    for c, e, f in np.ndindex(ofmap.shape):
        y0 = e * layer.stride[0] - layer.padding[0]
        x0 = f * layer.stride[1] - layer.padding[1]
        inside = [
            ifmap[c, y, x]
            for y in range(y0, y0 + layer.window[0])
            for x in range(x0, x0 + layer.window[1])
            if 0 <= y < height and 0 <= x < width
        ]
        assert ofmap[c, e, f] == max(inside, default=-128)


@settings(max_examples=30, deadline=None)
@given(pools())
def test_max_pool_equals_onnxruntime(case):
    ifmap, layer = case
    node = helper.make_node(
        "MaxPool",
        ["x"],
        ["y"],
        kernel_shape=layer.window,
        strides=layer.stride,
        pads=layer.padding,
    )
    np.testing.assert_array_equal(golden.max_pool(ifmap, layer), run_node(node, x=ifmap[None])[0])


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


def test_run_graph_refuses_wrong_inputs(network):
    with pytest.raises(ModelError, match=r"^network: input x is missing$"):
        golden.run_graph(network, {})
    with pytest.raises(
        ModelError, match=r"input x must be int8 of shape \(2, 6, 6\), not uint8 of"
    ):
        golden.run_graph(network, {"x": np.zeros((2, 6, 6), np.uint8)})
    with pytest.raises(ModelError, match=r"not int8 of shape \(2, 6, 5\)$"):
        golden.run_graph(network, {"x": np.zeros((2, 6, 5), np.int8)})
