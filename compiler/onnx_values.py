"""What the ONNX front end knows of a name in the graph while it walks the nodes.

    float input ──QuantizeLinear──► Fmap ──DequantizeLinear──► RealFmap ──Conv──► ConvolutionResult
    constant    ──DequantizeLinear──► RealConstant               ▲                    │ Relu, Clip
                                                                 └─── Fmap ◄──QuantizeLinear

Zero points and values of uint8 tensors are shifted by 128 here, so that everything is int8.
"""

from dataclasses import dataclass

import numpy as np

from eyas.compiler.onnx_model import Node


@dataclass(frozen=True)
class Quantization:
    """The constants of a QuantizeLinear or DequantizeLinear of an fmap."""

    scale: np.float32
    zero_point: int  # shifted by 128 where unsigned
    unsigned: bool

    def quantize(self, value: float) -> int:
        """int8 of a real value (kernel: onnxruntime QuantizeLinear, in float32)."""
        if np.isinf(value):
            return 127 if value > 0 else -128
        steps = np.rint(np.float32(value) / self.scale)
        return int(np.clip(steps + self.zero_point, -128, 127))


@dataclass(frozen=True)
class FloatInput:
    """A float input of the model, for a QuantizeLinear that runs on the host."""

    name: str
    shape: tuple[int, ...]  # without the batch


@dataclass(frozen=True)
class Fmap:
    """A quantised tensor: `tensor` of the graph, seen in the shape that ONNX gives it."""

    tensor: str
    shape: tuple[int, ...]  # without the batch: (C, H, W) or, flattened, (C*H*W,)
    unsigned: bool


@dataclass(frozen=True)
class RealFmap:
    """A dequantised fmap."""

    fmap: Fmap
    quantization: Quantization


@dataclass(frozen=True)
class Constant:
    """A constant as it stands in the file."""

    value: np.ndarray


@dataclass(frozen=True)
class RealConstant:
    """A dequantised constant: scale * value, scale a scalar or a vector along `axis`."""

    value: np.ndarray  # int64, the zero point already subtracted
    scale: np.ndarray  # float32
    axis: int
    dtype: np.dtype  # of the stored values


@dataclass(frozen=True)
class Clipped:
    """An fmap through Relu or Clip, for the QuantizeLinear that follows."""

    node: Node
    source: RealFmap
    low: float
    high: float


@dataclass(frozen=True)
class ConvolutionResult:
    """The real-valued ofmap of a convolution, for the QuantizeLinear that follows.

    value = (sum(filters * (ifmap - zero point)) + bias) * (ifmap scale * filter_scale)
    """

    node: Node
    source: RealFmap
    shape: tuple[int, ...]  # as ONNX sees it, without the batch
    filters: np.ndarray  # int64 (M, C / groups, R, S)
    filter_scale: np.ndarray  # float32 (M,)
    bias: np.ndarray  # int64 (M,)
    groups: int = 1
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    low: float = -np.inf
    high: float = np.inf

    def output_scale(self, scale: np.float32) -> np.ndarray:
        """float32 (M,) from psums to steps of the ofmap.

        Kernels: onnxruntime QLinearConv, QGemm and QLinearMatMul, in their order of operations.
        """
        return (self.source.quantization.scale * self.filter_scale) / scale


@dataclass(frozen=True)
class AverageResult(ConvolutionResult):
    """A global average: a depthwise convolution whose filters are ones."""

    def output_scale(self, scale: np.float32) -> np.ndarray:
        """Kernel: onnxruntime QLinearGlobalAveragePool (MLAS), in its order of operations."""
        positions = np.float32(self.filters[0].size)
        return np.full_like(self.filter_scale, self.source.quantization.scale / (scale * positions))


Value = FloatInput | Fmap | RealFmap | Constant | RealConstant | Clipped | ConvolutionResult
