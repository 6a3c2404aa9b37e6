"""Which fmaps stay in the GLB and where, under made-up costs: what the choice must always keep."""

from dataclasses import replace

import pytest
from compiled_runs import RUN
from graph_builder import GraphBuilder
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import graphs

from eyas.command import MergeOp
from eyas.compiler.budget import Budget
from eyas.compiler.conv_shape import ConvShape
from eyas.compiler.fmap_place import FmapPlace
from eyas.compiler.ir import Convolution, Graph
from eyas.compiler.keep import Keeper, Kept
from eyas.compiler.passes import run_passes
from eyas.compiler.room import Room, rooms
from eyas.compiler.views import root
from eyas.config import Config, Glb
from eyas.errors import ConfigError
from eyas.layout import fmap_words

SHAPE = (8, 5, 5)
"""A fmap of 25 words."""


def room(words: int) -> Room:
    return Room(Budget(words, 4, 60))


def greedy(number: int, place: Room, kept: Kept) -> float:
    """Everything that stays is worth it."""
    return -float(kept.ofmap is not None)


def keeper(graph: Graph, words: int, score=greedy) -> Keeper:
    """The choice where every layer has `words` words."""
    return Keeper(graph, [room(words)] * len(graph.layers), score)


def chain(length: int) -> Graph:
    """x ─► t1 ─► t2 … of one shape; the last is the output."""
    b = GraphBuilder(shape=SHAPE)
    name = "x"
    for _ in range(length):
        name = b.conv(name, 8)
    return b.finish(name)


def lifetime(graph: Graph, name: str) -> tuple[int, int]:
    """The first layer that makes a fmap, or a part of it, and the last that needs it.

    A merge needs its operand until somebody reads what it makes, or of a part all that it is of.
    """
    touching = []
    for n, layer in enumerate(graph.layers):
        if name in {root(graph, each) for each in (layer.output, *layer.inputs)}:
            touching.append(n)
        if name in {root(graph, each) for each in layer.inputs[1:]}:
            ofmap = root(graph, layer.output)
            readers = [
                number
                for number, other in enumerate(graph.layers)
                if number > n and ofmap in {root(graph, each) for each in other.inputs}
            ]
            touching += readers[:1] if ofmap == layer.output else readers
    return min(touching), max(touching)


def words_at(graph: Graph, made: Keeper, number: int) -> set[int]:
    """Words of the GLB that fmaps have while a layer runs; fails if two have the same."""
    taken: set[int] = set()
    for name, start in made.starts.items():
        first, last = lifetime(graph, name)
        if first <= number <= last:
            size = fmap_words(graph.tensors[name].shape) * graph.batch
            words = set(range(start, start + size))
            assert not words & taken, f"{name} overlaps another fmap in layer {number}"
            taken |= words
    return taken


def largest_gap(low: int, high: int, taken: set[int]) -> int:
    best = run = 0
    for word in range(low, high):
        run = 0 if word in taken else run + 1
        best = max(best, run)
    return best


def test_fmaps_are_apart_and_leave_the_largest_gap():
    """Any graph, everything kept that may be: places, rooms, operands."""
    kept = []

    @settings(RUN, max_examples=80)
    @given(
        graph=graphs((11, 6, 5), more=("depthwise", "stride")),
        batch=st.integers(1, 3),
        kib=st.sampled_from([1, 2, 8]),
    )
    def check(graph, batch, kib):
        config = replace(Config.load("tiny4x4"), glb=Glb(kib, 4))
        graph = run_passes(replace(graph, batch=batch))
        whole = rooms(graph, config, Budget.of(config))
        made = Keeper(graph, whole, greedy)
        never = {root(graph, n) for n in (*graph.inputs, *graph.outputs, *graph.constants)}
        for number, layer in enumerate(graph.layers):
            names = [root(graph, name) for name in (layer.output, *layer.inputs)]
            if not isinstance(layer, Convolution):
                never |= set(names)
            if names[2:]:
                assert (names[2] in made.starts) == (names[0] in made.starts)
            taken = words_at(graph, made, number)
            before, after = whole[number], made.room(number)
            gap = set(range(after.start, after.end))
            assert taken <= set(range(before.start, before.end))
            assert not gap & taken
            assert len(gap) == largest_gap(before.start, before.end, taken)
            assert (after.beside, after.budget.bytes_per_cycle) == (before.beside, 4)
            assert made.kept(number, False) == expected_kept(graph, made, number)
        assert not never & set(made.starts)
        kept.extend(made.starts)

    check()
    assert len(kept) > 80


