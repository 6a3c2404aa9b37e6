"""The passes between front end and program writer, in the order of `PASSES`.

Each takes a graph and gives a new one that computes the same outputs; `run_passes` checks the rules
of the intermediate representation before the first and after each.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from eyas.compiler.activation import as_table, is_identity
from eyas.compiler.check import check
from eyas.compiler.ir import Convolution, Graph, Requantization


def fuse_activations(graph: Graph) -> Graph:
    """A table or clamp of its own moves into the convolution in front of it.

    Not where another layer reads the values in between, or the model gives them as an output.
    """
    layers: list = []
    for layer in graph.layers:
        previous = next((p for p in layers if p.output == layer.input), None)
        if (
            isinstance(layer, Convolution)
            and is_identity(layer)
            and isinstance(previous, Convolution)
            and _readers(graph, layer.input) == 1
        ):
            table = as_table(layer.requantization)
            how = _simplified(_followed_by(previous.requantization, table))
            layers[layers.index(previous)] = replace(
                previous, output=layer.output, requantization=how
            )
        else:
            layers.append(layer)
    return _with_layers(graph, layers)


def drop_unused_layers(graph: Graph) -> Graph:
    """Layers that contribute to no output go."""
    needed = set(graph.outputs)
    layers = []
    for layer in reversed(graph.layers):
        if layer.output in needed:
            needed.add(layer.input)
            layers.insert(0, layer)
    return _with_layers(graph, layers)


PASSES: tuple[Callable[[Graph], Graph], ...] = (drop_unused_layers, fuse_activations)


def run_passes(graph: Graph) -> Graph:
    """The graph after every pass. Raises ModelError where a rule of the representation breaks."""
    check(graph)
    for step in PASSES:
        graph = step(graph)
        check(graph, step.__name__)
    return graph


def _readers(graph: Graph, tensor: str) -> int:
    """Layers and outputs that use a tensor."""
    return sum(layer.input == tensor for layer in graph.layers) + graph.outputs.count(tensor)


def _with_layers(graph: Graph, layers: list) -> Graph:
    """The graph with other layers, and only the tensors that they use."""
    used = {*graph.inputs, *(layer.output for layer in layers)}
    tensors = {name: tensor for name, tensor in graph.tensors.items() if name in used}
    return replace(graph, layers=layers, tensors=tensors)


def _followed_by(how: Requantization, table: np.ndarray) -> Requantization:
    """`how`, and then `table` of what comes out of it."""
    return replace(how, table=table[as_table(how).view(np.uint8)])


def _simplified(how: Requantization) -> Requantization:
    """A table that only clamps becomes a clamp, which costs no memory."""
    table = how.table
    if table is None:
        return how
    least, most = int(table.min()), int(table.max())
    clamp = replace(how, clamp_min=least, clamp_max=most, table=None)
    return clamp if np.array_equal(as_table(clamp), table) else how
