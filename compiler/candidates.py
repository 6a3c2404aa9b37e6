"""All ways to lay a convolution onto the array, ranked by what they take at least.

    filters of a PE (q, p, taps)  x  columns (we, wf, wm)  x  steps

Some ten thousand points a layer, as NumPy arrays. What stays in the GLB comes later (mapper.py),
for the best of them. Here a point counts the array's cycles, the words that its rows read from the
GLB, and what memory moves if all that can stay in the GLB does.
"""

from dataclasses import dataclass

import numpy as np

from eyas.compiler.budget import Budget
from eyas.compiler.conv_shape import (
    ConvShape,
    ceil_div,
    position_beats,
    position_words,
)
from eyas.compiler.pass_cost import PASS_OVERHEAD, filter_turns, queueing_cycles
from eyas.config import MIN_PSUMS, WORD_LANES, Config
from eyas.layout import channel_blocks

STEP_DIVISORS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512, 1024, 2048)
"""Tiles along an ofmap row, as multiples of the fewest possible."""
PORT_WEIGHT = 0.05
MEMORY_WEIGHT = 0.6
"""Of two mappings, how many cycles more one may take for each word less that rows read from the
GLB, or each cycle less that memory is busy: they cost energy, and leave no room for what the closed
forms do not know."""
POINTS_A_TILE = 3
"""Points that are kept of those with the same columns and steps: what fits the GLB depends on these
more than on what a PE holds."""
MAX_TILE_CHANNELS = 1023
MAX_STEPS = 2047
MAX_TAPS = 127
MAX_LANES = 127


@dataclass(frozen=True)
class Candidates:
    """Columns of points: q, p, taps, we, wf, wm, steps; and their least scores, ascending."""

    points: np.ndarray  # int (n, 7)
    scores: np.ndarray


