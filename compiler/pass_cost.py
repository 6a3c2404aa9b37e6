"""What a pass and a drain cost the array: cycles by the resource that limits them.

pass    max(steps * T, ifmap port, filter port, X-bus, dealing units)
        + requests that queue up where a port is nearly as busy as the array
        + fetching that no ring can hide
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from eyas.compiler.conv_shape import ceil_div, position_words
from eyas.compiler.mapping import Sizes
from eyas.config import WORD_LANES, Config

PASS_OVERHEAD = 6
"""Cycles in which a row's X-bus carries nothing between two filter blocks."""
FREE_PORT_SHARE = 0.8
"""Of the array's cycles: up to here the GLB's ports cause no stall."""
QUEUEING = 1.0
"""Stall cycles for each cycle of a port beyond that share."""
VECTOR_MARGIN = 1.6
LEAST_FREE_PORT = 0.3
"""What VECTORs take longer beside a layer than by the free part of a port, and the least part: the
STORE queue must not run full, as commands behind it, COMPUTEs too, would wait."""


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
        return max(self.array, self.ifmap_port, self.filter_port, self.x_bus) + self.ring

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
    words = position_words(sizes.shape, mapping.q)
    position_cycles = rows * pieces * words / config.glb.ifmap_ports
    return PassCost(
        max(steps * sizes.filters, config.array.rows + 2),
        positions * position_cycles,
        mapping.wm * sizes.filter_words * float(filter_turns(rows, config.glb.filter_ports)),
        max(positions * pieces * sizes.beats, mapping.wm * sizes.filters + PASS_OVERHEAD),
        _ring_cycles(sizes, config, positions, position_cycles),
    )


def filter_turns(rows: ArrayLike, ports: int) -> np.ndarray:
    """Rows' worth of filter words that the ports are busy for, to fill the filter banks of `rows`.

    A row takes a word in eight cycles. A port serves the first rows first, so that eight keep it
    busy and those that are left over do not; half of that is hidden by the second filter bank.
    """
    each = np.asarray(rows) / ports
    turns = WORD_LANES * np.ceil(each / WORD_LANES)
    return np.where(each <= WORD_LANES, each, (each + turns) / 2)


def _ring_cycles(sizes: Sizes, config: Config, positions: int, position_cycles: float) -> float:
    """Cycles of fetching in a pass that cannot be hidden, as the ring has no room to run ahead."""
    pieces = sizes.mapping.we * sizes.mapping.wf
    late = max(position_cycles, pieces * sizes.beats)
    ahead = config.spad.ifmap_beats // sizes.beats - sizes.span
    if ahead < sizes.advance:
        return positions * late
    return max(0, sizes.span - ahead) * late


def queueing_cycles(array: ArrayLike, port: ArrayLike) -> np.ndarray:
    """Cycles that requests wait for each other where a port is nearly as busy as the array."""
    array, port = np.asarray(array), np.asarray(port)
    crowded = np.maximum(0.0, port - FREE_PORT_SHARE * array)
    return QUEUEING * np.minimum(crowded, (1 - FREE_PORT_SHARE) * array)


def drain_cycles(sizes: Sizes, config: Config, steps: int) -> int:
    """Cycles in which the psum banks of a tile drain: a value a cycle and PPU lane.

    With a merge a lane takes every value twice.
    """
    turns = 2 if sizes.shape.merge else 1
    values = ceil_div(sizes.columns, config.ppu.lanes) * sizes.psums * steps
    return turns * values + 2 * sizes.psums


def slows_vectors(sizes: Sizes, config: Config) -> float:
    """How many times as long a VECTOR takes beside a layer, whose rows read first."""
    cost = pass_cost(sizes, config, config.array.rows, sizes.mapping.steps)
    free = config.glb.ifmap_ports * max(0.0, 1 - cost.ifmap_port / cost.cycles)
    return VECTOR_MARGIN / min(1.0, max(free, LEAST_FREE_PORT))
