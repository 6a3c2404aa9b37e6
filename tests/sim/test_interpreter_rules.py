"""sim/interpreter.py: every rule that a program must keep, broken once."""

from dataclasses import replace

import numpy as np
import pytest
from handmade_programs import LOAD, STORE, Mapping, convolution_program
from interpreter_cases import (
    CONFIG,
    check,
    convolution,
    move,
    refused,
    requantization,
    run,
    two_tiles,
)

from eyas.command import Opcode
from eyas.config import Glb, Ppu
from eyas.errors import ConfigError
from eyas.sim import golden
from eyas.sim.interpreter import Interpreter


@pytest.fixture
def program():
    return two_tiles()


WALK, UNIT, DRAIN = 0, 1, 2  # commands of two_tiles

LIMITS = [
    (5, {"units": 0}, "units must be at least 1, not 0"),
    (WALK, {"p": 2, "psums": 2}, "psums must be at least 3, not 2"),
    (WALK, {"psums": 4}, "psums must be 3 (q in depthwise mode, else p), not 4"),
    (WALK, {"p": 17, "psums": 17}, "psums must be at most 16 (spad.psums), not 17"),
    (UNIT, {"filters": 257}, "filters must be at most 128 (spad.filters), not 257"),
    (UNIT, {"filters": 35}, "filters must be 36 (p * q * taps), not 35"),
    (UNIT, {"filter_words": 4}, "filter_words must be 5 (ceil(filters / 8)), not 4"),
    (UNIT, {"unit_words": 4}, "unit_words must be 5 (wm * filter_words), not 4"),
    (UNIT, {"columns": 3}, "columns must be 2 (we * wf * wm), not 3"),
    (UNIT, {"columns": 6}, "columns must be at most 5 (array.cols), not 6"),
    (UNIT, {"ifmap_mask": 5}, "ifmap_mask must be 1 (piece 0), not 5"),
    (UNIT, {"filter_mask": 1}, "filter_mask must be 3 (filter set 0), not 1"),
    (UNIT, {"advance_beats": 2}, "advance_beats must be 1 (advance * beats), not 2"),
    (UNIT, {"span_beats": 2}, "span_beats must be 3 (span * beats), not 2"),
    (5, {"passes": 2}, "passes must be 1 (ceil(units / array.rows)), not 2"),
    (WALK, {"span": 2}, "span must be 3 ((taps - 1) * dilation + 1), not 2"),
    (WALK, {"span": 17}, "span * beats must be at most 16 (beats of the ring), not 17"),
    (WALK, {"steps": 171}, "steps * psums must be at most 512 (psum_bank.depth), not 513"),
    (WALK, {"taps": 0}, "taps must be at least 1, not 0"),
    (WALK, {"tap_pitch": 8}, "tap_pitch must be 4 (4 * beats * dilation), not 8"),
    (WALK, {"position_gap": 1}, "position_gap must be 0 where advance is less than span"),
    (WALK, {"we_step": 6}, "we_step and row_step must be multiples of the same pitch"),
    (5, {"lane0": 1}, "beats must be at least 2, not 1"),
    (5, {"y0": -4097}, "y0 must keep ifmap coordinates from -4096 to 4095"),
    (5, {"x0": 4095}, "x0 must keep ifmap coordinates from -4096 to 4095"),
    (6, {"first": 1}, "first must be 0: a tile is in progress"),
    (5, {"first": 0}, "first must be 1: no tile is started"),
    (5, {"ifmap_base": 9000}, "ifmap_base must keep to the 8192 words of the GLB's fmaps"),
    (5, {"filter_base": 9000}, "filter_base must keep to the 8192 words of the GLB's filters"),
    (6, {"param_base": 9000}, "param_base must keep to the 8192 words of the GLB's filters"),
    (6, {"param_base": 3}, "param_base leads to unusable parameters: a TFLITE"),
    (6, {"ofmap_base": 9000}, "ofmap_base must keep to the 8192 words of the GLB's fmaps"),
    (3, {"space": 2}, "space must be FMAP (0) or FILTER (1), not 2"),
    (9, {"space": 1}, "space must be FMAP (0) or COUNTERS (2), not 1"),
    (3, {"memory_address": 12}, "memory_address must be a multiple of 8, not 12"),
    (3, {"memory_stride1": 4}, "memory_stride1 must be a multiple of 8, not 4"),
    (3, {"memory_address": 1 << 20}, "memory_address must keep to the 32768 words of memory"),
    (3, {"glb_address": 8180}, "glb_address must keep to the 8192 words of the GLB's fmaps"),
    (9, {"memory_address": 320}, "memory_address must keep away from the program that is running"),
]


@pytest.mark.parametrize(("number", "changes", "message"), LIMITS)
def test_limits(program, number, changes, message):
    program.commands[number].values.update(changes)
    refused(program, message)


def test_messages_name_number_opcode_and_tag(program):
    program.commands[6].values["units"] = 0
    refused(program, "command 6 (COMPUTE, tag 7): units must be")


def test_chained_psums_must_fit(program):
    narrow = replace(CONFIG, spad=replace(CONFIG.spad, psum_width=19))  # 15 products
    refused(
        program, "rows * q * taps must be at most 15 (products in spad.psum_width bits)", narrow
    )


