"""How a convolution lies on the machine: the shape of the layer, the mapping, and its limits.

    filters of a PE       p filters x q lanes x taps taps            (T = p*q*taps micro-cycles)
    columns               wm filter sets x we ofmap rows x wf pieces of an ofmap row
    tile                  we rows x (wf*steps) columns of p*wm ofmap channels, between two drains
    segment               seg_rows x seg_taps x seg_chunks units of a tile: one COMPUTE
    block                 block_rows x block_cols tiles that share an ifmap window in the GLB

A depthwise layer has p = wm = 1 and q channels a tile; its psums are counted by q.
"""

from dataclasses import dataclass
from functools import cached_property

from eyas.command import MERGE_WORDS, PARAM_WORDS, TABLE_WORDS
from eyas.compiler.conv_shape import (
    ConvShape,
    ceil_div,
    first_lanes,
    first_ofmap_lane,
    position_beats,
)
from eyas.config import WORD_LANES
from eyas.layout import channel_blocks


@dataclass(frozen=True)
class Mapping:
    """One way to run a convolution. `check` says whether a configuration can hold it."""

    q: int
    p: int
    taps: int
    we: int
    wf: int
    wm: int
    steps: int
    seg_rows: int
    seg_taps: int
    seg_chunks: int
    block_rows: int = 1
    block_cols: int = 1
    ifmaps: str = "segment"
    """What stays in the GLB: the "block" window of all channels, or one "segment" at a time."""
    filters: str = "segment"
    """What stays in the GLB: those of the "layer", of the filter "group", or one "segment"."""
    ofmap_buffers: int = 2
    odd_pitch: bool = False
    """Rows and channel blocks of ifmap buffers an odd number of words apart. Banks are
    word-interleaved: with two of them this spreads what might all meet in one."""
    order: str = "blocks"
    """What the outer loop runs over: "blocks" of tiles, each with all filter groups, or filter
    "groups", each with the blocks of all images."""
    windows: int = 1
    """Blocks that run together: their ifmap windows are in the GLB at a time, so that a filter
    group is loaded once for all of them. Where a window is all of an image, these are images."""
    tiles_together: int = 1
    """Tiles, 1 or 2, of the blocks that run together, that take turns segment by segment, each with
    a psum memory of its own. The filters of a "segment" are loaded once for both, and its ifmaps as
    one window if the two are a block."""

    def __str__(self) -> str:
        return (
            f"q={self.q} p={self.p} taps={self.taps} columns={self.we}×{self.wf}×{self.wm} "
            f"steps={self.steps} block={self.block_rows}×{self.block_cols} "
            f"segment={self.seg_rows}×{self.seg_taps}×{self.seg_chunks} "
            f"ifmaps={self.ifmaps} filters={self.filters}"
            + (" odd pitch" if self.odd_pitch else "")
            + (f" order={self.order}" if self.order != "blocks" else "")
            + (f" windows={self.windows}" if self.windows > 1 else "")
            + (f" tiles together={self.tiles_together}" if self.tiles_together > 1 else "")
        )


