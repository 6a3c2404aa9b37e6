"""Writes a mapped convolution: its COMPUTEs, the LOADs in front of them, the STOREs behind.

fmap space     ifmap buffers, used as a ring │ ofmap buffers, in turn
filter space   a ring that goes on from layer to layer
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from eyas.command import Command, Engine, Opcode, Space
from eyas.compiler.conv_shape import ceil_div
from eyas.compiler.cost import Estimate
from eyas.compiler.descriptors import ALL_LANES, Transfer
from eyas.compiler.filters import FilterImage
from eyas.compiler.ir import Convolution
from eyas.compiler.limits import register_blocks
from eyas.compiler.mapping import Sizes
from eyas.compiler.schedule import Item, Piece, Ring, Step
from eyas.compiler.tiling import (
    FilterGroup,
    Segment,
    Tile,
    Window,
    blocks,
    filter_groups,
    segment_macs,
    segments,
    window,
)
from eyas.compiler.tokens import Area, Place
from eyas.config import WORD_LANES, Config
from eyas.layout import channel_blocks

MERGE_WORDS = 256
"""Filters that stay are loaded in runs of at least this many words: a short LOAD is all latency."""
_ADDRESS = 0xFFFF


@dataclass
class _IfmapBuffer:
    """Channel blocks from `block` on of a window, at `base` in the GLB."""

    window: Window
    block: int
    base: int
    pieces: list[Piece] = field(default_factory=list)
    loaded_blocks: int = 0
    """Channel blocks that pieces cover, from `block` on."""


@dataclass
class ConvolutionWriter:
    """One layer on its way into a program. Memory addresses are counted in words."""

    number: int
    layer: Convolution
    sizes: Sizes
    cost: Estimate
    config: Config
    ifmap: int
    ofmap: int
    constants: int
    image: FilterImage
    filter_ring: Ring

    def __post_init__(self) -> None:
        sizes, space = self.sizes, self.config.glb.fmap_words
        self.cut = segments(sizes)
        self.groups = filter_groups(sizes)
        buffers = sizes.mapping.ofmap_buffers
        self.ofmap_start = space - buffers * sizes.ofmap_words
        self.ifmap_ring = Ring(0, self.ofmap_start)
        self.tiles_written = 0
        self.filter_pieces: dict[int, tuple[Piece, int]] = {}

    def items(self) -> Iterator[Item]:
        """The layer's COMPUTEs in order."""
        mapping = self.sizes.mapping
        buffer = None
        if mapping.filters == "layer":
            self.filter_ring.make_room(self.image.offsets[-1])
            self._keep_filters(range(len(self.image.offsets) - 1))
        for block in blocks(self.sizes):
            whole = window(self.sizes, block, None)
            for group in self.groups:
                if mapping.filters == "group":
                    first = group.number * len(self.cut)
                    self.filter_ring.make_room(self.sizes.group_words)
                    self._keep_filters(range(first, first + len(self.cut)))
                if mapping.ifmaps == "block" and not (buffer and group.shares_ifmaps):
                    buffer = self._window_buffer(whole, group)
                for tile in block:
                    yield from self._tile(tile, group, buffer)
            buffer = None

    def _tile(self, tile: Tile, group: FilterGroup, kept: _IfmapBuffer | None) -> Iterator[Item]:
        base = self.ofmap_start
        base += self.tiles_written % self.sizes.mapping.ofmap_buffers * self.sizes.ofmap_words
        self.tiles_written += 1
        for segment in self.cut:
            buffer = kept or self._segment_buffer(tile, group, segment)
            pieces = self._cover(buffer, group, segment)
            piece, address = self._filters(group, segment)
            last = segment is self.cut[-1]
            values = self._tile_values(tile, group, segment, buffer, address, base, last)
            yield Item(
                self._run(values, group, segment, buffer, base),
                self._sets(tile, segment),
                pieces,
                [piece],
                list(self._stores(tile, group, base)) if last else [],
                (self.number, tile.number, group.number, segment.number),
            )

    # Filters

    def _keep_filters(self, numbers: range) -> None:
        """Makes pieces of consecutive segments' filters, which stay in the GLB."""
        self.filter_pieces.clear()
        offsets = self.image.offsets
        begin = numbers.start
        for number in numbers:
            words = offsets[number + 1] - offsets[begin]
            if words >= MERGE_WORDS or number == numbers[-1]:
                piece = self._filter_piece(begin, number + 1)
                for n in range(begin, number + 1):
                    address = piece.start + offsets[n] - offsets[begin]
                    self.filter_pieces[n] = (piece, address)
                begin = number + 1

    def _filter_piece(self, begin: int, end: int) -> Piece:
        offset = self.image.offsets[begin]
        words = self.image.offsets[end] - offset
        base = self.filter_ring.take(words)
        memory = self.constants + offset
        command, _, writes = Transfer(memory, base, (1, 1, words), space=Space.FILTER).load()
        return Piece([(command, [], writes)], Place.FILTER, base, base + words)

    def _filters(self, group: FilterGroup, segment: Segment) -> tuple[Piece, int]:
        """The piece with a segment's filters, and their address."""
        number = group.number * len(self.cut) + segment.number
        if self.sizes.mapping.filters != "segment":
            return self.filter_pieces[number]
        piece = self._filter_piece(number, number + 1)
        return piece, piece.start

    # Ifmaps

    def _window_buffer(self, whole: Window, group: FilterGroup) -> _IfmapBuffer:
        """A buffer for all channels of a filter group; segments load it as they come."""
        count = channel_blocks(group.c % WORD_LANES + group.channels)
        base = self.ifmap_ring.take(count * self._plane)
        return _IfmapBuffer(whole, group.c // WORD_LANES, base)

    def _segment_buffer(self, tile: Tile, group: FilterGroup, segment: Segment) -> _IfmapBuffer:
        at = window(self.sizes, [tile], segment)
        buffer = _IfmapBuffer(at, (group.c + segment.k * self.sizes.mapping.q) // WORD_LANES, 0)
        _, count = self._segment_blocks(buffer, group, segment)
        buffer.base = self.ifmap_ring.take(count * self._plane)
        return buffer

    def _cover(self, buffer: _IfmapBuffer, group: FilterGroup, segment: Segment) -> list[Piece]:
        """The pieces that hold a segment's ifmaps; makes one for what the buffer lacks."""
        low, high = self._segment_blocks(buffer, group, segment)
        if high > buffer.loaded_blocks:
            piece = self._ifmap_piece(buffer, buffer.loaded_blocks, high)
            buffer.pieces.append(piece)
            buffer.loaded_blocks = high
        plane = self._plane
        start, end = buffer.base + low * plane, buffer.base + high * plane
        return [piece for piece in buffer.pieces if piece.start < end and start < piece.end]

    def _segment_blocks(
        self, buffer: _IfmapBuffer, group: FilterGroup, segment: Segment
    ) -> tuple[int, int]:
        """The existing channel blocks that a segment needs, counted in its buffer."""
        first = group.c + segment.k * self.sizes.mapping.q
        beyond = min(group.c + group.channels, first + segment.chunks * self.sizes.mapping.q)
        return first // WORD_LANES - buffer.block, channel_blocks(beyond) - buffer.block

    @property
    def _plane(self) -> int:
        return self.sizes.plane

    def _ifmap_piece(self, buffer: _IfmapBuffer, low: int, high: int) -> Piece:
        shape, at = self.sizes.shape, buffer.window
        pitch, plane = self.sizes.pitch, self._plane
        memory = self.ifmap + ((buffer.block + low) * shape.h + at.y) * shape.w + at.x
        base = buffer.base + low * plane
        transfer = Transfer(
            memory,
            base,
            (high - low, at.height, at.width),
            (shape.h * shape.w, shape.w),
            (plane, pitch),
        )
        return Piece([transfer.load()], Place.FMAP, base, buffer.base + high * plane)

    # COMPUTE

    def _tile_values(
        self,
        tile: Tile,
        group: FilterGroup,
        segment: Segment,
        buffer: _IfmapBuffer,
        filters: int,
        ofmap_base: int,
        last: bool,
    ) -> dict[str, int]:
        sizes, shape, mapping = self.sizes, self.sizes.shape, self.sizes.mapping
        lane = group.c + segment.k * mapping.q
        y = tile.e * shape.stride[0] - shape.padding[0] + segment.i * shape.dilation[0]
        x = tile.f * shape.stride[1] - shape.padding[1]
        x += segment.s * mapping.taps * shape.dilation[1]
        y0, x0 = y - buffer.window.y, x - buffer.window.x
        base = buffer.base + (lane // WORD_LANES - buffer.block) * self._plane
        filter_words = segment.units * mapping.wm * sizes.filter_words
        return {
            "ifmap_base": (base + y0 * sizes.pitch + x0) & _ADDRESS,
            "filter_base": filters,
            "y0": y0,
            "x0": x0,
            "ifmap_height": buffer.window.height,
            "ifmap_width": buffer.window.width,
            "m_valid": group.count,
            "units": segment.units,
            "passes": ceil_div(segment.units, self.config.array.rows),
            "lane0": lane % WORD_LANES,
            "first": int(segment.number == 0),
            "last": int(last),
            "ofmap_lane": group.m % WORD_LANES,
            "we_valid": tile.we_valid,
            "f_valid": tile.f_valid,
            "ofmap_base": ofmap_base,
            "param_base": filters + filter_words if last else 0,
            "useful_macs": segment_macs(sizes, group, tile, segment),
        }

    def _run(
        self,
        values: dict[str, int],
        group: FilterGroup,
        segment: Segment,
        buffer: _IfmapBuffer,
        ofmap_base: int,
    ) -> Step:
        """The COMPUTE and what it touches."""
        sizes = self.sizes
        words = segment.units * sizes.mapping.wm * sizes.filter_words
        low, high = self._segment_blocks(buffer, group, segment)
        at = buffer.window
        reads = [
            Area(
                Place.FMAP,
                buffer.base + low * self._plane,
                (high - low, at.height, at.width),
                (self._plane, sizes.pitch),
            )
        ]
        writes = []
        if values["last"]:
            words += sizes.param_words
            writes.append(
                Area(
                    Place.FMAP,
                    ofmap_base,
                    (
                        channel_blocks(group.m % WORD_LANES + group.count),
                        values["we_valid"],
                        values["f_valid"],
                    ),
                    (sizes.ofmap_plane, sizes.ofmap_pitch),
                )
            )
        reads.append(Area.run(Place.FILTER, values["filter_base"], words))
        return Command(Opcode.COMPUTE, Engine.COMPUTE, values), reads, writes

    def _sets(self, tile: Tile, segment: Segment) -> list[Command]:
        how = self.layer.requantization
        registers = register_blocks(self.sizes, tile.steps, self.layer.pad_value)
        registers[1] |= {"unit_rows": segment.rows, "tap_chunks": segment.tap_chunks}
        registers[3] = {
            "ofmap_plane": self.sizes.ofmap_plane,
            "ofmap_pitch": self.sizes.ofmap_pitch,
            "dialect": how.dialect,
            "table": int(how.table is not None),
            "zero_point": how.zero_point,
            "clamp_min": how.clamp_min,
            "clamp_max": how.clamp_max,
        }
        return [
            Command(Opcode.SET, Engine.COMPUTE, values, block)
            for block, values in registers.items()
        ]

    # STORE

    def _stores(self, tile: Tile, group: FilterGroup, base: int) -> Iterator[Step]:
        """STOREs of a tile's ofmaps: one for each set of lanes that channel blocks have."""
        sizes, shape = self.sizes, self.sizes.shape
        first = group.m // WORD_LANES
        runs: list[tuple[int, int, int]] = []  # first channel block, blocks, lanes
        for block in range(first, channel_blocks(group.m + group.count)):
            low = max(group.m - block * WORD_LANES, 0)
            high = min(group.m + group.count - block * WORD_LANES, WORD_LANES)
            lanes = (ALL_LANES >> (WORD_LANES - high)) & (ALL_LANES << low)
            if runs and runs[-1][2] == lanes:
                runs[-1] = (runs[-1][0], runs[-1][1] + 1, lanes)
            else:
                runs.append((block, 1, lanes))
        for block, count, lanes in runs:
            yield Transfer(
                self.ofmap + (block * shape.e + tile.e) * shape.f + tile.f,
                base + (block - first) * sizes.ofmap_plane,
                (count, tile.we_valid, tile.f_valid),
                (shape.e * shape.f, shape.f),
                (sizes.ofmap_plane, sizes.ofmap_pitch),
            ).store(lanes)
