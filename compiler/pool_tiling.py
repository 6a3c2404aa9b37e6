"""Cuts a pooling layer into tiles: the tiling with the fewest predicted cycles that fits the GLB.

channel blocks x ofmap rows x ofmap columns of a tile, one or two buffers for each side

A pool that runs beside convolutions (weave.py) has short tiles: STOREs wait for the vector unit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from eyas.command import VECTOR_OPEN_WINDOWS
from eyas.compiler.budget import Budget
from eyas.compiler.conv_shape import ceil_div
from eyas.compiler.ir import MaxPool
from eyas.compiler.traffic import run_cycles
from eyas.config import Config
from eyas.errors import ConfigError, ModelError
from eyas.layout import channel_blocks

STORE_OVERHEAD = 20
"""Cycles from a VECTOR to its STORE and from the STORE to the next VECTOR, beside memory's."""
RESULT_CYCLES = 5
"""That two results take the vector unit at least."""
BESIDE_CYCLES = 1024
"""The most that a tile should take the vector unit, if there are others' STOREs behind it."""
_MAX_WINDOW = 255
_MAX_SIZE = 32767
"""Coordinates and sizes in VECTOR commands."""


@dataclass(frozen=True)
class PoolTiling:
    """Channel blocks, ofmap rows and ofmap columns of a tile, and buffers of each kind."""

    blocks: int
    rows: int
    columns: int
    buffers: int

    def __str__(self) -> str:
        return f"tile={self.blocks}×{self.rows}×{self.columns} buffers={self.buffers}"


class PoolShape:
    """A pooling layer on an ifmap (C, H, W), and what its tilings cost on a machine.

    budget: what it may use. beside: whether convolutions run at the same time.
    Raises ModelError where the window does not fit the ifmap, and ConfigError for sizes that
    commands do not hold.
    """

    def __init__(
        self,
        layer: MaxPool,
        shape: tuple[int, int, int],
        config: Config,
        budget: Budget | None = None,
        beside: bool = False,
    ):
        self.layer, self.config, self.beside = layer, config, beside
        self.budget = budget or Budget.of(config)
        c, self.h, self.w = shape
        _, self.e, self.f = layer.output_shape(shape)
        if self.e < 1 or self.f < 1:
            raise ModelError(f"layer {layer.name}: the window does not fit the ifmap {shape}")
        for what, values, limit in (
            ("window", layer.window, _MAX_WINDOW),
            ("stride", layer.stride, _MAX_WINDOW),
            ("ifmap size", shape[1:], _MAX_SIZE),
        ):
            if max(values) > limit:
                raise ConfigError(
                    f"layer {layer.name}: {what} must be at most {limit}, not {max(values)}"
                )
        self.blocks = channel_blocks(c)

    def extent(self, axis: int, count: int) -> int:
        """Ifmap rows or columns of `count` ofmap ones."""
        most = (count - 1) * self.layer.stride[axis] + self.layer.window[axis]
        return min(most, (self.h, self.w)[axis])

    def best(self) -> PoolTiling:
        """The tiling with the fewest predicted cycles. Raises ConfigError if none fits."""
        fitting = [tiling for tiling in self._tilings() if self._fits(tiling)]
        if fitting and self.beside:
            short = min(fitting, key=self.tile_cycles)
            limit = max(BESIDE_CYCLES, self.tile_cycles(short))
            fitting = [tiling for tiling in fitting if self.tile_cycles(tiling) <= limit]
        if fitting:
            return min(fitting, key=self.cycles)
        rows, columns = self.layer.window
        raise ConfigError(
            f"layer {self.layer.name}: a window of {rows} × {columns} words does not fit "
            f"glb.fmap_kib = {self.config.glb.fmap_kib}"
        )

    def tile_cycles(self, tiling: PoolTiling) -> int:
        """That a tile takes the vector unit: a word a cycle, columns that windows share once."""
        (rows, taps), stride = self.layer.window, self.layer.stride[1]
        afresh = ceil_div(tiling.columns, VECTOR_OPEN_WINDOWS)
        afresh = afresh if taps > VECTOR_OPEN_WINDOWS * stride else 1
        words = rows * (afresh * taps + (tiling.columns - afresh) * min(taps, stride))
        return tiling.blocks * tiling.rows * max(words, tiling.columns * RESULT_CYCLES // 2)

    def _tilings(self) -> Iterator[PoolTiling]:
        """Whole planes of several channel blocks, or else rows of one, or else parts of rows."""
        for buffers in (2, 1):
            for number in {ceil_div(self.blocks, n) for n in range(1, self.blocks + 1)}:
                yield PoolTiling(number, self.e, self.f, buffers)
            for number in {ceil_div(self.e, n) for n in range(2, self.e + 1)}:
                yield PoolTiling(1, number, self.f, buffers)
            for number in {ceil_div(self.f, n) for n in range(2, self.f + 1)}:
                yield PoolTiling(1, 1, number, buffers)

    def _fits(self, tiling: PoolTiling) -> bool:
        ifmap = self.extent(0, tiling.rows) * self.extent(1, tiling.columns)
        words = tiling.blocks * (ifmap + tiling.rows * tiling.columns)
        return words * tiling.buffers <= self.budget.fmap_words

    def tiles(self, tiling: PoolTiling) -> int:
        """How many tiles the layer is cut into."""
        across = (tiling.blocks, tiling.rows, tiling.columns)
        return prod(map(ceil_div, (self.blocks, self.e, self.f), across))

    def cycles(self, tiling: PoolTiling) -> float:
        """Predicted: the vector unit waits for each STORE to end."""
        latency = self.budget.latency_cycles
        across = (tiling.blocks, tiling.rows, tiling.columns)
        tiles = self.tiles(tiling)
        rows, columns = self.extent(0, tiling.rows), self.extent(1, tiling.columns)
        run = columns if columns < self.w else rows * columns
        load = tiling.blocks * rows * columns / run * run_cycles(run, self.config, self.budget)
        store = prod(across) * self.budget.word_cycles + latency + STORE_OVERHEAD
        work = self.tile_cycles(tiling) + store
        steady = max(load, work) if tiling.buffers == 2 else load + work
        return load + (tiles - 1) * steady + work + 2 * latency
