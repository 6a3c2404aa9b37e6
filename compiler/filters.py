"""The constants of a convolution as its LOADs want them: filter blocks and parameters.

For each filter group, for each of its segments, the filter blocks of the segment's units in order;
behind the last segment the parameters of the group's channels, then the activation table.
"""

from dataclasses import dataclass

import numpy as np

from eyas.compiler.ir import Convolution
from eyas.compiler.mapping import Sizes
from eyas.compiler.tiling import FilterGroup, Segment, filter_groups, segments
from eyas.config import WORD_BYTES
from eyas.layout import pack_filter_blocks, pack_parameters


@dataclass(frozen=True)
class FilterImage:
    """Bytes, and in words where each (group, segment) begins; one more entry ends the last."""

    data: np.ndarray  # uint8
    offsets: list[int]
    """Of segment s of filter group g, at [g * segments + s]."""


def filter_image(layer: Convolution, sizes: Sizes) -> FilterImage:
    """All constants of a layer in the order in which its filter groups need them."""
    parts: list[np.ndarray] = []
    offsets = [0]
    cut = segments(sizes)
    for group in filter_groups(sizes):
        blocks = _filter_blocks(layer, sizes, group)
        for segment in cut:
            words = [_segment_words(blocks, segment)]
            if segment is cut[-1]:
                words.append(_parameters(layer, sizes, group))
            parts += words
            offsets.append(offsets[-1] + sum(len(w) for w in words))
    return FilterImage(np.concatenate(parts).reshape(-1), offsets)


def _filter_blocks(layer: Convolution, sizes: Sizes, group: FilterGroup) -> np.ndarray:
    """Words [channel chunk, tap chunk, filter row, filter set, word, byte] of a filter group."""
    shape, mapping = sizes.shape, sizes.mapping
    taps = sizes.tap_chunks * mapping.taps
    values = layer.filters[group.m : group.m + group.count]
    if shape.depthwise:  # (lane, 1, R, S): as a single filter of `count` lanes
        values = values.transpose(1, 0, 2, 3)
    m = mapping.wm * mapping.p
    padded = np.zeros((m, sizes.chunks * mapping.q, shape.r, taps), np.int8)
    padded[: values.shape[0], : values.shape[1], :, : shape.s] = values
    split = padded.reshape(
        mapping.wm, mapping.p, sizes.chunks, mapping.q, shape.r, sizes.tap_chunks, mapping.taps
    )
    return pack_filter_blocks(split.transpose(2, 5, 4, 0, 6, 3, 1))


def _segment_words(blocks: np.ndarray, segment: Segment) -> np.ndarray:
    chosen = blocks[
        segment.k : segment.k + segment.chunks,
        segment.s : segment.s + segment.tap_chunks,
        segment.i : segment.i + segment.rows,
    ]
    return chosen.reshape(-1, WORD_BYTES)


def _parameters(layer: Convolution, sizes: Sizes, group: FilterGroup) -> np.ndarray:
    how = layer.requantization
    channels = slice(group.m, group.m + group.count)
    missing = sizes.tile_channels - group.count
    values = (layer.bias, how.multiplier, how.shift)
    words = pack_parameters(*(np.pad(np.asarray(v)[channels], (0, missing)) for v in values))
    if how.table is None:
        return words
    table = np.ascontiguousarray(how.table, np.int8).view(np.uint8).reshape(-1, WORD_BYTES)
    return np.concatenate([words, table])
