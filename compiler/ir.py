"""The intermediate representation: a list of layers that the machine can run, over named tensors.

Front ends make it, passes transform it, the checker holds its rules, the mapper and the program
writer consume it. Everything is int8 and already quantised; all arithmetic is integer and exact.

    layer          reads            runs on
    Convolution    input, operand   array, PPU (with a Merge, the operand joins in the drain)
    MaxPool        input            vector unit
    AveragePool    input            becomes convolutions with filters of one (passes.py)
"""

from dataclasses import dataclass, field

import numpy as np

from eyas.command import Dialect, MergeOp


@dataclass(frozen=True)
class View:
    """A tensor's place in another one, its parent: concatenation and slicing by addressing.

    The tensor is the block of the parent that begins at channel c, row y, column x. A tensor of as
    many channels and positions (H * W) as its parent is the parent with its rows cut anew.
    """

    parent: str
    c: int = 0
    y: int = 0
    x: int = 0


@dataclass(frozen=True)
class Tensor:
    """An int8 fmap of shape (C, H, W) an image; value = scale * (int8 - zero_point)."""

    name: str
    shape: tuple[int, int, int]
    scale: float = 1.0
    zero_point: int = 0
    view: View | None = None
    """None where the tensor has memory of its own. A parent is never a view itself."""


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
class Merge:
    """A second fmap that joins a convolution's ofmap in the drain, element by element.

    With y the convolution's int8 value and x the operand's, l = left[y & 0xFF] and
    r = right[x & 0xFF]:

        ADD       v = l + r                          (wraps at 32 bits)
        MULTIPLY  v = l * r
        PRELU     v = l where l >= 0, else l * r, with the negative multiplier and shift

        ofmap = requantize(v, multiplier, shift) in the TFLITE dialect, without bias

    Factors (l and r of MULTIPLY and PRELU) are from -512 to 511.
    """

    op: MergeOp
    operand: str
    """A tensor of the ofmap's shape."""
    left: np.ndarray  # int32 (256,)
    right: np.ndarray  # int32 (256,)
    multiplier: int
    shift: int
    zero_point: int = 0
    clamp_min: int = -128
    clamp_max: int = 127
    table: np.ndarray | None = None  # int8 (256,), as that of a Requantization
    negative_multiplier: int = 0
    negative_shift: int = 0


@dataclass(frozen=True)
class Convolution:
    """CONV, depthwise CONV (groups = C) and FC (R = H, S = W) layers.

    ofmap = requantize(sum((ifmap - pad_value folded by the front end) * filters) + bias). The
    ifmap's zero point is already folded into `bias`; padding positions hold `pad_value`.

    Where filters do not fit int8, `remainders` hold what `filters` lack: the sum of all counts.
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
    merge: Merge | None = None
    """With one, `requantization` has no table: `merge.left` stands for it."""
    remainders: tuple[np.ndarray, ...] = ()  # int8, of the shape of filters

    @property
    def inputs(self) -> tuple[str, ...]:
        """Every tensor that the layer reads."""
        return (self.input, self.merge.operand) if self.merge else (self.input,)

    def output_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """(M, E, F) for an ifmap of `shape` (C, H, W)."""
        m, _, r, s = self.filters.shape
        top, left, bottom, right = self.padding
        e = (shape[1] + top + bottom - self.dilation[0] * (r - 1) - 1) // self.stride[0] + 1
        f = (shape[2] + left + right - self.dilation[1] * (s - 1) - 1) // self.stride[1] + 1
        return m, e, f


@dataclass(frozen=True)
class _Pool:
    name: str
    input: str
    output: str
    window: tuple[int, int]  # (R, S)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Every tensor that the layer reads."""
        return (self.input,)

    def output_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """(C, E, F) for an ifmap of `shape` (C, H, W)."""
        c, h, w = shape
        top, left, bottom, right = self.padding
        e = (h + top + bottom - self.window[0]) // self.stride[0] + 1
        f = (w + left + right - self.window[1]) // self.stride[1] + 1
        return c, e, f


@dataclass(frozen=True)
class MaxPool(_Pool):
    """Maximum over windows; positions outside of the ifmap are left out."""


@dataclass(frozen=True)
class AveragePool(_Pool):
    """Mean over windows, rounded half away from zero; positions outside of the ifmap do not count.

    Scale and zero point stay: ofmap = clamp(sum / count).
    """

    clamp_min: int = -128
    clamp_max: int = 127
    half_up: bool = False
    """Halves are rounded up instead: away from zero as uint8, which TFLite's uint8 models do."""


Layer = Convolution | MaxPool | AveragePool


@dataclass(frozen=True)
class Softmax:
    """SOFTMAX over the channels of each position, on the host (host/softmax.py).

    Its input has `scale`; its result the scale 1/256 and the zero point -128, as int8.
    """

    scale: float
    beta: float = 1.0


@dataclass(frozen=True)
class Port:
    """An input or output as the model's user knows it, and the tensor behind it.

    The host converts: a float32 is scale * (int8 - zero_point), a uint8 is int8 + 128. The shape
    is the user's: batch first, a name where the model leaves the batch open. Behind the batch the
    user's values are in the order C, H, W or, with `channels_last`, in the order H, W, C.
    `dialect` says whose rounding a float32 input gets: see host/conversion.py.
    """

    name: str
    tensor: str
    dtype: str  # "float32", "int8" or "uint8"
    shape: tuple[int | str, ...]
    scale: float = 1.0
    zero_point: int = 0
    channels_last: bool = False
    softmax: Softmax | None = None
    """Of an output: what the host does first. Scale and zero point are then those behind it."""
    dialect: Dialect = Dialect.ONNX


@dataclass(frozen=True)
class HostStep:
    """An operator of the model that the host runs, for the table that `eyas compile` prints."""

    name: str
    kind: str  # "quantize", "dequantize" or "softmax"
    tensor: str
    """The tensor that it makes, or takes from the machine."""


@dataclass
class Graph:
    """Layers in the order in which they run. Every tensor is written once, before it is read.

    A parent of views is written when they all are, and they with it. Graphs without ports take and
    give their tensors as they are, int8 (1, C, H, W).

    `batch` images are computed together: a tensor holds one fmap for each of them, in the order
    [channel block][image][row][column]. Constants are the same for all images.
    """

    name: str
    inputs: list[str]
    outputs: list[str]
    tensors: dict[str, Tensor] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    """Tensors that are in memory from the start, int8 (C, H, W): operands of merges."""
    input_ports: list[Port] = field(default_factory=list)
    output_ports: list[Port] = field(default_factory=list)
    host_steps: list[HostStep] = field(default_factory=list)
    batch: int = 1
