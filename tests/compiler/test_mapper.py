"""The mapper: what it promises for known layers, and that it keeps every limit."""

from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
from compiled_runs import CONFIGS, RUN
from hypothesis import assume, given, settings

from eyas.command import MERGE_WORDS
from eyas.compiler import candidates as all_points
from eyas.compiler.budget import Budget
from eyas.compiler.candidates import POINTS_A_TILE, candidates
from eyas.compiler.conv_shape import (
    ConvShape,
    first_lanes,
    first_ofmap_lane,
    position_beats,
    position_words,
)
from eyas.compiler.cost import estimate
from eyas.compiler.fmap_place import FmapPlace
from eyas.compiler.ir import Convolution
from eyas.compiler.limits import check
from eyas.compiler.mapper import map_convolution
from eyas.compiler.mapping import Mapping, Sizes
from eyas.compiler.pass_cost import drain_cycles
from eyas.compiler.tiling import blocks, filter_groups, segment_macs, segments, window
from eyas.config import WORD_BYTES, Config, Spad
from eyas.errors import ConfigError
from eyas.sim.layer_cases import LayerShape, layer_graph

EYERISS = CONFIGS["eyeriss168"]


def shape_of(text: str) -> ConvShape:
    made_up = LayerShape.parse(text)
    layer = layer_graph(made_up).layers[0]
    assert isinstance(layer, Convolution)
    return ConvShape.of(layer, (made_up.C, made_up.H, made_up.W))


def utilization(shape: ConvShape, cycles: int, config: Config = EYERISS) -> float:
    return shape.macs / (cycles * config.pes)


@pytest.mark.parametrize(
    ("text", "least"),
    [
        ("C=256,M=256,H=14,W=56,R=3,P=1", 0.96),
        ("C=512,M=512,H=28", 0.92),
        ("C=48,M=256,H=27,R=5,P=2", 0.90),
        ("C=512,M=512,H=7,R=3,P=1", 0.95),
        ("C=3,M=96,H=227,R=11,U=4", 0.85),
    ],
)
def test_predicted_utilization(text, least):
    shape = shape_of(text)
    _, cost = map_convolution(shape, EYERISS)
    assert least <= utilization(shape, cost.cycles) <= 1


def test_fully_connected_layers_keep_memory_busy():
    shape = shape_of("C=1024,M=1000,H=1")
    mapping, cost = map_convolution(shape, EYERISS)
    least = shape.macs / EYERISS.memory.bus_bytes  # every filter value is used once
    assert least < cost.memory_cycles < 1.1 * least
    assert cost.cycles < 1.25 * least
    sizes = Sizes(shape, mapping)
    assert sizes.filter_groups * sizes.tile_channels < 1.05 * shape.m


def test_a_given_mapping_is_checked_by_name():
    shape = shape_of("C=8,M=8,H=8,R=3,P=1")
    good = Mapping(4, 4, 3, 2, 1, 2, 8, 3, 1, 2, filters="layer")
    check(Sizes(shape, good), CONFIGS["tiny4x4"])
    for changes, message in (
        ({"q": 8, "p": 8}, "filters of a PE must be at most 128, not 192"),
        ({"p": 2}, "psums of a PE must be at least 3, not 2"),
        ({"wm": 3}, "columns must be at most 4, not 6"),
        ({"steps": 100}, "psums of a tile must be at most 256, not 400"),
        ({"ofmap_buffers": 100}, "fmap words"),
    ):
        with pytest.raises(ConfigError, match=rf"layer layer: .*{message}"):
            check(Sizes(shape, replace(good, **changes)), CONFIGS["tiny4x4"])


def test_taps_far_apart_do_not_fit_the_ring():
    shape = shape_of("C=4,M=8,H=30,R=3,D=8")
    with pytest.raises(ConfigError, match="ring beats of a step must be at most 16, not 17"):
        check(Sizes(shape, Mapping(4, 4, 3, 1, 1, 1, 1, 1, 1, 1)), CONFIGS["tiny4x4"])


def test_a_machine_that_is_too_small():
    config = replace(CONFIGS["tiny4x4"], spad=Spad(16, 16, 4, 18))
    shape = shape_of("C=4,M=4,H=2000,W=4,R=3,P=1")
    map_convolution(shape, config)
    with pytest.raises(ConfigError, match="layer layer: command field stride_y holds at most 255"):
        map_convolution(replace(shape, stride=(256, 1)), config)


