"""How a convolution lies on the machine: the shape of the layer, the mapping, and its limits.

    filters of a PE       p filters x q lanes x taps taps            (T = p*q*taps micro-cycles)
    columns               wm filter sets x we ofmap rows x wf pieces of an ofmap row
    tile                  we rows x (wf*steps) columns of p*wm ofmap channels, between two drains
    segment               seg_rows x seg_taps x seg_chunks units of a tile: one COMPUTE
    block                 block_rows x block_cols tiles that share an ifmap window in the GLB

A depthwise layer has p = wm = 1 and q channels a tile; its psums are counted by q.
"""

from dataclasses import dataclass
from functools import cached_property

from eyas.command import DRAIN, PARAM_WORDS, TABLE_WORDS, TILE, UNIT, WALK, Block
from eyas.compiler.ir import Convolution
from eyas.config import BEAT_LANES, WORD_LANES, Config
from eyas.errors import ConfigError, ModelError
from eyas.layout import channel_blocks

MIN_PSUMS = 3
"""The PE's psum latency: a psum is read again this many micro-cycles later at the earliest."""
COORDINATE_LIMIT = 4095
"""Row controllers hold ifmap coordinates in 13 bits, signed."""


def ceil_div(value: int, by: int) -> int:
    """Quotient, rounded up."""
    return -(-value // by)


@dataclass(frozen=True)
class ConvShape:
    """The geometry of a convolution, in the letters of the field; c and m count one group's."""

    name: str
    c: int
    m: int
    groups: int
    h: int
    w: int
    r: int
    s: int
    e: int
    f: int
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int]  # top, left
    table: bool = False

    @classmethod
    def of(cls, layer: Convolution, ifmap: tuple[int, int, int]) -> "ConvShape":
        """The shape of `layer` on an ifmap (C, H, W). Raises ModelError where they do not fit."""
        filters, channels, r, s = layer.filters.shape
        if channels * layer.groups != ifmap[0] or filters % layer.groups:
            raise ModelError(
                f"layer {layer.name}: filters {layer.filters.shape} in {layer.groups} groups do "
                f"not fit an ifmap of {ifmap[0]} channels"
            )
        m, e, f = layer.output_shape(ifmap)
        if e < 1 or f < 1:
            raise ModelError(
                f"layer {layer.name}: a {r} × {s} filter does not fit an ifmap of "
                f"{ifmap[1]} × {ifmap[2]} with padding {layer.padding}"
            )
        return cls(
            layer.name,
            channels,
            m // layer.groups,
            layer.groups,
            ifmap[1],
            ifmap[2],
            r,
            s,
            e,
            f,
            layer.stride,
            layer.dilation,
            layer.padding[:2],
            layer.requantization.table is not None,
        )

    @property
    def depthwise(self) -> bool:
        return self.groups > 1 and self.c == 1 and self.m == 1

    @property
    def macs(self) -> int:
        """Multiplications that the layer asks for, those with padding included."""
        return self.groups * self.m * self.c * self.r * self.s * self.e * self.f

    def __str__(self) -> str:
        text = (
            f"{self.c * self.groups}×{self.h}×{self.w} → {self.m * self.groups}×{self.e}×{self.f}"
        )
        text += f", {self.r}×{self.s}"
        for mark, pair in (("/", self.stride), (" dilation ", self.dilation)):
            if pair != (1, 1):
                text += mark + "×".join(str(n) for n in dict.fromkeys(pair))
        return text + (f", {self.groups} groups" if self.groups > 1 else "")


@dataclass(frozen=True)
class Mapping:
    """One way to run a convolution. `check` says whether a configuration can hold it."""

    q: int
    p: int
    taps: int
    we: int
    wf: int
    wm: int
    steps: int
    seg_rows: int
    seg_taps: int
    seg_chunks: int
    block_rows: int = 1
    block_cols: int = 1
    ifmaps: str = "segment"
    """What stays in the GLB: the "block" window of all channels, or one "segment" at a time."""
    filters: str = "segment"
    """What stays in the GLB: those of the "layer", of the filter "group", or one "segment"."""
    ofmap_buffers: int = 2

    def __str__(self) -> str:
        return (
            f"q={self.q} p={self.p} taps={self.taps} columns={self.we}×{self.wf}×{self.wm} "
            f"steps={self.steps} block={self.block_rows}×{self.block_cols} "
            f"segment={self.seg_rows}×{self.seg_taps}×{self.seg_chunks} "
            f"ifmaps={self.ifmaps} filters={self.filters}"
        )


