"""sim/hazards.py: tokens that are missing, too many or left over, and programs that would race."""

import numpy as np
import pytest
from handmade_programs import COMPUTE, LOAD, OFMAP, STORE, Mapping, convolution_program
from interpreter_cases import CONFIG, at, convolution, move, pool_commands, refused, run, two_tiles

from eyas.command import TOKEN_LIMIT, Engine, Opcode
from eyas.compiler.ir import MaxPool
from eyas.errors import ConfigError
from eyas.sim.interpreter import Interpreter


@pytest.fixture
def program():
    return two_tiles()


def test_waits_need_a_give_before(program):
    program.commands[4].give = 0
    refused(
        program,
        "command 5 (COMPUTE, tag 7): wait must name engines that gave a token before, "
        "and LOAD has none left for COMPUTE",
    )


def test_no_tokens_to_oneself(program):
    program.commands[5].give = COMPUTE
    refused(program, "give must not name the command's own engine, COMPUTE")
    program.commands[5].give = 0
    program.commands[5].wait = COMPUTE | LOAD
    refused(program, "wait must not name the command's own engine, COMPUTE")


def test_left_over_tokens_are_a_warning(program):
    program.commands[8].give = STORE | LOAD
    program.commands[9].give = LOAD
    interpreter, _ = run(program)
    assert interpreter.warnings == [
        "1 tokens from COMPUTE to LOAD are left over at END",
        "1 tokens from STORE to LOAD are left over at END",
    ]
    assert interpreter.tokens[Engine.STORE, Engine.LOAD] == 1
    interpreter.run(0, len(program.commands))  # which starts without them
    assert interpreter.tokens[Engine.STORE, Engine.LOAD] == 1


def test_token_counters_must_not_overflow():
    interpreter = Interpreter(CONFIG, np.zeros(8, np.uint8))
    command = at(move(Opcode.LOAD, n0=0), give=STORE)
    for _ in range(TOKEN_LIMIT):
        interpreter.step(command)
    with pytest.raises(ConfigError, match="at most 128 tokens from LOAD to STORE, not 129"):
        interpreter.step(command)


def test_compute_before_its_ifmap_is_loaded_is_a_race(program):
    program.commands[5].wait = 0
    refused(
        program,
        "command 5 (COMPUTE, tag 7): COMPUTE reads word 0 of the GLB's filters, which command 4 "
        "(LOAD) wrote, and no tokens keep them in order",
    )


def test_store_before_the_drain_is_a_race(program):
    program.commands[9].wait = 0
    refused(
        program,
        "command 9 (STORE, tag 0): STORE reads word 15 of the GLB's fmaps, which command 8 "
        "(the drain of COMPUTE) wrote",
    )


def test_a_token_of_the_first_segment_does_not_cover_the_second(program):
    program.commands[5].give, program.commands[8].give = STORE, 0
    refused(program, "STORE reads word 15 of the GLB's fmaps, which command 8")


def pieces():
    """(interpreter, LOAD of the ifmap, LOAD of the filters, COMPUTE), each run once.

    The ifmap is word 0 of the fmaps, the ofmap word 1.
    """
    rng = np.random.default_rng(13)
    layer = convolution(rng, 8, 3, 1, 1)
    program = convolution_program(CONFIG, layer, np.zeros((8, 1, 1), np.int8), Mapping(3, 8, 1))
    *sets, fmap, filters, compute, _store, _end = program.commands
    interpreter = Interpreter(CONFIG, program.image())
    interpreter.restart()
    for command in (*sets, fmap, filters, at(compute, wait=LOAD)):
        interpreter.step(command)
    return interpreter, fmap, filters, compute


def test_a_segments_token_covers_the_tiles_before_it():
    """Tokens are given in order: that of an unfinished tile comes after the earlier one's drain."""
    interpreter, _, _, compute = pieces()
    store = move(Opcode.STORE, glb_address=compute.values["ofmap_base"], memory_address=OFMAP)
    interpreter.step(at(compute, give=STORE, last=0, ofmap_base=2))
    interpreter.step(at(store, wait=COMPUTE))
    interpreter.step(at(compute, first=0, ofmap_base=2))
    with pytest.raises(ConfigError, match=r"STORE reads word 2 .* command 8 \(the drain"):
        interpreter.step(at(store, glb_address=2))


