"""Relu and Clip: limits that the QuantizeLinear behind them turns into a clamp or a table."""

from dataclasses import replace

import numpy as np

from eyas.compiler.onnx_importer import Importer
from eyas.compiler.onnx_model import Node
from eyas.compiler.onnx_values import Clipped, ConvolutionResult, Value


def relu(importer: Importer, node: Node) -> Value:
    """Relu: the layer in front clamps at the zero point, or a table does it."""
    node.accept()
    return _limit(importer, node, 0.0, np.inf)


def clip(importer: Importer, node: Node) -> Value:
    """Clip: like Relu. Limits are inputs, and attributes before opset 11."""
    node.accept("min", "max")
    limits = []
    for index, (name, default) in enumerate((("min", -np.inf), ("max", np.inf)), start=1):
        limit = node.attribute(name, float(default))
        if importer.value(node, index) is not None:
            value = importer.constant(node, index, name)
            if value.size != 1 or value.dtype != np.float32:
                node.refuse(f"its {name} must be one float32")
            limit = float(value.item())
        if np.isnan(limit):
            node.refuse(f"its {name} must be a number")
        limits.append(limit)
    return _limit(importer, node, *limits)


def _limit(importer: Importer, node: Node, low: float, high: float) -> Value:
    value = importer.value(node, 0)
    low = min(low, high)  # as onnxruntime: the upper limit wins
    if isinstance(value, ConvolutionResult | Clipped):
        bounds = (min(max(bound, low), high) for bound in (value.low, value.high))
        return replace(value, **dict(zip(("low", "high"), bounds, strict=True)))
    return Clipped(node, importer.fmap(node), low, high)
