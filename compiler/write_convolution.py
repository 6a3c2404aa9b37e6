"""Writes a mapped convolution: its COMPUTEs, what they need in the GLB, the STOREs behind.

for block, filter group, tile, segment, or filter group, block, …:    (tiling.py)
  SETs where registers change │ COMPUTE │ with the last segment of a tile, STOREs

Of two tiles that go together, segments alternate: A 0, B 0, A 1, B 1, …

With a merge, the COMPUTE that drains needs the operands of its tile as well, and the layer's first
one the constants of the merge.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from eyas.command import Command, Engine, MergeOp, Opcode
from eyas.compiler.conv_shape import ceil_div
from eyas.compiler.convolution_buffers import (
    IfmapBuffer,
    IfmapBuffers,
    KeptIfmaps,
    KeptOfmaps,
    TileBuffers,
)
from eyas.compiler.cost import Estimate
from eyas.compiler.filter_buffers import FilterBuffers
from eyas.compiler.filters import FilterImage
from eyas.compiler.fmap_place import FmapPlace
from eyas.compiler.ir import Convolution
from eyas.compiler.keep import Kept
from eyas.compiler.limits import register_blocks
from eyas.compiler.mapping import Sizes
from eyas.compiler.pass_cost import slows_vectors
from eyas.compiler.room import Room
from eyas.compiler.schedule import Item, Ring, Step
from eyas.compiler.tiling import (
    FilterGroup,
    Segment,
    Tile,
    running_order,
    segment_macs,
    segments,
)
from eyas.compiler.tokens import Area, Place
from eyas.config import WORD_LANES, Config

_ADDRESS = 0xFFFF


@dataclass
class ConvolutionWriter:
    """One layer on its way into a program. Memory addresses are counted in words."""

    number: int
    layer: Convolution
    sizes: Sizes
    cost: Estimate
    config: Config
    ifmap: FmapPlace
    ofmap: FmapPlace
    operand: FmapPlace | None
    constants: int
    image: FilterImage
    filter_ring: Ring
    room: Room
    kept: Kept

    def __post_init__(self) -> None:
        sizes = self.sizes
        if sizes.shape.stacked:
            self.ofmap = self.ofmap.stacked()
            self.operand = self.operand and self.operand.stacked()
        self.ifmap = self.ifmap.every(sizes.shape.row_step)
        self.cut = segments(sizes)
        self.tiles, self.ifmaps = self._buffers(self.room.start, self.room.end)
        self.filters = FilterBuffers(sizes, self.image, self.constants, self.filter_ring)
        self.slows = slows_vectors(sizes, self.config)
        self._merge_loaded = False

    def _buffers(self, start: int, end: int) -> tuple[TileBuffers, IfmapBuffers]:
        sizes, kept = self.sizes, self.kept
        if kept.ofmap:
            tiles = KeptOfmaps(sizes, kept.ofmap, kept.operand, self.ofmap, end, kept.stored)
        else:
            tiles = TileBuffers(sizes, self.ofmap, self.operand, end)
        if kept.ifmap:
            return tiles, KeptIfmaps(sizes, kept.ifmap)
        return tiles, IfmapBuffers(sizes, self.ifmap, start, tiles.end_of_ifmaps)

    def items(self) -> Iterator[Item]:
        """The layer's COMPUTEs in order."""
        mapping = self.sizes.mapping
        if mapping.filters == "layer":
            self.filters.keep_layer()
        for blocks, group in running_order(self.sizes):
            if mapping.filters == "group":
                self.filters.keep_group(group)
            tiles = list(self._tiles(blocks, group))
            for first in range(0, len(tiles), mapping.tiles_together):
                yield from self._together(tiles[first : first + mapping.tiles_together], group)

    def _tiles(
        self, blocks: list[list[Tile]], group: FilterGroup
    ) -> Iterator[tuple[Tile, IfmapBuffer | None]]:
        """The tiles of some blocks, with the buffers of their blocks' windows."""
        for block in blocks:
            windows = self.sizes.mapping.ifmaps == "block"
            buffer = self.ifmaps.for_block(block, group) if windows else None
            for tile in block:
                yield tile, buffer

    def _together(
        self, tiles: list[tuple[Tile, IfmapBuffer | None]], group: FilterGroup
    ) -> Iterator[Item]:
        """A tile, or two that take turns segment by segment."""
        bases = [self.tiles.take(tile, group) for tile, _ in tiles]
        for segment in self.cut:
            if not segment.part:
                tiles = self._with_ifmaps(tiles, group, segment)
            for (tile, buffer), base in zip(tiles, bases, strict=True):
                assert buffer, "a remainder follows the filters that it completes"
                item = self._segment(tile, group, segment, buffer, base)
                if segment is self.cut[-1]:
                    self._finish(item, tile, group, base)
                elif len(tiles) > 1:
                    item.run.command.values["swap"] = 1
                yield item

    def _with_ifmaps(
        self,
        tiles: list[tuple[Tile, IfmapBuffer | None]],
        group: FilterGroup,
        segment: Segment,
    ) -> list[tuple[Tile, IfmapBuffer | None]]:
        """Tiles with buffers for a segment's ifmaps, where their blocks have none."""
        if self.sizes.mapping.ifmaps == "block":
            return tiles
        if self.sizes.shared_windows:
            buffer = self.ifmaps.for_segment([tile for tile, _ in tiles], group, segment)
            return [(tile, buffer) for tile, _ in tiles]
        return [(tile, self.ifmaps.for_segment([tile], group, segment)) for tile, _ in tiles]

    def _segment(
        self, tile: Tile, group: FilterGroup, segment: Segment, buffer: IfmapBuffer, base: int
    ) -> Item:
        """A COMPUTE that does not drain yet."""
        piece, address = self.filters.find(group, segment)
        values = self._values(tile, group, segment)
        values |= self._ifmap_values(tile, group, segment, buffer)
        values |= {"ofmap_base": base, "filter_base": address, "param_base": 0}
        reads = [
            self.ifmaps.area(buffer, group, segment),
            Area.run(Place.FILTER, address, self._filter_words(segment)),
        ]
        return Item(
            Step(Command(Opcode.COMPUTE, Engine.COMPUTE, values), reads),
            self._sets(tile, segment),
            self.ifmaps.pieces(buffer, group, segment),
            [piece],
            kept=reads[:1] if self.kept.ifmap else [],
            place=(self.number, tile.number, group.number, segment.number),
            cycles=values["passes"] * tile.steps * self.sizes.filters,
            slows=self.slows,
        )

    def _finish(self, item: Item, tile: Tile, group: FilterGroup, base: int) -> None:
        """Makes an item the last of its tile: what its drain needs, and the STOREs behind it."""
        command, reads, *_ = item.run
        filters = reads[-1]
        parameters = Area.run(Place.FILTER, filters.end, self.sizes.param_words)
        command.values |= {"last": 1, "param_base": parameters.start}
        reads = [*reads, parameters]
        merge = self.filters.merge
        if merge and not self._merge_loaded:
            self._merge_loaded = True
            command.values["merge_load"] = 1
            item.filters = [merge, *item.filters]
            reads.append(Area.run(Place.FILTER, merge.start, merge.end - merge.start))
        item.operands, drain_reads = self.tiles.operands(tile, group, base)
        if not item.operands:
            item.kept = [*item.kept, *drain_reads]
        item.run = Step(command, reads, [self.tiles.area(tile, group, base)], drain_reads)
        item.stores = list(self.tiles.stores(tile, group, base))

    def _filter_words(self, segment: Segment) -> int:
        return segment.units * self.sizes.mapping.wm * self.sizes.filter_words

    def _values(self, tile: Tile, group: FilterGroup, segment: Segment) -> dict[str, int]:
        """Fields of the COMPUTE but for addresses and ifmap coordinates."""
        return {
            "m_valid": group.count,
            "units": segment.units,
            "passes": ceil_div(segment.units, self.config.array.rows),
            "first": int(segment.number == 0),
            "last": 0,
            "ofmap_lane": (self.ofmap.lane + group.m) % WORD_LANES,
            "we_valid": tile.we_valid,
            "f_valid": tile.f_valid,
            "merge_load": 0,
            "swap": 0,
            "useful_macs": segment_macs(self.sizes, group, tile, segment),
        }

    def _ifmap_values(
        self, tile: Tile, group: FilterGroup, segment: Segment, buffer: IfmapBuffer
    ) -> dict[str, int]:
        """Where filter row 0, tap 0 and lane 0 of the segment lie in the buffer."""
        sizes, shape, mapping = self.sizes, self.sizes.shape, self.sizes.mapping
        lane = self.ifmap.lane + group.c + segment.k * mapping.q
        row, tap = segment.i, segment.s * mapping.taps
        y = tile.e * shape.stride[0] - shape.padding[0] + row * shape.dilation[0]
        x = tile.f * shape.stride[1] - shape.padding[1] + tap * shape.dilation[1]
        y0, x0 = y - buffer.window.y, x - buffer.window.x
        block = lane // WORD_LANES - buffer.block
        return {
            "ifmap_base": (buffer.base + block * sizes.plane + y0 * sizes.pitch + x0) & _ADDRESS,
            "y0": y0,
            "x0": x0,
            "lane0": lane % WORD_LANES,
            "ifmap_height": buffer.window.height,
            "ifmap_width": buffer.window.width,
        }

    def _sets(self, tile: Tile, segment: Segment) -> list[Command]:
        how, merge = self.layer.requantization, self.layer.merge
        registers = register_blocks(self.sizes, tile.steps, self.layer.pad_value)
        registers[1] |= {"unit_rows": segment.rows, "tap_chunks": segment.tap_chunks}
        registers[3] = {
            "ofmap_plane": self.sizes.ofmap_plane,
            "ofmap_pitch": self.sizes.ofmap_pitch,
            "dialect": how.dialect,
            "table": int(self.sizes.shape.table),
            "zero_point": how.zero_point,
            "clamp_min": how.clamp_min,
            "clamp_max": how.clamp_max,
        }
        if self.config.ppu.merge:
            registers[4] = {
                "op": merge.op if merge else MergeOp.NONE,
                "merge_base": self.filters.merge.start if self.filters.merge else 0,
                "operand_offset": self.tiles.operand_offset & _ADDRESS,
            }
        return [
            Command(Opcode.SET, Engine.COMPUTE, values, block)
            for block, values in registers.items()
        ]
