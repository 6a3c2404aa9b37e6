"""Tokens from declared accesses: who waits for whom, and no more often than needed."""

import pytest

from eyas.command import TOKEN_LIMIT, Command, Engine, Opcode
from eyas.compiler.tokens import WINDOW, Area, Place, Tracker, check_tokens
from eyas.errors import ConfigError

LOAD, COMPUTE, STORE = (1 << engine for engine in (Engine.LOAD, Engine.COMPUTE, Engine.STORE))


def load() -> Command:
    return Command(Opcode.LOAD, Engine.LOAD, {})


def compute() -> Command:
    return Command(Opcode.COMPUTE, Engine.COMPUTE, {})


def store() -> Command:
    return Command(Opcode.STORE, Engine.STORE, {})


def fmap(start: int, words: int = 4) -> list[Area]:
    return [Area.run(Place.FMAP, start, words)]


def memory(start: int, words: int = 4) -> list[Area]:
    return [Area.run(Place.MEMORY, start, words)]


@pytest.fixture
def tracker() -> Tracker:
    return Tracker(64, 64, 64)


def waits_and_gives(tracker: Tracker) -> list[tuple[int, int]]:
    check_tokens(tracker.commands)
    return [(command.wait, command.give) for command in tracker.commands]


def test_a_tile_from_load_to_store(tracker):
    tracker.add(load(), memory(0), fmap(0))
    tracker.add(compute(), fmap(0), fmap(8))
    tracker.add(store(), fmap(8), memory(8))
    assert waits_and_gives(tracker) == [(0, COMPUTE), (LOAD, STORE), (COMPUTE, 0)]


def test_buffers_are_written_again_when_they_have_been_read(tracker):
    tracker.add(load(), memory(0), fmap(0))
    tracker.add(compute(), fmap(0), fmap(8))
    tracker.add(store(), fmap(8), memory(8))
    tracker.add(load(), memory(4), fmap(0))  # where COMPUTE read
    tracker.add(compute(), fmap(0), fmap(8))  # where STORE read
    assert waits_and_gives(tracker)[1] == (LOAD, LOAD | STORE)
    assert waits_and_gives(tracker)[3:] == [(COMPUTE, COMPUTE), (LOAD | STORE, 0)]


def test_one_wait_covers_all_before_it(tracker):
    for start in (0, 4, 8):
        tracker.add(load(), memory(start), fmap(start))
    tracker.add(compute(), fmap(8), [])
    tracker.add(compute(), fmap(0, 8), [])
    assert waits_and_gives(tracker) == [(0, 0), (0, 0), (0, COMPUTE), (LOAD, 0), (0, 0)]


def test_memory_written_by_a_layer_is_loaded_by_the_next(tracker):
    tracker.add(store(), fmap(8), memory(0))
    tracker.add(store(), fmap(12), memory(4))
    tracker.add(load(), memory(0), fmap(0))
    tracker.add(load(), memory(4), fmap(4))
    assert waits_and_gives(tracker) == [(0, LOAD), (0, LOAD), (STORE, 0), (STORE, 0)]


def test_strided_areas_touch_only_their_words(tracker):
    rows = Area(Place.MEMORY, 0, (2, 3, 1), (16, 4))  # words 0, 4, 8, 16, 20, 24
    assert rows.end == 25
    tracker.add(store(), fmap(0), [rows])
    tracker.add(load(), memory(1, 3), fmap(8))
    tracker.add(load(), memory(20, 1), fmap(8))
    assert waits_and_gives(tracker) == [(0, LOAD), (0, 0), (STORE, 0)]


def test_load_over_ofmaps_waits_for_their_store(tracker):
    tracker.add(compute(), [], fmap(0))
    tracker.add(store(), fmap(0), memory(0))
    tracker.add(load(), memory(32), fmap(0))
    assert waits_and_gives(tracker) == [(0, STORE), (COMPUTE, LOAD), (STORE, 0)]


def test_load_over_ofmaps_that_nobody_stored(tracker):
    tracker.add(compute(), [], fmap(0))
    with pytest.raises(ConfigError, match="ofmaps of layer 0 are overwritten before they are read"):
        tracker.add(load(), memory(0), fmap(0))


def test_compute_that_reads_an_earlier_ones_ofmaps_is_fenced(tracker):
    tracker.add(compute(), [], fmap(0))
    tracker.add(compute(), fmap(0), fmap(8))
    tracker.add(compute(), fmap(16), fmap(24))
    assert [command.values["fence"] for command in tracker.commands] == [0, 1, 0]


def test_few_tokens_are_outstanding(tracker):
    """A long ring of buffers: each LOAD needs a COMPUTE of long ago only."""
    tracker = Tracker(1024, 1, 1)
    for number in range(4000):
        tracker.add(load(), [], fmap(number % 1024, 1))
        tracker.add(compute(), fmap(number % 1024, 1), [])
    check_tokens(tracker.commands)
    outstanding = most = 0
    for command in tracker.commands:
        outstanding += (command.give >> Engine.LOAD & 1) - (command.wait >> Engine.COMPUTE & 1)
        most = max(most, outstanding)
    assert 0 < most <= WINDOW


def test_an_area_beyond_its_place(tracker):
    with pytest.raises(ConfigError, match="not within the 64 words of FMAP"):
        tracker.add(load(), [], fmap(62))


def test_check_finds_a_wait_without_a_give():
    command = load()
    command.wait = COMPUTE
    with pytest.raises(ConfigError, match="command 0 waits for a token"):
        check_tokens([command])


def test_check_finds_too_many_tokens():
    commands = [load() for _ in range(TOKEN_LIMIT + 1)]
    for command in commands:
        command.give = COMPUTE
    check_tokens(commands[:-1])
    with pytest.raises(ConfigError, match=f"command {TOKEN_LIMIT} gives more than {TOKEN_LIMIT}"):
        check_tokens(commands)


