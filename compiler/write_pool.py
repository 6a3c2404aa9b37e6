"""Writes a pooling layer: LOAD, VECTOR, STORE for tiles of rows and channel blocks.

    fmap space     ifmap buffer │ ifmap buffer │ ofmap buffer │ ofmap buffer

With room for two of each, the next tile's ifmaps arrive while the vector unit works. Tiles run in
the order in which their ifmaps are made.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from eyas.command import Command, Engine, Opcode, VectorOp
from eyas.compiler.descriptors import Transfer
from eyas.compiler.fmap_place import FmapPlace, lanes_of
from eyas.compiler.ir import MaxPool
from eyas.compiler.pool_tiling import PoolShape
from eyas.compiler.room import Room
from eyas.compiler.schedule import Item, Piece, Step
from eyas.compiler.tiling import clipped
from eyas.compiler.tokens import Area, Place
from eyas.config import WORD_LANES, Config
from eyas.errors import ModelError

_ADDRESS = 0xFFFF

Corner = tuple[int, int, int, int]
"""Image, channel block, ofmap row and ofmap column that a tile begins at."""


@dataclass
class PoolWriter:
    """One layer on its way into a program.

    Raises ModelError for fmaps that begin in the middle of a word.
    """

    number: int
    layer: MaxPool
    shape: tuple[int, int, int]
    config: Config
    ifmap: FmapPlace
    ofmap: FmapPlace
    room: Room

    def __post_init__(self) -> None:
        layer = self.layer
        self.cut = PoolShape(layer, self.shape, self.config, self.room.budget, self.room.beside)
        for name, place in ((layer.input, self.ifmap), (layer.output, self.ofmap)):
            if place.lane:
                raise ModelError(
                    f"layer {layer.name}: {name} begins at lane {place.lane} of its words; the "
                    f"channels of a max pool must begin at a multiple of {WORD_LANES}"
                )
        self.tiling = self.cut.best()
        self.in_pitch = self.cut.extent(1, self.tiling.columns)
        self.in_plane = self.in_pitch * self.cut.extent(0, self.tiling.rows)
        self.out_plane = self.tiling.rows * self.tiling.columns
        tiles = self.cut.tiles(self.tiling)
        self.item_cycles = self.cut.cycles(self.tiling) / tiles
        self.in_words = self.in_plane * self.tiling.blocks
        self.out_words = self.out_plane * self.tiling.blocks

    @property
    def predicted_cycles(self) -> int:
        return round(self.cut.cycles(self.tiling)) * self.ifmap.images

    def items(self, made: Callable[[Area], int] = lambda area: 0) -> Iterator[Item]:
        """The layer's VECTORs in order. `made` says when an area of memory is written."""
        tiling = self.tiling
        ofmaps = self.room.start + tiling.buffers * self.in_words
        corners = [
            (image, block, e, f)
            for image in range(self.ifmap.images)
            for block in range(0, self.cut.blocks, tiling.blocks)
            for e in range(0, self.cut.e, tiling.rows)
            for f in range(0, self.cut.f, tiling.columns)
        ]
        corners.sort(
            key=lambda corner: made(self._tile(0, corner, 0, 0).inputs[0].loads[0].reads[0])
        )
        for number, corner in enumerate(corners):
            turn = number % tiling.buffers
            bases = self.room.start + turn * self.in_words, ofmaps + turn * self.out_words
            yield self._tile(number, corner, *bases)

    def _tile(self, number: int, corner: Corner, source: int, target: int) -> Item:
        tiling, stride, padding = self.tiling, self.layer.stride, self.layer.padding
        image, block, e, f = corner
        blocks = min(tiling.blocks, self.cut.blocks - block)
        rows, columns = min(tiling.rows, self.cut.e - e), min(tiling.columns, self.cut.f - f)
        y0, x0 = e * stride[0] - padding[0], f * stride[1] - padding[1]
        y, height = clipped(self.cut.h, y0, y0 + (rows - 1) * stride[0] + self.layer.window[0])
        x, width = clipped(self.cut.w, x0, x0 + (columns - 1) * stride[1] + self.layer.window[1])
        load = Transfer(
            self.ifmap.word(block, y, x, image),
            source,
            (blocks, height, width),
            (self.ifmap.plane, self.ifmap.pitch),
            (self.in_plane, self.in_pitch),
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
            inputs=[piece],
            stores=list(self._stores(corner, (blocks, rows, columns), target)),
            place=(self.number, number, 0, 0),
            cycles=self.item_cycles,
        )

    def _stores(self, corner: Corner, counts: tuple[int, int, int], target: int) -> Iterator[Step]:
        """STOREs of a tile's ofmaps: a last block of its own where others have lanes in it."""
        (image, block, e, f), (blocks, rows, columns) = corner, counts
        channels = blocks * WORD_LANES
        if self.ofmap.part:
            channels = min(channels, self.shape[0] - block * WORD_LANES)
        for first, count, lanes in lanes_of(0, channels):
            yield Transfer(
                self.ofmap.word(block + first, e, f, image),
                target + first * self.out_plane,
                (count, rows, columns),
                (self.ofmap.plane, self.ofmap.pitch),
                (self.out_plane, self.tiling.columns),
            ).store(lanes)

    def _run(self, values: dict[str, int]) -> Step:
        source, target = values["in_base"], values["out_base"]
        source = (source - values["y0"] * self.in_pitch - values["x0"]) & _ADDRESS
        inputs = (values["blocks"], values["in_height"], values["in_width"])
        outputs = (values["blocks"], values["out_height"], values["out_width"])
        reads = [Area(Place.FMAP, source, inputs, (self.in_plane, self.in_pitch))]
        writes = [Area(Place.FMAP, target, outputs, (self.out_plane, self.tiling.columns))]
        return Step(Command(Opcode.VECTOR, Engine.STORE, values), reads, writes)

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
