"""What a mapping costs: cycles of the array and of memory, from closed forms.

    pass    max(steps * T, ifmap port, filter port, X-bus, dealing units) + what no ring can hide
    tile    max(passes of its segments, drain)
    layer   max(tiles of all filter groups, memory) + first loads + filling + last drain and store

The forms are those of docs/architecture.md, on averages: round-robin effects are left out. They
rank mappings and predict cycles to some per cent; hardware counters have the last word.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from eyas.compiler.conv_shape import ceil_div, position_words
from eyas.compiler.mapping import Sizes
from eyas.compiler.tiling import clipped
from eyas.config import WORD_BYTES, WORD_LANES, Config
from eyas.layout import channel_blocks

PASS_OVERHEAD = 6
"""Cycles in which a row's X-bus carries nothing between two filter blocks."""
SLOT_STEPS = -0.5
"""A segment's last step leaves the last row rows - 1 steps later; half a step until the next."""
SLOT_OVERHEAD = 10
"""Cycles from a COMPUTE until its first filters are asked for."""
TILE_OVERHEAD = 60
"""Cycles from a tile's last psum to its STORE, and from its end to the COMPUTE that waits."""
FREE_PORT_SHARE = 0.8
"""Of the array's cycles: up to here the GLB's ports cause no stall."""
QUEUEING = 1.0
"""Stall cycles for each cycle of a port beyond that share."""
USE_WEIGHT = 0.01
"""Of two mappings, how many cycles more one may take if it keeps ports free in others."""
COMMAND_CYCLES = 4
"""Cycles of memory that a command's fetch and its start take."""


@dataclass(frozen=True)
class Estimate:
    """Predicted cycles of a layer, what it waits for most, and the two that overlap."""

    cycles: int
    bound: str
    array_cycles: int
    memory_cycles: int
    port_cycles: int
    """Of the GLB's ports, summed up: what the layer costs in energy, roughly."""

    @property
    def score(self) -> float:
        """What the mapper minimises: cycles, and a little of what else a mapping uses."""
        return self.cycles + USE_WEIGHT * (self.port_cycles + self.memory_cycles)


@dataclass(frozen=True)
class PassCost:
    """Cycles of a pass by the resource that could limit it."""

    array: float
    ifmap_port: float
    filter_port: float
    x_bus: float
    ring: float
    """On top of the others: fetching that cannot be hidden because the ring is too small."""

    @property
    def cycles(self) -> float:
        # Where the ports are nearly as busy as the array, requests queue up.
        crowded = max(self.ifmap_port, self.filter_port) - FREE_PORT_SHARE * self.array
        queueing = min(max(crowded, 0.0), (1 - FREE_PORT_SHARE) * self.array) * QUEUEING
        return max(self.array, self.ifmap_port, self.filter_port, self.x_bus) + queueing + self.ring

    @property
    def bound(self) -> str:
        names = {"array": "array", "ifmap_port": "ifmap port", "filter_port": "filter port"}
        names |= {"x_bus": "X-bus"}
        return names[max(names, key=lambda name: getattr(self, name))]


def pass_cost(sizes: Sizes, config: Config, rows: float, steps: int) -> PassCost:
    """Cost of a pass in which `rows` rows are busy."""
    mapping = sizes.mapping
    pieces = mapping.we * mapping.wf
    positions = sizes.span + (steps - 1) * sizes.advance
    position_cycles = (
        rows * pieces * position_words(sizes.shape, mapping.q) / config.glb.ifmap_ports
    )
    ring, step_beats = config.spad.ifmap_beats, sizes.span * sizes.beats
    ahead = (ring - step_beats) // sizes.beats  # positions fetched before they are needed
    hidden = 0.0
    if ahead < sizes.advance:
        hidden = positions * position_cycles
    elif ahead < sizes.span:
        hidden = (sizes.span - ahead) * position_cycles
    return PassCost(
        max(steps * sizes.filters, config.array.rows + 2),
        positions * position_cycles,
        rows * mapping.wm * sizes.filter_words,
        max(
            positions * pieces * sizes.beats,
            mapping.wm * sizes.filters + PASS_OVERHEAD,
        ),
        hidden,
    )


def drain_cycles(sizes: Sizes, config: Config, steps: int) -> int:
    """Cycles in which the psum banks of a tile drain: a value a cycle and PPU lane."""
    return ceil_div(sizes.columns, config.ppu.lanes) * sizes.psums * steps + 2 * sizes.psums


def estimate(sizes: Sizes, config: Config) -> Estimate:
    """Predicted cycles of a layer under a mapping that the configuration can hold."""
    return _Estimator(sizes, config).estimate()


def run_cycles(words: int, config: Config) -> float:
    """Cycles of memory for a run of consecutive words."""
    memory = config.memory
    beats = words * WORD_BYTES // memory.bus_bytes
    bursts = ceil_div(beats, memory.burst_beats)
    return max(beats, bursts * memory.latency_cycles / memory.outstanding)