def test_loading_over_an_ifmap_that_is_being_read_is_a_race():
    interpreter, fmap, _, _ = pieces()
    with pytest.raises(ConfigError, match="LOAD writes word 0 of the GLB's fmaps, which command 5"):
        interpreter.step(at(fmap))


def test_loading_over_parameters_that_are_being_read_is_a_race():
    interpreter, _, filters, compute = pieces()
    address = compute.values["param_base"]
    with pytest.raises(ConfigError, match=f"LOAD writes word {address} of the GLB's filters"):
        interpreter.step(at(filters, glb_address=address, n0=1))


def test_a_token_lets_load_go_on():
    interpreter, fmap, filters, compute = pieces()
    interpreter.step(at(compute, give=LOAD))
    interpreter.step(at(fmap, wait=COMPUTE))
    interpreter.step(at(filters))


def test_a_token_to_load_does_not_cover_the_drain():
    interpreter, fmap, _, compute = pieces()
    interpreter.step(at(compute, give=LOAD))
    with pytest.raises(ConfigError, match=r"which command 6 \(the drain of COMPUTE\) wrote"):
        interpreter.step(at(fmap, wait=COMPUTE, glb_address=compute.values["ofmap_base"]))


def test_the_drain_covers_load_by_way_of_store():
    interpreter, fmap, _, compute = pieces()
    interpreter.step(at(compute, give=STORE))
    store = move(Opcode.STORE, memory_address=OFMAP)
    interpreter.step(at(store, wait=COMPUTE, give=LOAD))
    interpreter.step(at(fmap, wait=STORE, glb_address=compute.values["ofmap_base"]))


def test_reading_what_an_earlier_tile_drains_needs_a_fence():
    interpreter, _, _, compute = pieces()
    following = at(compute, ifmap_base=compute.values["ofmap_base"], ofmap_base=2)
    with pytest.raises(
        ConfigError, match=r"COMPUTE reads word 1 .* \(the drain of COMPUTE\) wrote"
    ):
        interpreter.step(following)
    interpreter.step(at(following, fence=1))


def test_draining_over_an_ifmap_that_the_next_tile_still_reads_is_a_race():
    """A tile may drain over its own ifmap, but the next tile reads while that goes on."""
    interpreter, _, _, compute = pieces()
    interpreter.step(at(compute, ofmap_base=0))
    with pytest.raises(ConfigError, match="COMPUTE reads word 0 of the GLB's fmaps"):
        interpreter.step(at(compute, ofmap_base=2))


def test_draining_over_what_store_reads_is_a_race():
    store = move(Opcode.STORE, glb_address=1, memory_address=OFMAP)
    interpreter, _, _, compute = pieces()
    interpreter.restart()
    interpreter.step(at(store, give=COMPUTE))
    interpreter.step(at(compute, wait=STORE))
    interpreter.step(at(store, wait=0, memory_address=OFMAP + 8, glb_address=2))
    with pytest.raises(ConfigError, match=r"which command 2 \(STORE\) reads, and no tokens"):
        interpreter.step(at(compute, ofmap_base=2))


def test_loading_from_memory_that_is_being_stored_is_a_race():
    interpreter, fmap, _, _ = pieces()
    interpreter.restart()
    store = move(Opcode.STORE, memory_address=OFMAP, n0=2)
    interpreter.step(at(store, give=LOAD))
    word = OFMAP // 8
    load = at(fmap, memory_address=OFMAP, glb_address=50)
    with pytest.raises(ConfigError, match=f"LOAD reads word {word} of memory, which command 0"):
        interpreter.step(load)
    interpreter.step(at(load, wait=STORE))


def test_store_and_vector_are_in_order():
    interpreter, _, _, _ = pieces()
    interpreter.restart()
    layer = MaxPool("pool", "ifmap", "ofmap", (1, 1))
    load_window, pool = pool_commands(layer, (8, 1, 1), 40)
    store = move(Opcode.STORE, glb_address=40, memory_address=OFMAP)
    for command in (load_window, pool, store, pool):
        interpreter.step(command)