@dataclass(frozen=True)
class Sizes:
    """What follows from a shape and a mapping: counts, and words in the GLB."""

    shape: ConvShape
    mapping: Mapping

    @property
    def psums(self) -> int:
        return self.mapping.q if self.shape.depthwise else self.mapping.p

    @property
    def tile_channels(self) -> int:
        """Ofmap channels of a tile, padding included."""
        return self.mapping.q if self.shape.depthwise else self.mapping.p * self.mapping.wm

    @property
    def filters(self) -> int:
        return self.mapping.p * self.mapping.q * self.mapping.taps

    @property
    def filter_words(self) -> int:
        return ceil_div(self.filters, WORD_LANES)

    @property
    def columns(self) -> int:
        return self.mapping.we * self.mapping.wf * self.mapping.wm

    @property
    def tap_chunks(self) -> int:
        return ceil_div(self.shape.s, self.mapping.taps)

    @property
    def chunks(self) -> int:
        """Channel chunks of a tile."""
        return 1 if self.shape.depthwise else ceil_div(self.shape.c, self.mapping.q)

    @property
    def dilation(self) -> int:
        """Of filter rows and of the taps of a PE: they share a register."""
        return self.shape.dilation[1 if self.mapping.taps > 1 else 0]

    @property
    def span(self) -> int:
        return (self.mapping.taps - 1) * self.shape.dilation[1] + 1

    @property
    def advance(self) -> int:
        return min(self.shape.stride[1], self.span)

    @cached_property
    def first_lanes(self) -> set[int]:
        """Lanes, in their channel block, at which units begin."""
        shape, q = self.shape, self.mapping.q
        if shape.depthwise:
            return {g * q % WORD_LANES for g in range(min(WORD_LANES, ceil_div(shape.groups, q)))}
        starts = {g * shape.c % WORD_LANES for g in range(min(WORD_LANES, shape.groups))}
        chunks = range(min(WORD_LANES, self.chunks))
        return {(start + k * q) % WORD_LANES for start in starts for k in chunks}

    @property
    def beats(self) -> int:
        return max(
            ceil_div(lane % BEAT_LANES + self.mapping.q, BEAT_LANES) for lane in self.first_lanes
        )

    @property
    def fetched_words(self) -> float:
        """GLB words a unit fetches for an ifmap position, on average."""
        words = [(lane // BEAT_LANES + self.beats + 1) // 2 for lane in self.first_lanes]
        return sum(words) / len(words)

    def ifmap_extent(self, e: int, f: int, rows: int, taps: int) -> tuple[int, int]:
        """The most ifmap rows and columns that e x f ofmap positions need of rows x taps taps."""
        shape = self.shape
        height = (e - 1) * shape.stride[0] + (rows - 1) * shape.dilation[0] + 1
        width = (f - 1) * shape.stride[1] + (taps - 1) * shape.dilation[1] + 1
        return min(height, shape.h), min(width, shape.w)

    @property
    def block_positions(self) -> tuple[int, int]:
        """Ofmap rows and columns of a block."""
        mapping = self.mapping
        rows = mapping.we * mapping.block_rows
        columns = mapping.wf * mapping.steps * mapping.block_cols
        return min(rows, self.shape.e), min(columns, self.shape.f)

    @cached_property
    def window(self) -> tuple[int, int]:
        """Rows and columns of the ifmap buffers."""
        shape, mapping = self.shape, self.mapping
        if mapping.ifmaps == "block":
            return self.ifmap_extent(*self.block_positions, shape.r, shape.s)
        e, f = min(mapping.we, shape.e), min(mapping.wf * mapping.steps, shape.f)
        taps = min(shape.s, mapping.seg_taps * mapping.taps)
        return self.ifmap_extent(e, f, mapping.seg_rows, taps)

    @cached_property
    def ifmap_blocks(self) -> int:
        """Channel blocks of an ifmap buffer."""
        shape, q = self.shape, self.mapping.q
        if shape.depthwise:
            return channel_blocks(max(self.first_lanes) + min(q, shape.groups))
        if self.mapping.ifmaps == "block" or self.mapping.seg_chunks >= self.chunks:
            starts = range(min(WORD_LANES, shape.groups))
            return channel_blocks(max(g * shape.c % WORD_LANES for g in starts) + shape.c)
        return channel_blocks(max(self.first_lanes) + min(self.mapping.seg_chunks * q, shape.c))

    @property
    def ifmap_words(self) -> int:
        """Words of an ifmap buffer."""
        return self.window[0] * self.window[1] * self.ifmap_blocks

    @property
    def ofmap_pitch(self) -> int:
        return min(self.mapping.wf * self.mapping.steps, self.shape.f)

    @property
    def ofmap_plane(self) -> int:
        return min(self.mapping.we, self.shape.e) * self.ofmap_pitch

    @property
    def ofmap_words(self) -> int:
        """Words of an ofmap buffer: a tile may begin in the middle of a channel block."""
        shape, channels = self.shape, self.tile_channels
        if shape.depthwise:
            lane = max(self.first_lanes)
        else:
            starts = [g * shape.m for g in range(min(WORD_LANES, shape.groups))]
            tiles = range(min(WORD_LANES, ceil_div(shape.m, channels)))
            lane = max((start + n * channels) % WORD_LANES for start in starts for n in tiles)
        blocks = channel_blocks(lane + min(channels, shape.groups * shape.m))
        return self.ofmap_plane * min(blocks, channel_blocks(shape.groups * shape.m))

    @property
    def filter_groups(self) -> int:
        """Filter groups of the layer, those of all groups of the convolution together."""
        if self.shape.depthwise:
            return ceil_div(self.shape.groups, self.mapping.q)
        return self.shape.groups * ceil_div(self.shape.m, self.tile_channels)

    @property
    def param_words(self) -> int:
        return self.tile_channels * PARAM_WORDS + (TABLE_WORDS if self.shape.table else 0)

    @property
    def group_words(self) -> int:
        """Words of a filter group: filter blocks of all units, and parameters."""
        units = self.shape.r * self.tap_chunks * self.chunks
        return units * self.mapping.wm * self.filter_words + self.param_words

    @property
    def segment_words(self) -> int:
        """The most words of a segment's filter blocks and parameters."""
        mapping = self.mapping
        units = mapping.seg_rows * mapping.seg_taps * mapping.seg_chunks
        return units * mapping.wm * self.filter_words + self.param_words


def register_blocks(sizes: Sizes, steps: int, pad_value: int) -> dict[int, dict[str, int]]:
    """COMPUTE's register blocks 1 (WALK) and 2 (UNIT), but for the segment's digits."""
    shape, mapping = sizes.shape, sizes.mapping
    pitch, plane = sizes.window[1], sizes.window[0] * sizes.window[1]
    sets = mapping.we * mapping.wf
    mask = sum(1 << (n * sets) for n in range(mapping.wm))
    walk = {
        "p": mapping.p,
        "q": mapping.q,
        "taps": mapping.taps,
        "depthwise": int(shape.depthwise),
        "psums": sizes.psums,
        "steps": steps,
        "span": sizes.span,
        "advance": sizes.advance,
        "tap_pitch": BEAT_LANES * sizes.beats * shape.dilation[1] if mapping.taps > 1 else 0,
        "beats": sizes.beats,
        "position_gap": shape.stride[1] - sizes.advance,
        "pad_value": pad_value,
        "we": mapping.we,
        "wf": mapping.wf,
        "wm": mapping.wm,
        "stride_y": shape.stride[0],
        "ifmap_plane": plane,
        "we_step": shape.stride[0] * pitch,
        "wf_step": steps * shape.stride[1],
        "row_step": sizes.dilation * pitch,
        "dilation": sizes.dilation,
        "unit_rows": mapping.seg_rows,
        "tap_chunks": mapping.seg_taps,
    }
    unit = {
        "tap_chunk_step": mapping.taps * shape.dilation[1],
        "q_plane": mapping.q // WORD_LANES * plane,
        "filters": sizes.filters,
        "filter_words": sizes.filter_words,
        "unit_words": mapping.wm * sizes.filter_words,
        "columns": sizes.columns,
        "ifmap_mask": mask,
        "filter_mask": (1 << sets) - 1,
        "advance_beats": sizes.advance * sizes.beats,
        "span_beats": sizes.span * sizes.beats,
    }
    return {1: walk, 2: unit}


def check(sizes: Sizes, config: Config) -> None:
    """Raises ConfigError that names the layer, for a mapping that the configuration cannot hold."""
    for what, value, limit in _limits(sizes, config):
        if value > limit:
            raise ConfigError(
                f"layer {sizes.shape.name}: {what} must be at most {limit}, not {value} "
                f"({sizes.mapping})"
            )
    for number, values in register_blocks(sizes, sizes.mapping.steps, 0).items():
        _check_fields(sizes, (WALK, UNIT)[number - 1], values)
    tile = {"f_valid": sizes.ofmap_pitch, "m_valid": sizes.tile_channels}
    tile |= {"ifmap_height": sizes.window[0], "ifmap_width": sizes.window[1]}
    _check_fields(sizes, TILE, tile)
    _check_fields(
        sizes, DRAIN, {"ofmap_plane": sizes.ofmap_plane, "ofmap_pitch": sizes.ofmap_pitch}
    )


def _check_fields(sizes: Sizes, block: Block, values: dict[str, int]) -> None:
    for name, value in values.items():
        if not block[name].range[0] <= value <= block[name].range[1]:
            raise ConfigError(
                f"layer {sizes.shape.name}: command field {name} holds at most "
                f"{block[name].range[1]}, not {value} ({sizes.mapping})"
            )


def _limits(sizes: Sizes, config: Config) -> list[tuple[str, int, int]]:
    """(what, value, limit) of every rule about a mapping."""
    shape, mapping, spad = sizes.shape, sizes.mapping, config.spad
    units = mapping.seg_rows * mapping.seg_taps * mapping.seg_chunks
    chained = min(config.array.rows, units) * mapping.taps
    width = (mapping.wf * mapping.steps - 1) * shape.stride[1] + (shape.s - 1) * shape.dilation[1]
    height = (mapping.we - 1) * shape.stride[0] + (shape.r - 1) * shape.dilation[0]
    buffers = mapping.ofmap_buffers * sizes.ofmap_words
    mixed = shape.r if sizes.dilation != shape.dilation[0] else 1
    return [
        ("filters of a PE", sizes.filters, spad.filters),
        ("psums of a PE", sizes.psums, spad.psums),
        ("psum latency", MIN_PSUMS, sizes.psums),
        ("filter rows of another dilation than the taps", mixed, 1),
        ("ring beats of a step", sizes.span * sizes.beats, spad.ifmap_beats),
        ("products of a psum", chained * (1 if shape.depthwise else mapping.q), spad.chain_limit),
        ("psums of a tile", mapping.steps * sizes.psums, config.psum_bank.depth),
        ("columns", sizes.columns, config.array.cols),
        (
            "ifmap columns of a tile",
            width + max(shape.padding[1], sizes.window[1]),
            COORDINATE_LIMIT,
        ),
        ("ifmap rows of a tile", height + max(shape.padding[0], sizes.window[0]), COORDINATE_LIMIT),
        ("fmap words", sizes.ifmap_words + buffers, config.glb.fmap_words),
        ("filter words", sizes.segment_words, config.glb.filter_words),
    ]
