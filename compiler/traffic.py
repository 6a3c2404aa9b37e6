"""What a mapping costs memory: cycles of its LOADs and STOREs.

Runs of consecutive words take a beat a cycle each, or longer where they are so short that not
enough of them are in flight to cover the latency.
"""

from collections.abc import Iterator
from functools import lru_cache

from eyas.compiler.budget import Budget
from eyas.compiler.conv_shape import ceil_div
from eyas.compiler.mapping import Sizes
from eyas.compiler.tiling import clipped
from eyas.config import WORD_BYTES, WORD_LANES, Config
from eyas.layout import channel_blocks


def run_cycles(words: int, config: Config, budget: Budget) -> float:
    """Cycles of memory for a run of consecutive words."""
    memory = config.memory
    beats = words * WORD_BYTES // memory.bus_bytes
    bursts = ceil_div(beats, memory.burst_beats)
    covered = bursts * budget.latency_cycles / memory.outstanding
    return max(words * budget.word_cycles, covered)


class Traffic:
    """Counts of a mapping, and what its transfers take."""

    def __init__(self, sizes: Sizes, config: Config, budget: Budget):
        self.sizes, self.config, self.budget = sizes, config, budget
        self.shape, self.mapping = sizes.shape, sizes.mapping
        width = self.mapping.wf * self.mapping.steps
        rows = ceil_div(self.shape.e, self.mapping.we)
        self.tile_rows = self.shape.images * rows
        """Of all images."""
        self.tile_columns = ceil_div(self.shape.f, width)
        self.tiles = self.tile_rows * self.tile_columns
        self.last_steps = ceil_div(self.shape.f - (self.tile_columns - 1) * width, self.mapping.wf)
        self.blocks = self.shape.images * ceil_div(rows, self.mapping.block_rows)
        self.blocks *= ceil_div(self.tile_columns, self.mapping.block_cols)
        self.segments = list(self._segments())

    def _segments(self) -> Iterator[tuple[int, int, int, int]]:
        """(filter rows, tap chunks, channel chunks, how many) of the kinds of segments."""
        mapping, sizes, parts = self.mapping, self.sizes, self.shape.parts
        for rows, n in _pieces(self.shape.r, mapping.seg_rows):
            for taps, m in _pieces(sizes.tap_chunks, mapping.seg_taps):
                for chunks, k in _pieces(sizes.chunks, mapping.seg_chunks):
                    yield rows, taps, chunks, n * m * k * parts

    def ifmap_cycles(self) -> tuple[float, float]:
        """Of all loads of ifmaps, and of the first one."""
        sizes, mapping, shape = self.sizes, self.mapping, self.shape
        if shape.kept_ifmap:
            return 0.0, 0.0
        height, width = sizes.window
        if mapping.ifmaps == "block":
            rows = _covered(shape.h, shape.e, mapping.we * mapping.block_rows, *self._axis(0))
            step = mapping.wf * mapping.steps * mapping.block_cols
            columns = _covered(shape.w, shape.f, step, *self._axis(1))
            blocks = self._channel_blocks(sizes.chunks)
            total = self._rectangles(rows, columns) * blocks * self._window_turns()
        else:
            total = self._segment_loads()
        pieces = ceil_div(sizes.chunks, mapping.seg_chunks) if mapping.ifmaps == "block" else 1
        first = self._rectangles([height], [width]) * ceil_div(sizes.ifmap_blocks, pieces)
        return shape.images * total, first

    def _window_turns(self) -> int:
        """How often windows are loaded: once, or for each filter group if others come between."""
        shape, mapping = self.shape, self.mapping
        outer = mapping.order == "groups" and self.blocks > mapping.windows
        return self.sizes.filter_groups // shape.groups if outer and not shape.depthwise else 1

    @property
    def window_loads(self) -> int:
        """Loads of windows of blocks."""
        each = self.sizes.filter_groups if self.shape.depthwise else self.shape.groups
        return self.blocks * each * self._window_turns()

    def _segment_loads(self) -> float:
        sizes, mapping, shape = self.sizes, self.mapping, self.shape
        total = 0.0
        tiles = (mapping.we, mapping.wf * mapping.steps)
        if sizes.shared_windows:
            tiles = (tiles[0] * mapping.block_rows, tiles[1] * mapping.block_cols)
        for i, s, k, count in self.segments:
            taps = min(shape.s, s * mapping.taps)
            rows = _covered(shape.h, shape.e, tiles[0], *self._axis(0, i))
            columns = _covered(shape.w, shape.f, tiles[1], *self._axis(1, taps))
            blocks = channel_blocks(k * mapping.q)
            total += self._rectangles(rows, columns) * blocks * count / shape.parts
        return total * sizes.filter_groups

    def _axis(self, axis: int, taps: int | None = None) -> tuple[int, int, int]:
        """Stride, extent of the taps and first coordinate along an axis."""
        shape = self.shape
        count = taps or (shape.r, shape.s)[axis]
        return shape.stride[axis], (count - 1) * shape.dilation[axis] + 1, -shape.padding[axis]

    def _channel_blocks(self, chunks: int) -> int:
        """Channel blocks loaded for all groups that have ifmaps of their own."""
        shape, q = self.shape, self.mapping.q
        if shape.depthwise:
            return sum(
                channel_blocks((shape.ifmap_lane + c) % WORD_LANES + min(q, shape.groups - c))
                for c in range(0, shape.groups, q)
            )
        lanes = min(shape.c, chunks * q)
        starts = [shape.ifmap_lane + g * shape.c for g in range(shape.groups)]
        return sum(channel_blocks(start % WORD_LANES + lanes) for start in starts)

    def _rectangles(self, rows: list[int], columns: list[int]) -> float:
        """Cycles to load, from a channel block, every rectangle of `rows` x `columns`."""
        total = 0.0
        for width in columns:
            if width == self.shape.w and not self.shape.ifmap_rows_apart:
                total += sum(self._run(height * width) for height in rows)
            else:
                total += sum(rows) * self._run(width)
        return total

    def filter_cycles(self, tile: float) -> tuple[float, float, float]:
        """Of all loads of filters, of the first one, and what no COMPUTE can hide.

        tile: cycles that the array takes for a tile.
        """
        sizes, mapping = self.sizes, self.mapping
        blocks = 1 if mapping.order == "groups" else ceil_div(self.blocks, mapping.windows)
        times = {"layer": 1, "group": blocks, "segment": self._tile_turns()}[mapping.filters]
        if mapping.filters != "layer" and sum(n for *_, n in self.segments) == 1:
            # What comes again at once is still there.
            times = 1 if sizes.distinct_groups == 1 else blocks
        total = sizes.distinct_groups * sizes.group_words * times * self.budget.word_cycles
        first = sizes.segment_words * self.budget.word_cycles
        pieces = {"layer": 1, "group": sizes.group_words, "segment": sizes.segment_words}
        alone = mapping.filters != "layer" and (
            2 * pieces[mapping.filters] > self.config.glb.filter_words
        )
        hidden = 0.0
        if mapping.filters == "group":
            # A group replaces the one before it segment by segment, during that one's last tile.
            count = sum(n for *_, n in self.segments)
            hidden = sizes.distinct_groups * times * tile * (count - 1) / count
        return total, first, max(0.0, total - hidden) if alone else 0.0

    def _tile_turns(self) -> int:
        """Tiles of all blocks, those that go together counted once."""
        shape, mapping = self.shape, self.mapping
        if mapping.tiles_together == 1:
            return self.tiles
        rows = _lengths(self.tile_rows // shape.images, mapping.block_rows)
        blocks = [r * c for r in rows for c in _lengths(self.tile_columns, mapping.block_cols)]
        blocks = [tiles for _ in range(shape.images) for tiles in blocks]
        return sum(
            ceil_div(sum(blocks[first : first + mapping.windows]), mapping.tiles_together)
            for first in range(0, len(blocks), mapping.windows)
        )

    def store_cycles(self) -> tuple[float, float]:
        """Of all STOREs, and of the last tile's."""
        if self.shape.kept_ofmap:
            return 0.0, 0.0
        sizes, shape, mapping = self.sizes, self.shape, self.mapping
        width = min(mapping.wf * mapping.steps, shape.f)
        position = self._position_cycles(width, mapping.we)
        blocks = _ofmap_blocks(
            shape.groups,
            1 if shape.depthwise else shape.m,
            sizes.tile_channels,
            shape.depthwise,
            shape.ofmap_lane,
        )
        last = channel_blocks(sizes.tile_channels) * width * mapping.we * position
        return shape.images * shape.e * shape.f * blocks * position, last

    def operand_cycles(self) -> tuple[float, float]:
        """Of all loads of a merge's operands, and of the first tile's: they lie as the ofmaps."""
        return self.store_cycles() if self.shape.merge else (0.0, 0.0)

    def merge_cycles(self) -> float:
        """Of the load of a merge's constants."""
        return self.sizes.merge_words * self.budget.word_cycles

    def _run(self, words: int) -> float:
        return run_cycles(words, self.config, self.budget)

    def _position_cycles(self, width: int, rows: int) -> float:
        """Cycles of a word of the ofmap, moved in rectangles."""
        if width == self.shape.f and not self.shape.ofmap_rows_apart:
            width *= rows
        return self._run(width) / width

    def tile_store(self, steps: int) -> float:
        """Cycles of memory for the STOREs of a tile."""
        if self.shape.kept_ofmap:
            return 0.0
        width = min(self.mapping.wf * steps, self.shape.f)
        words = self.tile_store_words(steps)
        whole = width == self.shape.f and not self.shape.ofmap_rows_apart
        run = words if whole else width
        return words / run * self._run(run)

    def tile_store_words(self, steps: int) -> int:
        """Words that the STOREs of a tile move; channel blocks may be stored in part."""
        if self.shape.kept_ofmap:
            return 0
        channels = self.sizes.tile_channels
        blocks = channel_blocks(channels) + (1 if channels % WORD_LANES else 0)
        width = min(self.mapping.wf * steps, self.shape.f)
        return blocks * min(self.mapping.we, self.shape.e) * width


def _pieces(size: int, step: int) -> list[tuple[int, int]]:
    """(length, how many) of the pieces of at most `step` that `size` is cut into."""
    whole, rest = divmod(size, step)
    return [piece for piece in ((step, whole), (rest, 1 if rest else 0)) if piece[1]]


def _lengths(size: int, step: int) -> list[int]:
    """Lengths of the pieces, one behind the other."""
    return [min(step, size - start) for start in range(0, size, step)]


@lru_cache(maxsize=4096)
def _covered(size: int, count: int, step: int, stride: int, taps: int, origin: int) -> list[int]:
    """Ifmap rows (or columns) under each `step` of `count` ofmap ones."""
    out = []
    for first in range(0, count, step):
        last = min(count, first + step) - 1
        low = first * stride + origin
        out.append(clipped(size, low, last * stride + origin + taps)[1])
    return out


@lru_cache(maxsize=4096)
def _ofmap_blocks(groups: int, m: int, channels: int, depthwise: bool, lane: int) -> int:
    """Channel blocks that the STOREs of all filter groups touch, at one ofmap position."""
    if depthwise:
        groups, m = 1, groups * m
    return sum(
        channel_blocks((lane + g * m + first) % WORD_LANES + min(channels, m - first))
        for g in range(groups)
        for first in range(0, m, channels)
    )
