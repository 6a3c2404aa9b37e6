"""The order of items when pools run beside convolutions: nothing too early, nothing too late."""

from itertools import pairwise

import pytest
from compiled_runs import RUN
from hypothesis import given
from hypothesis import strategies as st

from eyas.command import Command, Engine, Opcode
from eyas.compiler.schedule import Item, Piece, Step
from eyas.compiler.tokens import Area, Place
from eyas.compiler.weave import STORE_CYCLES, Weaver

SIZES = {Place.FMAP: 64, Place.FILTER: 8, Place.MEMORY: 256}
TILE = 1000
"""Cycles of a tile of a convolution, more than its STOREs take."""


def memory(start: int, words: int = 4) -> Area:
    return Area.run(Place.MEMORY, start, words)


def fmap(start: int, words: int = 4) -> Area:
    return Area.run(Place.FMAP, start, words)


def item(place, source: Area, target: Area, cycles: float, glb: int = 0, pool=False) -> Item:
    """It loads `source` to word `glb`, and stores `target` from 4 words behind."""
    load = Step(Command(Opcode.LOAD, Engine.LOAD, {}), [source], [fmap(glb)])
    kind = (Opcode.VECTOR, Engine.STORE) if pool else (Opcode.COMPUTE, Engine.COMPUTE)
    run = Step(Command(*kind, {}), [fmap(glb)], [fmap(glb + 4)])
    store = Step(Command(Opcode.STORE, Engine.STORE, {}), [fmap(glb + 4)], [target])
    piece = [Piece([load], Place.FMAP, glb, glb + 4)]
    pieces = {"inputs": piece} if pool else {"ifmaps": piece}
    return Item(run, stores=[store], place=place, cycles=cycles, **pieces)


def layer(number, source, target, count=6, cycles=TILE, glb=0, pool=False):
    """`count` items, each from and to four words of memory, from `source` and `target` on."""
    return [
        item((number, n, 0, 0), memory(source + 4 * n), memory(target + 4 * n), cycles, glb, pool)
        for n in range(count)
    ]


def woven(*layers: tuple[list[Item], bool]) -> list[str]:
    """The order, "layer.tile"."""
    weaver = Weaver(SIZES)
    for items, beside in layers:
        weaver.add(iter(items), beside)
    return [f"{each.place[0]}.{each.place[1]}" for each in weaver.order()]


def names(number, *tiles):
    return [f"{number}.{n}" for n in tiles]


def test_layers_without_pools_follow_each_other():
    first, second = layer(0, 0, 24), layer(1, 24, 48)
    assert woven((first, False), (second, False)) == names(0, *range(6)) + names(1, *range(6))


def test_a_pool_follows_the_tiles_that_it_reads():
    """A tile is in memory when it has run, drained in the time of the next, and been stored."""
    first, pool = layer(0, 0, 24), layer(1, 24, 48, cycles=10, glb=8, pool=True)
    assert TILE > STORE_CYCLES
    order = woven((first, False), (pool, True))
    assert order == [
        "0.0", "0.1", "0.2", "1.0", "0.3", "1.1", "0.4", "1.2", "0.5", "1.3", "1.4", "1.5",
    ]  # fmt: skip


