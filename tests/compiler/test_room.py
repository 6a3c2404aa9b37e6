"""Who shares the GLB with a max pool, and who has all of it."""

from dataclasses import replace

import pytest
from graph_builder import GraphBuilder

from eyas.compiler.budget import Budget
from eyas.compiler.ir import MaxPool
from eyas.compiler.room import POOL_SHARE, Room, rooms
from eyas.config import Config, Glb

CONFIG = replace(Config.load("tiny4x4"), glb=Glb(8, 4))
BUDGET = Budget.of(CONFIG)
WORDS = 1024
PART = WORDS // POOL_SHARE
ALONE = Room(BUDGET)
BESIDE = Room(replace(BUDGET, fmap_words=PART), WORDS - PART, beside=True)
CROWDED = Room(replace(BUDGET, fmap_words=WORDS - PART))


@pytest.fixture
def builder():
    return GraphBuilder(shape=(4, 8, 6))


def test_parts_do_not_overlap():
    assert (CROWDED.start, CROWDED.end) == (0, BESIDE.start)
    assert BESIDE.end == ALONE.end == WORDS


def test_from_the_writer_to_the_last_reader(builder):
    """x ─► a ─► b ─┬─► pool ─┬─► d        e and f follow
    └──► c    └─► e
    """
    b = builder
    written = b.conv(b.conv("x"))
    pool = b.max_pool(written)
    b.conv(written)
    b.conv(pool)
    last = b.conv(b.conv(pool))
    graph = b.finish(last)
    expected = [ALONE, CROWDED, BESIDE, CROWDED, CROWDED, CROWDED, ALONE]
    assert rooms(graph, CONFIG, BUDGET) == expected


def test_inputs_are_there_from_the_start_and_outputs_to_the_end(builder):
    b = builder
    side = b.conv("x")
    pool = b.max_pool("x")
    end = b.conv(side)
    graph = b.finish(pool, end)
    assert rooms(graph, CONFIG, BUDGET) == [CROWDED, BESIDE, CROWDED]
    graph = b.finish(b.conv(pool), end)
    assert rooms(graph, CONFIG, BUDGET) == [CROWDED, BESIDE, CROWDED, CROWDED]
    b.conv(end)
    assert rooms(graph, CONFIG, BUDGET)[4:] == [ALONE]


def test_parts_of_a_tensor_count_as_all_of_it(builder):
    """A pool of a concatenation runs beside all that write it."""
    b = builder
    b.conv("x")
    parent, parts = b.concatenation(2, (8, 8, 6))
    b.conv("x", 8, output=parts[0])
    b.conv("x", 8, output=parts[1])
    graph = b.finish(b.max_pool(parent))
    assert rooms(graph, CONFIG, BUDGET)[:4] == [ALONE, CROWDED, CROWDED, BESIDE]


def test_readers_of_views(builder):
    b = builder
    pool = b.max_pool(b.conv("x"))
    part = b.view(pool, (2, 3, 3), 1, 1, 1)
    b.conv(pool)
    end = b.conv(part)
    graph = b.finish(b.conv(end))
    assert rooms(graph, CONFIG, BUDGET) == [CROWDED, BESIDE, CROWDED, CROWDED, ALONE]


def test_a_pool_that_needs_more_runs_alone(builder):
    """Its window has 48 words, and a position of the ofmap one."""
    b = builder
    wide = b.conv("x")
    pool = b.add(lambda name, ofmap: MaxPool(name, wide, ofmap, (8, 6)))
    graph = b.finish(b.conv(pool))
    assert rooms(graph, CONFIG, BUDGET)[:2] == [CROWDED, BESIDE]
    small = replace(BUDGET, fmap_words=48 * POOL_SHARE)
    assert rooms(graph, CONFIG, small) == [Room(small)] * 3
    fitting = replace(BUDGET, fmap_words=49 * POOL_SHARE)
    assert rooms(graph, CONFIG, fitting)[1] == Room(
        replace(fitting, fmap_words=49), 49 * (POOL_SHARE - 1), True
    )
