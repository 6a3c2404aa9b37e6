"""Windows with strides and padding, max pooling, and operators that only change the shape."""

from dataclasses import dataclass

import numpy as np

from eyas.compiler.ir import MaxPool
from eyas.compiler.onnx_importer import Importer
from eyas.compiler.onnx_model import Node
from eyas.compiler.onnx_values import Fmap, RealFmap, Value

WINDOW_ATTRIBUTES = ("auto_pad", "dilations", "kernel_shape", "pads", "strides")


@dataclass(frozen=True)
class Window:
    """How a filter or pooling window moves over an ifmap."""

    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int, int, int]  # top, left, bottom, right
    output: tuple[int, int]  # (E, F)


def window(node: Node, kernel: tuple[int, int], shape: tuple[int, ...]) -> Window:
    """The window, (R, S), of a Conv or MaxPool node over an ifmap (C, H, W)."""
    r, s = kernel
    if node.attribute("kernel_shape", [r, s]) != [r, s]:
        node.refuse(f"attribute kernel_shape must be {[r, s]}, the shape of the filters")
    stride = node.pair("strides", 1)
    dilation = node.pair("dilations", 1)
    reach = (dilation[0] * (r - 1) + 1, dilation[1] * (s - 1) + 1)
    padding = _padding(node, reach, stride, shape)
    height = shape[1] + padding[0] + padding[2] - reach[0]
    width = shape[2] + padding[1] + padding[3] - reach[1]
    if height < 0 or width < 0:
        node.refuse(
            f"its window of {reach[0]}×{reach[1]} is larger than its padded ifmap of "
            f"{height + reach[0]}×{width + reach[1]}"
        )
    output = (height // stride[0] + 1, width // stride[1] + 1)
    return Window(stride, dilation, padding, output)


def _padding(
    node: Node, reach: tuple[int, int], stride: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) from `pads` or `auto_pad`."""
    auto = node.attribute("auto_pad", "NOTSET")
    if auto == "NOTSET":
        top, left, bottom, right = node.numbers("pads", 4, 0, 0)
        return top, left, bottom, right
    if auto == "VALID":
        return 0, 0, 0, 0
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        node.refuse(
            f"auto_pad {auto} is not supported (supported: NOTSET, VALID, SAME_UPPER, SAME_LOWER)"
        )
    sides = []
    for size, step, window_size in zip(shape[1:], stride, reach, strict=True):
        total = max(0, (-(-size // step) - 1) * step + window_size - size)
        small, large = total // 2, total - total // 2
        sides.append((small, large) if auto == "SAME_UPPER" else (large, small))
    return sides[0][0], sides[1][0], sides[0][1], sides[1][1]


def max_pool(importer: Importer, node: Node) -> Value:
    """MaxPool, between equal quantisations: a maximum of int8 is exact."""
    node.accept("ceil_mode", "storage_order", *WINDOW_ATTRIBUTES)
    node.require("storage_order", 0, 0)
    source = importer.fmap(node)
    if len(source.fmap.shape) != 3:
        node.refuse("its ifmap must have the shape (N, C, H, W)")
    kernel = node.pair("kernel_shape", 0)
    place = window(node, kernel, source.fmap.shape)
    if place.dilation != (1, 1):
        node.refuse("attribute dilations must be [1, 1]")
    if any(pad >= kernel[side % 2] for side, pad in enumerate(place.padding)):
        node.refuse("its padding must be smaller than its window")
    _refuse_ceil_mode(node, kernel, place, source.fmap.shape)
    shape = (source.fmap.shape[0], *place.output)
    layer = MaxPool(node.name, source.fmap.tensor, node.output, kernel, place.stride, place.padding)
    importer.add_layer(layer)
    importer.add_tensor(node.output, shape, source.quantization)
    importer.provisional.add(node.output)
    return RealFmap(Fmap(node.output, shape, source.fmap.unsigned), source.quantization)


def _refuse_ceil_mode(
    node: Node, kernel: tuple[int, ...], place: Window, shape: tuple[int, ...]
) -> None:
    """ceil_mode is fine where the windows fit without a rest; then it changes nothing."""
    if not node.attribute("ceil_mode", 0):
        return
    for axis in (0, 1):
        padded = shape[1 + axis] + place.padding[axis] + place.padding[2 + axis]
        if (padded - kernel[axis]) % place.stride[axis]:
            node.refuse("attribute ceil_mode must be 0: its last window reaches beyond the ifmap")


def flatten(importer: Importer, node: Node) -> Value:
    """Flatten to (N, C*H*W); the fully connected layer behind it takes its filters apart again."""
    node.accept("axis")
    axis = node.attribute("axis", 1)
    rank = 1 + len(importer.fmap(node).fmap.shape)
    if axis not in (1, 1 - rank):
        node.refuse(f"attribute axis must be 1, not {axis}")
    return _flattened(importer.fmap(node))


def reshape(importer: Importer, node: Node) -> Value:
    """Reshape to (N, C*H*W), or to the shape that it has."""
    node.accept("allowzero")
    source = importer.fmap(node)
    target = [int(size) for size in importer.constant(node, 1, "shape").reshape(-1)]
    shape = (1, *source.fmap.shape)
    if not node.attribute("allowzero", 0):
        target = [
            shape[n] if size == 0 and n < len(shape) else size for n, size in enumerate(target)
        ]
    if target[:1] == [-1]:  # the batch, which is one
        target[0] = 1
    count = int(np.prod(shape))
    if target.count(-1) == 1:
        rest = int(np.prod([size for size in target if size != -1]))
        target = [count // rest if size == -1 and rest > 0 else size for size in target]
    if target == list(shape):
        return source
    if target != [1, count]:
        node.refuse(
            f"only reshaping to (N, {count}) is supported, not {source.fmap.shape} to {target[1:]}"
        )
    return _flattened(source)


def _flattened(source: RealFmap) -> RealFmap:
    count = int(np.prod(source.fmap.shape))
    return RealFmap(Fmap(source.fmap.tensor, (count,), source.fmap.unsigned), source.quantization)


def identity(importer: Importer, node: Node) -> Value:
    """Identity, and Dropout as it is in inference."""
    node.accept("ratio", "seed")
    value = importer.value(node, 0)
    if value is None:
        node.refuse("its input is missing")
    return value