def shapes(draw) -> ConvShape:
    integers = st.integers
    r, s = draw(integers(1, 9)), draw(integers(1, 9))
    groups = draw(st.sampled_from([1, 1, 2, 24]))
    c, m = (1, 1) if groups == 24 else (draw(integers(1, 300)), draw(integers(1, 300)))
    stride, padding = draw(integers(1, 4)), draw(integers(0, 4))
    h = max(1, r - 2 * padding) + draw(integers(0, 60))
    w = max(1, s - 2 * padding) + draw(integers(0, 60))
    e, f = (h + 2 * padding - r) // stride + 1, (w + 2 * padding - s) // stride + 1
    flags = dict(
        zip(("table", "merge", "uniform"), (draw(st.booleans()) for _ in "tmu"), strict=True)
    )
    lanes = dict(ifmap_lane=draw(integers(0, 7)), ofmap_lane=draw(integers(0, 7)))
    return ConvShape(
        "layer", c, m, groups, h, w, r, s, e, f, (stride,) * 2, (1, 1), (padding,) * 2,
        parts=draw(st.sampled_from([1, 1, 2])), **flags, **lanes,
    )  # fmt: skip


@settings(RUN, max_examples=40)
@given(data=st.data(), name=st.sampled_from(list(CONFIGS)))
def test_mappings_cover_the_layer(data, name):
    """Whatever the mapper chooses fits, and its segments hold all MACs of the layer, once."""
    shape, config = shapes(data.draw), CONFIGS[name]
    mapping, cost = map_convolution(shape, config)
    sizes = Sizes(shape, mapping)
    check(sizes, config)
    assert cost == estimate(sizes, config)
    groups, cut = filter_groups(sizes), segments(sizes)
    assume(len(groups) * len(cut) < 3000)
    macs, positions = 0, set()
    for block in blocks(sizes):
        for tile in block:
            macs += sum(segment_macs(sizes, g, tile, part) for g in groups for part in cut)
            for e in range(tile.e, tile.e + tile.we_valid):
                positions |= {(e, f) for f in range(tile.f, tile.f + tile.f_valid)}
            assert tile.steps * mapping.wf >= tile.f_valid
    assert macs == shape.macs
    assert len(positions) == shape.e * shape.f
    assert sum(group.count for group in groups) == shape.m * shape.groups
    units = sum(part.units for part in cut)
    assert units == shape.r * sizes.tap_chunks * sizes.chunks * shape.parts


def test_windows_are_clipped_to_the_ifmap():
    shape = shape_of("C=8,M=8,H=9,R=3,P=1")
    mapping = Mapping(8, 4, 3, 4, 1, 1, 5, 3, 1, 1, ifmaps="block")
    tiles = [block[0] for block in blocks(Sizes(shape, mapping))]
    windows = [window(Sizes(shape, mapping), [tile], None) for tile in tiles]
    assert [(w.y, w.height, w.x, w.width) for w in windows[:3]] == [
        (0, 5, 0, 6), (0, 5, 4, 5), (3, 6, 0, 6),
    ]  # fmt: skip


def test_a_window_of_nothing_but_padding_has_a_position():
    shape = replace(shape_of("C=8,M=8,H=1,R=3,P=2"), padding=(9, 9))
    mapping = Mapping(8, 4, 3, 1, 1, 1, 1, 1, 1, 1)
    tile = next(blocks(Sizes(shape, mapping)))[0]
    at = window(Sizes(shape, mapping), [tile], segments(Sizes(shape, mapping))[0])
    assert (at.y, at.x, at.height, at.width) == (0, 0, 1, 1)


def test_lanes_beats_and_words():
    dense, q = shape_of("C=24,M=8,H=4"), 3
    assert first_lanes(dense, q) == frozenset(range(8))
    assert position_beats(dense, q) == 2  # from lane 3 on, or 6 of 8
    assert position_words(dense, q) == 1.5
    assert first_lanes(dense, 8) == {0}
    assert (position_beats(dense, 8), position_words(dense, 8)) == (2, 1)
    assert first_lanes(shape_of("C=24,M=24,H=4,G=24"), 12) == {0, 4}


def test_lanes_of_views():
    """Everything moves by the lane at which the fmap begins."""
    dense = replace(shape_of("C=24,M=20,H=4"), ifmap_lane=3, ofmap_lane=6)
    assert first_lanes(dense, 8) == {3}
    assert position_beats(dense, 8) == 3  # from lane 3 to lane 10
    assert first_ofmap_lane(dense, 8) == 6
    mapping = Mapping(8, 4, 1, 4, 1, 2, 4, 1, 1, 3, ifmaps="block")
    sizes = Sizes(dense, mapping)
    assert sizes.ifmap_blocks == 4  # 24 channels from lane 3 on
    assert sizes.ofmap_words == 4 * 4 * 2  # a tile's 8 channels from lane 6 on
    depthwise = replace(shape_of("C=24,M=24,H=4,G=24"), ifmap_lane=5, ofmap_lane=2)
    assert first_lanes(depthwise, 4) == {1, 5}
    assert first_ofmap_lane(depthwise, 4) == 6