def expected_kept(graph: Graph, made: Keeper, number: int) -> Kept:
    layer = graph.layers[number]
    places = [
        FmapPlace.of(graph, name, made.starts[root(graph, name)])
        if root(graph, name) in made.starts
        else None
        for name in (layer.input, layer.output, *layer.inputs[1:])
    ]
    return Kept(*places)


def test_all_but_input_and_output_stay_where_they_fit():
    made = keeper(chain(4), 1000)
    assert set(made.starts) == {"t1", "t2", "t3"}
    assert made.kept(0, False) == Kept(None, FmapPlace.whole(made.starts["t1"], SHAPE))
    assert made.kept(3, True) == Kept(FmapPlace.whole(made.starts["t3"], SHAPE))


def test_fmaps_go_to_both_ends():
    """So that what is free lies between them."""

    def score(number, place, kept):
        return greedy(number, place, kept) - place.budget.fmap_words / 1000

    made = keeper(chain(5), 60, score)
    assert {made.room(n).budget.fmap_words for n in range(5)} == {10, 35}
    assert [made.room(n).budget.fmap_words for n in (1, 2, 3)] == [10] * 3
    assert sorted(made.starts.values()) == [0, 0, 35, 35]


def test_a_fmap_takes_its_place_only_where_it_fits():
    """Two of them have no room at a time."""
    made = keeper(chain(5), 45)
    names = sorted(made.starts)
    assert names == ["t2", "t4"]
    assert set(keeper(chain(3), 49).starts) == {"t2"}
    assert set(keeper(chain(3), 50).starts) == {"t1", "t2"}


@pytest.mark.parametrize(("words", "stays"), [(42, True), (41, False)])
def test_a_fmap_of_most_of_the_glb_does_not_stay(words, stays):
    """25 of 42 words are less than 60 %, of 41 more."""
    assert bool(keeper(chain(2), words).starts) == stays


def test_a_batch_takes_its_room():
    graph = replace(chain(2), batch=3)
    assert keeper(graph, 124).starts == {}
    assert keeper(graph, 125).starts == {"t1": 0}


def test_what_a_fmap_is_worth():
    """The sum over all layers in its lifetime decides, and each is asked in its room."""
    asked = []

    def score(number, place, kept):
        asked.append((number, place, kept))
        return {1: 5.0, 2: -5.1 if kept.ifmap else 0.0}.get(number, 0.0) * bool(
            kept.ifmap or kept.ofmap
        )

    graph = chain(4)
    assert set(keeper(graph, 100, score).starts) == {"t2"}, "gains 0.1, t1 and t3 nothing"
    assert {place.budget.fmap_words for _, place, _ in asked} == {100, 75, 50}
    assert all(place.start == 0 for _, place, _ in asked), "the cost does not depend on it"
    assert len(asked) == len(set(asked)), "nothing is asked twice"


def test_nothing_stays_for_nothing():
    assert keeper(chain(4), 1000, lambda number, place, kept: 1.0).starts == {}


def test_a_layer_that_does_not_fit_beside_a_fmap():
    def score(number, place, kept):
        if place.budget.fmap_words < 60 and number == 2:
            raise ConfigError("layer 2 does not fit")
        return 0.0 if number == 2 else greedy(number, place, kept) - (kept.ifmap is not None)

    made = keeper(chain(5), 100, score)
    assert set(made.starts) in ({"t1", "t3", "t4"}, {"t1", "t2", "t4"})
    assert made.room(2).budget.fmap_words == 75


def test_operands_stay_with_their_ofmaps():
    b = GraphBuilder(shape=SHAPE)
    operand, side = b.conv("x", 8), b.conv("x", 8)
    ofmap = b.merge(MergeOp.ADD, side, operand)
    graph = b.finish(b.conv(ofmap))
    made = keeper(graph, 1000)
    assert set(made.starts) == {operand, side, ofmap}
    assert made.kept(2, True) == Kept(
        *(FmapPlace.whole(made.starts[name], SHAPE) for name in (side, ofmap, operand)), True
    )
    graph.outputs.append(operand)
    assert set(keeper(graph, 1000).starts) == {side}, "in memory, and so is what joins it"
    graph.outputs[:] = [ofmap, graph.layers[-1].output]
    made = keeper(graph, 1000)
    assert set(made.starts) == {side}
    assert made.kept(2, False).operand is None


