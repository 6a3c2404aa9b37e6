"""Where everything lies in memory.

    0                 constants: filters, parameters, tables of each layer
    …                 tensors
    …                 commands

Regions are aligned to ALIGNMENT bytes. Tensors keep a place of their own, unless memory is to be
reused: then one may take the place of another that no later layer reads. Views lie where their
parent does, which is there from the first write to the last read of any of them.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import partial

from eyas.compiler.ir import Graph
from eyas.compiler.views import root
from eyas.config import WORD_BYTES
from eyas.errors import ModelError
from eyas.layout import fmap_words

ALIGNMENT = 64
MEMORY_LIMIT = 1 << 32
"""Memory addresses have 32 bits."""


def align(address: int) -> int:
    """The next address that a region may begin at."""
    return -(-address // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class Lifetime:
    """Bytes that are needed from step `first` to step `last`, both included."""

    name: str
    size: int
    first: int
    last: int


def place_regions(sizes: Sequence[int], start: int = 0) -> tuple[list[int], int]:
    """Addresses of regions one behind the other, and the end of them all."""
    addresses = []
    address = align(start)
    for size in sizes:
        addresses.append(address)
        address = align(address + size)
    return addresses, address


def place_tensors(
    graph: Graph, start: int, reuse: bool, unseen: Set[str] = frozenset()
) -> tuple[dict[str, int], int]:
    """Address of each tensor that is no view, and the end of them all.

    unseen: tensors that are never in memory.
    """
    lifetimes = [t for t in tensor_lifetimes(graph) if t.name not in unseen]
    if not reuse:
        addresses, end = place_regions([t.size for t in lifetimes], start)
        return {t.name: a for t, a in zip(lifetimes, addresses, strict=True)}, end
    return first_fit(lifetimes, start)


def tensor_lifetimes(graph: Graph) -> list[Lifetime]:
    """The graph's tensors but for views; inputs and constants live from the start to the end.

    An input stays, so that a program can run again without it being written again. Outputs live
    to the end.
    """
    given = [root(graph, name) for name in (*graph.inputs, *graph.constants)]
    first = dict.fromkeys(given, -1)
    kept = [*given, *(root(graph, name) for name in graph.outputs)]
    last = dict.fromkeys(kept, len(graph.layers))
    for step, layer in enumerate(graph.layers):
        for name in layer.inputs:
            if root(graph, name) not in first:
                raise ModelError(f"layer {layer.name}: no layer before it makes {name}")
        first.setdefault(root(graph, layer.output), step)
        for name in map(partial(root, graph), (*layer.inputs, layer.output)):
            last[name] = max(last.get(name, step), step)
    return [
        Lifetime(
            name,
            graph.batch * fmap_words(graph.tensors[name].shape) * WORD_BYTES,
            step,
            last[name],
        )
        for name, step in first.items()
    ]


def first_fit(lifetimes: Sequence[Lifetime], start: int) -> tuple[dict[str, int], int]:
    """Places the largest first, each at the lowest address that is free in its lifetime."""
    placed: list[tuple[int, Lifetime]] = []
    for new in sorted(lifetimes, key=lambda t: (-t.size, t.first)):
        address = align(start)
        for other_address, other in sorted(placed, key=lambda entry: entry[0]):
            apart = new.last < other.first or other.last < new.first
            if apart or other_address >= address + new.size:
                continue
            address = max(address, align(other_address + other.size))
        placed.append((address, new))
    end = max((align(address + t.size) for address, t in placed), default=align(start))
    return {t.name: address for address, t in placed}, end


def check_memory(name: str, end: int) -> None:
    """Raises ModelError for a program that memory addresses cannot reach."""
    if end > MEMORY_LIMIT:
        raise ModelError(f"{name}: needs {end} bytes of memory; addresses reach {MEMORY_LIMIT}")
