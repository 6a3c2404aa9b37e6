"""Tiles that take turns in the psum memories, in compiled layers: the same bytes, fewer loads.

Run by the interpreter, which checks that tokens keep the engines apart.
"""

from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
from compiled_runs import CONFIGS, RUN, run_and_compare
from hypothesis import given, settings
from made_up import convolution, graph_of, merge

from eyas.command import MergeOp, Opcode, Space
from eyas.compiler.budget import Budget
from eyas.compiler.conv_shape import ConvShape, ceil_div
from eyas.compiler.cost import estimate
from eyas.compiler.mapper import map_convolution
from eyas.compiler.mapping import Mapping, Sizes
from eyas.compiler.traffic import Traffic
from eyas.compiler.writer import compile_graph
from eyas.errors import ConfigError
from eyas.registers import Counter
from eyas.sim.layer_cases import LayerShape, layer_graph
from eyas.sim.timing_model import predict

TINY = CONFIGS["tiny4x4"]
MAPPING = Mapping(3, 4, 3, 2, 1, 2, 4, 3, 1, 1, filters="segment", ofmap_buffers=3)
"""For 3x3 filters: tiles of 2 x 4 positions and 8 channels, segments of 3 ifmap channels."""


def loaded(program, space: Space) -> int:
    """Words that LOADs bring into a space."""
    return sum(
        c.values["n0"] * c.values["n1"] * c.values["n2"]
        for c in program.commands
        if c.opcode == Opcode.LOAD and c.values["space"] == space
    )


@st.composite
def layers(draw):
    """(filters, ifmap shape, options) of a convolution."""
    r, s = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    c, m = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    groups = draw(st.sampled_from([1, 1, 1, 2, "depthwise"]))
    if groups == "depthwise":
        groups = m = c
    stride = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    padding = tuple(draw(st.integers(0, 2)) for _ in range(4))
    h, w = r + draw(st.integers(0, 7)), s + draw(st.integers(0, 9))
    c, m = (c, m) if groups == c else (groups * c, groups * m)
    options = dict(groups=groups, stride=stride, padding=padding, pad_value=-5)
    return (m, c // groups, r, s), (c, h, w), options


@settings(RUN, max_examples=60)
@given(
    what=layers(),
    batch=st.sampled_from([1, 1, 2, 3]),
    ifmaps=st.sampled_from(["block", "segment"]),
    block=st.sampled_from([(1, 1), (2, 1), (1, 2), (2, 2), (3, 1)]),
    windows=st.integers(1, 3),
    buffers=st.integers(1, 3),
    segment=st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(1, 3)),
    merged=st.sampled_from([None, None, MergeOp.ADD, MergeOp.PRELU]),
    seed=st.integers(0, 99),
)
def test_any_layer(what, batch, ifmaps, block, windows, buffers, segment, merged, seed):
    """Blocks of one tile, of two and more, ragged tiles and segments, operands and their constants,
    filters in two parts."""
    weights, shape, options = what
    rng = np.random.default_rng(seed)
    layer = convolution(rng, "layer", "ifmap", "ofmap", weights, **options)
    if seed % 4 == 0:
        rest = rng.integers(-128, 128, weights, np.int8)
        layer = replace(layer, remainders=(rest,))
    found = [layer]
    if merged:
        side = convolution(rng, "side", "ifmap", "side", weights, **options)
        found = [side, replace(layer, merge=merge(rng, merged, "side", bool(seed % 2)))]
    graph = replace(graph_of(found, shape), batch=batch)
    m, c, r, s = weights
    depthwise = options["groups"] == m == shape[0] > 1
    q, p, wm = (3, 1, 1) if depthwise else (min(c, 3), 3, 1 + seed % 2)
    taps = 1 + seed % s
    seg_rows, seg_taps, seg_chunks = segment
    mapping = Mapping(
        q, p, taps, 2, 1, wm, 3,
        min(seg_rows, r), min(seg_taps, ceil_div(s, taps)), 1 if depthwise else seg_chunks,
        block_rows=block[0], block_cols=block[1], ifmaps=ifmaps, windows=windows,
        ofmap_buffers=buffers, tiles_together=2,
    )  # fmt: skip
    ifmap = rng.integers(-128, 128, (batch, *shape), np.int8)
    program, _ = run_and_compare(
        graph,
        TINY,
        ifmap if batch > 1 else ifmap[0],
        mappings={layer.name: mapping for layer in found},
    )
    swaps = [c.values["swap"] for c in program.commands if c.opcode == Opcode.COMPUTE]
    assert sum(swaps) % 2 == 0


