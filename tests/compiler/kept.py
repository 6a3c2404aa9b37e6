"""Fmaps that stay in the GLB: graphs that have them, and what commands move of a tensor."""

from unittest.mock import patch

from graph_builder import GraphBuilder

from eyas.command import MergeOp, Opcode
from eyas.compiler import writer
from eyas.compiler.ir import Graph
from eyas.compiler.keep import Keeper
from eyas.compiler.program import Program
from eyas.config import WORD_BYTES


class GreedyKeeper(Keeper):
    """Keeps whatever fits, also where the mapper would rather have the room."""

    def __init__(self, graph, rooms, score):
        def keen(number, room, kept):
            score(number, room, kept)  # for its ConfigError
            return -float(kept.ofmap is not None)

        super().__init__(graph, rooms, keen)


def keeping_all():
    """While this patch is active, programs keep all fmaps that fit."""
    return patch.object(writer, "Keeper", GreedyKeeper)


def moved(program: Program, name: str, opcode: Opcode) -> list[int]:
    """Words of a tensor that LOADs bring in, or STOREs write, counted from its first."""
    tensor = program.tensors[name]
    assert tensor.view is None, "its parent is what moves"
    found = []
    for command in program.commands:
        start = command.values.get("memory_address", -1) - tensor.address
        if command.opcode == opcode and 0 <= start < tensor.nbytes:
            at = command.values
            found += [
                (start + n1 * at["memory_stride1"] + n2 * at["memory_stride2"]) // WORD_BYTES + n0
                for n2 in range(at["n2"])
                for n1 in range(at["n1"])
                for n0 in range(at["n0"])
            ]
    return found


def words_moved(program: Program, name: str, opcode: Opcode) -> int:
    """How many of them, with those that move twice."""
    return len(moved(program, name, opcode))


def words_of_tensor(program: Program, name: str) -> int:
    return program.tensors[name].nbytes // WORD_BYTES


def residual_network(seed: int = 1, shape=(12, 9, 8)) -> tuple[Graph, set[str]]:
    """All kinds of layers on fmaps that may stay; the graph, and those that may not.

    A constant is in memory, so what joins it is there as well.

    x ─► a ─┬─► 1x1 ─► 3x3 ─► add ─► 1x1 stride 2 ─► depthwise ─► part ┐
            └────────────────►┘  └─► 1x1 stride 2 ─► table ─────► part ┴─► all ─► … ─► output
    """
    b = GraphBuilder(seed, shape)
    a = b.conv("x", 10, 3, padding=1)
    narrow = b.conv(a, 5)
    ofmap = b.conv(narrow, 10, 3, padding=1)
    added = b.merge(MergeOp.ADD, ofmap, a)
    sparse = b.conv(added, 16, stride=2)
    depthwise = b.depthwise(sparse, 3, padding=1)
    _, e, f = b.shape(depthwise)
    parent, parts = b.concatenation(2, (16, e, f))
    b.table(depthwise, output=parts[0])
    b.table(b.conv(added, 16, stride=2), output=parts[1])
    middle = b.view(parent, (13, e - 1, f), 9, 1)
    scaled = b.merge(MergeOp.MULTIPLY, b.conv(middle, 9), b.constant((9, e - 1, f)))
    averaged = b.average_pool(scaled, 3, 1)
    graph = b.finish(b.conv(averaged, 11))
    return graph, {"x", scaled, graph.outputs[0], *graph.constants}
