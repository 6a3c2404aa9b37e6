"""Chooses a mapping for a convolution: the cheapest one that fits, in predicted cycles.

candidates.py: points (q, p, taps, columns, steps), the best for the array first
  └► for each: blocks x segments x what stays in the GLB, as far as they fit ─► cost.py
       └► the best; the search ends when no further point can beat it
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import numpy as np

from eyas.compiler.budget import Budget
from eyas.compiler.candidates import candidates
from eyas.compiler.conv_shape import ConvShape, ceil_div
from eyas.compiler.cost import Estimate, estimate
from eyas.compiler.limits import check
from eyas.compiler.mapping import Mapping, Sizes
from eyas.config import Config
from eyas.errors import ConfigError

MAX_POINTS = 120
"""Points that are looked at in full. They come best first, so later ones rarely win."""
OFMAP_BUFFERS = (6, 3, 2, 1)
"""Tiles whose ofmaps are in the GLB at a time: small ones need many, to cover memory's latency."""
MAX_BLOCKS = 6
MAX_SEGMENTATIONS = 4
MAX_WINDOWS = 3
"""Ifmap windows that are in the GLB at a time."""


def map_convolution(
    shape: ConvShape, config: Config, budget: Budget | None = None
) -> tuple[Mapping, Estimate]:
    """The best mapping found, by score, and its predicted cost.

    Without a budget, the layer has the whole GLB, and memory is as the configuration says. Raises
    ConfigError that names the layer and what is too small if the configuration has no room.
    """
    try:
        # Layers of one shape share a mapping, whatever their names.
        return _map(replace(shape, name=""), config, budget or Budget.of(config))
    except ConfigError as error:
        raise ConfigError(str(error).replace("layer :", f"layer {shape.name}:", 1)) from None


@lru_cache(maxsize=4096)
def _map(shape: ConvShape, config: Config, budget: Budget) -> tuple[Mapping, Estimate]:
    if shape.table and not config.ppu.tables:
        raise ConfigError(
            f"layer {shape.name}: its activation needs a table, and ppu.tables is false"
        )
    found = candidates(shape, config, budget)
    if not len(found.points):
        raise ConfigError(
            f"layer {shape.name}: a PE of {config.name} holds no mapping of it "
            f"(spad.filters, spad.ifmap_lanes, spad.psums and spad.psum_width decide)"
        )
    best: tuple[Mapping, Estimate] | None = None
    for point, least in zip(found.points[:MAX_POINTS], found.scores, strict=False):
        if best and least >= best[1].score:
            break
        for mapping in _mappings(shape, config, budget, point):
            cost = estimate(Sizes(shape, mapping), config, budget)
            if best is None or cost.score < best[1].score:
                best = mapping, cost
    if best is None:
        mapping = _smallest(shape, config, budget, found.points)
        best = mapping, estimate(Sizes(shape, mapping), config, budget)
    check(Sizes(shape, best[0]), config, budget)
    return best


def _smallest(shape: ConvShape, config: Config, budget: Budget, points: np.ndarray) -> Mapping:
    """Any mapping at all, tried from the smallest tiles on."""
    q, p, taps, we, wf, wm, steps = points.T
    order = np.lexsort((p * q * taps, we * wf * wm * steps))
    reason = None
    for point in points[order[:MAX_POINTS]]:
        for mapping in _mappings(shape, config, budget, point):
            return mapping
        try:
            check(Sizes(shape, _base(shape, point)), config, budget)
        except ConfigError as error:
            reason = reason or error
    raise reason or ConfigError(f"layer {shape.name}: no mapping fits {config.name}")


def _base(shape: ConvShape, point: np.ndarray) -> Mapping:
    """The mapping of a point with the smallest segments and blocks."""
    q, p, taps, we, wf, wm, steps = (int(n) for n in point)
    ifmaps = "block" if shape.kept_ifmap else "segment"
    return Mapping(q, p, taps, we, wf, wm, steps, 1, 1, 1, ofmap_buffers=1, ifmaps=ifmaps)