def test_a_tile_of_many_items_drains_behind_the_last():
    """Three segments each: their drain has the time of all of the next tile."""
    items = layer(0, 0, 24, count=9, cycles=TILE)
    for n, each in enumerate(items):
        each.place = (0, n // 3, 0, n % 3)
        if n % 3 < 2:
            each.stores = []
    pool = [item((1, 0, 0, 0), memory(24 + 8), memory(48), 10, 8, True)]
    order = woven((items, False), (pool, True))
    assert order.index("1.0") == 7, "behind the two tiles, and the first segment of the third"


def test_a_pool_comes_before_its_first_reader():
    first, pool = layer(0, 0, 24), layer(1, 24, 48, cycles=10, glb=8, pool=True)
    reader = layer(2, 48 + 8, 72, count=1)  # of the pool's third item
    order = woven((first, False), (pool, True), (reader, False))
    assert order.index("1.2") < order.index("2.0")
    late = layer(2, 48 + 20, 72, count=1)  # of its sixth
    order = woven((first, False), (pool, True), (late, False))
    assert order[-2:] == ["1.5", "2.0"]


def test_a_reader_far_behind_leaves_the_pool_its_time():
    """Another layer runs meanwhile."""
    first, pool = layer(0, 0, 24), layer(1, 24, 48, cycles=10, glb=8, pool=True)
    other, reader = layer(2, 100, 140), layer(3, 48, 72)
    order = woven((first, False), (pool, True), (other, False), (reader, False))
    assert order.index("2.0") < order.index("1.5") < order.index("2.3")


def test_a_busy_vector_unit_leaves_the_order_to_the_readers():
    """Its items take four tiles each, so they come every fourth tile."""
    first = layer(0, 0, 100, count=16)
    pool = layer(1, 100, 200, count=6, cycles=4 * TILE, glb=8, pool=True)
    order = woven((first, False), (pool, True))
    places = [order.index(name) for name in names(1, 0, 1, 2, 3)]
    assert [b - a for a, b in pairwise(places)] == [5, 5, 5]


def test_a_pool_of_what_is_there_from_the_start():
    pool, first = layer(0, 0, 100, cycles=10, glb=8, pool=True), layer(1, 24, 48)
    order = woven((pool, True), (first, False))
    assert order == ["0.0", "1.0", *names(0, *range(1, 6)), *names(1, *range(1, 6))]
    slow = layer(0, 0, 100, cycles=2.5 * TILE, glb=8, pool=True)
    order = woven((slow, True), (first, False))
    assert order[:7] == ["0.0", "1.0", "1.1", "1.2", "0.1", "1.3", "1.4"]


def test_what_a_pool_overwrites_has_been_read():
    """Memory is reused: the pool's ofmaps lie where a convolution's ifmaps are."""
    first = layer(0, 0, 24)
    second = layer(1, 48, 72)
    pool = layer(2, 24, 48, count=6, cycles=10, glb=8, pool=True)
    order = woven((first, False), (second, False), (pool, True))
    for n in range(6):
        assert order.index(f"1.{n}") < order.index(f"2.{n}")


def test_what_a_convolution_overwrites_has_been_read():
    first, pool = layer(0, 0, 24), layer(1, 24, 48, cycles=10, glb=8, pool=True)
    second = layer(2, 100, 24 + 16, count=1)  # where the pool's fifth item reads
    order = woven((first, False), (pool, True), (second, False))
    assert order[-3:] == ["1.4", "2.0", "1.5"]


def test_buffers_of_a_pool_in_the_glb_of_others():
    """A layer that runs later has all of the fmap space: the pool must have left it."""
    first, pool = layer(0, 0, 24), layer(1, 24, 48, cycles=10, glb=8, pool=True)
    second = layer(2, 100, 140, count=1, glb=8)
    order = woven((first, False), (pool, True), (second, False))
    assert order[-1] == "2.0"


def test_when_an_area_is_made():
    weaver = Weaver(SIZES)
    weaver.add(iter(layer(0, 0, 24)), False)
    weaver.add(iter(layer(1, 24, 48, pool=True, glb=8)), True)
    assert [weaver.made(memory(start)) for start in (24, 28, 44, 0, 48)] == [0, 1, 5, -1, -1]
    assert weaver.made(memory(24, 24)) == 5


@st.composite
def networks(draw):
    """Layers on random areas of little memory, some of them pools."""
    layers = []
    for number in range(draw(st.integers(2, 6))):
        pool, items = draw(st.booleans()), []
        for n in range(draw(st.integers(1, 6))):
            source, target = (memory(draw(st.integers(0, 240)), 8) for _ in "st")
            cycles = draw(st.sampled_from([1, 700, 3000]))
            glb = 8 * draw(st.integers(0, 3))
            each = item((number, n, 0, 0), source, target, cycles, glb, pool)
            if not pool:
                each.run = each.run._replace(drain_reads=[fmap(draw(st.integers(0, 60)))])
            items.append(each)
        layers.append((items, pool))
    return layers


def words(areas) -> set[tuple[Place, int]]:
    return {(area.place, n) for area in areas for n in range(area.start, area.end)}


def uses(each: Item) -> tuple[set, set]:
    """What an item reads and writes, with its LOADs and STOREs."""
    steps = [step for _, piece in each.pieces for step in piece.loads] + [each.run, *each.stores]
    reads, writes, drain_reads = ([area for step in steps for area in step[n]] for n in (1, 2, 3))
    return words([*reads, *drain_reads]), words(writes)


@RUN
@given(networks())
def test_any_order_keeps_what_depends(layers):
    """Items keep their order within each stream, and wherever one touches what another writes."""
    weaver = Weaver(SIZES)
    for items, beside in layers:
        weaver.add(iter(items), beside)
    order = weaver.order()
    given_order = [(each, beside) for items, beside in layers for each in items]
    assert sorted(map(id, order)) == sorted(id(each) for each, _ in given_order)
    place = {id(each): n for n, each in enumerate(order)}
    used = {id(each): uses(each) for each in order}
    for number, (second, beside) in enumerate(given_order):
        for first, other in given_order[:number]:
            reads, writes = used[id(first)]
            later_reads, later_writes = used[id(second)]
            touch = writes & (later_reads | later_writes) or reads & later_writes
            if beside == other or touch:
                assert place[id(first)] < place[id(second)]


@pytest.mark.parametrize("pool_cycles", [10, 10_000])
def test_pools_alone(pool_cycles):
    first = layer(0, 0, 24, cycles=pool_cycles, pool=True)
    second = layer(1, 24, 48, cycles=pool_cycles, pool=True)
    assert woven((first, True), (second, True)) == names(0, *range(6)) + names(1, *range(6))


@pytest.mark.parametrize(("slows", "apart"), [(1, 3), (2, 5)])
def test_convolutions_that_leave_few_ports_to_the_vector_unit(slows, apart):
    """Two tiles' cycles an item, or four where it takes twice as long beside them."""
    first = layer(0, 0, 100, count=16)
    for each in first:
        each.slows = slows
    pool = layer(1, 100, 200, count=6, cycles=2 * TILE, glb=8, pool=True)
    order = woven((first, False), (pool, True))
    places = [order.index(name) for name in names(1, 0, 1, 2)]
    assert [b - a for a, b in pairwise(places)] == [apart] * 2
