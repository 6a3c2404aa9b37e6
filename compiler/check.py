"""The rules of the intermediate representation, checked after the front end and after every pass.

    check ─► tensors and views ─► order of writes and reads ─► layers (check_layer.py) ─► ports

A graph that passes runs on the golden operators, and means the same to everybody. A violation is a
ModelError that names the layer or tensor; after a pass it is a fault of the pass.
"""

import numpy as np

from eyas.compiler.check_layer import check_layer, require
from eyas.compiler.ir import Graph, Port, Tensor, View
from eyas.compiler.views import arrays, recuts
from eyas.errors import ModelError

PORT_DTYPES = ("float32", "int8", "uint8")
HOST_STEPS = ("quantize", "dequantize", "softmax")


def check(graph: Graph, stage: str = "front end") -> None:
    """Raises ModelError, which names `stage`, for the first rule that the graph breaks."""
    try:
        require(graph.batch >= 1, "batch", f"must be at least 1, not {graph.batch}")
        for name, tensor in graph.tensors.items():
            _check_tensor(graph, name, tensor)
        _check_names(graph)
        _check_order(graph)
        for layer in graph.layers:
            check_layer(graph, layer)
        for port in graph.input_ports:
            _check_port(graph, port, graph.inputs)
            require(port.softmax is None, f"port {port.name}", "only an output has a softmax")
        for port in graph.output_ports:
            _check_port(graph, port, graph.outputs)
        for step in graph.host_steps:
            where = f"host step {step.name}"
            require(step.kind in HOST_STEPS, where, f"kind must be one of {', '.join(HOST_STEPS)}")
            require(step.tensor in graph.tensors, where, f"{step.tensor} is no tensor of the graph")
    except ModelError as error:
        raise ModelError(f"{graph.name}, after {stage}: {error}") from None


def _check_tensor(graph: Graph, name: str, tensor: Tensor) -> None:
    where = f"tensor {name}"
    require(tensor.name == name, where, f"is listed as {name} but named {tensor.name}")
    require(
        len(tensor.shape) == 3 and all(isinstance(n, int) and n > 0 for n in tensor.shape),
        where,
        f"shape must be three positive numbers (C, H, W), not {tensor.shape}",
    )
    require(
        -128 <= tensor.zero_point <= 127,
        where,
        f"zero point must be an int8, not {tensor.zero_point}",
    )
    require(
        bool(np.isfinite(tensor.scale)) and tensor.scale > 0,
        where,
        f"scale must be positive, not {tensor.scale}",
    )
    if tensor.view is not None:
        _check_view(graph, where, tensor, tensor.view)


def _check_view(graph: Graph, where: str, tensor: Tensor, view: View) -> None:
    require(view.parent in graph.tensors, where, f"{view.parent} is no tensor of the graph")
    parent = graph.tensors[view.parent]
    require(parent.view is None, where, f"its parent {view.parent} is a view itself")
    place = (view.c, view.y, view.x)
    if recuts(tensor, parent):
        require(place == (0, 0, 0), where, f"it is all of {view.parent}: it begins at 0, 0, 0")
        return
    edges = zip(place, tensor.shape, parent.shape, strict=True)
    require(
        all(0 <= start <= size - own for start, own, size in edges),
        where,
        f"shape {tensor.shape} at {place} is not inside of {view.parent}, {parent.shape}",
    )


def _check_names(graph: Graph) -> None:
    require(bool(graph.layers), "graph", "has no layers")
    require(bool(graph.inputs) and bool(graph.outputs), "graph", "needs an input and an output")
    names = [layer.name for layer in graph.layers]
    for name in names:
        require(names.count(name) == 1, f"layer {name}", "its name is taken by another layer")
    for name in graph.inputs:
        require(name in graph.tensors, f"input {name}", "is no tensor of the graph")
        require(graph.tensors[name].view is None, f"input {name}", "must not be a view")
        require(graph.inputs.count(name) == 1, f"input {name}", "is listed twice")
    for name, values in graph.constants.items():
        where = f"constant {name}"
        require(name in graph.tensors, where, "is no tensor of the graph")
        tensor = graph.tensors[name]
        require(tensor.view is None, where, "must not be a view")
        require(
            values.dtype == np.int8 and values.shape == tensor.shape,
            where,
            f"must be int8 {tensor.shape}, not {values.dtype} {values.shape}",
        )
    for layer in graph.layers:
        where = f"layer {layer.name}"
        for name in (*layer.inputs, layer.output):
            require(name in graph.tensors, where, f"{name} is no tensor of the graph")


def _check_order(graph: Graph) -> None:
    """Every element of a tensor is written once, before it is read."""
    written = arrays(graph, np.bool_)
    for name in (*graph.inputs, *graph.constants):
        require(not written[name].any(), f"input {name}", "is already written")
        written[name][...] = True
    for layer in graph.layers:
        where = f"layer {layer.name}"
        for name in layer.inputs:
            require(written[name].all(), where, f"reads {name} before it is written")
        require(not written[layer.output].any(), where, f"{layer.output} is already written")
        written[layer.output][...] = True
    for name in graph.outputs:
        require(name in written and written[name].all(), f"output {name}", "is never written")
    unused = sorted(name for name, elements in written.items() if not elements.any())
    require(not unused, f"tensor {', '.join(unused)}", "is never written")
    for name, elements in written.items():
        require(elements.all(), f"tensor {name}", "is written only in part")


def _check_port(graph: Graph, port: Port, tensors: list[str]) -> None:
    where = f"port {port.name}"
    require(port.tensor in tensors, where, f"{port.tensor} is no such tensor of the graph")
    require(port.dtype in PORT_DTYPES, where, f"type must be one of {', '.join(PORT_DTYPES)}")
    size = int(np.prod(graph.tensors[port.tensor].shape))
    require(
        len(port.shape) > 1 and all(isinstance(n, int) for n in port.shape[1:]),
        where,
        f"shape must be fixed but for the batch, not {port.shape}",
    )
    held = int(np.prod(port.shape[1:]))  # type: ignore[arg-type]
    require(held == size, where, f"its shape {port.shape} does not hold {size} values")
    require(
        port.scale > 0 and -128 <= port.zero_point <= 127,
        where,
        "scale must be positive and the zero point int8",
    )
