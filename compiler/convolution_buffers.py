"""What a convolution keeps in the GLB: windows of its ifmaps, and its filters, piece by piece.

    fmap space     ifmap buffers, used as a ring │ ofmap buffers, in turn
    filter space   a ring that goes on from layer to layer

Addresses follow from the order of use alone; when a piece may be loaded is the schedule's business.
Memory addresses are counted in words.
"""

from dataclasses import dataclass, field

from eyas.command import Space
from eyas.compiler.descriptors import Transfer
from eyas.compiler.filters import FilterImage
from eyas.compiler.mapping import Sizes
from eyas.compiler.schedule import Piece, Ring
from eyas.compiler.tiling import FilterGroup, Segment, Tile, Window, segments, window
from eyas.compiler.tokens import Area, Place
from eyas.config import WORD_LANES
from eyas.layout import channel_blocks

MERGE_WORDS = 256
"""Filters that stay are loaded in runs of at least this many words: a short LOAD is all latency."""


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

    def __init__(self, sizes: Sizes, memory: int, words: int):
        self.sizes, self.memory = sizes, memory
        self.ring = Ring(0, words)

    def for_window(self, at: Window, group: FilterGroup) -> IfmapBuffer:
        """A buffer for all channels of a filter group; segments load it as they come."""
        count = channel_blocks(group.c % WORD_LANES + group.channels)
        return IfmapBuffer(at, group.c // WORD_LANES, self.ring.take(count * self.sizes.plane))

    def for_segment(self, tile: Tile, group: FilterGroup, segment: Segment) -> IfmapBuffer:
        """A buffer for what a single segment of a tile needs."""
        first = (group.c + segment.k * self.sizes.mapping.q) // WORD_LANES
        buffer = IfmapBuffer(window(self.sizes, [tile], segment), first, 0)
        _, count = self._blocks(buffer, group, segment)
        buffer.base = self.ring.take(count * self.sizes.plane)
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
        first = group.c + segment.k * q
        beyond = min(group.c + group.channels, first + segment.chunks * q)
        return first // WORD_LANES - buffer.block, channel_blocks(beyond) - buffer.block

    def _piece(self, buffer: IfmapBuffer, low: int, high: int) -> Piece:
        shape, at = self.sizes.shape, buffer.window
        target = self._area(buffer, low, high)
        transfer = Transfer(
            self.memory + ((buffer.block + low) * shape.h + at.y) * shape.w + at.x,
            target.start,
            target.counts,
            (shape.h * shape.w, shape.w),
            target.strides,
        )
        end = buffer.base + high * self.sizes.plane
        return Piece([transfer.load()], Place.FMAP, target.start, end)


class FilterBuffers:
    """Places the filters of a layer in the ring that all layers share."""

    def __init__(self, sizes: Sizes, image: FilterImage, memory: int, ring: Ring):
        self.sizes, self.image, self.memory, self.ring = sizes, image, memory, ring
        self.segments = len(segments(sizes))
        self._kept: dict[int, tuple[Piece, int]] = {}

    def keep_layer(self) -> None:
        """All filters of the layer are to stay in the GLB."""
        self._keep(range(len(self.image.offsets) - 1))

    def keep_group(self, group: FilterGroup) -> None:
        """Those of a filter group are to stay until the next one's do."""
        first = group.number * self.segments
        self._keep(range(first, first + self.segments))

    def find(self, group: FilterGroup, segment: Segment) -> tuple[Piece, int]:
        """The piece with a segment's filters, and their address."""
        number = group.number * self.segments + segment.number
        if number in self._kept:
            return self._kept[number]
        piece = self._piece(number, number + 1)
        return piece, piece.start

    def _keep(self, numbers: range) -> None:
        """Makes pieces of consecutive segments' filters."""
        offsets = self.image.offsets
        self.ring.make_room(offsets[numbers.stop] - offsets[numbers.start])
        self._kept.clear()
        begin = numbers.start
        for number in numbers:
            words = offsets[number + 1] - offsets[begin]
            if words >= MERGE_WORDS or number == numbers[-1]:
                piece = self._piece(begin, number + 1)
                for n in range(begin, number + 1):
                    self._kept[n] = piece, piece.start + offsets[n] - offsets[begin]
                begin = number + 1

    def _piece(self, begin: int, end: int) -> Piece:
        offset = self.image.offsets[begin]
        words = self.image.offsets[end] - offset
        base = self.ring.take(words)
        transfer = Transfer(self.memory + offset, base, (1, 1, words), space=Space.FILTER)
        command, _, writes = transfer.load()  # constants: nobody writes what it reads
        return Piece([(command, [], writes)], Place.FILTER, base, base + words)