def test_load_over_operands_waits_for_the_store_behind_their_drain(tracker):
    """The COMPUTE's token to LOAD would come before its drain has read them."""
    tracker.add(load(), memory(0), fmap(0))
    tracker.add(compute(), [], fmap(8), fmap(0))
    tracker.add(store(), fmap(8), memory(8))
    tracker.add(load(), memory(4), fmap(0))
    assert waits_and_gives(tracker) == [
        (0, COMPUTE), (LOAD, STORE), (COMPUTE, LOAD), (STORE, 0),
    ]  # fmt: skip


def test_a_later_store_covers_earlier_drains(tracker):
    tracker.add(compute(), [], fmap(8), fmap(0))
    tracker.add(compute(), [], fmap(12), fmap(4))
    tracker.add(store(), fmap(12), memory(12))
    tracker.add(load(), memory(0), fmap(0))
    assert waits_and_gives(tracker) == [(0, 0), (0, STORE), (COMPUTE, LOAD), (STORE, 0)]


def test_load_over_operands_before_any_store(tracker):
    tracker.add(compute(), [], fmap(8), fmap(0))
    with pytest.raises(ConfigError, match="operands of layer 0 are overwritten before they are re"):
        tracker.add(load(), memory(0), fmap(0))


def test_ofmaps_over_operands_need_no_token(tracker):
    """Tiles drain one after the other."""
    tracker.add(compute(), [], fmap(8), fmap(0))
    tracker.add(compute(), [], fmap(0), fmap(8))
    assert waits_and_gives(tracker) == [(0, 0), (0, 0)]


def fences(tracker: Tracker) -> list[int]:
    return [c.values["fence"] for c in tracker.commands if c.opcode == Opcode.COMPUTE]


def test_a_fence_covers_all_tiles_before_it(tracker):
    """A layer that reads what stays in the GLB fences once, not tile by tile."""
    for start in (0, 4, 8):
        tracker.add(compute(), [], fmap(start))
    for start in (4, 0, 8):
        tracker.add(compute(), fmap(start), fmap(32 + start))
    assert fences(tracker) == [0, 0, 0, 1, 0, 0]
    tracker.add(compute(), fmap(36), [])
    tracker.add(compute(), fmap(40), [])
    assert fences(tracker)[6:] == [1, 0]


def test_a_fence_does_not_cover_its_own_tile(tracker):
    tracker.add(compute(), [], fmap(0))
    tracker.add(compute(), fmap(0), fmap(8))
    tracker.add(compute(), fmap(8), fmap(16))
    assert fences(tracker) == [0, 1, 1]


def test_operands_that_an_earlier_tile_made_are_fenced(tracker):
    tracker.add(compute(), [], fmap(0))
    tracker.add(compute(), [], fmap(8), fmap(0))
    assert fences(tracker) == [0, 1]


def test_load_over_ofmaps_that_nobody_read_waits_for_a_fence(tracker):
    """The fenced COMPUTE reads words 0 to 3, the LOAD overwrites others of that tile."""
    tracker.add(compute(), [], fmap(0, 8))
    assert not tracker.may_load(fmap(4)[0])
    tracker.add(compute(), fmap(0), [])
    assert tracker.may_load(fmap(4)[0])
    tracker.add(compute(), [], [])
    tracker.add(load(), memory(0), fmap(4))
    assert waits_and_gives(tracker) == [(0, 0), (0, LOAD), (0, 0), (COMPUTE, 0)]


def test_load_over_operands_waits_for_a_fence_behind_their_drain(tracker):
    """Nobody stores the ofmaps: they stay in the GLB."""
    tracker.add(compute(), [], fmap(8), fmap(0))
    tracker.add(compute(), [], fmap(12), fmap(4))
    assert not tracker.may_load(fmap(0)[0])
    tracker.add(compute(), fmap(8), [])
    assert tracker.may_load(fmap(0)[0])
    tracker.add(load(), memory(0), fmap(0))
    tracker.add(load(), memory(0), fmap(4))
    assert waits_and_gives(tracker) == [(0, 0), (0, 0), (0, LOAD), (COMPUTE, 0), (0, 0)]


@pytest.mark.parametrize("store_first", [True, False])
def test_load_over_operands_waits_for_the_first_who_knows(tracker, store_first):
    tracker.add(compute(), [], fmap(8), fmap(0))
    behind = [(store(), fmap(8), memory(8)), (compute(), fmap(8), fmap(16))]
    for command in behind if store_first else reversed(behind):
        tracker.add(*command)
    tracker.add(load(), memory(0), fmap(0))
    assert waits_and_gives(tracker)[3] == (STORE if store_first else COMPUTE, 0)


def test_what_loads_may_overwrite_at_once(tracker):
    """What nobody has written, what COMPUTEs have read, and what STOREs have."""
    tracker.add(load(), memory(0), fmap(0, 8))
    tracker.add(compute(), fmap(0, 8), fmap(8, 8))
    tracker.add(store(), fmap(8), memory(8))
    assert tracker.may_load(fmap(0, 8)[0])
    assert tracker.may_load(fmap(16)[0])
    assert tracker.may_load(fmap(8)[0])
    assert tracker.may_load(fmap(12)[0]), "the STORE has waited for all of the tile"


def test_a_fence_is_no_news_of_its_own_tile(tracker):
    tracker.add(compute(), [], fmap(0))
    tracker.add(compute(), fmap(0), fmap(8))
    assert not tracker.may_load(fmap(8)[0])
    with pytest.raises(ConfigError, match="ofmaps of layer 0 are overwritten before they are read"):
        tracker.add(load(), memory(0), fmap(8))
