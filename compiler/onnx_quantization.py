"""QuantizeLinear, which ends a layer, DequantizeLinear, and constants."""

import numpy as np
from onnx import TensorProto

from eyas.command import Dialect
from eyas.compiler import onnx_model
from eyas.compiler.activation import identity_convolution
from eyas.compiler.ir import Convolution, Requantization
from eyas.compiler.onnx_importer import Importer
from eyas.compiler.onnx_model import Node
from eyas.compiler.onnx_values import (
    Clipped,
    Constant,
    ConvolutionResult,
    FloatInput,
    Fmap,
    Quantization,
    RealConstant,
    RealFmap,
    Value,
)
from eyas.numerics import encode_scale

MINIMUM_SHIFT = -128
"""The shift of a requantisation is an int8."""


def constant(importer: Importer, node: Node) -> Value:
    """Constant: only those that hold a tensor."""
    node.accept("value")
    proto = node.tensor_attribute("value")
    if proto is None:
        node.refuse("attribute value must hold a tensor")
    return Constant(onnx_model.array(proto, node.where))


def _parameters(importer: Importer, node: Node, default: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Scale (float32) and zero point of a QuantizeLinear or DequantizeLinear, checked.

    `default` is the type of a zero point that is left out, and then 0.
    """
    node.accept("axis", "block_size", "output_dtype", "saturate")
    node.require("block_size", 0, 0)
    scale = importer.constant(node, 1, "scale")
    if scale.dtype != np.float32:
        node.refuse(f"its scale must be float32, not {scale.dtype}")
    if not np.all(np.isfinite(scale) & (scale > 0)):
        node.refuse("its scale must be positive and finite")
    zero_point = np.zeros(scale.shape, default)
    if importer.value(node, 2) is not None:
        zero_point = importer.constant(node, 2, "zero point")
    if zero_point.dtype not in (np.int8, np.uint8, np.int32):
        node.refuse(f"type {zero_point.dtype} is not supported (supported: int8, uint8)")
    if zero_point.shape != scale.shape or scale.ndim > 1:
        node.refuse("its scale and zero point must both be scalars, or vectors of equal length")
    return scale, zero_point


def _fmap_quantization(importer: Importer, node: Node, default: type) -> Quantization:
    scale, zero_point = _parameters(importer, node, np.dtype(default))
    if scale.size != 1:
        node.refuse("fmaps must have one scale and zero point; only filters may have several")
    if zero_point.dtype == np.int32:
        node.refuse("type int32 is not supported for fmaps (supported: int8, uint8)")
    unsigned = zero_point.dtype == np.uint8
    shifted = int(zero_point.item()) - (128 if unsigned else 0)
    return Quantization(np.float32(scale.item()), shifted, unsigned)


def dequantize(importer: Importer, node: Node) -> Value:
    """DequantizeLinear of an fmap, or of constant filters or a constant bias."""
    value = importer.value(node, 0)
    if isinstance(value, Constant):
        return _dequantize_constant(importer, node, value.value)
    if not isinstance(value, Fmap):
        node.refuse("its input must be the output of a QuantizeLinear, or an int8 constant")
    node.require("output_dtype", 0, 0)
    how = _fmap_quantization(importer, node, np.uint8 if value.unsigned else np.int8)
    if how.unsigned != value.unsigned:
        node.refuse("its zero point must be of the type of its input")
    return RealFmap(value, how)


def _dequantize_constant(importer: Importer, node: Node, value: np.ndarray) -> RealConstant:
    node.require("output_dtype", 0, 0)
    scale, zero_point = _parameters(importer, node, value.dtype)
    if zero_point.dtype != value.dtype:
        node.refuse("its zero point must be of the type of its input")
    axis = node.attribute("axis", 1)
    if scale.size > 1:
        axis = axis + value.ndim if axis < 0 else axis
        if not 0 <= axis < value.ndim or value.shape[axis] != scale.size:
            node.refuse(f"{scale.size} scales do not fit axis {axis} of shape {value.shape}")
        zero_point = np.expand_dims(zero_point, [n for n in range(value.ndim) if n != axis])
    shifted = value.astype(np.int64) - zero_point.astype(np.int64)
    return RealConstant(shifted, scale.reshape(-1), axis, value.dtype)


def quantize(importer: Importer, node: Node) -> Value:
    """QuantizeLinear: ends a layer; in front of the first one it runs on the host."""
    value = importer.value(node, 0)
    if isinstance(value, Constant):
        node.refuse("of a constant is not supported: store the quantised constant in the model")
    output_type = node.attribute("output_dtype", 0)
    default = np.int8 if output_type == TensorProto.INT8 else np.uint8
    how = _fmap_quantization(importer, node, default)
    if output_type not in (0, TensorProto.UINT8 if how.unsigned else TensorProto.INT8):
        node.refuse("attribute output_dtype must be the type of its zero point, int8 or uint8")
    name = node.output
    if isinstance(value, FloatInput):
        return importer.add_input_tensor(value.name, name, value.shape, how.unsigned, how)
    if isinstance(value, ConvolutionResult):
        return _quantize_convolution(importer, node, value, how)
    if isinstance(value, Clipped):
        return _quantize_clipped(importer, node, value, how)
    if isinstance(value, RealFmap):
        if how != value.quantization:
            node.refuse(
                "its scale and zero point differ from those in front of "
                f"{node.inputs[0]}; between max pooling, Flatten and the like they must be equal"
            )
        importer.rename(value.fmap.tensor, name)
        return value.fmap
    node.refuse("its input is nothing that can be quantised")


def _same_type(node: Node, source: RealFmap, how: Quantization) -> None:
    if how.unsigned != source.quantization.unsigned:
        node.refuse("ifmap and ofmap of an operator must be both int8 or both uint8")


def _quantize_convolution(
    importer: Importer, node: Node, value: ConvolutionResult, how: Quantization
) -> Fmap:
    """The convolution as a layer, the ifmap's zero point folded into its bias."""
    _same_type(node, value.source, how)
    ifmap_zero_point = value.source.quantization.zero_point
    filters = value.filters
    bias = value.bias - ifmap_zero_point * filters.sum(axis=(1, 2, 3))
    if np.any(np.abs(bias) + 255 * np.abs(filters).sum(axis=(1, 2, 3)) >= 1 << 31):
        value.node.refuse("its sums may not fit into 32 bits")
    layer = Convolution(
        value.node.name,
        value.source.fmap.tensor,
        node.output,
        filters.astype(np.int8),
        bias.astype(np.int32),
        _requantization(node, value, how),
        value.stride,
        value.dilation,
        value.padding,
        value.groups,
        ifmap_zero_point,
    )
    importer.add_layer(layer)
    importer.add_tensor(node.output, value.shape, how)
    return Fmap(node.output, value.shape, how.unsigned)


def _requantization(node: Node, value: ConvolutionResult, how: Quantization) -> Requantization:
    with np.errstate(over="ignore", under="ignore"):
        scales = value.output_scale(how.scale)
    try:
        encoded = [encode_scale(float(scale)) for scale in scales]
    except ValueError as error:
        node.refuse(f"the requantisation's {error}")
    if min(shift for _, shift in encoded) < MINIMUM_SHIFT:
        node.refuse(f"the requantisation's scale, {min(scales):g}, is too small")
    high = how.quantize(value.high)
    return Requantization(
        Dialect.ONNX,
        np.array([multiplier for multiplier, _ in encoded], np.int32),
        np.array([shift for _, shift in encoded], np.int8),
        how.zero_point,
        min(how.quantize(value.low), high),
        high,
    )


def _quantize_clipped(importer: Importer, node: Node, value: Clipped, how: Quantization) -> Fmap:
    """Relu or Clip between two quantisations: a function of int8, as a table."""
    _same_type(node, value.source, how)
    source = value.source.quantization
    steps = np.arange(-128, 128, dtype=np.float32) - np.float32(source.zero_point)
    real = np.minimum(
        np.maximum(steps * source.scale, np.float32(value.low)), np.float32(value.high)
    )
    ordered = np.clip(np.rint(real / how.scale) + how.zero_point, -128, 127).astype(np.int8)
    fmap = value.source.fmap
    importer.add_tensor(node.output, fmap.shape, how)
    channels = importer.graph.tensors[node.output].shape[0]
    importer.add_layer(
        identity_convolution(
            value.node.name, fmap.tensor, node.output, channels, np.roll(ordered, -128)
        )
    )
    return Fmap(node.output, fmap.shape, how.unsigned)
