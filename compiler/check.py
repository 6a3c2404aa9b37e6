"""The rules of the intermediate representation, checked after the front end and after every pass.

A graph that passes runs on the golden operators, and means the same to everybody. A violation is a
ModelError that names the layer or tensor; after a pass it is a fault of the pass.
"""

import numpy as np

from eyas.command import Dialect
from eyas.compiler.ir import Convolution, Graph, Layer, MaxPool, Port, Requantization
from eyas.errors import ModelError

PORT_DTYPES = ("float32", "int8", "uint8")
PSUM_LIMIT = 1 << 31


def check(graph: Graph, stage: str = "front end") -> None:
    """Raises ModelError, which names `stage`, for the first rule that the graph breaks."""
    try:
        _check_tensors(graph)
        _check_order(graph)
        for layer in graph.layers:
            _check_layer(graph, layer)
        for port in graph.input_ports:
            _check_port(graph, port, graph.inputs)
        for port in graph.output_ports:
            _check_port(graph, port, graph.outputs)
    except ModelError as error:
        raise ModelError(f"{graph.name}, after {stage}: {error}") from None


def _require(holds: bool | np.bool_, where: str, rule: str) -> None:
    if not holds:
        raise ModelError(f"{where}: {rule}")


def _check_tensors(graph: Graph) -> None:
    for name, tensor in graph.tensors.items():
        where = f"tensor {name}"
        _require(tensor.name == name, where, f"is listed as {name} but named {tensor.name}")
        _require(
            len(tensor.shape) == 3 and all(isinstance(n, int) and n > 0 for n in tensor.shape),
            where,
            f"shape must be three positive numbers (C, H, W), not {tensor.shape}",
        )
        _require(
            -128 <= tensor.zero_point <= 127,
            where,
            f"zero point must be an int8, not {tensor.zero_point}",
        )
        _require(
            bool(np.isfinite(tensor.scale)) and tensor.scale > 0,
            where,
            f"scale must be positive, not {tensor.scale}",
        )


def _check_order(graph: Graph) -> None:
    """Every tensor is written once, before it is read."""
    _require(bool(graph.layers), "graph", "has no layers")
    _require(bool(graph.inputs) and bool(graph.outputs), "graph", "needs an input and an output")
    names = [layer.name for layer in graph.layers]
    for name in names:
        _require(names.count(name) == 1, f"layer {name}", "its name is taken by another layer")
    written = set()
    for name in graph.inputs:
        _require(name in graph.tensors, f"input {name}", "is no tensor of the graph")
        _require(name not in written, f"input {name}", "is listed twice")
        written.add(name)
    for layer in graph.layers:
        where = f"layer {layer.name}"
        _require(layer.input in written, where, f"reads {layer.input} before it is written")
        _require(layer.output in graph.tensors, where, f"{layer.output} is no tensor of the graph")
        _require(layer.output not in written, where, f"{layer.output} is already written")
        written.add(layer.output)
    for name in graph.outputs:
        _require(name in written, f"output {name}", "is never written")
    unused = sorted(set(graph.tensors) - written)
    _require(not unused, f"tensor {', '.join(unused)}", "is never written")


def _check_layer(graph: Graph, layer: Layer) -> None:
    where = f"layer {layer.name}"
    shape = graph.tensors[layer.input].shape
    for name, values, least in _geometry(layer):
        _require(
            all(isinstance(v, int) and v >= least for v in values),
            where,
            f"{name} must be whole numbers of at least {least}, not {values}",
        )
    if isinstance(layer, Convolution):
        _check_convolution(where, layer, shape)
    output = layer.output_shape(shape)
    _require(min(output) > 0, where, f"its window does not fit into an ifmap of shape {shape}")
    stated = graph.tensors[layer.output].shape
    _require(output == stated, where, f"its ofmap has shape {output}, not {stated}")


def _geometry(layer: Layer) -> list[tuple[str, tuple[int, ...], int]]:
    """Name, values and least value of the layer's geometric fields."""
    fields = [("stride", layer.stride, 1), ("padding", layer.padding, 0)]
    if isinstance(layer, MaxPool):
        return [*fields, ("window", layer.window, 1)]
    return [*fields, ("dilation", layer.dilation, 1), ("groups", (layer.groups,), 1)]


