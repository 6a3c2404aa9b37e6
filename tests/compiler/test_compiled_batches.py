"""Compiled batches: every tensor of every image, whatever lies side by side in memory.

Windows, STOREs, operands and pools find their image; layers that see images as one see the right
rows; both loop orders give the same bytes, and filters are loaded as often as they promise.
"""

from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
from compiled_runs import CONFIGS, RUN, run_and_compare
from hypothesis import given, settings
from made_up import convolution, graph_of, merge
from random_graphs import graphs
from test_compiled_graphs import small_network

from eyas.command import MergeOp, Opcode, Space
from eyas.compiler.batch import lay_out
from eyas.compiler.conv_shape import ConvShape
from eyas.compiler.fmap_place import FmapPlace
from eyas.compiler.ir import Graph, MaxPool, Tensor, View
from eyas.compiler.mapping import Mapping
from eyas.compiler.passes import run_passes
from eyas.compiler.program import Program
from eyas.compiler.writer import compile_graph
from eyas.errors import ConfigError, ModelError

TINY = CONFIGS["tiny4x4"]


def images(rng, graph: Graph) -> np.ndarray:
    shape = graph.tensors[graph.inputs[0]].shape
    return rng.integers(-128, 128, (graph.batch, *shape), np.int8)


def loaded(program: Program, space: Space) -> int:
    """Words that LOADs bring into a space."""
    return sum(
        c.values["n0"] * c.values["n1"] * c.values["n2"]
        for c in program.commands
        if c.opcode == Opcode.LOAD and c.values["space"] == space
    )


