"""Small graphs for tests of passes: layers by what they do, tensors named as they are made."""

from dataclasses import replace

import numpy as np

from eyas.command import Dialect, MergeOp
from eyas.compiler.activation import identity_convolution
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
from eyas.compiler.merges import merge_convolution

SHAPE = (4, 6, 7)  # of the input x


class GraphBuilder:
    """Each method adds a layer and gives the name of its ofmap."""

    def __init__(self, seed=0, shape=SHAPE):
        self.rng = np.random.default_rng(seed)
        self.graph = Graph("net", ["x"], [], {"x": Tensor("x", shape)})

    def shape(self, name):
        return self.graph.tensors[name].shape

    def tensor(self, shape, stem="t", view=None):
        name = f"{stem}{len(self.graph.tensors)}"
        self.graph.tensors[name] = Tensor(name, shape, view=view)
        return name

    def add(self, layer, output=None):
        """`layer` is made of (name, output); the ofmap is a new tensor if it is not given."""
        name = f"layer{len(self.graph.layers)}"
        if output is None:
            shape = layer(name, "").output_shape(self.shape(layer(name, "").input))
            output = self.tensor(shape)
        self.graph.layers.append(layer(name, output))
        return output

    def conv(self, x, m=4, size=1, *, padding=0, stride=1, output=None, **values):
        c = self.shape(x)[0]
        multiplier = self.rng.integers(1 << 30, (1 << 31) - 1, m).astype(np.int32)
        how = Requantization(Dialect.TFLITE, multiplier, np.full(m, -7 - size, np.int8), 5)
        filters = self.rng.integers(-128, 128, (m, c, size, size), np.int8)
        bias = self.rng.integers(-3000, 3000, m).astype(np.int32)
        values = dict(padding=(padding,) * 4, stride=(stride, stride), pad_value=-3) | values
        return self.add(
            lambda name, ofmap: Convolution(name, x, ofmap, filters, bias, how, **values), output
        )

    def depthwise(self, x, size, **values):
        channels = self.shape(x)[0]
        filters = self.rng.integers(-128, 128, (channels, 1, size, size), np.int8)
        bias = self.rng.integers(-3000, 3000, channels).astype(np.int32)
        multiplier = self.rng.integers(1 << 30, (1 << 31) - 1, channels).astype(np.int32)
        how = Requantization(Dialect.TFLITE, multiplier, np.full(channels, -9, np.int8), 5)
        edges = (values.pop("padding", 0),) * 4
        return self.add(
            lambda name, ofmap: Convolution(
                name, x, ofmap, filters, bias, how, padding=edges, groups=channels, **values
            )
        )

    def table(self, x, table=None, output=None):
        values = self.rng.integers(-128, 128, 256, np.int8) if table is None else table
        channels = self.shape(x)[0]
        return self.add(
            lambda name, ofmap: identity_convolution(name, x, ofmap, channels, values), output
        )

    def clamp(self, x, low=-40, high=50):
        values = np.clip(np.arange(256).astype(np.uint8).view(np.int8), low, high)
        return self.table(x, values.astype(np.int8))

    def merge(self, op, y, x, output=None):
        size, shift = (1 << 24, -18) if op == MergeOp.ADD else (500, -9)
        left, right = self.rng.integers(-size, size, (2, 256)).astype(np.int32)
        merge = Merge(op, x, left, right, 1 << 30, shift, -3, negative_multiplier=1 << 30,
                      negative_shift=-10)  # fmt: skip
        if op == MergeOp.PRELU:
            merge.left[:] = np.clip(merge.left, -200, 127)
        channels = self.shape(y)[0]
        return self.add(
            lambda name, ofmap: merge_convolution(name, y, ofmap, channels, merge), output
        )

    def constant(self, shape):
        name = self.tensor(shape, "k")
        self.graph.constants[name] = self.rng.integers(-128, 128, shape, np.int8)
        return name

    def pad(self, x, padding, value=-3):
        channels = self.shape(x)[0]
        return self.add(
            lambda name, ofmap: replace(
                identity_convolution(name, x, ofmap, channels), padding=padding, pad_value=value
            )
        )

    def max_pool(self, x, size=2, output=None):
        return self.add(lambda name, ofmap: MaxPool(name, x, ofmap, (size, size)), output)

    def average_pool(self, x, size=3, padding=1):
        window, edges = (size, size), (padding,) * 4
        return self.add(lambda name, ofmap: AveragePool(name, x, ofmap, window, (1, 1), edges))

    def concatenation(self, count, shape):
        """(parent, parts): `count` parts of `shape`, one behind the other in channels."""
        parent = self.tensor((count * shape[0], *shape[1:]), "all")
        views = [View(parent, n * shape[0]) for n in range(count)]
        return parent, [self.tensor(shape, "part", view) for view in views]

    def view(self, x, shape, *place):
        return self.tensor(shape, "view", View(x, *place))

    def finish(self, *outputs):
        self.graph.outputs[:] = outputs
        return self.graph

    def ifmap(self):
        return {"x": self.rng.integers(-128, 128, self.shape("x"), np.int8)}
