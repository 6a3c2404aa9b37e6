"""Operators that multiply and add: Conv, Gemm, MatMul and its bias, GlobalAveragePool."""

from dataclasses import replace

import numpy as np

from eyas.compiler.onnx_importer import Importer
from eyas.compiler.onnx_model import Node
from eyas.compiler.onnx_shapes import WINDOW_ATTRIBUTES, window
from eyas.compiler.onnx_values import (
    AverageResult,
    Constant,
    ConvolutionResult,
    RealConstant,
    RealFmap,
    Value,
)

BIAS_SCALE_TOLERANCE = 2.0**-20
"""How far, relatively, a bias's scale may be from ifmap scale * filter scale: a few roundings.
onnxruntime does not look at it at all."""


def convolution(importer: Importer, node: Node) -> Value:
    """Conv: with groups, strides, dilations and padding, two spatial dimensions."""
    node.accept("group", *WINDOW_ATTRIBUTES)
    source = importer.fmap(node)
    shape = source.fmap.shape
    if len(shape) != 3:
        node.refuse(f"its ifmap must have the shape (N, C, H, W), not (N, {_join(shape)})")
    filters, scale = _filters(importer, node, source, rank=4, axis=0)
    groups = node.attribute("group", 1)
    m, channels, r, s = filters.shape
    if groups < 1 or m % groups or channels * groups != shape[0]:
        node.refuse(
            f"filters of shape {filters.shape} in {groups} groups do not fit {shape[0]} channels"
        )
    place = window(node, (r, s), shape)
    return ConvolutionResult(
        node,
        source,
        (m, *place.output),
        filters,
        scale,
        _bias(importer, node, source, scale),
        groups,
        place.stride,
        place.dilation,
        place.padding,
    )


def gemm(importer: Importer, node: Node) -> Value:
    """Gemm as a fully connected layer: alpha = beta = 1, the ifmap not transposed."""
    node.accept("alpha", "beta", "transA", "transB")
    node.require("alpha", 1.0, 1.0)
    node.require("beta", 1.0, 1.0)
    node.require("transA", 0, 0)
    transposed = bool(node.attribute("transB", 0))
    source = importer.fmap(node)
    filters, scale = _filters(importer, node, source, rank=2, axis=0 if transposed else 1)
    filters = filters if transposed else filters.T
    bias = _bias(importer, node, source, scale)
    return _fully_connected(importer, node, source, filters, scale, bias)


def matmul(importer: Importer, node: Node) -> Value:
    """MatMul of an fmap (N, K) and constant filters (K, M) as a fully connected layer."""
    node.accept()
    source = importer.fmap(node)
    filters, scale = _filters(importer, node, source, rank=2, axis=1)
    bias = np.zeros(len(scale), np.int64)
    return _fully_connected(importer, node, source, filters.T, scale, bias)


def _fully_connected(
    importer: Importer,
    node: Node,
    source: RealFmap,
    filters: np.ndarray,
    scale: np.ndarray,
    bias: np.ndarray,
) -> ConvolutionResult:
    """A convolution whose filters, (M, K), cover the whole ifmap: R = H, S = W.

    Flatten in front of it has not moved anything: K runs over the ifmap in the order C, H, W.
    """
    shape = source.fmap.shape
    if shape != filters.shape[1:]:
        node.refuse(
            f"filters of {filters.shape[1]} values do not fit an ifmap of shape (N, {_join(shape)})"
        )
    full = importer.graph.tensors[source.fmap.tensor].shape
    return ConvolutionResult(node, source, (len(filters),), filters.reshape(-1, *full), scale, bias)


def add(importer: Importer, node: Node) -> Value:
    """Add of a constant bias to the result of a MatMul."""
    node.accept()
    for index in (0, 1):
        value = importer.value(node, index)
        if isinstance(value, ConvolutionResult) and value.node.kind == "MatMul":
            bias = _bias(importer, node, value.source, value.filter_scale, 1 - index)
            return replace(value, bias=value.bias + bias)
    node.refuse("is supported only as the bias of a MatMul")


def global_average_pool(importer: Importer, node: Node) -> Value:
    """GlobalAveragePool: a depthwise convolution whose filters are ones."""
    node.accept()
    source = importer.fmap(node)
    shape = source.fmap.shape
    if len(shape) != 3:
        node.refuse(f"its ifmap must have the shape (N, C, H, W), not (N, {_join(shape)})")
    channels = shape[0]
    return AverageResult(
        node,
        source,
        (channels, 1, 1),
        np.ones((channels, 1, *shape[1:]), np.int64),
        np.ones(channels, np.float32),
        np.zeros(channels, np.int64),
        channels,
    )


def _filters(
    importer: Importer, node: Node, source: RealFmap, rank: int, axis: int
) -> tuple[np.ndarray, np.ndarray]:
    """Constant filters, zero point subtracted, and a scale for each of them."""
    value = importer.value(node, 1)
    if not isinstance(value, RealConstant):
        node.refuse("its filters must be int8 constants behind a DequantizeLinear")
    if value.value.ndim != rank or not value.value.size:
        node.refuse(f"its filters must have {rank} dimensions, not the shape {value.value.shape}")
    if value.dtype != np.int8 and not (source.quantization.unsigned and value.dtype == np.uint8):
        node.refuse(f"filters of type {value.dtype} are not supported (supported: int8)")
    if value.scale.size > 1 and value.axis != axis:
        node.refuse(f"its filters must be quantised along axis {axis}, not {value.axis}")
    low, high = value.value.min(), value.value.max()
    if low < -128 or high > 127:
        node.refuse(
            f"filters less their zero point reach from {low} to {high}, beyond int8: quantise "
            "them symmetrically"
        )
    count = value.value.shape[axis]
    return value.value, np.broadcast_to(value.scale, (count,))


def _bias(
    importer: Importer, node: Node, source: RealFmap, filter_scale: np.ndarray, index: int = 2
) -> np.ndarray:
    """int64 (M,): an int32 constant, or a float one quantised as onnxruntime does it."""
    value = importer.value(node, index)
    if value is None:
        return np.zeros(len(filter_scale), np.int64)
    scale = source.quantization.scale * filter_scale
    if isinstance(value, Constant) and value.value.dtype == np.float32:
        # Kernel: onnxruntime WeightBiasQuantization.
        if value.value.shape != scale.shape:
            node.refuse(f"a bias of shape {value.value.shape} does not fit {len(scale)} filters")
        steps = np.rint(value.value / scale)
        if not np.all(np.abs(steps) < 1 << 31):
            node.refuse("its bias does not fit into 32 bits")
        return steps.astype(np.int64)
    if not isinstance(value, RealConstant) or value.dtype != np.int32:
        node.refuse("its bias must be an int32 constant behind a DequantizeLinear, or float32")
    error = np.abs(_one_each(node, value.scale, len(scale)) / scale.astype(np.float64) - 1)
    if np.max(error) > BIAS_SCALE_TOLERANCE:
        node.refuse("the scale of its bias must be the product of ifmap and filter scale")
    return _one_each(node, value.value, len(scale))


def _one_each(node: Node, value: np.ndarray, count: int) -> np.ndarray:
    """A bias or its scale as a vector of `count`."""
    flat = value.reshape(-1)
    if flat.size not in (1, count) or (value.ndim and value.shape[-1] != flat.size):
        node.refuse(f"a bias of shape {value.shape} does not fit {count} filters")
    return np.broadcast_to(flat, (count,))


def _join(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))
