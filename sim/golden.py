"""The layers in plain NumPy: the arithmetic that programs and hardware must equal, byte for byte.

    run_graph ──► convolution ──► convolution_psums ──► requantize (sim/requantize.py)
              │               └─► merge (sim/merge.py), where another fmap joins
              ├─► max_pool
              └─► average_pool

Slow and obviously right: Python loops over the filter taps, exact integers within. Psums are sums
of products modulo 2**32, as in the psum banks; every order of summation gives the same ones.
"""

import numpy as np

from eyas.compiler.ir import AveragePool, Convolution, Graph, MaxPool
from eyas.compiler.views import arrays
from eyas.errors import ModelError
from eyas.sim.merge import merge
from eyas.sim.requantize import requantize


def _pad(ifmap: np.ndarray, padding: tuple[int, int, int, int], value: int) -> np.ndarray:
    top, left, bottom, right = padding
    widths = ((0, 0), (top, bottom), (left, right))
    return np.pad(ifmap, widths, constant_values=np.int8(value))


def _window(padded: np.ndarray, y: int, x: int, stride: tuple[int, int], e: int, f: int):
    """The (C, E, F) inputs that the filter tap or pool position at (y, x) meets."""
    rows = slice(y, y + stride[0] * (e - 1) + 1, stride[0])
    columns = slice(x, x + stride[1] * (f - 1) + 1, stride[1])
    return padded[:, rows, columns]


def convolution_psums(ifmap: np.ndarray, layer: Convolution) -> np.ndarray:
    """Psums, int32 (M, E, F), of an int8 ifmap (C, H, W); the bias is not in them."""
    m, e, f = layer.output_shape(ifmap.shape)
    _, channels, taps_y, taps_x = layer.filters.shape
    filters = layer.filters.astype(np.int64)
    for remainder in layer.remainders:
        filters += remainder
    filters = filters.reshape(layer.groups, m // layer.groups, channels, taps_y, taps_x)
    padded = _pad(ifmap, layer.padding, layer.pad_value).astype(np.int64)
    psums = np.zeros((layer.groups, m // layer.groups, e * f), np.int64)
    for r in range(taps_y):
        for s in range(taps_x):
            y, x = r * layer.dilation[0], s * layer.dilation[1]
            window = _window(padded, y, x, layer.stride, e, f)
            psums += filters[:, :, :, r, s] @ window.reshape(layer.groups, channels, e * f)
    return psums.reshape(m, e, f).astype(np.int32)  # keeps the low 32 bits


def convolution(ifmap: np.ndarray, layer: Convolution, *operand: np.ndarray) -> np.ndarray:
    """The int8 ofmap (M, E, F) of an int8 ifmap (C, H, W).

    With a merge, `operand` is its int8 operand (M, E, F).
    """
    how = layer.requantization
    ofmap = requantize(
        convolution_psums(ifmap, layer),
        layer.bias[:, None, None],
        how.multiplier[:, None, None],
        how.shift[:, None, None],
        how.dialect,
        how.zero_point,
        how.clamp_min,
        how.clamp_max,
        how.table,
    )
    if layer.merge is None:
        return ofmap
    constants = {k: v for k, v in vars(layer.merge).items() if k not in ("op", "operand")}
    return merge(layer.merge.op, ofmap, *operand, **constants)


def max_pool(ifmap: np.ndarray, layer: MaxPool) -> np.ndarray:
    """The int8 ofmap (C, E, F); padding is -128, so that it never wins against an input."""
    channels, e, f = layer.output_shape(ifmap.shape)
    padded = _pad(ifmap, layer.padding, -128)
    ofmap = np.full((channels, e, f), -128, np.int8)
    for r in range(layer.window[0]):
        for s in range(layer.window[1]):
            ofmap = np.maximum(ofmap, _window(padded, r, s, layer.stride, e, f))
    return ofmap


def average_pool(ifmap: np.ndarray, layer: AveragePool) -> np.ndarray:
    """The int8 ofmap (C, E, F), as tflite-micro's AVERAGE_POOL_2D: the sum divided by the count of
    inputs, half away from zero or, with `half_up`, upwards; padding is in neither."""
    channels, e, f = layer.output_shape(ifmap.shape)
    padded = _pad(ifmap, layer.padding, 0).astype(np.int64)
    inside = _pad(np.ones(ifmap.shape, np.int8), layer.padding, 0).astype(np.int64)
    total = np.zeros((channels, e, f), np.int64)
    count = np.zeros_like(total)
    for r in range(layer.window[0]):
        for s in range(layer.window[1]):
            total += _window(padded, r, s, layer.stride, e, f)
            count += _window(inside, r, s, layer.stride, e, f)
    mean = np.sign(total) * ((np.abs(total) + count // 2) // count)
    if layer.half_up:
        mean = (total + count // 2) // count
    return np.clip(mean, layer.clamp_min, layer.clamp_max).astype(np.int8)


def run_graph(graph: Graph, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every tensor of the graph by name, int8 (C, H, W), from those of its inputs.

    With a batch all of them are (N, C, H, W). Raises ModelError for an input that is missing or has
    another type or shape.
    """
    inputs = {name: _checked_input(graph, name, inputs) for name in graph.inputs}
    if graph.batch == 1:
        return _run_image(graph, inputs)
    images = [
        _run_image(graph, {name: values[n] for name, values in inputs.items()})
        for n in range(graph.batch)
    ]
    return {name: np.stack([image[name] for image in images]) for name in graph.tensors}


def _run_image(graph: Graph, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All tensors of an image; views are NumPy views of their parents."""
    tensors = arrays(graph, np.int8)
    for name in graph.inputs:
        tensors[name][...] = inputs[name]
    for name, values in graph.constants.items():
        tensors[name][...] = values
    for layer in graph.layers:
        ifmap, *operand = (tensors[name] for name in layer.inputs)
        if isinstance(layer, Convolution):
            ofmap = convolution(ifmap, layer, *operand)
        elif isinstance(layer, MaxPool):
            ofmap = max_pool(ifmap, layer)
        else:
            ofmap = average_pool(ifmap, layer)
        tensors[layer.output][...] = ofmap
    return tensors


def _checked_input(graph: Graph, name: str, inputs: dict[str, np.ndarray]) -> np.ndarray:
    if name not in inputs:
        raise ModelError(f"{graph.name}: input {name} is missing")
    value, shape = inputs[name], tuple(graph.tensors[name].shape)
    shape = shape if graph.batch == 1 else (graph.batch, *shape)
    if value.dtype != np.int8 or value.shape != shape:
        raise ModelError(
            f"{graph.name}: input {name} must be int8 of shape {shape}, "
            f"not {value.dtype} of shape {value.shape}"
        )
    return value