def _check_convolution(where: str, layer: Convolution, shape: tuple[int, int, int]) -> None:
    filters = layer.filters
    _require(filters.dtype == np.int8, where, f"filters must be int8, not {filters.dtype}")
    _require(
        filters.ndim == 4 and filters.size > 0,
        where,
        f"filters must have the shape (M, C / groups, R, S), not {filters.shape}",
    )
    m, channels = filters.shape[:2]
    _require(
        channels * layer.groups == shape[0] and m % layer.groups == 0,
        where,
        f"filters {filters.shape} in {layer.groups} groups do not fit {shape[0]} channels",
    )
    _require(
        layer.bias.dtype == np.int32 and layer.bias.shape == (m,),
        where,
        f"bias must be int32 ({m},), not {layer.bias.dtype} {layer.bias.shape}",
    )
    _require(
        -128 <= layer.pad_value <= 127, where, f"pad_value must be int8, not {layer.pad_value}"
    )
    # The value of a sum, whatever the ifmap holds; wrapping on the way to it is harmless.
    lowest, highest = -128 * filters.astype(np.int64), 127 * filters.astype(np.int64)
    least = np.minimum(lowest, highest).sum((1, 2, 3)) + layer.bias
    most = np.maximum(lowest, highest).sum((1, 2, 3)) + layer.bias
    fits = np.all((least >= -PSUM_LIMIT) & (most < PSUM_LIMIT))
    _require(fits, where, "its sums may not fit into 32 bits")
    _check_requantization(where, layer.requantization, m)


def _check_requantization(where: str, how: Requantization, m: int) -> None:
    _require(
        how.multiplier.dtype == np.int32 and how.multiplier.shape == (m,),
        where,
        f"multiplier must be int32 ({m},), not {how.multiplier.dtype} {how.multiplier.shape}",
    )
    _require(
        how.shift.dtype == np.int8 and how.shift.shape == (m,),
        where,
        f"shift must be int8 ({m},), not {how.shift.dtype} {how.shift.shape}",
    )
    if how.dialect == Dialect.ONNX:
        normalised = (how.multiplier >= 1 << 23) & (how.multiplier < 1 << 24)
        _require(
            bool(np.all(normalised)), where, "multipliers must be from 2**23 to 2**24 - 1 (ONNX)"
        )
    else:
        _require(bool(np.all(how.multiplier >= 0)), where, "multipliers must not be negative")
        _require(
            bool(np.all((how.shift >= -31) & (how.shift <= 30))),
            where,
            "shifts must be from -31 to 30 (TFLite)",
        )
    _require(-128 <= how.zero_point <= 127, where, f"zero point must be int8, not {how.zero_point}")
    _require(
        -128 <= how.clamp_min <= how.clamp_max <= 127,
        where,
        f"clamp must be two int8 in order, not {how.clamp_min} and {how.clamp_max}",
    )
    if how.table is not None:
        _require(
            how.table.dtype == np.int8 and how.table.shape == (256,),
            where,
            f"table must be int8 (256,), not {how.table.dtype} {how.table.shape}",
        )


def _check_port(graph: Graph, port: Port, tensors: list[str]) -> None:
    where = f"port {port.name}"
    _require(port.tensor in tensors, where, f"{port.tensor} is no such tensor of the graph")
    _require(port.dtype in PORT_DTYPES, where, f"type must be one of {', '.join(PORT_DTYPES)}")
    size = int(np.prod(graph.tensors[port.tensor].shape))
    _require(
        len(port.shape) > 1 and all(isinstance(n, int) for n in port.shape[1:]),
        where,
        f"shape must be fixed but for the batch, not {port.shape}",
    )
    held = int(np.prod(port.shape[1:]))  # type: ignore[arg-type]
    _require(held == size, where, f"its shape {port.shape} does not hold {size} values")
    _require(
        port.scale > 0 and -128 <= port.zero_point <= 127,
        where,
        "scale must be positive and the zero point int8",
    )
