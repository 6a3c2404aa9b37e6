"""Builds small QDQ models for tests: chains of operators, quantised as quantize_static does it."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper


class QdqModel:
    """A model under construction. Each method that names an operator appends it, quantised.

    `shape` is the shape of the newest fmap without the batch, `quantized` lists the names of the
    int8 (or uint8) tensors so far, `scale` and `zero_point` are the newest one's parameters.
    """

    def __init__(
        self, shape, seed, *, dtype=np.int8, scale=0.02, zero_point=None, batch=1, filter_limit=128
    ):
        self.rng = np.random.default_rng(seed)
        self.dtype = np.dtype(dtype)
        self.filter_limit = filter_limit
        self.nodes, self.initializers, self.quantized = [], [], []
        self.shape = tuple(int(n) for n in shape)
        self.input_shape = (1, *self.shape)
        self.input = helper.make_tensor_value_info("x", TensorProto.FLOAT, (batch, *self.shape))
        self.quantize("x", scale, zero_point)

    def constant(self, value):
        name = f"constant{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, kind, inputs, **attributes):
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [f"{name}.y"], name, **attributes))
        return f"{name}.y"

    def quantize(self, value, scale=None, zero_point=None):
        """QuantizeLinear of a float tensor, with random parameters where none are given."""
        info = np.iinfo(self.dtype)
        if scale is None:
            scale = self.rng.uniform(0.005, 0.3)
        if zero_point is None:
            zero_point = self.rng.integers(info.min, info.max, endpoint=True)
        self.scale, self.zero_point = np.float32(scale), self.dtype.type(zero_point)
        self.parameters = [self.constant(self.scale), self.constant(self.zero_point)]
        return self.quantize_same(value)

    def quantize_same(self, value):
        """QuantizeLinear with the newest fmap's parameters."""
        self.last = self.node("QuantizeLinear", [value, *self.parameters])
        self.quantized.append(self.last)
        return self.last

    def dequantize(self):
        return self.node("DequantizeLinear", [self.last, *self.parameters])

    def filters(self, shape, axis, per_channel=True, *, dtype=np.int8, zero_point=0, scale=None):
        """DequantizeLinear of random filters: its output, and the scale of each filter."""
        low, high = (0, 256) if dtype == np.uint8 else (-self.filter_limit, self.filter_limit)
        value = self.rng.integers(low, high, shape, dtype)
        count = shape[axis] if per_channel else ()
        if scale is None:
            scale = self.rng.uniform(1e-4, 0.02, count).astype(np.float32)
        inputs = [self.constant(value), self.constant(scale)]
        inputs.append(self.constant(np.full(count, zero_point, dtype)))
        attributes = {"axis": axis} if per_channel else {}
        name = self.node("DequantizeLinear", inputs, **attributes)
        return name, np.broadcast_to(scale, shape[axis])

    def bias(self, filter_scale, value=None, *, floats=False):
        """A bias, of some thousands by default: int32 behind a DequantizeLinear, or as floats."""
        if value is None:
            value = self.rng.integers(-20000, 20000, len(filter_scale), np.int32)
        scale = self.scale * filter_scale
        if floats:
            return self.constant(((value + 0.3) * scale).astype(np.float32))
        inputs = [self.constant(value), self.constant(scale)]
        inputs.append(self.constant(np.zeros(len(scale), np.int32)))
        return self.node("DequantizeLinear", inputs, axis=0)

    def spread(self, filter_scale, count):
        """A scale that spreads sums of `count` products over most of the int8 range."""
        sigma = 74 * 74 * np.sqrt(count) * float(self.scale) * float(np.mean(filter_scale))
        return sigma / self.rng.uniform(30, 60)

    def activate(self, value, activation):
        """None, "Relu" or the limits of a Clip."""
        if activation == "Relu":
            return self.node("Relu", [value])
        if activation:
            limits = [self.constant(np.float32(limit)) for limit in activation]
            return self.node("Clip", [value, *limits])
        return value

    def conv(
        self,
        m,
        kernel,
        *,
        groups=1,
        bias=True,
        per_channel=True,
        activation=None,
        scale=None,
        zero_point=None,
        **attributes,
    ):
        channels = self.shape[0] // groups
        w, filter_scale = self.filters((m, channels, *kernel), 0, per_channel)
        inputs = [self.dequantize(), w]
        if bias:
            inputs.append(self.bias(filter_scale, floats=bias == "float"))
        y = self.node("Conv", inputs, group=groups, kernel_shape=list(kernel), **attributes)
        scale = scale or self.spread(filter_scale, channels * kernel[0] * kernel[1])
        self.quantize(self.activate(y, activation), scale, zero_point)
        self.shape = (m, *self.window(kernel, **attributes))
        return self

    def fully_connected(self, m, *, kind="Gemm", bias=True, per_channel=True, transposed=False):
        """Gemm, or MatMul (with Add where there is a bias)."""
        (k,) = self.shape
        shape, axis = ((m, k), 0) if transposed else ((k, m), 1)
        w, filter_scale = self.filters(shape, axis, per_channel)
        inputs = [self.dequantize(), w]
        offset = [self.bias(filter_scale, floats=bias == "float")] if bias else []
        if kind == "Gemm":
            y = self.node("Gemm", inputs + offset, transB=int(transposed))
        else:
            y = self.node("MatMul", inputs)
            y = self.node("Add", [y, *offset]) if bias else y
        self.quantize(y, self.spread(filter_scale, k))
        self.shape = (m,)
        return self

    def max_pool(self, kernel, **attributes):
        pool = self.node("MaxPool", [self.dequantize()], kernel_shape=list(kernel), **attributes)
        self.quantize_same(pool)
        self.shape = (self.shape[0], *self.window(kernel, **attributes))
        return self

    def average_pool(self):
        average = self.node("GlobalAveragePool", [self.dequantize()])
        self.quantize(average, float(self.scale) * self.rng.uniform(0.05, 0.8))
        self.shape = (self.shape[0], 1, 1)
        return self

    def activation(self, activation, same=False):
        """Relu or Clip between two QuantizeLinear."""
        y = self.activate(self.dequantize(), activation)
        if same:
            self.quantize_same(y)
        else:
            self.quantize(y, float(self.scale) * self.rng.uniform(0.5, 2))
        return self

    def flatten(self, kind="Flatten", quantized=True):
        value = self.dequantize()
        if kind == "Flatten":
            value = self.node("Flatten", [value])
        else:
            value = self.node("Reshape", [value, self.constant(np.array([-1, self.size]))])
        if quantized:
            self.quantize_same(value)
        else:
            self.dequantize = lambda: self._plain(value)
        self.shape = (self.size,)
        return self

    def _plain(self, value):
        del self.dequantize  # for the next operator only
        return value

    @property
    def size(self):
        return int(np.prod(self.shape))

    def window(self, kernel, strides=(1, 1), dilations=(1, 1), pads=(0, 0, 0, 0), auto_pad=None):
        """(E, F) of a window over the newest fmap."""
        if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            return tuple(-(-n // step) for n, step in zip(self.shape[1:], strides, strict=True))
        return tuple(
            (self.shape[1 + n] + pads[n] + pads[2 + n] - dilations[n] * (kernel[n] - 1) - 1)
            // strides[n]
            + 1
            for n in (0, 1)
        )

    def build(self, output=None):
        output = output or self.dequantize()
        shape = [None] * (1 + len(self.shape))
        value = helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)
        graph = helper.make_graph(self.nodes, "test", [self.input], [value], self.initializers)
        opset = [helper.make_opsetid("", 17)]
        return helper.make_model(graph, opset_imports=opset, ir_version=8)

    def inputs(self, count=2):
        """Random inputs that cover the quantised range and more, and an extreme one."""
        info = np.iinfo(self.dtype)
        parameters = {t.name: numpy_helper.to_array(t) for t in self.initializers[:2]}
        scale, zero_point = parameters.values()
        reach = (np.array([info.min, info.max]) - float(zero_point)) * float(scale)
        shape = self.input_shape
        for _ in range(count):
            yield self.rng.uniform(*(reach * 1.1), shape).astype(np.float32)
        yield np.where(self.rng.random(shape) < 0.5, *reach).astype(np.float32)