def _mappings(
    shape: ConvShape, config: Config, budget: Budget, point: np.ndarray
) -> Iterator[Mapping]:
    """Mappings of a point that fit the GLB."""
    base = _base(shape, point)
    try:
        check(Sizes(shape, base), config, budget)
    except ConfigError:
        return
    for segmented in _segmentations(shape, config, budget, base):
        yield from _resident(shape, config, budget, segmented)


def _fits(shape: ConvShape, config: Config, budget: Budget, mapping: Mapping) -> bool:
    sizes = Sizes(shape, mapping)
    if sizes.ifmap_words + sizes.tile_words * mapping.ofmap_buffers > budget.fmap_words:
        return False  # most often, and sooner known than the rest
    try:
        check(sizes, config, budget)
    except ConfigError:
        return False
    return True


def _segmentations(
    shape: ConvShape, config: Config, budget: Budget, base: Mapping
) -> Iterator[Mapping]:
    """Ways to cut tiles into segments: many channel chunks at a time, or else parts of filters."""
    sizes = Sizes(shape, base)
    rows, glb = config.array.rows, config.glb.filter_words - sizes.merge_words
    chunk_units = shape.r * sizes.tap_chunks
    unit_words = base.wm * sizes.filter_words
    whole = replace(base, seg_rows=shape.r, seg_taps=sizes.tap_chunks)
    options = []
    for cuts in range(1, min(sizes.chunks, 64) + 1):
        chunks = ceil_div(sizes.chunks, cuts)
        if options and options[-1][-1] == chunks:
            continue
        words = chunks * chunk_units * unit_words + sizes.param_words
        if words > glb:
            continue
        full, rest = divmod(sizes.chunks, chunks)
        passes = full * ceil_div(chunks * chunk_units, rows) + ceil_div(rest * chunk_units, rows)
        short = ceil_div(chunks * chunk_units, rows) * base.steps < 2 * rows
        # Three pieces in the ring let loads run ahead of a drain that still reads parameters.
        crowded = 2 * words > glb, 3 * words > glb
        options.append((passes, crowded, short and cuts > 1, cuts, chunks))
    if not options:
        chunks = glb // max(1, chunk_units * unit_words)
        yield from _cut_filters(shape, base, glb - sizes.param_words)
        return
    chosen: dict[int, None] = {}
    for order in (
        lambda o: (o[1], o[2], o[0], o[3]),
        lambda o: (o[0], o[1], o[2], o[3]),
        lambda o: (o[1][0], o[0], o[2], -o[3]),
        lambda o: (o[1][0], o[0], abs(o[3] - 8)),
    ):
        chosen[min(options, key=order)[-1]] = None
    for chunks in list(chosen)[:MAX_SEGMENTATIONS]:
        yield replace(whole, seg_chunks=chunks)
    largest = replace(whole, seg_chunks=min(options, key=lambda o: o[-1])[-1])
    if not _fits(shape, config, budget, largest):  # even these ifmaps do not fit
        yield from _cut_filters(shape, base, glb - sizes.param_words)


