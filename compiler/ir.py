"""The intermediate representation: a list of layers that the machine can run, over named tensors.

Front ends make it, passes transform it, the checker holds its rules, the mapper and the program
writer consume it. Everything is int8 and already quantised; all arithmetic is integer and exact.
"""

from dataclasses import dataclass, field

import numpy as np

from eyas.command import Dialect


@dataclass(frozen=True)
class Tensor:
    """An int8 fmap of shape (C, H, W), batch 1; value = scale * (int8 - zero_point)."""

    name: str
    shape: tuple[int, int, int]
    scale: float = 1.0
    zero_point: int = 0


@dataclass(frozen=True)
class Requantization:
    """From int32 psums to int8 ofmaps, per channel; see eyas/numerics.py."""

    dialect: Dialect
    multiplier: np.ndarray  # int32 (M,)
    shift: np.ndarray  # int8 (M,)
    zero_point: int = 0
    clamp_min: int = -128
    clamp_max: int = 127
    table: np.ndarray | None = None  # int8 (256,), indexed by the clamped value & 0xFF


@dataclass(frozen=True)
class Convolution:
    """CONV, depthwise CONV (groups = C) and FC (R = H, S = W) layers.

    ofmap = requantize(sum((ifmap - pad_value folded by the front end) * filters) + bias). The
    ifmap's zero point is already folded into `bias`; padding positions hold `pad_value`.
    """

    name: str
    input: str
    output: str
    filters: np.ndarray  # int8 (M, C / groups, R, S)
    bias: np.ndarray  # int32 (M,)
    requantization: Requantization
    stride: tuple[int, int] = (1, 1)  # (y, x)
    dilation: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)  # top, left, bottom, right
    groups: int = 1
    pad_value: int = 0  # the ifmap's zero point

    def output_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """(M, E, F) for an ifmap of `shape` (C, H, W)."""
        m, _, r, s = self.filters.shape
        top, left, bottom, right = self.padding
        e = (shape[1] + top + bottom - self.dilation[0] * (r - 1) - 1) // self.stride[0] + 1
        f = (shape[2] + left + right - self.dilation[1] * (s - 1) - 1) // self.stride[1] + 1
        return m, e, f


@dataclass(frozen=True)
class MaxPool:
    """Maximum over windows; positions outside of the ifmap are left out."""

    name: str
    input: str
    output: str
    window: tuple[int, int]  # (R, S)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)

    def output_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        c, h, w = shape
        top, left, bottom, right = self.padding
        e = (h + top + bottom - self.window[0]) // self.stride[0] + 1
        f = (w + left + right - self.window[1]) // self.stride[1] + 1
        return c, e, f


Layer = Convolution | MaxPool


@dataclass(frozen=True)
class Port:
    """An input or output as the model's user knows it, and the tensor behind it.

    The host converts: a float32 is scale * (int8 - zero_point), a uint8 is int8 + 128. The shape
    is the user's: batch first, a name where the model leaves the batch open.
    """

    name: str
    tensor: str
    dtype: str  # "float32", "int8" or "uint8"
    shape: tuple[int | str, ...]
    scale: float = 1.0
    zero_point: int = 0


@dataclass
class Graph:
    """Layers in the order in which they run. Every tensor is written once, before it is read.

    Graphs without ports take and give their tensors as they are, int8 (1, C, H, W).
    """

    name: str
    inputs: list[str]
    outputs: list[str]
    tensors: dict[str, Tensor] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    input_ports: list[Port] = field(default_factory=list)
    output_ports: list[Port] = field(default_factory=list)
