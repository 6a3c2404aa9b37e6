"""Networks as shapes: graphs of layers whose filters are random, but whose fmaps are alive.

    net = ShapeNetwork("small", (3, 32, 32))
    x = net.conv("conv1", net.input, 16, 3, padding=1)
    x = net.max_pool("pool1", x, 2, 2)
    graph = net.graph(x)                        # what compile_graph takes

Each layer is scaled by the variation that random filters of its size give: its ofmap spreads over
the int8 range, and few of its values saturate. For measuring cycles, which depend on shapes alone,
and for comparing bytes where they differ. Padding is the same on all sides, or (top, left, bottom,
right).
"""

import math

import numpy as np

from eyas.command import Dialect, MergeOp
from eyas.compiler.ir import (
    AveragePool,
    Convolution,
    Graph,
    Layer,
    MaxPool,
    Merge,
    Requantization,
    Tensor,
    View,
)
from eyas.compiler.merges import merge_convolution
from eyas.numerics import quantize_multiplier

RELU_ZERO, RELU_SPREAD = -128, 60.0
"""Zero point behind a ReLU, and the standard deviation in front of it: two of them fit."""
SPREAD = 40.0
"""Standard deviation of ofmaps without a ReLU; their zero point is 0."""
FILTER_DEVIATION = 73.3
"""Of uniform values from -127 to 127."""

Padding = int | tuple[int, int, int, int]


class ShapeNetwork:
    """A graph under construction, of random filters from one seed.

    shape: (C, H, W) of `input`. Every method that names a layer gives the name of its ofmap, which
    is the layer's own.
    """

    def __init__(self, name: str, shape: tuple[int, int, int], seed: int = 1):
        self.input = "input"
        self._name = name
        self._tensors = {"input": Tensor("input", shape)}
        self._layers: list[Layer] = []
        self._rms = {"input": 74.0}
        """Of each tensor's values from its zero point, roughly."""
        self._rng = np.random.default_rng(seed)

    def shape(self, x: str) -> tuple[int, int, int]:
        """(C, H, W) of a tensor."""
        return self._tensors[x].shape

    def conv(
        self,
        name: str,
        x: str,
        m: int,
        size: int | tuple[int, int],
        stride: int = 1,
        padding: Padding = 0,
        groups: int = 1,
        relu: bool = True,
    ) -> str:
        """`m` filters of `size` x `size` or (R, S)."""
        r, s = (size, size) if isinstance(size, int) else size
        c = self.shape(x)[0] // groups
        filters = self._rng.integers(-127, 128, (m, c, r, s), np.int8)
        psums = math.sqrt(c * r * s) * FILTER_DEVIATION * self._rms[x]
        spread = RELU_SPREAD if relu else SPREAD
        scales = spread / psums * self._rng.uniform(0.8, 1.2, m)
        multipliers, shifts = zip(*map(quantize_multiplier, scales), strict=True)
        zero = self._tensors[x].zero_point
        bias = self._rng.normal(0, psums / 4, m) - zero * filters.sum(axis=(1, 2, 3), dtype=int)
        how = Requantization(
            Dialect.TFLITE,
            np.array(multipliers, np.int32),
            np.array(shifts, np.int8),
            RELU_ZERO if relu else 0,
        )
        layer = Convolution(
            name, x, name, filters, bias.astype(np.int32), how, (stride, stride),
            padding=_sides(padding), groups=groups, pad_value=zero,
        )  # fmt: skip
        return self._add(layer, how.zero_point, spread / math.sqrt(2) if relu else spread)

    def depthwise(self, name: str, x: str, stride: int = 1, padding: Padding = 1) -> str:
        """A 3 x 3 filter for each channel."""
        channels = self.shape(x)[0]
        return self.conv(name, x, channels, 3, stride, padding, channels)

    def add(self, name: str, x: str, y: str) -> str:
        """Residual ADD with ReLU: a layer of its own, which passes move into a drain."""
        left, right = (self._addend(tensor) for tensor in (x, y))
        rms = math.hypot(self._rms[x], self._rms[y])
        multiplier, shift = quantize_multiplier(RELU_SPREAD / rms / (1 << 12))
        merge = Merge(MergeOp.ADD, y, left, right, multiplier, shift, RELU_ZERO)
        layer = merge_convolution(name, x, name, self.shape(x)[0], merge)
        return self._add(layer, RELU_ZERO, RELU_SPREAD / math.sqrt(2))

    def max_pool(self, name: str, x: str, window: int, stride: int, padding: Padding = 0) -> str:
        """Maximum over windows."""
        layer = MaxPool(name, x, name, (window, window), (stride, stride), _sides(padding))
        return self._add(layer, self._tensors[x].zero_point, self._rms[x])

    def average_pool(
        self, name: str, x: str, window: int | tuple[int, int], stride: int = 1
    ) -> str:
        """Mean over windows of `window` x `window` or (R, S)."""
        size = (window, window) if isinstance(window, int) else window
        layer = AveragePool(name, x, name, size, (stride, stride))
        return self._add(layer, self._tensors[x].zero_point, self._rms[x])

    def concat(self, name: str, parts: list[str]) -> str:
        """The channels of all parts, one behind the other; parts end up in its memory."""
        _, height, width = self.shape(parts[0])
        c = 0
        for part in parts:
            tensor = self._tensors[part]
            self._tensors[part] = Tensor(part, tensor.shape, 1.0, tensor.zero_point, View(name, c))
            c += tensor.shape[0]
        zero = self._tensors[parts[0]].zero_point
        self._tensors[name] = Tensor(name, (c, height, width), zero_point=zero)
        self._rms[name] = max(self._rms[part] for part in parts)
        return name

    def graph(self, *outputs: str) -> Graph:
        """The graph with these outputs."""
        return Graph(self._name, [self.input], list(outputs), self._tensors, self._layers)

    def _add(self, layer: Layer, zero_point: int, rms: float) -> str:
        shape = layer.output_shape(self.shape(layer.input))
        self._tensors[layer.output] = Tensor(layer.output, shape, zero_point=zero_point)
        self._layers.append(layer)
        self._rms[layer.output] = rms
        return layer.output

    def _addend(self, name: str) -> np.ndarray:
        """Table of an operand of an ADD: its distance from zero, with bits for rounding."""
        int8 = np.arange(256).astype(np.uint8).view(np.int8).astype(np.int32)
        return (int8 - self._tensors[name].zero_point) << 12


def _sides(padding: Padding) -> tuple[int, int, int, int]:
    return padding if isinstance(padding, tuple) else (padding, padding, padding, padding)
