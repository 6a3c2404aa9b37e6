"""A single layer, made up: its shape in the field's letters, and random operands for it.

    LayerShape.parse("C=16,M=32,H=28,W=28,R=3,S=3,P=1") → layer_graph(shape) → ir.Graph
                                                        → layer_input(shape) → ifmap

The operands are those of a quantised network in spirit: psums of a few thousand to a million,
requantised per channel so that ofmaps spread over the int8 range and only a few of them saturate.
"""

import math
import re
from dataclasses import dataclass, fields

import numpy as np

from eyas.command import Dialect
from eyas.compiler.ir import Convolution, Graph, Requantization, Tensor
from eyas.errors import ModelError
from eyas.numerics import encode_scale, quantize_multiplier

DATA = ("random", "min", "max", "ramp")
"""What operands may hold.

random: ifmap and filters uniform. min, max: all of them -128 or 127, for the widest psums.
ramp: the ifmap counts up along its columns, rows and channels, for waveforms that one can read.
"""
PAD_VALUE = -5
OFMAP_ZERO_POINT = 3
OFMAP_SPREAD = 40.0
"""Standard deviation of ofmaps: 3 of them fit into int8."""


@dataclass(frozen=True)
class LayerShape:
    """The shape of a convolution, depthwise (G = C) or fully connected (R = H, S = W) layer."""

    C: int
    M: int
    H: int
    W: int
    R: int = 1
    S: int = 1
    U: int = 1
    P: int = 0
    D: int = 1
    G: int = 1

    def __post_init__(self) -> None:
        for field in fields(self):
            value, least = getattr(self, field.name), 0 if field.name == "P" else 1
            if value < least:
                raise ModelError(f"shape: {field.name} must be at least {least}, not {value}")
        if self.C % self.G or self.M % self.G:
            raise ModelError(
                f"shape: the groups G = {self.G} must divide C = {self.C} and M = {self.M}"
            )
        if self.E < 1 or self.F < 1:
            raise ModelError(
                f"shape: the filter, {self.R} × {self.S} at dilation {self.D}, does not fit into "
                f"the ifmap, {self.H} × {self.W} with padding {self.P}"
            )

    @classmethod
    def parse(cls, text: str) -> "LayerShape":
        """Reads `C=16,M=32,H=28,W=28,R=3,S=3,U=1,P=1,D=1,G=1`; raises ModelError.

        C, M and H must be given. W is H, S is R, and R is 1 unless given.
        """
        values: dict[str, int] = {}
        letters = [field.name for field in fields(cls)]
        for part in filter(None, re.split(r"[,\s]+", text)):
            match = re.fullmatch(r"([A-Za-z])=(\d{1,6})", part)
            if not match or match[1].upper() not in letters:
                raise ModelError(
                    f"shape: {part!r} is not LETTER=NUMBER with a letter of {' '.join(letters)}"
                )
            if match[1].upper() in values:
                raise ModelError(f"shape: {match[1].upper()} is given twice")
            values[match[1].upper()] = int(match[2])
        missing = [letter for letter in "CMH" if letter not in values]
        if missing:
            raise ModelError(f"shape: {' and '.join(missing)} must be given, as in C=16,M=32,H=28")
        values.setdefault("W", values["H"])
        values.setdefault("S", values.get("R", 1))
        return cls(**values)

    @property
    def E(self) -> int:
        """Height of the ofmap."""
        return (self.H + 2 * self.P - self.D * (self.R - 1) - 1) // self.U + 1

    @property
    def F(self) -> int:
        """Width of the ofmap."""
        return (self.W + 2 * self.P - self.D * (self.S - 1) - 1) // self.U + 1

    @property
    def macs(self) -> int:
        """Multiplications that the layer asks for, those with padding included."""
        return self.M * self.E * self.F * (self.C // self.G) * self.R * self.S

    def __str__(self) -> str:
        defaults = {"W": self.H, "S": self.R} | {f.name: f.default for f in fields(self)[6:]}
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return ",".join(f"{k}={v}" for k, v in values.items() if defaults.get(k) != v)


def layer_graph(
    shape: LayerShape, data: str = "random", seed: int = 0, dialect: Dialect = Dialect.TFLITE
) -> Graph:
    """A graph of one convolution of that shape, from tensor `ifmap` to tensor `ofmap`."""
    rng = np.random.default_rng([seed, 0])
    filters = _values(rng, data, (shape.M, shape.C // shape.G, shape.R, shape.S))
    products = filters[0].size
    # Extreme operands all add up; random ones (standard deviation 74) walk.
    spread = products * 2.0**14 / 2 if data in ("min", "max") else math.sqrt(products) * 74 * 74
    scales = OFMAP_SPREAD / spread * rng.uniform(0.5, 1.5, shape.M)
    encode = encode_scale if dialect == Dialect.ONNX else quantize_multiplier
    multipliers, shifts = zip(*map(encode, scales), strict=True)
    layer = Convolution(
        "layer",
        "ifmap",
        "ofmap",
        filters,
        bias=rng.normal(0, spread / 4, shape.M).astype(np.int32),
        requantization=Requantization(
            dialect,
            np.array(multipliers, np.int32),
            np.array(shifts, np.int8),
            zero_point=OFMAP_ZERO_POINT,
        ),
        stride=(shape.U, shape.U),
        dilation=(shape.D, shape.D),
        padding=(shape.P, shape.P, shape.P, shape.P),
        groups=shape.G,
        pad_value=PAD_VALUE,
    )
    tensors = [
        Tensor("ifmap", (shape.C, shape.H, shape.W), zero_point=PAD_VALUE),
        Tensor("ofmap", (shape.M, shape.E, shape.F), zero_point=OFMAP_ZERO_POINT),
    ]
    return Graph("layer", ["ifmap"], ["ofmap"], {t.name: t for t in tensors}, [layer])


def layer_input(shape: LayerShape, data: str = "random", seed: int = 0) -> np.ndarray:
    """The ifmap, int8 (C, H, W)."""
    size = (shape.C, shape.H, shape.W)
    if data == "ramp":
        return (np.arange(math.prod(size)) % 256 - 128).astype(np.int8).reshape(size)
    return _values(np.random.default_rng([seed, 1]), data, size)


def _values(rng: np.random.Generator, data: str, size: tuple[int, ...]) -> np.ndarray:
    if data in ("min", "max"):
        return np.full(size, -128 if data == "min" else 127, np.int8)
    return rng.integers(-128, 128, size, np.int8)
