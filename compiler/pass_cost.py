"""What a pass and a drain cost the array: cycles by the resource that limits them.

pass    max(steps * T, ifmap port, filter port, X-bus, dealing units)
        + requests that queue up where a port is nearly as busy as the array
        + fetching that no ring can hide
"""

from dataclasses import dataclass

from eyas.compiler.conv_shape import ceil_div, position_words
from eyas.compiler.mapping import Sizes
from eyas.config import Config

PASS_OVERHEAD = 6
"""Cycles in which a row's X-bus carries nothing between two filter blocks."""
FREE_PORT_SHARE = 0.8
"""Of the array's cycles: up to here the GLB's ports cause no stall."""
QUEUEING = 1.0
"""Stall cycles for each cycle of a port beyond that share."""


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
