"""What a mapping costs: cycles of the array and of memory, from closed forms.

    segment  max(its passes, its time in a tile slot / slots)            pass_cost.py
    tile     max(its segments, drain, its time in an ofmap buffer / buffers)
    layer    max(tiles of all filter groups, memory)                     traffic.py
             + first loads + filling + last drain and store

The forms are on averages, with constants that were fitted to the RTL on random mappings of small
layers (6 per cent, root mean square, on tiny4x4; large layers are closer). They rank mappings and
predict cycles; hardware counters have the last word.
"""

from dataclasses import dataclass
from math import inf

from eyas.command import COMMAND_BYTES
from eyas.compiler.budget import Budget
from eyas.compiler.candidates import MEMORY_WEIGHT, PORT_WEIGHT
from eyas.compiler.conv_shape import ceil_div, position_words
from eyas.compiler.mapping import Sizes
from eyas.compiler.pass_cost import drain_cycles, pass_cost, queueing_cycles
from eyas.compiler.traffic import Traffic
from eyas.config import Config

SLOT_OVERHEAD = 26
"""Cycles from a free slot until the first filters of the next segment come, and back."""
TILE_OVERHEAD = 60
"""Cycles from a tile's last psum to its STORE, and from its end to the COMPUTE that waits."""
FREE_MEMORY_SHARE = 0.8
CROWDING_WEIGHT = 0.7
"""The same for memory beyond this share of a layer's cycles: the layers beside it wait for it too,
as their first ifmaps and filters are loaded during this one."""


@dataclass(frozen=True)
class Estimate:
    """Predicted cycles of a layer, what it waits for most, and the two that overlap."""

    cycles: int
    bound: str
    array_cycles: int
    memory_cycles: int
    port_words: int
    """That the rows read from the GLB."""

    @property
    def score(self) -> float:
        """What the mapper minimises: cycles, and a little of what else a mapping uses."""
        crowded = max(0.0, self.memory_cycles - FREE_MEMORY_SHARE * self.cycles)
        others = PORT_WEIGHT * self.port_words + MEMORY_WEIGHT * self.memory_cycles
        return self.cycles + others + CROWDING_WEIGHT * crowded


def estimate(sizes: Sizes, config: Config, budget: Budget | None = None) -> Estimate:
    """Predicted cycles of a layer under a mapping that the configuration can hold.

    Without a budget, the layer has the whole GLB, and memory is as the configuration says.
    """
    return _Estimator(sizes, config, budget or Budget.of(config)).estimate()


