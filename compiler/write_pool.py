"""Writes a pooling layer: LOAD, VECTOR, STORE for tiles of rows and channel blocks.

    fmap space     ifmap buffer │ ifmap buffer │ ofmap buffer │ ofmap buffer

With room for two of each, the next tile's ifmaps arrive while the vector unit works.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from eyas.command import Command, Engine, Opcode, VectorOp
from eyas.compiler.conv_shape import ceil_div
from eyas.compiler.descriptors import Transfer
from eyas.compiler.ir import MaxPool
from eyas.compiler.schedule import Item, Piece, Step
from eyas.compiler.tiling import clipped
from eyas.compiler.tokens import Area, Place
from eyas.config import WORD_BYTES, Config
from eyas.errors import ConfigError, ModelError
from eyas.layout import channel_blocks

_ADDRESS = 0xFFFF
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


@dataclass
class PoolWriter:
    """One layer on its way into a program. Memory addresses are counted in words."""

    number: int
    layer: MaxPool
    shape: tuple[int, int, int]
    config: Config
    ifmap: int = 0
    ofmap: int = 0

    def __post_init__(self) -> None:
        layer = self.layer
        c, self.h, self.w = self.shape
        _, self.e, self.f = layer.output_shape(self.shape)
        if self.e < 1 or self.f < 1:
            raise ModelError(f"layer {layer.name}: the window does not fit the ifmap {self.shape}")
        for what, values, limit in (
            ("window", layer.window, _MAX_WINDOW),
            ("stride", layer.stride, _MAX_WINDOW),
            ("ifmap size", self.shape[1:], _MAX_SIZE),
        ):
            if max(values) > limit:
                raise ConfigError(
                    f"layer {layer.name}: {what} must be at most {limit}, not {max(values)}"
                )
        self.blocks = channel_blocks(c)
        self.tiling = self._choose()
        self.in_pitch, in_rows = (
            self._extent(1, self.tiling.columns),
            self._extent(0, self.tiling.rows),
        )
        self.in_plane = self.in_pitch * in_rows
        self.out_plane = self.tiling.rows * self.tiling.columns
        self.in_words = self.in_plane * self.tiling.blocks
        self.out_words = self.out_plane * self.tiling.blocks

    def _extent(self, axis: int, count: int) -> int:
        """Ifmap rows or columns of `count` ofmap ones."""
        most = (count - 1) * self.layer.stride[axis] + self.layer.window[axis]
        return min(most, (self.h, self.w)[axis])

    def _choose(self) -> PoolTiling:
        """Whole planes of several channel blocks if they fit, else rows, else parts of rows."""
        few = range(ceil_div(self.blocks, 4), 0, -1)  # four tiles or more, so that they overlap
        for buffers in (2, 1):
            candidates = [PoolTiling(n, self.e, self.f, buffers) for n in few]
            candidates += [PoolTiling(1, n, self.f, buffers) for n in range(self.e, 0, -1)]
            candidates += [PoolTiling(1, 1, n, buffers) for n in range(self.f, 0, -1)]
            for tiling in candidates:
                taken = prod((tiling.blocks, tiling.rows, tiling.columns))
                taken += (
                    tiling.blocks * self._extent(0, tiling.rows) * self._extent(1, tiling.columns)
                )
                if taken * buffers <= self.config.glb.fmap_words:
                    return tiling
        rows, columns = self.layer.window
        raise ConfigError(
            f"layer {self.layer.name}: a window of {rows} × {columns} words does not fit "
            f"glb.fmap_kib = {self.config.glb.fmap_kib}"
        )

    @property
    def predicted_cycles(self) -> int:
        """The vector unit takes a word a cycle; STOREs do not overlap it, as they share a queue."""
        ofmap = self.blocks * self.e * self.f
        beats = WORD_BYTES // self.config.memory.bus_bytes
        rows = ceil_div(self.e, self.tiling.rows) * self._extent(0, self.tiling.rows)
        load = self.blocks * rows * self.w * beats
        return max(ofmap * prod(self.layer.window) + ofmap * beats, load + ofmap * beats)

    def items(self) -> Iterator[Item]:
        """The layer's VECTORs in order."""
        tiling, number = self.tiling, 0
        space = tiling.buffers * self.in_words
        for block in range(0, self.blocks, tiling.blocks):
            for e in range(0, self.e, tiling.rows):
                for f in range(0, self.f, tiling.columns):
                    turn = number % tiling.buffers
                    bases = turn * self.in_words, space + turn * self.out_words
                    yield self._tile(number, block, e, f, *bases)
                    number += 1

    def _tile(self, number: int, block: int, e: int, f: int, source: int, target: int) -> Item:
        tiling, stride, padding = self.tiling, self.layer.stride, self.layer.padding
        blocks = min(tiling.blocks, self.blocks - block)
        rows, columns = min(tiling.rows, self.e - e), min(tiling.columns, self.f - f)
        y0, x0 = e * stride[0] - padding[0], f * stride[1] - padding[1]
        y, height = clipped(self.h, y0, y0 + (rows - 1) * stride[0] + self.layer.window[0])
        x, width = clipped(self.w, x0, x0 + (columns - 1) * stride[1] + self.layer.window[1])
        load = Transfer(
            self.ifmap + (block * self.h + y) * self.w + x,
            source,
            (blocks, height, width),
            (self.h * self.w, self.w),
            (self.in_plane, self.in_pitch),
        )
        store = Transfer(
            self.ofmap + (block * self.e + e) * self.f + f,
            target,
            (blocks, rows, columns),
            (self.e * self.f, self.f),
            (self.out_plane, tiling.columns),
        )
        values = {
            "in_base": (source + (y0 - y) * self.in_pitch + x0 - x) & _ADDRESS,
            "out_base": target,
            "y0": y0 - y,
            "x0": x0 - x,
            "in_height": height,
            "in_width": width,
            "out_height": rows,
            "out_width": columns,
            "blocks": blocks,
            "in_pitch": self.in_pitch,
            "in_plane": self.in_plane,
            "out_pitch": tiling.columns,
            "out_plane": self.out_plane,
        }
        piece = Piece([load.load()], Place.FMAP, source, source + self.in_words)
        return Item(
            self._run(values),
            [self._window_set()],
            [piece],
            stores=[store.store()],
            place=(self.number, number, 0, 0),
        )

    def _run(self, values: dict[str, int]) -> Step:
        source, target = values["in_base"], values["out_base"]
        source = (source - values["y0"] * self.in_pitch - values["x0"]) & _ADDRESS
        inputs = (values["blocks"], values["in_height"], values["in_width"])
        outputs = (values["blocks"], values["out_height"], values["out_width"])
        reads = [Area(Place.FMAP, source, inputs, (self.in_plane, self.in_pitch))]
        writes = [Area(Place.FMAP, target, outputs, (self.out_plane, self.tiling.columns))]
        return Command(Opcode.VECTOR, Engine.STORE, values), reads, writes

    def _window_set(self) -> Command:
        values = {
            "op": VectorOp.MAX_POOL,
            "rows": self.layer.window[0],
            "taps": self.layer.window[1],
            "stride_y": self.layer.stride[0],
            "stride_x": self.layer.stride[1],
            "y_step": (self.layer.stride[0] * self.in_pitch) & _ADDRESS,
        }
        return Command(Opcode.SET, Engine.STORE, values, 1)
