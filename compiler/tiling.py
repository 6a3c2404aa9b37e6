"""Cuts a mapped convolution into blocks, filter groups, tiles and segments, in running order.

    for blocks that run together   their ifmap windows are loaded for   the other way round
      for filter group             filters are loaded for               in the order "groups"
        for block
          for tile                 psum banks drain after
            for segment            a COMPUTE runs

or, of two tiles that go together, for segment, for tile.

Only counting happens here: no addresses, no commands.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from eyas.compiler.conv_shape import ceil_div
from eyas.compiler.mapping import Sizes


@dataclass(frozen=True)
class Tile:
    """Ofmap positions from (e, f) on, of an image; `steps` is smaller in a last, ragged column of
    tiles."""

    number: int
    e: int
    f: int
    we_valid: int
    f_valid: int
    steps: int
    image: int = 0


@dataclass(frozen=True)
class FilterGroup:
    """Ofmap channels from m on, and the ifmap channels from c on that they need."""

    number: int
    c: int
    channels: int
    m: int
    count: int
    shares_ifmaps: bool
    """With the filter group before it."""


@dataclass(frozen=True)
class Segment:
    """Filter rows i…, tap chunks s… and channel chunks k… of a tile, with one set of filters."""

    number: int
    i: int
    rows: int
    s: int
    tap_chunks: int
    k: int
    chunks: int
    part: int = 0
    """Of the filters: 0 themselves, then their remainders."""

    @property
    def units(self) -> int:
        return self.rows * self.tap_chunks * self.chunks


@dataclass(frozen=True)
class Window:
    """A rectangle of an image's ifmap, clipped to what exists; at least one row and one column."""

    y: int
    x: int
    height: int
    width: int
    image: int = 0


def running_order(sizes: Sizes) -> Iterator[tuple[list[list[Tile]], FilterGroup]]:
    """Every filter group with every block, in the mapping's order: the blocks that run together."""
    cut, groups = list(blocks(sizes)), filter_groups(sizes)
    together = len(cut) if sizes.mapping.order == "groups" else sizes.mapping.windows
    for first in range(0, len(cut), together):
        yield from ((cut[first : first + together], group) for group in groups)


def blocks(sizes: Sizes) -> Iterator[list[Tile]]:
    """Blocks of tiles, image by image, row by row."""
    number = 0
    for image in range(sizes.shape.images):
        for block in _image_blocks(sizes, image, number):
            yield block
            number += len(block)


def _image_blocks(sizes: Sizes, image: int, number: int) -> Iterator[list[Tile]]:
    """Blocks of an image; tiles are counted from `number` on."""
    shape, mapping = sizes.shape, sizes.mapping
    width = mapping.wf * mapping.steps
    rows = range(0, shape.e, mapping.we)
    columns = range(0, shape.f, width)
    for top in range(0, len(rows), mapping.block_rows):
        for left in range(0, len(columns), mapping.block_cols):
            tiles = []
            for e in rows[top : top + mapping.block_rows]:
                for f in columns[left : left + mapping.block_cols]:
                    f_valid = min(width, shape.f - f)
                    steps = ceil_div(f_valid, mapping.wf)
                    we_valid = min(mapping.we, shape.e - e)
                    tiles.append(Tile(number, e, f, we_valid, f_valid, steps, image))
                    number += 1
            yield tiles


def filter_groups(sizes: Sizes) -> list[FilterGroup]:
    """Filter groups of the layer; those of one group of the convolution follow each other."""
    shape, channels = sizes.shape, sizes.tile_channels
    if shape.depthwise:
        return [
            FilterGroup(
                n, c, min(channels, shape.groups - c), c, min(channels, shape.groups - c), False
            )
            for n, c in enumerate(range(0, shape.groups, channels))
        ]
    groups: list[FilterGroup] = []
    for g in range(shape.groups):
        for m in range(0, shape.m, channels):
            count = min(channels, shape.m - m)
            first = g * shape.m + m
            groups.append(FilterGroup(len(groups), g * shape.c, shape.c, first, count, m > 0))
    return groups


def segments(sizes: Sizes) -> list[Segment]:
    """Segments of a tile: parts fastest, then filter rows, then tap chunks, then channel chunks."""
    shape, mapping = sizes.shape, sizes.mapping
    out: list[Segment] = []
    for k in range(0, sizes.chunks, mapping.seg_chunks):
        chunks = min(mapping.seg_chunks, sizes.chunks - k)
        for s in range(0, sizes.tap_chunks, mapping.seg_taps):
            tap_chunks = min(mapping.seg_taps, sizes.tap_chunks - s)
            for i in range(0, shape.r, mapping.seg_rows):
                rows = min(mapping.seg_rows, shape.r - i)
                for part in range(shape.parts):
                    out.append(Segment(len(out), i, rows, s, tap_chunks, k, chunks, part))
    return out


def segment_macs(sizes: Sizes, group: FilterGroup, tile: Tile, segment: Segment) -> int:
    """Useful MACs of a segment; over all segments, groups and tiles they add up to the layer's.

    Those of remainders belong to the filters that they complete.
    """
    shape, mapping = sizes.shape, sizes.mapping
    if segment.part:
        return 0
    taps = min(shape.s, (segment.s + segment.tap_chunks) * mapping.taps) - segment.s * mapping.taps
    lanes = 1
    if not shape.depthwise:
        last = min(shape.c, (segment.k + segment.chunks) * mapping.q)
        lanes = last - segment.k * mapping.q
    return tile.we_valid * tile.f_valid * group.count * lanes * segment.rows * taps


def window(sizes: Sizes, tiles: list[Tile], segment: Segment | None) -> Window:
    """The ifmap positions that `tiles`, of one image, need for a segment, or for all filter rows
    and taps."""
    shape, mapping = sizes.shape, sizes.mapping
    i, rows, s, taps = 0, shape.r, 0, shape.s
    if segment:
        i, rows = segment.i, segment.rows
        s = segment.s * mapping.taps
        taps = min(shape.s - s, segment.tap_chunks * mapping.taps)
    e0, e1 = tiles[0].e, max(t.e + t.we_valid for t in tiles)
    f0, f1 = min(t.f for t in tiles), max(t.f + t.f_valid for t in tiles)
    height_taps, width_taps = (
        (n - 1) * d + 1 for n, d in zip((rows, taps), shape.dilation, strict=True)
    )
    y0 = i * shape.dilation[0] - shape.padding[0]
    x0 = s * shape.dilation[1] - shape.padding[1]
    y, height = clipped(
        shape.h, y0 + e0 * shape.stride[0], y0 + (e1 - 1) * shape.stride[0] + height_taps
    )
    x, width = clipped(
        shape.w, x0 + f0 * shape.stride[1], x0 + (f1 - 1) * shape.stride[1] + width_taps
    )
    return Window(y, x, height, width, tiles[0].image)


def clipped(size: int, low: int, high: int) -> tuple[int, int]:
    """First coordinate and count of low … high-1, clipped to 0 … size-1; at least one."""
    low, high = max(low, 0), min(high, size)
    if low >= high:  # nothing but padding: any position will do, none is read
        low = min(max(low, 0), size - 1)
        high = low + 1
    return low, high - low
