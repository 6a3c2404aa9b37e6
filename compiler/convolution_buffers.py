"""What a convolution keeps in the GLB's fmap space: windows of its ifmaps, and its tiles' ofmaps.

    ifmap buffers, used as a ring │ operands of tiles │ ofmaps of tiles, in turn

A merge's operands lie as the ofmaps that they join. Addresses follow from the order of use alone;
when a piece may be loaded is the schedule's business. Filters: filter_buffers.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from eyas.compiler.descriptors import Transfer
from eyas.compiler.fmap_place import FmapPlace, lanes_of
from eyas.compiler.mapping import Sizes
from eyas.compiler.schedule import Piece, Ring, Step
from eyas.compiler.tiling import FilterGroup, Segment, Tile, Window, window
from eyas.compiler.tokens import Area, Place
from eyas.config import WORD_LANES
from eyas.layout import channel_blocks


@dataclass
class IfmapBuffer:
    """Channel blocks from `block` on of a window, at `base` in the GLB."""

    window: Window
    block: int
    base: int
    pieces: list[Piece] = field(default_factory=list)
    loaded_blocks: int = 0
    """Channel blocks that pieces cover, from `block` on."""


class IfmapBuffers:
    """Makes buffers for a layer, and their pieces as segments come to need them."""

    def __init__(self, sizes: Sizes, memory: FmapPlace, start: int, end: int):
        self.sizes, self.memory = sizes, memory
        self.ring = Ring(start, end)
        self._kept: dict[int, IfmapBuffer] = {}
        """By the first tile of their block, the oldest first."""

    def for_block(self, tiles: list[Tile], group: FilterGroup) -> IfmapBuffer:
        """A buffer for all channels of a filter group; segments load it as they come.

        It is the one from before where that is still there and holds the same.
        """
        number = tiles[0].number
        if number in self._kept and group.shares_ifmaps:
            return self._kept[number]
        self._kept.pop(number, None)
        block, lane = divmod(self.memory.lane + group.c, WORD_LANES)
        words = channel_blocks(lane + group.channels) * self.sizes.plane
        buffer = IfmapBuffer(window(self.sizes, tiles, None), block, self.ring.take(words))
        while len(self._kept) >= self.sizes.mapping.windows:
            del self._kept[next(iter(self._kept))]
        self._kept[number] = buffer
        return buffer

    def for_segment(self, tiles: list[Tile], group: FilterGroup, segment: Segment) -> IfmapBuffer:
        """A buffer for what a single segment of some tiles of an image needs."""
        first = self.memory.lane + group.c + segment.k * self.sizes.mapping.q
        buffer = IfmapBuffer(window(self.sizes, tiles, segment), first // WORD_LANES, 0)
        buffer.base = self.ring.take(self.sizes.ifmap_words)
        return buffer

    def pieces(self, buffer: IfmapBuffer, group: FilterGroup, segment: Segment) -> list[Piece]:
        """The pieces that hold a segment's ifmaps; makes one for what the buffer lacks."""
        low, high = self._blocks(buffer, group, segment)
        if high > buffer.loaded_blocks:
            buffer.pieces.append(self._piece(buffer, buffer.loaded_blocks, high))
            buffer.loaded_blocks = high
        plane = self.sizes.plane
        start, end = buffer.base + low * plane, buffer.base + high * plane
        return [piece for piece in buffer.pieces if piece.start < end and start < piece.end]

    def area(self, buffer: IfmapBuffer, group: FilterGroup, segment: Segment) -> Area:
        """What a segment reads."""
        low, high = self._blocks(buffer, group, segment)
        return self._area(buffer, low, high)

    def _area(self, buffer: IfmapBuffer, low: int, high: int) -> Area:
        return Area(
            Place.FMAP,
            buffer.base + low * self.sizes.plane,
            (high - low, buffer.window.height, buffer.window.width),
            (self.sizes.plane, self.sizes.pitch),
        )

    def _blocks(self, buffer: IfmapBuffer, group: FilterGroup, segment: Segment) -> tuple[int, int]:
        """The existing channel blocks that a segment needs, counted in its buffer."""
        q = self.sizes.mapping.q
        start = self.memory.lane + group.c
        first = start + segment.k * q
        beyond = min(start + group.channels, first + segment.chunks * q)
        return first // WORD_LANES - buffer.block, channel_blocks(beyond) - buffer.block

    def _piece(self, buffer: IfmapBuffer, low: int, high: int) -> Piece:
        memory, at = self.memory, buffer.window
        target = self._area(buffer, low, high)
        transfer = Transfer(
            memory.word(buffer.block + low, at.y, at.x, at.image),
            target.start,
            target.counts,
            (memory.plane, memory.pitch),
            target.strides,
        )
        end = buffer.base + high * self.sizes.plane
        return Piece([transfer.load()], Place.FMAP, target.start, end)