def candidates(shape: ConvShape, config: Config, budget: Budget) -> Candidates:
    """Every point worth looking at, the cheapest first."""
    pes = _pe_points(shape, config)
    columns = _column_points(shape, config)
    if not len(pes):
        return Candidates(np.zeros((0, 7), int), np.zeros(0))
    pairs = np.concatenate(
        [np.repeat(pes, len(columns), 0), np.tile(columns, (len(pes), 1))], axis=1
    )
    psums = pairs[:, 0] if shape.depthwise else pairs[:, 1]
    wide = pairs[:, 1] * pairs[:, 5] <= MAX_TILE_CHANNELS
    limit = np.minimum(config.psum_bank.depth // psums, MAX_STEPS)
    points = []
    fewest = -(-shape.f // (limit * pairs[:, 4]))
    for divisor in STEP_DIVISORS:
        tiles = np.maximum(fewest, 1) * divisor
        steps = -(-shape.f // (tiles * pairs[:, 4]))
        new = wide & (steps >= 1) & ((divisor == 1) | (tiles // divisor * (divisor - 1) < shape.f))
        points.append(np.concatenate([pairs, steps[:, None]], axis=1)[new])
        if (tiles * pairs[:, 4] >= shape.f).all():
            break
    unique = np.concatenate(points)
    scores = _least_scores(shape, config, budget, unique)
    order = np.argsort(scores, kind="stable")
    order = order[_place_among_equals(unique[order, 3:]) < POINTS_A_TILE]
    return Candidates(unique[order], scores[order])


def _place_among_equals(rows: np.ndarray) -> np.ndarray:
    """For each row, how many before it are equal."""
    _, kind = np.unique(rows, axis=0, return_inverse=True)
    kind = kind.reshape(-1)
    by_kind = np.argsort(kind, kind="stable")
    starts = np.flatnonzero(np.diff(kind[by_kind], prepend=-1))
    places = np.arange(len(rows)) - np.repeat(starts, np.diff(starts, append=len(rows)))
    out = np.empty(len(rows), int)
    out[by_kind] = places
    return out


def _pe_points(shape: ConvShape, config: Config) -> np.ndarray:
    """(q, p, taps, beats, words): what a PE can hold. words: of an ifmap position, on average."""
    spad = config.spad
    chunks = {ceil_div(shape.s, n) for n in range(1, shape.s + 1)}
    if shape.r > 1 and shape.dilation[0] != shape.dilation[1]:
        chunks = {1}  # see Sizes.dilation
    lanes = shape.groups if shape.depthwise else shape.c
    points = []
    for taps in sorted(t for t in chunks if t <= MAX_TAPS):
        span = (taps - 1) * shape.dilation[1] + 1
        for q in range(1, min(max(lanes, MIN_PSUMS), MAX_LANES, spad.filters // taps) + 1):
            beats = position_beats(shape, q)
            chained = config.array.rows * taps * (1 if shape.depthwise else q)
            if span * beats > spad.ifmap_beats or chained > spad.chain_limit:
                continue
            if shape.depthwise:
                if MIN_PSUMS <= q <= min(spad.psums, config.psum_bank.depth):
                    points.append((q, 1, taps))
                continue
            most = min(spad.psums, spad.filters // (q * taps), max(shape.m, MIN_PSUMS))
            points += [(q, p, taps) for p in range(MIN_PSUMS, most + 1)]
    return np.array(points, int).reshape(-1, 3)


def _column_points(shape: ConvShape, config: Config) -> np.ndarray:
    """(we, wf, wm) that fill the columns as well as the layer allows."""
    cols = config.array.cols
    most = 1 if shape.depthwise else ceil_div(shape.m, MIN_PSUMS)
    found = set()
    for we in range(1, min(cols, shape.e) + 1):
        for wf in range(1, min(cols // we, shape.f) + 1):
            wm = min(cols // (we * wf), most)
            for sets in {wm, ceil_div(most, ceil_div(most, wm))}:
                # As many tiles with fewer columns fetch less.
                rows = ceil_div(shape.e, ceil_div(shape.e, we))
                found.add((rows, wf, sets))
    return np.array(sorted(found), int)


def _least_scores(
    shape: ConvShape, config: Config, budget: Budget, points: np.ndarray
) -> np.ndarray:
    """Cycles of the array, or of loading and storing everything once if that takes longer, and the
    weights of what both cost beside time."""
    q, p, taps, we, wf, wm, steps = points.T
    lanes = np.arange(q.max() + 1)
    beats = np.array([position_beats(shape, int(n)) if n else 0 for n in lanes])[q]
    words = np.array([position_words(shape, int(n)) if n else 0 for n in lanes])[q]
    psums = q if shape.depthwise else p
    chunks = 1 if shape.depthwise else -(-shape.c // q)
    units = shape.r * -(-shape.s // taps) * chunks
    passes = -(-units // config.array.rows)
    busy = units / passes
    filters = p * q * taps
    span = (taps - 1) * shape.dilation[1] + 1
    advance = np.minimum(span, shape.stride[1])
    positions = span + (steps - 1) * advance
    position_cycles = busy * we * wf * words / config.glb.ifmap_ports
    ahead = (config.spad.ifmap_beats - span * beats) // beats
    ring = np.where(ahead < span, (span - ahead) * position_cycles, 0)
    ring = np.where(ahead < advance, positions * position_cycles, ring)
    working = np.maximum(steps * filters, config.array.rows + 2)
    ifmap_port = positions * position_cycles
    filter_port = wm * -(-filters // WORD_LANES) * filter_turns(busy, config.glb.filter_ports)
    x_bus = np.maximum(positions * we * wf * beats, wm * filters + PASS_OVERHEAD)
    a_pass = np.maximum.reduce([working, ifmap_port, filter_port, x_bus])
    a_pass = a_pass + queueing_cycles(working, np.maximum(ifmap_port, filter_port))
    drain = -(-(we * wf * wm) // config.ppu.lanes) * psums * steps * (2 if shape.merge else 1)
    tiles = shape.images * -(-shape.e // we) * _fractional_tiles(shape, wf * steps)
    groups = -(-shape.groups // q) if shape.depthwise else shape.groups * -(-shape.m // (p * wm))
    array = tiles * groups * np.maximum(shape.parts * passes * (a_pass + ring), drain)
    reads = positions * we * wf * words + wm * -(-filters // WORD_LANES)
    ports = tiles * groups * shape.parts * units * reads
    words = shape.parts * units * wm * -(-filters // WORD_LANES) + 2 * wm * psums
    filter_words = words * (1 if shape.uniform else groups)
    ifmap = channel_blocks(shape.c * shape.groups) * shape.h * shape.w
    ofmap = channel_blocks(shape.m * shape.groups) * shape.e * shape.f * (2 if shape.merge else 1)
    ifmap, ofmap = ifmap * (not shape.kept_ifmap), ofmap * (not shape.kept_ofmap)
    memory = (filter_words + shape.images * (ifmap + ofmap)) * budget.word_cycles
    cycles = np.maximum(array, memory) + config.array.rows * filters
    return cycles + PORT_WEIGHT * ports + MEMORY_WEIGHT * memory


def _fractional_tiles(shape: ConvShape, width: np.ndarray) -> np.ndarray:
    """Tiles along an ofmap row; the last counts for the part of its steps that are taken."""
    whole = shape.f // width
    return whole + (shape.f - whole * width) / width