def counts(batch=1, rows=5, **changes) -> tuple[int, int]:
    """Words of ifmaps and of filters that a layer of rows x 8 positions and 12 channels loads."""
    rng = np.random.default_rng(1)
    layer = convolution(rng, "layer", "ifmap", "ofmap", (8, 12, 3, 3), padding=(1,) * 4)
    graph = replace(graph_of([layer], (12, rows, 8)), batch=batch)
    mapping = replace(MAPPING, **changes)
    ifmap = rng.integers(-128, 128, (batch, 12, rows, 8), np.int8)
    program, _ = run_and_compare(
        graph,
        TINY,
        ifmap if batch > 1 else ifmap[0],
        mappings={"layer": mapping},
    )
    shape, budget = ConvShape.of(layer, (12, rows, 8)), Budget.of(TINY)
    traffic = Traffic(Sizes(replace(shape, images=batch), mapping), TINY, budget)
    expected, *_ = traffic.filter_cycles(0)
    assert expected / budget.word_cycles == loaded(program, Space.FILTER), "as the mapper expects"
    return loaded(program, Space.FMAP), loaded(program, Space.FILTER)


def test_filters_are_loaded_once_for_two_tiles():
    """Six tiles, 3 x 2, of an image."""
    ifmaps, filters = counts()
    assert counts(tiles_together=2, windows=2) == (ifmaps, filters / 2)
    rows = counts(tiles_together=2, block_rows=2)
    # One row of blocks has two rows of tiles, the last one: two tiles that are alone.
    assert rows[1] == filters * 4 / 6
    assert rows[0] < 0.85 * ifmaps
    columns = counts(tiles_together=2, block_cols=2)
    assert columns[1] == filters / 2
    assert columns[0] < 0.85 * ifmaps
    window = counts(tiles_together=2, block_rows=3, block_cols=2, ifmaps="block")
    assert window == (2 * 5 * 8, filters / 2)


def test_images_share_filters():
    """One tile an image, so the third of them runs alone."""
    tile = dict(we=4, wf=1, wm=1, steps=8, p=8)
    alone = counts(3, 4, **tile)
    together = counts(3, 4, **tile, tiles_together=2, windows=2)
    assert together == (alone[0], alone[1] * 2 / 3)


@pytest.mark.parametrize("changes", [dict(filters="layer"), dict(order="groups")])
def test_what_must_be_loaded_for_each_segment(changes):
    shape = LayerShape.parse("C=8,M=8,H=8,R=3,P=1")
    mapping = replace(MAPPING, tiles_together=2, **changes)
    with pytest.raises(ConfigError, match="tiles that take turns must be at most 1, not 2"):
        compile_graph(layer_graph(shape), TINY, mappings={"layer": mapping})


def test_the_mapper_halves_the_traffic_of_filters():
    """Where neither a layer's ifmaps nor its filters fit, at no cost in cycles."""
    graph = layer_graph(LayerShape.parse("C=512,M=512,H=28,R=3,P=1"))
    shape = ConvShape.of(graph.layers[0], (512, 28, 28))
    machine = CONFIGS["eyeriss168"]
    mapping, cost = map_convolution(shape, machine)
    assert mapping.tiles_together == 2
    one_by_one = replace(mapping, tiles_together=1, block_rows=1, block_cols=1)
    alone = estimate(Sizes(shape, one_by_one), machine)
    assert cost.memory_cycles < 0.75 * alone.memory_cycles
    assert cost.cycles < 1.001 * alone.cycles


def test_a_drain_that_is_longer_than_a_segment_is_waited_for():
    """Segments of 3 units and 16 steps of 8 micro-cycles; 16 * 8 psums of four columns to drain."""
    graph = layer_graph(LayerShape.parse("C=20,M=8,H=16,R=3,P=1"))
    shape = ConvShape.of(graph.layers[0], (20, 16, 16))
    alone = Mapping(1, 8, 1, 4, 1, 1, 16, 3, 1, 1, ofmap_buffers=3)
    together = replace(alone, tiles_together=2, windows=2)
    costs = [estimate(Sizes(shape, mapping), TINY) for mapping in (alone, together)]
    found = []
    for mapping in (alone, together):
        program = compile_graph(graph, TINY, mappings={"layer": mapping})
        found.append(predict(program, TINY).counters[Counter.STALL_PSUM_BANKS])
    assert found[0] == 0
    assert 400 < found[1] < costs[1].array_cycles - costs[0].array_cycles < 2 * found[1]