@settings(RUN, max_examples=60)
@given(
    graph=graphs(),
    batch=st.integers(2, 4),
    name=st.sampled_from([name for name in CONFIGS if name != "1x1"]),
    reuse=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_graph(graph, batch, name, reuse, seed):
    """Convolutions, merges with fmaps and constants, pools, padding, parts of tensors."""
    graph = run_passes(replace(graph, batch=batch))
    assert graph.batch == batch
    ifmaps = images(np.random.default_rng(seed), graph)
    run_and_compare(graph, CONFIGS[name], ifmaps, reuse_memory=reuse)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_kind_of_layer(name):
    rng = np.random.default_rng(3)
    graph = replace(small_network(rng), batch=3)
    program, _ = run_and_compare(graph, CONFIGS[name], images(rng, graph))
    assert program.batch == 3
    assert all("3 images" in entry.shape for entry in program.layers)
    alone = compile_graph(replace(graph, batch=1), CONFIGS[name])
    assert program.macs == 3 * alone.macs
    assert 2 < program.predicted_cycles / alone.predicted_cycles < 3.3


@st.composite
def layers(draw):
    """(filters, ifmap shape, options) of a convolution with a few filter groups."""
    rng_shape = draw(st.integers(1, 20)), draw(st.integers(1, 9)), draw(st.integers(1, 9))
    c, h, w = rng_shape
    r, s = draw(st.integers(1, min(3, h))), draw(st.integers(1, min(3, w)))
    groups = draw(st.sampled_from([1, 1, 2, c]))
    c, m = (c, c) if groups == c else (groups * c, groups * draw(st.integers(1, 20)))
    stride = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    padding = tuple(draw(st.integers(0, 2)) for _ in range(4))
    options = dict(groups=groups, stride=stride, padding=padding, pad_value=-5)
    return (m, c // groups, r, s), (c, h, w), options


@settings(RUN, max_examples=60)
@given(
    what=layers(),
    batch=st.integers(1, 4),
    order=st.sampled_from(["blocks", "groups"]),
    filters=st.sampled_from(["layer", "group", "segment"]),
    ifmaps=st.sampled_from(["block", "segment"]),
    block=st.tuples(st.integers(1, 3), st.integers(1, 2)),
    windows=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_any_loop_order(what, batch, order, filters, ifmaps, block, windows, seed):
    """Small tiles and groups, so that there are many of each, and in every kind of order."""
    weights, shape, options = what
    rng = np.random.default_rng(seed)
    layer = convolution(rng, "layer", "ifmap", "ofmap", weights, **options)
    if seed % 3 == 0:
        side = convolution(rng, "side", "ifmap", "side", weights, **options)
        found = [side, replace(layer, merge=merge(rng, MergeOp.ADD, "side"))]
    else:
        found = [layer]
    graph = replace(graph_of(found, shape), batch=batch)
    m, c, r, s = weights
    depthwise = options["groups"] == m == shape[0] > 1
    q, p, wm = (3, 1, 1) if depthwise else (min(c, 3), 3, 1 + seed % 2)
    mapping = Mapping(
        q,
        p,
        s,
        2,
        1,
        wm,
        3,
        r,
        1,
        1,
        *block,
        ifmaps=ifmaps,
        filters=filters,
        order=order,
        windows=windows,
    )
    ifmap = rng.integers(-128, 128, (batch, *shape), np.int8)
    run_and_compare(graph, TINY, ifmap if batch > 1 else ifmap[0], mappings={"layer": mapping})


@pytest.mark.parametrize("filters", ["group", "segment"])
def test_filters_are_read_once_for_all_blocks_and_images(filters):
    rng = np.random.default_rng(4)
    layer = convolution(rng, "layer", "ifmap", "ofmap", (24, 8, 3, 3), padding=(1,) * 4)
    mapping = Mapping(8, 4, 3, 2, 1, 2, 9, 3, 1, 1, ifmaps="block", filters=filters)
    words = {}
    for batch in (1, 3):
        for order in ("blocks", "groups"):
            graph = replace(graph_of([layer], (8, 8, 9)), batch=batch)
            ifmaps = rng.integers(-128, 128, (batch, 8, 8, 9), np.int8)
            options = {"mappings": {"layer": replace(mapping, order=order)}}
            values = ifmaps if batch > 1 else ifmaps[0]
            program, _ = run_and_compare(graph, TINY, values, **options)
            words[batch, order] = [loaded(program, s) for s in (Space.FILTER, Space.FMAP)]
    group = 3 * 2 * 12 + 2 * 8  # of eight channels: three rows of a filter block each, parameters
    window = 9 * (3 + 4 + 4 + 3)  # four blocks of two rows, with what their windows share
    for batch in (1, 3):
        assert words[batch, "groups"] == [3 * group, batch * 3 * window]
        assert words[batch, "blocks"] == [batch * 4 * 3 * group, batch * window]


@pytest.mark.parametrize(("together", "times"), [(1, 12), (2, 6), (3, 4), (5, 3), (12, 1)])
def test_blocks_that_run_together_share_filters(together, times):
    """Four blocks in each of three images; none of their windows is loaded twice."""
    rng = np.random.default_rng(9)
    layer = convolution(rng, "layer", "ifmap", "ofmap", (24, 8, 3, 3), padding=(1,) * 4)
    mapping = Mapping(
        8, 4, 3, 2, 1, 2, 9, 3, 1, 1, ifmaps="block", filters="group", windows=together
    )
    graph = replace(graph_of([layer], (8, 8, 9)), batch=3)
    program, _ = run_and_compare(graph, TINY, images(rng, graph), mappings={"layer": mapping})
    assert loaded(program, Space.FILTER) == times * 3 * (3 * 2 * 12 + 2 * 8)
    assert loaded(program, Space.FMAP) == 3 * 9 * (3 + 4 + 4 + 3)


def test_windows_that_do_not_fit_together():
    rng = np.random.default_rng(10)
    layer = convolution(rng, "layer", "ifmap", "ofmap", (8, 32, 3, 3), padding=(1,) * 4)
    mapping = Mapping(8, 4, 3, 4, 1, 1, 14, 3, 1, 1, 2, ifmaps="block", filters="group")
    graph = graph_of([layer], (32, 14, 14))
    compile_graph(graph, TINY, mappings={"layer": mapping})
    with pytest.raises(ConfigError, match="layer layer: fmap words must be at most 1024, not 1232"):
        compile_graph(graph, TINY, mappings={"layer": replace(mapping, windows=2)})


@pytest.mark.parametrize(
    ("filters", "shape", "options"),
    [
        ((40, 30, 1, 1), (30, 1, 1), {}),
        ((40, 6, 4, 5), (6, 4, 5), {}),
        ((8, 6, 2, 3), (6, 4, 5), dict(stride=(3, 1))),
        ((8, 6, 1, 3), (6, 1, 9), dict(padding=(0, 1, 0, 1), pad_value=3)),
        ((12, 1, 5, 3), (12, 5, 3), dict(groups=12)),
        ((40, 30, 1, 1), (30, 3, 4), {}),
    ],
)
def test_filters_meet_all_images_at_once(filters, shape, options):
    """FC layers and others of one ofmap row, and 1x1 layers: no more filters than for one image."""
    rng = np.random.default_rng(5)
    layer = convolution(rng, "layer", "ifmap", "ofmap", filters, **options)
    words = {}
    for batch in (1, 4):
        graph = replace(graph_of([layer], shape), batch=batch)
        ifmaps = rng.integers(-128, 128, (batch, *shape), np.int8)
        program, _ = run_and_compare(graph, TINY, ifmaps if batch > 1 else ifmaps[0])
        words[batch] = loaded(program, Space.FILTER)
    least = np.prod(filters) / 8
    assert least <= words[4] < 1.3 * words[1] + 64


def test_a_stride_that_commands_do_not_hold():
    """FC layers on ifmaps of more rows than STRIDE_Y can skip: image by image."""
    rng = np.random.default_rng(6)
    for height, stacked in ((255, True), (256, False)):
        layer = convolution(rng, "layer", "ifmap", "ofmap", (5, 3, height, 1))
        shape = (3, height, 1)
        place = FmapPlace.whole(0, shape, 2)
        conv = lay_out(ConvShape.of(layer, shape), 2, place, [FmapPlace.whole(0, (5, 1, 1), 2)])
        assert (conv.stacked, conv.images) == ((True, 1) if stacked else (False, 2))
        graph = replace(graph_of([layer], shape), batch=2)
        run_and_compare(graph, TINY, images(rng, graph))


def test_views_of_parts_keep_their_images_apart():
    """1x1 layers from and to blocks of larger tensors, and pools of them."""
    rng = np.random.default_rng(7)
    tensors = {
        "top": Tensor("top", (16, 2, 6), view=View("ifmap", 3, 1)),
        "whole": Tensor("whole", (22, 4, 6)),
        "part": Tensor("part", (9, 2, 6), view=View("whole", 5, 2)),
        "rest": Tensor("rest", (8, 4, 6), view=View("whole", 14)),
        "flat": Tensor("flat", (22, 1, 24), view=View("whole")),
        "pooled": Tensor("pooled", (8, 3, 5)),
    }
    found = [
        convolution(rng, "a", "top", "part", (9, 16, 1, 1)),
        convolution(rng, "b", "ifmap", "rest", (8, 20, 1, 1)),
        MaxPool("pool", "slice", "pooled", (2, 2)),
        convolution(rng, "c", "flat", "ofmap", (5, 22, 1, 4)),
    ]
    tensors["slice"] = Tensor("slice", (8, 4, 6), view=View("ifmap", 8))
    graph = replace(graph_of(found, (20, 4, 6), **tensors), batch=3)
    graph.outputs.append("pooled")
    run_and_compare(graph, TINY, images(rng, graph))


def test_ofmaps_of_one_row_in_parts_of_others():
    """A fully connected layer whose ofmap and operand are pixels of larger tensors."""
    rng = np.random.default_rng(11)
    tensors = {
        "pixel": Tensor("pixel", (9, 1, 1), view=View("ifmap", 0, 2, 1)),
        "whole": Tensor("whole", (9, 2, 3)),
        "ofmap": Tensor("ofmap", (9, 1, 1), view=View("whole", 0, 1, 2)),
    }
    layer = convolution(rng, "layer", "ifmap", "ofmap", (9, 10, 4, 5))
    layer = replace(layer, merge=merge(rng, MergeOp.ADD, "pixel"))
    graph = replace(graph_of([layer], (10, 4, 5), **tensors), batch=3)
    program, _ = run_and_compare(graph, TINY, images(rng, graph))
    assert "columns=3×1" in program.layers[0].mapping  # an image each


def test_ofmaps_whose_images_lie_apart():
    """Rows follow each other, images do not: a 1x1 layer into the lower rows of a tensor."""
    rng = np.random.default_rng(12)
    tensors = {
        "whole": Tensor("whole", (9, 4, 6)),
        "ofmap": Tensor("ofmap", (9, 2, 6), view=View("whole", 0, 2)),
    }
    layer = convolution(rng, "layer", "ifmap", "ofmap", (9, 10, 1, 1))
    graph = replace(graph_of([layer], (10, 2, 6), **tensors), batch=3)
    run_and_compare(graph, TINY, images(rng, graph))


def test_a_window_beyond_its_image():
    """One ofmap row, and padding below: the next image's rows are not there."""
    rng = np.random.default_rng(13)
    options = dict(padding=(0, 0, 1, 0), pad_value=-100)
    layer = convolution(rng, "layer", "ifmap", "ofmap", (9, 10, 3, 1), **options)
    graph = replace(graph_of([layer], (10, 2, 6)), batch=3)
    run_and_compare(graph, TINY, images(rng, graph))


def test_wrong_batches():
    rng = np.random.default_rng(8)
    graph = graph_of([convolution(rng, "layer", "ifmap", "ofmap", (4, 3, 1, 1))], (3, 4, 5))
    program = compile_graph(replace(graph, batch=2), TINY)
    memory = program.memory_image()
    with pytest.raises(ModelError, match=r"must be int8 of shape \(2, 3, 4, 5\), .* \(3, 4, 5\)"):
        program.write_tensor(memory, "ifmap", np.zeros((3, 4, 5), np.int8))
    with pytest.raises(ModelError, match="batch: must be at least 1, not 0"):
        run_passes(replace(graph, batch=0))