def test_operands_that_are_joined_twice():
    """One ofmap may stay, the other one is an output: neither does."""
    b = GraphBuilder(shape=SHAPE)
    operand, side = b.conv("x", 8), b.conv("x", 8)
    first, second = (b.merge(MergeOp.ADD, side, operand) for _ in "ab")
    end = b.conv(first)
    assert set(keeper(b.finish(end, second), 1000).starts) == {side}


def test_fmaps_that_pools_touch_do_not_stay():
    b = GraphBuilder(shape=SHAPE)
    before = b.conv(b.conv("x", 8), 8)
    pool = b.max_pool(before)
    behind = b.conv(pool, 8)
    graph = b.finish(b.conv(behind, 8))
    assert set(keeper(graph, 1000).starts) == {"t1", behind}


def test_parts_stay_where_their_parent_does():
    b = GraphBuilder(shape=SHAPE)
    parent, parts = b.concatenation(2, SHAPE)
    for part in parts:
        b.conv("x", 8, output=part)
    graph = b.finish(b.conv(parent, 8))
    made = keeper(graph, 1000)
    assert set(made.starts) == {parent}
    start = made.starts[parent]
    starts = [made.kept(n, False).ofmap.start for n in (0, 1)]
    assert starts == [start, start + 25]
    assert made.kept(2, False).ifmap == FmapPlace.whole(start, (16, 5, 5))


def test_outputs_of_a_part():
    b = GraphBuilder(shape=SHAPE)
    parent, parts = b.concatenation(2, SHAPE)
    for part in parts:
        b.conv("x", 8, output=part)
    graph = b.finish(b.conv(parent, 8), parts[1])
    assert keeper(graph, 1000).starts == {}, "its parent is in memory with it"


@pytest.mark.parametrize(("merges", "stay"), [(1, 1 + 1), (2, 2 + 1), (3, 0)])
def test_merges_of_merges(merges, stay):
    """An operand stays if its ofmap does, and so on: three fmaps at most, or none."""
    b = GraphBuilder(shape=SHAPE)
    ofmap, sides = b.conv("x", 8), set()
    for _ in range(merges):
        side = b.conv("x", 8)
        sides.add(side)
        ofmap = b.merge(MergeOp.ADD, side, ofmap)
    made = keeper(b.finish(b.conv(ofmap)), 1000)
    assert set(made.starts) >= sides
    assert len(made.starts) == len(sides) + stay


def test_as_a_layer_sees_them():
    place = FmapPlace.whole(100, (8, 4, 6), 3)
    kept = Kept(place, place, place, True)
    shape = ConvShape("", 8, 8, 1, 4, 6, 1, 1, 4, 6, (1, 1), (1, 1), (0, 0))
    assert kept.seen_by(shape) == kept
    sparse = kept.seen_by(replace(shape, row_step=2))
    assert sparse == replace(kept, ifmap=replace(place, pitch=12))
    stacked = kept.seen_by(replace(shape, merged=3))
    rows = replace(place, pitch=24)
    assert stacked == replace(kept, ofmap=rows, operand=rows)
    anywhere = replace(place, start=0)
    assert kept.unplaced() == Kept(anywhere, anywhere, None, True)
    assert Kept().seen_by(shape) == Kept().unplaced() == Kept()


@pytest.mark.parametrize("part", [False, True])
def test_how_long_operands_have_their_place(part):
    """Until somebody reads the ofmap, and so knows that it is drained: its first reader, or if it
    is a part of a fmap the last one, as others may read what another layer made."""
    b = GraphBuilder(shape=SHAPE)
    parent, parts = b.concatenation(2, SHAPE)
    operand, side = b.conv("x", 8), b.conv("x", 8)
    b.conv("x", 8, output=parts[0])
    ofmap = b.merge(MergeOp.ADD, side, operand, parts[1] if part else None)
    first = b.conv(parts[0] if part else ofmap)
    second = b.conv(parent)
    made = keeper(b.finish(first, second), 1000)
    assert operand in made.starts
    assert ({parent, side} if part else {ofmap, side}) <= set(made.starts)
    place = set(range(made.starts[operand], made.starts[operand] + 25))
    for number in (4, 5) if part else (4,):
        room = made.room(number)
        assert not place & set(range(room.start, room.end)), f"layer {number}"
    total = 1000 - (75 if part else 100)
    assert made.room(4).budget.fmap_words <= total
