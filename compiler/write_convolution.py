"""Writes a mapped convolution: its COMPUTEs, what they need in the GLB, the STOREs behind.

for block, filter group, tile, segment:    (tiling.py)
  SETs where registers change │ COMPUTE │ with the last segment of a tile, STOREs
"""

from collections.abc import Iterator
from dataclasses import dataclass

from eyas.command import Command, Engine, Opcode
from eyas.compiler.conv_shape import ceil_div
from eyas.compiler.convolution_buffers import FilterBuffers, IfmapBuffer, IfmapBuffers
from eyas.compiler.cost import Estimate
from eyas.compiler.descriptors import ALL_LANES, Transfer
from eyas.compiler.filters import FilterImage
from eyas.compiler.ir import Convolution
from eyas.compiler.limits import register_blocks
from eyas.compiler.mapping import Sizes
from eyas.compiler.schedule import Item, Ring, Step
from eyas.compiler.tiling import (
    FilterGroup,
    Segment,
    Tile,
    blocks,
    filter_groups,
    segment_macs,
    segments,
    window,
)
from eyas.compiler.tokens import Area, Place
from eyas.config import WORD_LANES, Config
from eyas.layout import channel_blocks

_ADDRESS = 0xFFFF


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
        self.ofmap_start = space - sizes.mapping.ofmap_buffers * sizes.ofmap_words
        self.ifmaps = IfmapBuffers(sizes, self.ifmap, self.ofmap_start)
        self.filters = FilterBuffers(sizes, self.image, self.constants, self.filter_ring)
        self.tiles_written = 0

    def items(self) -> Iterator[Item]:
        """The layer's COMPUTEs in order."""
        mapping = self.sizes.mapping
        if mapping.filters == "layer":
            self.filters.keep_layer()
        for block in blocks(self.sizes):
            whole = window(self.sizes, block, None)
            buffer = None
            for group in filter_groups(self.sizes):
                if mapping.filters == "group":
                    self.filters.keep_group(group)
                if mapping.ifmaps == "block" and not (buffer and group.shares_ifmaps):
                    buffer = self.ifmaps.for_window(whole, group)
                for tile in block:
                    yield from self._tile(tile, group, buffer)

    def _tile(self, tile: Tile, group: FilterGroup, kept: IfmapBuffer | None) -> Iterator[Item]:
        turn = self.tiles_written % self.sizes.mapping.ofmap_buffers
        ofmap_base = self.ofmap_start + turn * self.sizes.ofmap_words
        self.tiles_written += 1
        for segment in self.cut:
            buffer = kept or self.ifmaps.for_segment(tile, group, segment)
            ifmaps = self.ifmaps.pieces(buffer, group, segment)
            piece, address = self.filters.find(group, segment)
            values = self._values(tile, group, segment)
            values |= self._ifmap_values(tile, group, segment, buffer)
            values |= {"ofmap_base": ofmap_base, "filter_base": address, "param_base": 0}
            if values["last"]:
                values["param_base"] = address + self._filter_words(segment)
            yield Item(
                self._run(values, group, segment, buffer),
                self._sets(tile, segment),
                ifmaps,
                [piece],
                list(self._stores(tile, group, ofmap_base)) if values["last"] else [],
                (self.number, tile.number, group.number, segment.number),
            )

    def _filter_words(self, segment: Segment) -> int:
        return segment.units * self.sizes.mapping.wm * self.sizes.filter_words

    def _values(self, tile: Tile, group: FilterGroup, segment: Segment) -> dict[str, int]:
        """Fields of the COMPUTE but for addresses and ifmap coordinates."""
        return {
            "m_valid": group.count,
            "units": segment.units,
            "passes": ceil_div(segment.units, self.config.array.rows),
            "first": int(segment.number == 0),
            "last": int(segment is self.cut[-1]),
            "ofmap_lane": group.m % WORD_LANES,
            "we_valid": tile.we_valid,
            "f_valid": tile.f_valid,
            "useful_macs": segment_macs(self.sizes, group, tile, segment),
        }

    def _ifmap_values(
        self, tile: Tile, group: FilterGroup, segment: Segment, buffer: IfmapBuffer
    ) -> dict[str, int]:
        """Where filter row 0, tap 0 and lane 0 of the segment lie in the buffer."""
        sizes, shape, mapping = self.sizes, self.sizes.shape, self.sizes.mapping
        lane = group.c + segment.k * mapping.q
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

    def _run(
        self, values: dict[str, int], group: FilterGroup, segment: Segment, buffer: IfmapBuffer
    ) -> Step:
        """The COMPUTE and what it touches."""
        sizes, filters, writes = self.sizes, self._filter_words(segment), []
        if values["last"]:
            filters += sizes.param_words
            touched = channel_blocks(values["ofmap_lane"] + group.count)
            counts = (touched, values["we_valid"], values["f_valid"])
            strides = (sizes.ofmap_plane, sizes.ofmap_pitch)
            writes.append(Area(Place.FMAP, values["ofmap_base"], counts, strides))
        reads = [
            self.ifmaps.area(buffer, group, segment),
            Area.run(Place.FILTER, values["filter_base"], filters),
        ]
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