class _Estimator:
    def __init__(self, sizes: Sizes, config: Config):
        self.sizes, self.config = sizes, config
        self.shape, self.mapping = sizes.shape, sizes.mapping
        width = self.mapping.wf * self.mapping.steps
        self.tile_rows = ceil_div(self.shape.e, self.mapping.we)
        self.tile_columns = ceil_div(self.shape.f, width)
        self.tiles = self.tile_rows * self.tile_columns
        self.last_steps = ceil_div(self.shape.f - (self.tile_columns - 1) * width, self.mapping.wf)
        self.blocks = ceil_div(self.tile_rows, self.mapping.block_rows)
        self.blocks *= ceil_div(self.tile_columns, self.mapping.block_cols)
        self.segments = list(self._segments())

    def _segments(self) -> Iterator[tuple[int, int, int, int]]:
        """(filter rows, tap chunks, channel chunks, how many) of the kinds of segments."""
        mapping, sizes = self.mapping, self.sizes
        for rows, n in _pieces(self.shape.r, mapping.seg_rows):
            for taps, m in _pieces(sizes.tap_chunks, mapping.seg_taps):
                for chunks, k in _pieces(sizes.chunks, mapping.seg_chunks):
                    yield rows, taps, chunks, n * m * k

    def estimate(self) -> Estimate:
        sizes, config = self.sizes, self.config
        full, bound = self._tile_cycles(self.mapping.steps)
        last, _ = self._tile_cycles(self.last_steps)
        per_group = self.tile_rows * ((self.tile_columns - 1) * full + last)
        array = per_group * sizes.filter_groups
        ifmaps, first_ifmaps = self._ifmap_cycles()
        filters, first_filters, serial_filters = self._filter_cycles()
        stores, last_store = self._store_cycles()
        commands = self.tiles * sizes.filter_groups * (sum(n for *_, n in self.segments) * 2 + 2)
        memory = ifmaps + filters + stores + commands * COMMAND_CYCLES
        latency = 2 * config.memory.latency_cycles
        fill = config.array.rows * sizes.filters + sizes.psums
        start = first_ifmaps + first_filters + latency
        end = fill + drain_cycles(sizes, config, self.last_steps) + last_store + latency
        exposed = self._exposed_ifmaps(ifmaps, per_group) + serial_filters
        overlapped = max(array + exposed, memory)
        cycles = round(overlapped + start + end)
        if memory > array + exposed:
            bound = "memory"
        return Estimate(cycles, bound, round(array), round(memory), self._port_cycles())

    def _port_cycles(self) -> int:
        """Of all passes, ragged last columns of tiles taken for full ones."""
        total = 0.0
        for i, s, k, count in self.segments:
            passes = ceil_div(i * s * k, self.config.array.rows)
            cost = pass_cost(self.sizes, self.config, i * s * k / passes, self.mapping.steps)
            total += count * passes * (cost.ifmap_port + cost.filter_port)
        return round(total * self.tiles * self.sizes.filter_groups)

    def _tile_cycles(self, steps: int) -> tuple[float, str]:
        """Cycles from one tile to the next, and what they are bound by."""
        config, sizes = self.config, self.sizes
        rows = config.array.rows
        total, bound = 0.0, "array"
        for i, s, k, count in self.segments:
            units = i * s * k
            passes = ceil_div(units, rows)
            cost = pass_cost(sizes, config, units / passes, steps)
            # A segment keeps its slot until its last step has left the last row.
            held = (passes * steps + rows + SLOT_STEPS) * sizes.filters
            held += self.mapping.wm * sizes.filters + SLOT_OVERHEAD
            turn = held / config.noc.tile_slots
            total += count * max(passes * cost.cycles, turn)
            bound = cost.bound if passes * cost.cycles >= turn else "segments in flight"
        drain = drain_cycles(sizes, config, steps)
        # A tile keeps its ofmap buffer until memory has acknowledged its last word.
        held = total + rows * sizes.filters + drain + self._tile_store(steps) + TILE_OVERHEAD
        turn = (held + config.memory.latency_cycles) / self.mapping.ofmap_buffers
        names = {"drain": float(drain), "ofmap buffers": turn, bound: total}
        longest = max(names, key=lambda name: names[name])
        return names[longest], longest

    def _tile_store(self, steps: int) -> float:
        """Cycles of memory for the STOREs of a tile."""
        width = min(self.mapping.wf * steps, self.shape.f)
        rows = min(self.mapping.we, self.shape.e)
        channels = self.sizes.tile_channels
        partial = 1 if channels % WORD_LANES else 0
        blocks = channel_blocks(channels) + partial
        if width == self.shape.f:
            return blocks * run_cycles(width * rows, self.config)
        return blocks * rows * run_cycles(width, self.config)

    # Memory

    def _ifmap_cycles(self) -> tuple[float, float]:
        """Of all loads of ifmaps, and of the first one."""
        sizes, mapping, shape = self.sizes, self.mapping, self.shape
        height, width = sizes.window
        if mapping.ifmaps == "block":
            rows = _covered(shape.h, shape.e, mapping.we * mapping.block_rows, *self._axis(0))
            step = mapping.wf * mapping.steps * mapping.block_cols
            columns = _covered(shape.w, shape.f, step, *self._axis(1))
            blocks = self._channel_blocks(sizes.chunks)
            total = self._rectangles(rows, columns) * blocks
        else:
            total = self._segment_loads()
        pieces = ceil_div(sizes.chunks, mapping.seg_chunks) if mapping.ifmaps == "block" else 1
        first = self._rectangles([height], [width]) * ceil_div(sizes.ifmap_blocks, pieces)
        return total, first

    def _segment_loads(self) -> float:
        sizes, mapping, shape = self.sizes, self.mapping, self.shape
        total = 0.0
        tiles = (mapping.we, mapping.wf * mapping.steps)
        for i, s, k, count in self.segments:
            taps = min(shape.s, s * mapping.taps)
            rows = _covered(shape.h, shape.e, tiles[0], *self._axis(0, i))
            columns = _covered(shape.w, shape.f, tiles[1], *self._axis(1, taps))
            blocks = channel_blocks(k * mapping.q)
            total += self._rectangles(rows, columns) * blocks * count
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
                channel_blocks(c % WORD_LANES + min(q, shape.groups - c))
                for c in range(0, shape.groups, q)
            )
        lanes = min(shape.c, chunks * q)
        return sum(channel_blocks(g * shape.c % WORD_LANES + lanes) for g in range(shape.groups))

    def _rectangles(self, rows: list[int], columns: list[int]) -> float:
        """Cycles to load, from a channel block, every rectangle of `rows` x `columns`."""
        total = 0.0
        for width in columns:
            if width == self.shape.w:
                total += sum(run_cycles(height * width, self.config) for height in rows)
            else:
                total += sum(rows) * run_cycles(width, self.config)
        return total

    def _filter_cycles(self) -> tuple[float, float, float]:
        """Of all loads of filters, of the first one, and what no COMPUTE can hide."""
        sizes, mapping = self.sizes, self.mapping
        beats = WORD_BYTES / self.config.memory.bus_bytes
        times = {"layer": 1, "group": self.blocks, "segment": self.tiles}[mapping.filters]
        total = sizes.filter_groups * sizes.group_words * times * beats
        first = sizes.segment_words * beats
        pieces = {"layer": 1, "group": sizes.group_words, "segment": sizes.segment_words}
        alone = mapping.filters != "layer" and (
            2 * pieces[mapping.filters] > self.config.glb.filter_words
        )
        return total, first, total if alone else 0.0

    def _store_cycles(self) -> tuple[float, float]:
        """Of all STOREs, and of the last tile's."""
        sizes, shape, mapping = self.sizes, self.shape, self.mapping
        width = min(mapping.wf * mapping.steps, shape.f)
        if width == shape.f:
            position = run_cycles(width * mapping.we, self.config) / (width * mapping.we)
        else:
            position = run_cycles(width, self.config) / width
        blocks = _ofmap_blocks(
            shape.groups, 1 if shape.depthwise else shape.m, sizes.tile_channels, shape.depthwise
        )
        last = channel_blocks(sizes.tile_channels) * width * mapping.we * position
        return shape.e * shape.f * blocks * position, last

    def _exposed_ifmaps(self, ifmaps: float, per_group: float) -> float:
        """Cycles of ifmap loads that no COMPUTE can hide, as the buffers are too small."""
        sizes, mapping = self.sizes, self.mapping
        space = self.config.glb.fmap_words - mapping.ofmap_buffers * sizes.ofmap_words
        if space >= 2 * sizes.ifmap_words:
            return 0.0
        if mapping.ifmaps != "block":
            return ifmaps
        # A window replaces the one before it piece by piece, during that one's last filter group.
        loads = self.blocks * (sizes.filter_groups if self.shape.depthwise else self.shape.groups)
        if loads == 1:
            return 0.0
        pieces = ceil_div(sizes.chunks, mapping.seg_chunks)
        load = ifmaps / loads
        group = per_group / self.blocks
        exposed = load / pieces + max(0.0, load - load / pieces - group)
        return (loads - 1) * exposed


def _pieces(size: int, step: int) -> list[tuple[int, int]]:
    """(length, how many) of the pieces of at most `step` that `size` is cut into."""
    whole, rest = divmod(size, step)
    return [piece for piece in ((step, whole), (rest, 1 if rest else 0)) if piece[1]]


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
def _ofmap_blocks(groups: int, m: int, channels: int, depthwise: bool) -> int:
    """Channel blocks that the STOREs of all filter groups touch, at one ofmap position."""
    if depthwise:
        groups, m = 1, groups * m
    return sum(
        channel_blocks((g * m + first) % WORD_LANES + min(channels, m - first))
        for g in range(groups)
        for first in range(0, m, channels)
    )