class _Estimator:
    def __init__(self, sizes: Sizes, config: Config, budget: Budget):
        self.sizes, self.config, self.budget = sizes, config, budget
        self.shape, self.mapping = sizes.shape, sizes.mapping
        self.traffic = Traffic(sizes, config, budget)

    def estimate(self) -> Estimate:
        sizes, config = self.sizes, self.config
        full, bound = self._tile_cycles(self.mapping.steps)
        last, _ = self._tile_cycles(self.traffic.last_steps)
        per_group = self.traffic.tile_rows * ((self.traffic.tile_columns - 1) * full + last)
        array = per_group * sizes.filter_groups
        ifmaps, first_ifmaps = self.traffic.ifmap_cycles()
        filters, first_filters, serial_filters = self.traffic.filter_cycles(full)
        stores, last_store = self.traffic.store_cycles()
        operands, first_operands = self.traffic.operand_cycles()
        constants = self.traffic.merge_cycles()
        command = COMMAND_BYTES / self.budget.bytes_per_cycle
        commands = (
            self.traffic.tiles
            * sizes.filter_groups
            * (sum(n for *_, n in self.traffic.segments) * 2 + 2)
        )
        memory = ifmaps + operands + filters + constants + stores + commands * command
        latency = 2 * self.budget.latency_cycles
        fill = config.array.rows * sizes.filters + sizes.psums
        start = first_ifmaps + first_filters + first_operands + constants + latency
        end = fill + drain_cycles(sizes, config, self.traffic.last_steps) + last_store + latency
        exposed = self._exposed_ifmaps(ifmaps, per_group) + serial_filters
        overlapped = max(array + exposed, memory)
        cycles = round(overlapped + start + end)
        if memory > array + exposed:
            bound = "memory"
        return Estimate(cycles, bound, round(array), round(memory), self._port_words())

    def _port_words(self) -> int:
        sizes, mapping, traffic = self.sizes, self.mapping, self.traffic
        units = sum(i * s * k * count for i, s, k, count in traffic.segments)
        pieces = mapping.we * mapping.wf * position_words(self.shape, mapping.q)
        filters = mapping.wm * sizes.filter_words * traffic.tiles
        steps = (traffic.tile_columns - 1) * mapping.steps + traffic.last_steps
        positions = traffic.tile_columns * (sizes.span - sizes.advance) + steps * sizes.advance
        ifmaps = pieces * positions * traffic.tile_rows
        return round(units * sizes.filter_groups * (ifmaps + filters))

    def _slot_cycles(self, steps: int) -> float:
        """Cycles from one segment to the next, if the slots that hold their parameters are few.

        A segment leaves its slot with its last step in the last row; the filters of the segment
        that then takes it are loaded while the rest of those in flight go on, or else all wait.
        """
        filters, slots = self.sizes.filters, self.config.noc.tile_slots
        slack = slots * steps - (steps + self.config.array.rows - 2)
        load = self.mapping.wm * filters + SLOT_OVERHEAD
        empty_steps = max(0, -slack) / slots
        return (steps + empty_steps) * filters + max(0, load - max(0, slack) * filters)

    def _tile_cycles(self, steps: int) -> tuple[float, str]:
        """Cycles from one tile to the next, and what they are bound by."""
        config, sizes = self.config, self.sizes
        rows = config.array.rows
        total, array, filters, shortest, bound = 0.0, 0.0, 0.0, inf, "array"
        # STOREs, and a drain that merges, read from the same ports as row controllers.
        times = 2 if self.shape.merge else 1
        ifmaps = times * self.traffic.tile_store_words(steps) / config.glb.ifmap_ports
        for i, s, k, count in self.traffic.segments:
            units = i * s * k
            passes = ceil_div(units, rows)
            cost = pass_cost(sizes, config, units / passes, steps)
            turn = self._slot_cycles(passes * steps)
            total += count * max(passes * cost.cycles, turn)
            shortest = min(shortest, max(passes * cost.cycles, turn))
            array += count * passes * cost.array
            ifmaps += count * passes * cost.ifmap_port
            filters += count * passes * cost.filter_port
            bound = cost.bound if passes * cost.cycles >= turn else "segments in flight"
        if ifmaps > total:
            total, bound = ifmaps, "ifmap port"
        total += float(queueing_cycles(array, max(ifmaps, filters)))
        drain = drain_cycles(sizes, config, steps)
        # A tile keeps its ofmap buffer until memory has acknowledged its last word.
        moved = times * self.traffic.tile_store(steps)
        held = total + rows * sizes.filters + drain + moved + TILE_OVERHEAD
        turn = (held + self.budget.latency_cycles) / self.mapping.ofmap_buffers
        if self.mapping.tiles_together > 1:
            # The next tile's first segment waits until the drain is over, which has the time of
            # the other tile's last one.
            total += max(0.0, drain - shortest)
        names = {"drain": float(drain), bound: total}
        if not self.shape.kept_ofmap:
            names["ofmap buffers"] = turn
        longest = max(names, key=lambda name: names[name])
        return names[longest], longest

    def _exposed_ifmaps(self, ifmaps: float, per_group: float) -> float:
        """Cycles of ifmap loads that no COMPUTE can hide, as the buffers are too small."""
        sizes, mapping = self.sizes, self.mapping
        space = self.budget.fmap_words - mapping.ofmap_buffers * sizes.tile_words
        if space >= sizes.ifmap_words + sizes.kept_ifmap_words:
            return 0.0
        if mapping.ifmaps != "block":
            return ifmaps
        # A window replaces the one before it piece by piece, during that one's last filter group,
        # or as a whole while others that run together with it are in use.
        loads = self.traffic.window_loads
        if loads == 1:
            return 0.0
        pieces = ceil_div(sizes.chunks, mapping.seg_chunks)
        load = ifmaps / loads
        group = per_group / self.traffic.blocks
        if mapping.windows > 1:
            return (loads - 1) * max(0.0, load - (mapping.windows - 1) * group)
        exposed = load / pieces + max(0.0, load - load / pieces - group)
        return (loads - 1) * exposed
