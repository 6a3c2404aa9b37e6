"""How tensors lie in memory and in the GLB; docs/architecture.md, "Memory layout".

    fmap (C, H, W)          word [block][y][x], lane l = channel 8*block + l
    batch (N, C, H, W)      word [block][n][y][x]: as a fmap of N*H rows
    filter block of a PE    value (t*q + l)*p + j at byte (t*q + l)*p + j, padded to whole words
    parameters of a tile    two words a channel: bias, multiplier | shift, seven zero bytes
    constants of a merge    two words of scales and clamp, then 256 of left, right

Everything here is an array of bytes, uint8, whose last dimension is a word of eight lanes.
"""

from typing import Any

import numpy as np

from eyas.command import MERGE_WORDS, PARAM_WORDS
from eyas.config import WORD_BYTES, WORD_LANES


def channel_blocks(channels: int) -> int:
    """Channel blocks of a fmap."""
    return -(-channels // WORD_LANES)


def fmap_words(shape: tuple[int, int, int]) -> int:
    """Words of a fmap of `shape` (C, H, W)."""
    channels, height, width = shape
    return channel_blocks(channels) * height * width


def pack_fmap(fmap: np.ndarray, fill: int = 0) -> np.ndarray:
    """Words, uint8 (ceil(C/8), H, W, 8), of an int8 fmap (C, H, W).

    The lanes beyond C hold `fill`: any value will do, their filters are zero.
    """
    channels, height, width = fmap.shape
    blocks = channel_blocks(channels)
    lanes = np.full((blocks * WORD_LANES, height, width), fill, np.int8)
    lanes[:channels] = fmap
    words = lanes.reshape(blocks, WORD_LANES, height, width).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(words).view(np.uint8)


def unpack_fmap(words: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """The int8 fmap of `shape` (C, H, W) that `words`, uint8 of any shape, hold."""
    channels, height, width = shape
    lanes = np.ascontiguousarray(words).view(np.int8)
    blocked = lanes.reshape(channel_blocks(channels), height, width, WORD_LANES)
    fmap = blocked.transpose(0, 3, 1, 2).reshape(-1, height, width)[:channels]
    return np.ascontiguousarray(fmap)


def pack_batch(fmaps: np.ndarray) -> np.ndarray:
    """Words, uint8 (ceil(C/8), N*H, W, 8), of a batch of int8 fmaps (N, C, H, W)."""
    images, channels, height, width = fmaps.shape
    return pack_fmap(fmaps.transpose(1, 0, 2, 3).reshape(channels, images * height, width))


def unpack_batch(words: np.ndarray, images: int, shape: tuple[int, int, int]) -> np.ndarray:
    """The int8 fmaps (N, C, H, W) of `images` images of `shape` (C, H, W) that `words` hold."""
    channels, height, width = shape
    rows = unpack_fmap(words, (channels, images * height, width))
    fmaps = rows.reshape(channels, images, height, width).transpose(1, 0, 2, 3)
    return np.ascontiguousarray(fmaps)


def filter_words(filters: int) -> int:
    """Words of a filter block of `filters` values."""
    return -(-filters // WORD_LANES)


def pack_filter_blocks(values: np.ndarray) -> np.ndarray:
    """Words, uint8 (..., ceil(taps*q*p/8), 8), of filter blocks int8 (..., taps, q, p)."""
    *outer, taps, q, p = values.shape
    filters = taps * q * p
    out = np.zeros((*outer, filter_words(filters) * WORD_BYTES), np.int8)
    out[..., :filters] = values.reshape(*outer, filters)
    return out.view(np.uint8).reshape(*outer, -1, WORD_BYTES)


def unpack_filter_blocks(words: np.ndarray, taps: int, q: int, p: int) -> np.ndarray:
    """Filter blocks int8 (..., taps, q, p) from their words, uint8 (..., filter words, 8)."""
    outer = words.shape[:-2]
    values = np.ascontiguousarray(words).view(np.int8).reshape(*outer, -1)
    return values[..., : taps * q * p].reshape(*outer, taps, q, p)


def pack_parameters(bias: np.ndarray, multiplier: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Words, uint8 (2 * channels, 8), of the requantisation parameters of a tile's channels."""
    out = np.zeros((len(bias), PARAM_WORDS * WORD_BYTES), np.uint8)
    out[:, 0:4] = np.ascontiguousarray(bias, "<i4").view(np.uint8).reshape(-1, 4)
    out[:, 4:8] = np.ascontiguousarray(multiplier, "<i4").view(np.uint8).reshape(-1, 4)
    out[:, 8] = np.ascontiguousarray(shift, np.int8).view(np.uint8)
    return out.reshape(-1, WORD_BYTES)


def unpack_parameters(words: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(bias int32, multiplier int32, shift int8) of each channel, from 2 * channels words."""
    rows = np.ascontiguousarray(words).reshape(-1, PARAM_WORDS * WORD_BYTES)
    bias = np.ascontiguousarray(rows[:, 0:4]).view("<i4")[:, 0]
    multiplier = np.ascontiguousarray(rows[:, 4:8]).view("<i4")[:, 0]
    shift = np.ascontiguousarray(rows[:, 8]).view(np.int8)
    return bias, multiplier, shift


def pack_merge(
    left: np.ndarray,
    right: np.ndarray,
    multiplier: int,
    shift: int,
    negative_multiplier: int,
    negative_shift: int,
    zero_point: int,
    clamp_min: int,
    clamp_max: int,
) -> np.ndarray:
    """Words, uint8 (MERGE_WORDS, 8), of a merge's constants; left and right are int32 (256,)."""
    out = np.zeros((MERGE_WORDS, WORD_BYTES), np.uint8)
    scales = np.array([multiplier, negative_multiplier], "<i4")
    out[0] = scales.view(np.uint8)
    result = [shift, negative_shift, zero_point, clamp_min, clamp_max]
    out[1, : len(result)] = np.array(result, np.int8).view(np.uint8)
    out[2:] = np.stack([left, right], axis=1).astype("<i4").view(np.uint8)
    return out


def unpack_merge(words: np.ndarray) -> dict[str, Any]:
    """The arguments of `pack_merge` by name, from their MERGE_WORDS words."""
    words = np.ascontiguousarray(words)
    multiplier, negative_multiplier = (int(n) for n in words[0].view("<i4"))
    result = ("shift", "negative_shift", "zero_point", "clamp_min", "clamp_max")
    values = dict(zip(result, words[1].view(np.int8).tolist(), strict=False))
    tables = words[2:].view("<i4")
    scales = dict(multiplier=multiplier, negative_multiplier=negative_multiplier)
    return dict(left=tables[:, 0], right=tables[:, 1]) | scales | values