def _cut_filters(shape: ConvShape, base: Mapping, words: int) -> Iterator[Mapping]:
    """Segments of a part of the filter rows, or of the tap chunks, of one channel chunk."""
    sizes = Sizes(shape, base)
    unit_words = base.wm * sizes.filter_words
    row_words = sizes.tap_chunks * unit_words
    for share in (2, 1):
        rows = min(shape.r, words // share // row_words)
        while rows:
            yield replace(base, seg_rows=rows, seg_taps=sizes.tap_chunks)
            rows //= 2
        taps = min(sizes.tap_chunks, words // share // unit_words)
        while taps:
            yield replace(base, seg_taps=taps)
            taps //= 2


def _resident(shape: ConvShape, config: Config, budget: Budget, base: Mapping) -> Iterator[Mapping]:
    """Ways to keep ifmaps and filters in the GLB."""
    tile_rows = ceil_div(shape.e, base.we)
    tile_columns = ceil_div(shape.f, base.wf * base.steps)
    sizes = Sizes(shape, base)
    everything = sizes.distinct_groups * sizes.group_words
    room = config.glb.filter_words - sizes.merge_words
    whole = base.seg_rows == shape.r and base.seg_taps == sizes.tap_chunks
    blocks = _blocks(tile_rows, tile_columns)
    if shape.kept_ifmap:
        blocks = [(tile_rows, tile_columns)]
    for block_rows, block_cols in blocks:
        blocked = replace(base, block_rows=block_rows, block_cols=block_cols)
        tiles, group_fits = block_rows * block_cols, sizes.group_words <= room
        if everything <= room:
            choices = [replace(blocked, filters="layer")]
        elif tiles > 1 and group_fits:
            choices = [replace(blocked, filters="group")]
        else:
            choices = [blocked]
        all_tiles = tile_rows * tile_columns
        several = shape.images * all_tiles > tiles
        if several and group_fits and everything > room:
            choices.append(replace(blocked, filters="group", order="groups"))
            more = range(2, min(MAX_WINDOWS, shape.images * ceil_div(all_tiles, tiles)) + 1)
            choices += [replace(blocked, filters="group", windows=n) for n in more]
        if choices[0].filters == "segment":
            choices += _in_turns(shape, choices[0], tile_rows, tile_columns)
        for choice in choices:
            resident = _spread(shape, config, budget, replace(choice, ifmaps="block"))
            fits = _fits(shape, config, budget, resident)
            if fits:
                yield from _buffered(shape, config, budget, resident)
            shared = (choice.filters, choice.order, choice.windows) == ("group", "blocks", 1)
            streams = tiles <= choice.tiles_together or shared
            if not shape.kept_ifmap and not (fits and whole) and streams:
                streamed = _spread(shape, config, budget, choice)
                if _fits(shape, config, budget, streamed):
                    yield from _buffered(shape, config, budget, streamed)


def _in_turns(
    shape: ConvShape, base: Mapping, tile_rows: int, tile_columns: int
) -> Iterator[Mapping]:
    """With two tiles that share the filters of each segment.

    base: with blocks of one tile, where two neighbours become a block, or two blocks run together;
    or else of several tiles, of which two at a time take turns. tile_rows, tile_columns: of an
    image.
    """
    sizes = Sizes(shape, base)
    segments = ceil_div(shape.r, base.seg_rows) * ceil_div(sizes.tap_chunks, base.seg_taps)
    if segments * ceil_div(sizes.chunks, base.seg_chunks) * shape.parts == 1:
        return
    together = replace(base, tiles_together=2)
    if base.block_rows * base.block_cols > 1:
        yield together
        return
    if tile_rows > 1:
        yield replace(together, block_rows=2)
    if tile_columns > 1:
        yield replace(together, block_cols=2)
    if shape.images * tile_rows * tile_columns > 1:
        yield replace(together, windows=2)


def _spread(shape: ConvShape, config: Config, budget: Budget, mapping: Mapping) -> Mapping:
    """With odd pitches, if there are banks to spread ifmaps over and room for it."""
    if config.glb.ifmap_ports == 1 or shape.kept_ifmap:
        return mapping
    odd = replace(mapping, odd_pitch=True)
    return odd if _fits(shape, config, budget, odd) else mapping


def _buffered(shape: ConvShape, config: Config, budget: Budget, base: Mapping) -> Iterator[Mapping]:
    """The most ofmap buffers that leave room for an ifmap buffer more than needed, and the most."""
    sizes = Sizes(shape, base)
    chosen = set()
    for more in (sizes.ifmap_words, 0):
        space = budget.fmap_words - sizes.kept_ifmap_words - more
        most = max((n for n in OFMAP_BUFFERS if n * sizes.tile_words <= space), default=0)
        if most and most not in chosen:
            chosen.add(most)
            yield replace(base, ofmap_buffers=most)


def _blocks(tile_rows: int, tile_columns: int) -> list[tuple[int, int]]:
    """Numbers of tiles, along E and F, that share an ifmap window."""
    found = {(1, 1): None, (1, tile_columns): None}
    number = 2
    while number < max(tile_rows, tile_columns) and len(found) < MAX_BLOCKS:
        # Some rows of tiles, or where there is only one, some of its tiles.
        if number < tile_rows:
            found[number, tile_columns] = None
        elif tile_rows == 1:
            found[1, number] = None
        number *= 2
    found[tile_rows, tile_columns] = None
    return list(found)