class KeptIfmaps(IfmapBuffers):
    """The whole ifmap, which lies at `place` in the GLB since the layer that made it."""

    def __init__(self, sizes: Sizes, place: FmapPlace):
        super().__init__(sizes, place, 0, 0)

    def for_block(self, tiles: list[Tile], group: FilterGroup) -> IfmapBuffer:
        """The ifmap of the image that the tiles are in."""
        shape, image = self.sizes.shape, tiles[0].image
        block = (self.memory.lane + group.c) // WORD_LANES
        whole = Window(0, 0, shape.h, shape.w, image)
        return IfmapBuffer(whole, block, self.memory.word(block, 0, 0, image))

    def pieces(self, buffer: IfmapBuffer, group: FilterGroup, segment: Segment) -> list[Piece]:
        return []


class TileBuffers:
    """Where the ofmaps of a layer's tiles lie, and the operands that a merge joins to them."""

    def __init__(self, sizes: Sizes, ofmap: FmapPlace, operand: FmapPlace | None, end: int):
        self.sizes, self.ofmap, self.operand = sizes, ofmap, operand
        size = sizes.mapping.ofmap_buffers * sizes.ofmap_words
        self.start = end - size
        self.operand_offset = -size if operand else 0
        """From a tile's ofmaps to its operands."""
        self.end_of_ifmaps = self.start + self.operand_offset
        self._tiles = 0

    def take(self, tile: Tile, group: FilterGroup) -> int:
        """The address of the next tile's ofmaps."""
        turn = self._tiles % self.sizes.mapping.ofmap_buffers
        self._tiles += 1
        return self.start + turn * self.sizes.ofmap_words

    def area(self, tile: Tile, group: FilterGroup, base: int) -> Area:
        """Words that the drain writes or, further on, reads."""
        blocks = channel_blocks((self.ofmap.lane + group.m) % WORD_LANES + group.count)
        strides = (self.sizes.ofmap_plane, self.sizes.ofmap_pitch)
        return Area(Place.FMAP, base, (blocks, tile.we_valid, tile.f_valid), strides)

    def operands(self, tile: Tile, group: FilterGroup, base: int) -> tuple[list[Piece], list[Area]]:
        """What a tile's drain needs beside its psums: pieces to load, areas that it reads."""
        if self.operand is None:
            return [], []
        area = self.area(tile, group, base + self.operand_offset)
        block = (self.operand.lane + group.m) // WORD_LANES
        transfer = Transfer(
            self.operand.word(block, tile.e, tile.f, tile.image),
            area.start,
            area.counts,
            (self.operand.plane, self.operand.pitch),
            area.strides,
        )
        piece = Piece([transfer.load()], area.place, area.start, area.end)
        return [piece], [area]

    def stores(self, tile: Tile, group: FilterGroup, base: int) -> Iterator[Step]:
        """STOREs of a tile's ofmaps: one for each set of lanes that channel blocks have."""
        sizes, ofmap = self.sizes, self.ofmap
        first = ofmap.lane + group.m
        for block, count, lanes in lanes_of(first, group.count):
            yield Transfer(
                ofmap.word(block, tile.e, tile.f, tile.image),
                base + (block - first // WORD_LANES) * sizes.ofmap_plane,
                (count, tile.we_valid, tile.f_valid),
                (ofmap.plane, ofmap.pitch),
                (sizes.ofmap_plane, sizes.ofmap_pitch),
            ).store(lanes)


class KeptOfmaps(TileBuffers):
    """The whole ofmap, which stays at `place` in the GLB for the layers that read it.

    operand: where that of a merge lies in the GLB. stored: whether the ofmap goes to memory too.
    """

    def __init__(
        self,
        sizes: Sizes,
        place: FmapPlace,
        operand: FmapPlace | None,
        ofmap: FmapPlace,
        end: int,
        stored: bool,
    ):
        super().__init__(sizes, ofmap, None, end)
        self.place, self.stored, self.merges = place, stored, operand is not None
        self.operand_offset = operand.start - place.start if operand else 0
        self.end_of_ifmaps = end

    def take(self, tile: Tile, group: FilterGroup) -> int:
        block = (self.place.lane + group.m) // WORD_LANES
        return self.place.word(block, tile.e, tile.f, tile.image)

    def operands(self, tile: Tile, group: FilterGroup, base: int) -> tuple[list[Piece], list[Area]]:
        return [], [self.area(tile, group, base + self.operand_offset)] if self.merges else []

    def stores(self, tile: Tile, group: FilterGroup, base: int) -> Iterator[Step]:
        return super().stores(tile, group, base) if self.stored else iter(())