def test_what_a_merge_needs():
    """Room for operands and constants, twice the drain, operands from memory."""
    plain = shape_of("C=16,M=16,H=16,R=3,P=1")
    merged = replace(plain, merge=True)
    mapping = Mapping(4, 4, 3, 4, 1, 2, 16, 3, 1, 4, ifmaps="block", filters="layer")
    assert Sizes(merged, mapping).tile_words == 2 * Sizes(plain, mapping).tile_words
    least = {
        shape.merge: drain_cycles(Sizes(shape, mapping), EYERISS, 16) for shape in (plain, merged)
    }
    assert 1.8 < least[True] / least[False] <= 2
    costs = [estimate(Sizes(shape, mapping), EYERISS) for shape in (plain, merged)]
    words = 2 * 16 * 16 + MERGE_WORDS  # of operands and constants
    cycles = words * WORD_BYTES / EYERISS.memory.bus_bytes
    assert costs[1].memory_cycles - costs[0].memory_cycles == pytest.approx(cycles, rel=0.05)


def test_filters_that_are_all_the_same_are_kept_once():
    pool = shape_of("C=64,M=64,H=25,W=5,R=25,S=5,G=64")
    sizes = Sizes(replace(pool, uniform=True), Mapping(8, 1, 5, 1, 1, 1, 1, 25, 1, 1))
    assert (sizes.filter_groups, sizes.distinct_groups) == (8, 1)
    ragged = replace(sizes, shape=replace(sizes.shape, groups=60))
    assert (ragged.filter_groups, ragged.distinct_groups) == (8, 2)
    assert Sizes(pool, sizes.mapping).distinct_groups == 8
    assert not pool.uniform
    _, cost = map_convolution(sizes.shape, CONFIGS["edge8x8"])
    _, usual = map_convolution(pool, CONFIGS["edge8x8"])
    assert cost.memory_cycles < usual.memory_cycles - 1500


@settings(RUN, max_examples=25)
@given(data=st.data(), name=st.sampled_from(list(CONFIGS)), share=st.sampled_from([1, 3, 8]))
def test_mappings_fit_their_budget(data, name, share):
    """Part of the GLB, fmaps that stay in the rest of it, a slow memory."""
    shape, config = shapes(data.draw), CONFIGS[name]
    ifmap = FmapPlace.whole(0, (shape.c * shape.groups, shape.h, shape.w))
    ofmap = FmapPlace.whole(0, (shape.m * shape.groups, shape.e, shape.f))
    keep_ifmap, keep_ofmap = data.draw(st.booleans()), data.draw(st.booleans())
    kept = replace(
        shape,
        kept_ifmap=ifmap if keep_ifmap else None,
        kept_ofmap=ofmap if keep_ofmap else None,
    )
    budget = replace(Budget.of(config, 1.5), fmap_words=config.glb.fmap_words // share)
    try:
        mapping, cost = map_convolution(kept, config, budget)
    except ConfigError:
        assume(False)
    sizes = Sizes(kept, mapping)
    check(sizes, config, budget)
    assert cost == estimate(sizes, config, budget)
    assert mapping.ifmaps == "block" or not keep_ifmap
    words = sizes.kept_ifmap_words + mapping.ofmap_buffers * sizes.tile_words
    assert words <= budget.fmap_words
    assert not keep_ifmap or sizes.ifmap_words == 0


def test_what_stays_need_not_be_moved():
    """Memory's time is that of the filters and of what is still moved."""
    shape = shape_of("C=64,M=64,H=28,R=3,P=1")
    place = FmapPlace.whole(0, (64, 28, 28))
    budget = Budget.of(EYERISS, 2)
    times = {}
    for keep in ("", "i", "o", "io"):
        kept = replace(
            shape,
            kept_ifmap=place if "i" in keep else None,
            kept_ofmap=place if "o" in keep else None,
        )
        times[keep] = map_convolution(kept, EYERISS, budget)[1].memory_cycles
    fmap = 64 * 28 * 28 / 2
    assert times[""] - times["i"] > 0.9 * fmap
    assert times[""] - times["o"] == pytest.approx(fmap, rel=0.1)
    assert times["io"] == pytest.approx(64 * 64 * 9 / 2, rel=0.2)


def test_a_slow_memory_is_planned_for():
    shape = shape_of("C=96,M=128,H=27,R=3,P=1")
    fast, slow = (map_convolution(shape, EYERISS, Budget.of(EYERISS, n))[1] for n in (8, 1))
    assert slow.cycles > fast.cycles
    assert slow.memory_cycles / 8 <= fast.memory_cycles, "it moves no more"


def test_points_with_equal_tiles(monkeypatch):
    """The best few of them stay, in the order of their scores."""
    shape, budget = shape_of("C=24,M=40,H=14,R=3,P=1"), Budget.of(EYERISS)
    few = candidates(shape, EYERISS, budget)
    monkeypatch.setattr(all_points, "POINTS_A_TILE", 10**9)
    every = candidates(shape, EYERISS, budget)
    assert (np.diff(few.scores) >= 0).all()
    seen, expected = {}, []
    for point in every.points.tolist():
        tile = tuple(point[3:])
        seen[tile] = seen.get(tile, 0) + 1
        if seen[tile] <= POINTS_A_TILE:
            expected.append(point)
    assert few.points.tolist() == expected
    assert len(few.points) < len(every.points) / 2
