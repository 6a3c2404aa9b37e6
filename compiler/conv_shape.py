"""The geometry of a convolution, in the letters of the field, and the lanes that units begin at.

lane      0 1 2 3 4 5 6 7 | 8 9 …        q = 3: units begin at lanes 0, 3, 6, 9, …
beat      0       1       | 2            a position of unit 1 takes beats 0 and 1
word      0               | 1            and of unit 2 words 0 and 1
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from eyas.compiler.fmap_place import FmapPlace
from eyas.compiler.ir import Convolution
from eyas.config import BEAT_LANES, WORD_LANES
from eyas.errors import ModelError


def ceil_div(value: int, by: int) -> int:
    """Quotient, rounded up."""
    return -(-value // by)


@dataclass(frozen=True)
class ConvShape:
    """What a mapping depends on. c and m count the channels of one group."""

    name: str
    c: int
    m: int
    groups: int
    h: int
    w: int
    r: int
    s: int
    e: int
    f: int
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int]  # top, left
    table: bool = False
    merge: bool = False
    parts: int = 1
    """Sets of filters over the same ifmaps: one more for each remainder."""
    uniform: bool = False
    """All ofmap channels have the same filters and parameters."""
    ifmap_lane: int = 0
    ofmap_lane: int = 0
    """Lanes of their words at which ifmap and ofmap begin: those of views may be any."""
    height: int = 0
    """Of the ifmap in memory, where not all of its rows are used."""
    row_step: int = 1
    """Rows of the fmap in memory from one of the ifmap to the next; see `without_idle_rows`."""
    rows: int = 1
    """Rows of the layer that are a single one here: h = e = 1; see `in_one_row`."""
    ifmap_rows_apart: bool = False
    ofmap_rows_apart: bool = False
    """Whether their rows do not follow each other in memory: those of views may not."""
    images: int = 1
    """Of a batch, that tiles do not span; see batch.py."""
    kept_ifmap: FmapPlace | None = None
    kept_ofmap: FmapPlace | None = None
    """Where fmaps lie in the GLB, from some start on, if they stay there: the ifmap from before the
    layer, the ofmap (and a merge's operand with it) behind it; see keep.py."""
    merged: int = 1
    """Images of a batch that are a single one here: h, e or, in one row, w and f hold them all."""

    @classmethod
    def of(
        cls,
        layer: Convolution,
        ifmap: tuple[int, int, int],
        source: FmapPlace | None = None,
        target: FmapPlace | None = None,
    ) -> "ConvShape":
        """The shape of `layer` on an ifmap (C, H, W) at `source`, its ofmap at `target`.

        Without places they have regions of their own. Raises ModelError where they do not fit.
        """
        filters, channels, r, s = layer.filters.shape
        if channels * layer.groups != ifmap[0] or filters % layer.groups:
            raise ModelError(
                f"layer {layer.name}: filters {layer.filters.shape} in {layer.groups} groups do "
                f"not fit an ifmap of {ifmap[0]} channels"
            )
        m, e, f = layer.output_shape(ifmap)
        if e < 1 or f < 1:
            raise ModelError(
                f"layer {layer.name}: a {r} × {s} filter does not fit an ifmap of "
                f"{ifmap[1]} × {ifmap[2]} with padding {layer.padding}"
            )
        source = source or FmapPlace.whole(0, ifmap)
        target = target or FmapPlace.whole(0, (m, e, f))
        return cls(
            layer.name,
            channels,
            m // layer.groups,
            layer.groups,
            ifmap[1],
            ifmap[2],
            r,
            s,
            e,
            f,
            layer.stride,
            layer.dilation,
            layer.padding[:2],
            (layer.merge or layer.requantization).table is not None,
            layer.merge is not None,
            1 + len(layer.remainders),
            _uniform(layer),
            source.lane,
            target.lane,
            ifmap_rows_apart=source.pitch != ifmap[2],
            ofmap_rows_apart=target.pitch != f,
        )

    @property
    def depthwise(self) -> bool:
        return self.groups > 1 and self.c == 1 and self.m == 1

    @property
    def macs(self) -> int:
        """Multiplications that the layer asks for, those with padding included."""
        channels = self.groups * self.m * self.c
        return channels * self.r * self.s * self.e * self.f * self.images

    @property
    def pointwise(self) -> bool:
        """Whether ofmap positions are those of the ifmap, and rows follow each other in memory."""
        alone = (self.r, self.s, self.stride, self.h, self.w) == (1, 1, (1, 1), self.e, self.f)
        return alone and not (self.ifmap_rows_apart or self.ofmap_rows_apart)

    @property
    def stacked(self) -> bool:
        """Whether ofmap row n is that of image n."""
        return self.merged > self.rows

    @property
    def ifmap_size(self) -> tuple[int, int]:
        """Height and width of an image's ifmap."""
        return self.height or self.h * self.rows // self.merged, self.w // self.rows

    @property
    def ofmap_size(self) -> tuple[int, int]:
        """Height and width of an image's ofmap."""
        return self.e * self.rows // self.merged, self.f // self.rows

    def in_one_row(self) -> "ConvShape":
        """The layer with its rows one behind the other, as a single one: tiles of any length fit.

        Where a position sees others than itself, or rows are apart in memory, it stays as it is.
        """
        if not self.pointwise:
            return self
        width = self.h * self.w
        return replace(self, h=1, w=width, e=1, f=width, rows=self.h)

    def without_idle_rows(self) -> "ConvShape":
        """The layer without the ifmap rows that its stride passes over: they are not loaded."""
        idle = self.r == 1 and self.e > 1 and self.stride[0] > 1 and not self.padding[0]
        if not idle:
            return self
        step, stride = self.stride[0], (1, self.stride[1])
        rows = min(self.e, ceil_div(self.h, step))  # ofmap rows below see padding
        return replace(
            self, h=rows, stride=stride, height=self.h, row_step=step, ifmap_rows_apart=True
        )

    def __str__(self) -> str:
        (h, w), (e, f) = self.ifmap_size, self.ofmap_size
        stride = (self.stride[1],) * 2 if self.stacked else self.stride
        stride = (stride[0] * self.row_step, stride[1])
        images = self.images * self.merged
        text = f"{self.c * self.groups}×{h}×{w} → {self.m * self.groups}×{e}×{f}"
        text += f", {self.r}×{self.s}"
        for mark, pair in (("/", stride), (" dilation ", self.dilation)):
            if pair != (1, 1):
                text += mark + "×".join(str(n) for n in dict.fromkeys(pair))
        text += f", {self.groups} groups" if self.groups > 1 else ""
        return text + (f", {images} images" if images > 1 else "")


def _uniform(layer: Convolution) -> bool:
    how = layer.requantization
    values = (layer.bias, how.multiplier, how.shift, layer.filters, *layer.remainders)
    return all(np.array_equal(v[0], v[-1]) and (v == v[:1]).all() for v in values)


@lru_cache(maxsize=8192)
def first_lanes(shape: ConvShape, q: int) -> frozenset[int]:
    """Lanes, in their channel block, at which units of q lanes begin."""
    if shape.depthwise:
        groups = range(min(WORD_LANES, ceil_div(shape.groups, q)))
        return frozenset((shape.ifmap_lane + g * q) % WORD_LANES for g in groups)
    starts = {shape.ifmap_lane + g * shape.c for g in range(min(WORD_LANES, shape.groups))}
    chunks = range(min(WORD_LANES, ceil_div(shape.c, q)))
    return frozenset((start + k * q) % WORD_LANES for start in starts for k in chunks)


@lru_cache(maxsize=8192)
def position_beats(shape: ConvShape, q: int) -> int:
    """Ring beats that an ifmap position takes; the most of any unit."""
    return max(ceil_div(lane % BEAT_LANES + q, BEAT_LANES) for lane in first_lanes(shape, q))


@lru_cache(maxsize=8192)
def position_words(shape: ConvShape, q: int) -> float:
    """GLB words that a unit fetches for an ifmap position, on average."""
    beats = position_beats(shape, q)
    words = [(lane // BEAT_LANES + beats + 1) // 2 for lane in first_lanes(shape, q)]
    return sum(words) / len(words)


@lru_cache(maxsize=8192)
def first_ofmap_lane(shape: ConvShape, channels: int) -> int:
    """The last lane, in its channel block, at which a tile of `channels` ofmap channels begins."""
    groups, m = (1, shape.groups) if shape.depthwise else (shape.groups, shape.m)
    starts = [shape.ofmap_lane + g * m for g in range(min(WORD_LANES, groups))]
    tiles = range(min(WORD_LANES, ceil_div(m, channels)))
    return max((start + n * channels) % WORD_LANES for start in starts for n in tiles)
