"""Shares the GLB's fmap space out: which part of it each layer may use.

    0                                                              fmap_words
    │ buffers of the convolution that runs │ those of the pool beside it │

A max pool runs beside the layers from the first that writes its ifmap to the last that reads its
ofmap (weave.py); these have less room. A pool that does not fit its part runs alone, in all of it.
"""

from dataclasses import dataclass, replace
from functools import partial

from eyas.compiler.budget import Budget
from eyas.compiler.ir import Graph, MaxPool
from eyas.compiler.pool_tiling import PoolShape
from eyas.compiler.views import root
from eyas.config import Config
from eyas.errors import ConfigError

POOL_SHARE = 8
"""A pool gets one part in so many of the fmap space."""


@dataclass(frozen=True)
class Room:
    """`budget.fmap_words` words from `start` on, for the buffers of a layer."""

    budget: Budget
    start: int = 0
    beside: bool = False
    """Whether the layer runs beside others."""

    @property
    def end(self) -> int:
        return self.start + self.budget.fmap_words


def rooms(graph: Graph, config: Config, budget: Budget) -> list[Room]:
    """The room of each layer."""
    words = budget.fmap_words // POOL_SHARE
    rest = budget.fmap_words - words
    beside = {
        number
        for number, layer in enumerate(graph.layers)
        if isinstance(layer, MaxPool)
        and _fits(graph, layer, config, replace(budget, fmap_words=words))
    }
    crowded = {other for number in beside for other in _neighbours(graph, number)}
    out = []
    for number in range(len(graph.layers)):
        if number in beside:
            out.append(Room(replace(budget, fmap_words=words), rest, True))
        else:
            out.append(Room(replace(budget, fmap_words=rest) if number in crowded else budget))
    return out


def _fits(graph: Graph, layer: MaxPool, config: Config, budget: Budget) -> bool:
    try:
        PoolShape(layer, graph.tensors[layer.input].shape, config, budget, True).best()
    except ConfigError:
        return False
    return True


def _neighbours(graph: Graph, number: int) -> range:
    """Layers that may run while a pool does."""
    pool = graph.layers[number]
    whole = partial(root, graph)
    writers = [
        n for n, layer in enumerate(graph.layers) if whole(layer.output) == whole(pool.input)
    ]
    readers = [
        n for n, layer in enumerate(graph.layers)
        if whole(pool.output) in map(whole, layer.inputs)
    ]  # fmt: skip
    first, last = min(writers, default=0), max(readers, default=len(graph.layers) - 1)
    return range(first, last + 1)