@dataclass(frozen=True)
class Sizes:
    """What follows from a shape and a mapping: counts, and words in the GLB."""

    shape: ConvShape
    mapping: Mapping

    @property
    def psums(self) -> int:
        return self.mapping.q if self.shape.depthwise else self.mapping.p

    @property
    def tile_channels(self) -> int:
        """Ofmap channels of a tile, padding included."""
        return self.mapping.q if self.shape.depthwise else self.mapping.p * self.mapping.wm

    @property
    def filters(self) -> int:
        return self.mapping.p * self.mapping.q * self.mapping.taps

    @property
    def filter_words(self) -> int:
        return ceil_div(self.filters, WORD_LANES)

    @property
    def columns(self) -> int:
        return self.mapping.we * self.mapping.wf * self.mapping.wm

    @property
    def tap_chunks(self) -> int:
        return ceil_div(self.shape.s, self.mapping.taps)

    @property
    def chunks(self) -> int:
        """Channel chunks of a tile."""
        return 1 if self.shape.depthwise else ceil_div(self.shape.c, self.mapping.q)

    @property
    def dilation(self) -> int:
        """Of filter rows and of the taps of a PE: they share a register."""
        return self.shape.dilation[1 if self.mapping.taps > 1 else 0]

    @property
    def span(self) -> int:
        return (self.mapping.taps - 1) * self.shape.dilation[1] + 1

    @property
    def advance(self) -> int:
        return min(self.shape.stride[1], self.span)

    @property
    def first_lanes(self) -> frozenset[int]:
        return first_lanes(self.shape, self.mapping.q)

    @property
    def beats(self) -> int:
        return position_beats(self.shape, self.mapping.q)

    def ifmap_extent(self, e: int, f: int, rows: int, taps: int) -> tuple[int, int]:
        """The most ifmap rows and columns that e x f ofmap positions need of rows x taps taps."""
        shape = self.shape
        height = (e - 1) * shape.stride[0] + (rows - 1) * shape.dilation[0] + 1
        width = (f - 1) * shape.stride[1] + (taps - 1) * shape.dilation[1] + 1
        return min(height, shape.h), min(width, shape.w)

    @property
    def block_positions(self) -> tuple[int, int]:
        """Ofmap rows and columns of a block."""
        mapping = self.mapping
        rows = mapping.we * mapping.block_rows
        columns = mapping.wf * mapping.steps * mapping.block_cols
        return min(rows, self.shape.e), min(columns, self.shape.f)

    @property
    def shared_windows(self) -> bool:
        """Whether the tiles of a block share the ifmap window of each segment."""
        mapping = self.mapping
        alone = mapping.windows == 1 and mapping.ifmaps == "segment"
        return alone and mapping.block_rows * mapping.block_cols == mapping.tiles_together

    @cached_property
    def window(self) -> tuple[int, int]:
        """Rows and columns of the ifmap buffers."""
        shape, mapping = self.shape, self.mapping
        if shape.kept_ifmap:
            return shape.h, shape.w
        if mapping.ifmaps == "block":
            return self.ifmap_extent(*self.block_positions, shape.r, shape.s)
        taps = min(shape.s, mapping.seg_taps * mapping.taps)
        if self.shared_windows:
            return self.ifmap_extent(*self.block_positions, mapping.seg_rows, taps)
        e, f = min(mapping.we, shape.e), min(mapping.wf * mapping.steps, shape.f)
        return self.ifmap_extent(e, f, mapping.seg_rows, taps)

    @cached_property
    def pitch(self) -> int:
        """Words from one row of an ifmap buffer to the next."""
        if self.shape.kept_ifmap:
            return self.shape.kept_ifmap.pitch
        return self.window[1] | self.mapping.odd_pitch

    @cached_property
    def plane(self) -> int:
        """Words from one channel block of an ifmap buffer to the next."""
        if self.shape.kept_ifmap:
            return self.shape.kept_ifmap.plane
        return self.window[0] * self.pitch | self.mapping.odd_pitch

    @cached_property
    def ifmap_blocks(self) -> int:
        """Channel blocks of an ifmap buffer."""
        shape, q = self.shape, self.mapping.q
        if shape.depthwise:
            return channel_blocks(max(self.first_lanes) + min(q, shape.groups))
        if self.mapping.ifmaps == "block" or self.mapping.seg_chunks >= self.chunks:
            groups = range(min(WORD_LANES, shape.groups))
            starts = [shape.ifmap_lane + g * shape.c for g in groups]
            return channel_blocks(max(start % WORD_LANES for start in starts) + shape.c)
        return channel_blocks(max(self.first_lanes) + min(self.mapping.seg_chunks * q, shape.c))

    @property
    def ifmap_words(self) -> int:
        """Words of an ifmap buffer; none where the ifmap is in the GLB already."""
        return 0 if self.shape.kept_ifmap else self.plane * self.ifmap_blocks

    @property
    def kept_ifmap_words(self) -> int:
        """Words of the ifmap buffers that are in the GLB together, at least."""
        if self.mapping.ifmaps == "block":
            return self.ifmap_words * self.mapping.windows
        # Remainders of filters meet the ifmaps again, behind those of a tile that goes together.
        again = self.shape.parts > 1 and not self.shared_windows
        return self.ifmap_words * (self.mapping.tiles_together if again else 1)

    @property
    def tile_width(self) -> int:
        """Ofmap columns of a tile."""
        return min(self.mapping.wf * self.mapping.steps, self.shape.f)

    @property
    def ofmap_pitch(self) -> int:
        return self.shape.kept_ofmap.pitch if self.shape.kept_ofmap else self.tile_width

    @property
    def ofmap_plane(self) -> int:
        if self.shape.kept_ofmap:
            return self.shape.kept_ofmap.plane
        return min(self.mapping.we, self.shape.e) * self.ofmap_pitch

    @cached_property
    def ofmap_words(self) -> int:
        """Words of an ofmap buffer: a tile may begin in the middle of a channel block."""
        if self.shape.kept_ofmap:
            return 0
        shape, channels = self.shape, self.tile_channels
        lane = first_ofmap_lane(shape, channels)
        blocks = channel_blocks(lane + min(channels, shape.groups * shape.m))
        most = channel_blocks(shape.ofmap_lane + shape.groups * shape.m)
        return self.ofmap_plane * min(blocks, most)

    @property
    def tile_words(self) -> int:
        """Words that a tile needs for its ofmaps, and for its operands if there is a merge."""
        return self.ofmap_words * (2 if self.shape.merge else 1)

    @property
    def filter_groups(self) -> int:
        """Filter groups of the layer, those of all groups of the convolution together."""
        if self.shape.depthwise:
            return ceil_div(self.shape.groups, self.mapping.q)
        return self.shape.groups * ceil_div(self.shape.m, self.tile_channels)

    @property
    def distinct_groups(self) -> int:
        """Filter groups with different constants, the others hold one of these again."""
        if not self.shape.uniform:
            return self.filter_groups
        channels = self.shape.groups if self.shape.depthwise else self.shape.m
        return min(self.filter_groups, 2 if channels % self.tile_channels else 1)

    @property
    def param_words(self) -> int:
        return self.tile_channels * PARAM_WORDS + (TABLE_WORDS if self.shape.table else 0)

    @property
    def group_words(self) -> int:
        """Words of a filter group: filter blocks of all units, and parameters."""
        units = self.shape.r * self.tap_chunks * self.chunks * self.shape.parts
        return units * self.mapping.wm * self.filter_words + self.param_words

    @property
    def merge_words(self) -> int:
        """Words of a merge's constants, until the layer's first tile has drained."""
        return MERGE_WORDS if self.shape.merge else 0

    @property
    def kept_words(self) -> int:
        """Words of filters and parameters that are in the GLB together."""
        if self.mapping.filters == "layer":
            return self.distinct_groups * self.group_words
        return self.group_words if self.mapping.filters == "group" else self.segment_words

    @property
    def segment_words(self) -> int:
        """The most words of a segment's filter blocks and parameters."""
        mapping = self.mapping
        units = mapping.seg_rows * mapping.seg_taps * mapping.seg_chunks
        return units * mapping.wm * self.filter_words + self.param_words