def test_depthwise_chains_are_taps_only():
    """q lanes are q psums, so they do not add up."""
    rng = np.random.default_rng(9)
    narrow = replace(CONFIG, spad=replace(CONFIG.spad, psum_width=19))
    layer = convolution(rng, 16, 16, 3, 3, 16)
    check(layer, (16, 4, 4), Mapping(1, 8, 3, we=2, steps=2), rng, narrow)


def test_depthwise_holds_one_filter():
    rng = np.random.default_rng(10)
    layer = convolution(rng, 4, 4, 1, 1, 4)
    ifmap = rng.integers(-128, 128, (4, 2, 2), np.int8)
    program = convolution_program(CONFIG, layer, ifmap, Mapping(1, 4, 1, steps=2))
    program.commands[WALK].values["p"] = 2
    refused(program, "p must be 1 (1 in depthwise mode), not 2")
    program.commands[WALK].values.update(p=1, wm=2)
    refused(program, "wm must be 1 (1 in depthwise mode), not 2")


def test_tables_need_hardware():
    rng = np.random.default_rng(11)
    table = rng.integers(-128, 128, 256, np.int8)
    layer = convolution(rng, 4, 3, 1, 1, how=requantization(3, rng, table=table))
    program, _ = check(layer, (4, 2, 2), Mapping(3, 4, 1, steps=2), rng)
    refused(program, "table must be 0: ppu.tables is false", replace(CONFIG, ppu=Ppu(tables=False)))


def test_segments_of_a_tile_have_one_shape(program):
    steps = replace(program.commands[WALK], values=program.commands[WALK].values | {"steps": 2})
    program.commands.insert(6, steps)
    refused(program, "steps, psums, depthwise must be (2, 1, 1, 3, 3, 0) in all of a tile, not")


def test_the_last_tile_must_drain(program):
    program.commands[8].values["last"] = 0
    refused(program, "command 10 (END, tag 0): the last COMPUTE must have last = 1")


def test_words_that_only_meet_zero_filters_need_not_exist():
    """C = 16 in chunks of 5: the last unit's lanes reach into a third block, beyond the GLB."""
    rng = np.random.default_rng(12)
    small = replace(CONFIG, glb=Glb(1, 4))  # 128 words: ifmap and ofmap fill them
    layer = convolution(rng, 16, 8, 1, 1)
    ifmap = rng.integers(-128, 128, (16, 6, 7), np.int8)
    program = convolution_program(small, layer, ifmap, Mapping(8, 5, 1, we=3, steps=7))
    program.commands[3].values["glb_address"] = 44
    program.commands[-2].values["glb_address"] = 0
    for tile in program.tiles:
        tile["ifmap_base"] += 44
        tile["ofmap_base"] -= 84
    _, ofmap = run(program, small)
    np.testing.assert_array_equal(ofmap, golden.convolution(ifmap, layer))
    for tile in program.tiles:
        tile["lane0"] = 1  # now channel 15's filters meet lane 16
    refused(program, "ifmap_base must keep to the 128 words", small)


def test_no_end(program):
    memory = program.image()
    with pytest.raises(ConfigError, match="the program has no END among its 10 commands"):
        Interpreter(CONFIG, memory).run(0, len(program.commands) - 1)


def test_a_run_that_was_refused_leaves_nothing_open(program):
    memory = program.image()
    interpreter = Interpreter(CONFIG, memory)
    with pytest.raises(ConfigError, match="no END among its 6 commands"):
        interpreter.run(0, 6)  # up to the first segment of a tile
    interpreter.run(0, len(program.commands))
    np.testing.assert_array_equal(program.ofmap(memory), run(program)[1])


def test_commands_behind_end_do_not_run(program):
    program.commands.append(move(Opcode.STORE, memory_address=4))
    interpreter, _ = run(program)
    assert interpreter.number == len(program.commands) - 1


def test_undefined_commands(program):
    memory = program.image()
    memory[64] = 0x0F
    with pytest.raises(ConfigError, match=r"^command 2: 15 is not a valid Opcode"):
        Interpreter(CONFIG, memory).run(0, len(program.commands))
    memory[64:66] = (0x12, 0x02)  # SET of block 8 of COMPUTE
    with pytest.raises(ConfigError, match=r"^command 2: engine COMPUTE has no register block 8"):
        Interpreter(CONFIG, memory).run(0, len(program.commands))


@pytest.mark.parametrize("opcode", [Opcode.SET, Opcode.END])
def test_set_and_end_take_and_give_no_tokens(program, opcode):
    command = program.commands[program.index(opcode)]
    command.wait = LOAD
    refused(program, f"({opcode.name}, tag 0): wait and give must be 0")
    command.wait, command.give = 0, STORE
    refused(program, f"({opcode.name}, tag 0): wait and give must be 0")


def test_program_address(program):
    interpreter = Interpreter(CONFIG, program.image())
    with pytest.raises(ConfigError, match="program_address must be a multiple of 64, not 32"):
        interpreter.run(32, 4)
    with pytest.raises(ConfigError, match="the program must lie in the 262144 bytes of memory"):
        interpreter.run(1 << 18, 1)


@pytest.mark.parametrize(
    "memory", [np.zeros(12, np.uint8), np.zeros(16, np.int8), np.zeros((2, 8), np.uint8)]
)
def test_memory_is_words(memory):
    with pytest.raises(ConfigError, match="memory must be uint8 in whole words of 8 bytes"):
        Interpreter(CONFIG, memory)
