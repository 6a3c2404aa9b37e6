"""What the host does around an inference: quantise inputs, dequantise outputs.

Kernels: onnxruntime QuantizeLinear and DequantizeLinear, in float32:
rint(x / scale) + zero point, saturated; (q - zero point) * scale.
"""

from typing import Any

import numpy as np

from eyas.compiler.ir import Port
from eyas.errors import ModelError

UNSIGNED_SHIFT = 128
"""uint8 tensors of a model are int8 tensors of the machine, less this."""


def to_int8(port: Port, value: Any, model: str) -> np.ndarray:
    """An input as int8, its shape unchanged.

    Raises ModelError, with `model` in front, unless type and shape are the port's.
    """
    where = f"{model}: input {port.name}"
    array = np.asarray(value)
    if array.dtype != np.dtype(port.dtype):
        raise ModelError(f"{where} must be {port.dtype}, not {array.dtype}")
    if array.shape[1:] != port.shape[1:] or array.ndim != len(port.shape) or not len(array):
        rest = ", ".join(map(str, port.shape[1:]))
        raise ModelError(f"{where} must have the shape (N, {rest}), not {array.shape}")
    if port.dtype == "int8":
        return array
    if port.dtype == "uint8":
        return (array.astype(np.int16) - UNSIGNED_SHIFT).astype(np.int8)
    if np.isnan(array).any():
        raise ModelError(f"{where} must hold numbers, but has NaN in it")
    steps = np.rint(array / np.float32(port.scale))
    return np.clip(steps + np.float32(port.zero_point), -128, 127).astype(np.int8)


def from_int8(port: Port, values: np.ndarray) -> np.ndarray:
    """An output in the port's type and shape, from int8 (N, C, H, W)."""
    array = values.reshape(len(values), *port.shape[1:])  # type: ignore[arg-type]
    if port.dtype == "int8":
        return array
    if port.dtype == "uint8":
        return (array.astype(np.int16) + UNSIGNED_SHIFT).astype(np.uint8)
    return (array.astype(np.float32) - np.float32(port.zero_point)) * np.float32(port.scale)
