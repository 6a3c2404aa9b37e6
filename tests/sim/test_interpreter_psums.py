"""Two tiles that take turns in the psum memories."""

import numpy as np
import pytest
from handmade_programs import Mapping, convolution_program
from interpreter_cases import CONFIG, convolution, refused, run

from eyas.sim import golden
from eyas.sim.diff import cuts


def four_tiles():
    """Four filter groups of two segments each, (program, golden ofmap).

    Commands: 0 to 4 SETs and LOADs; 5 to 12 COMPUTE; 13 STORE; 14 END.
    """
    rng = np.random.default_rng(3)
    layer = convolution(rng, 8, 12, 2, 3)
    ifmap = rng.integers(-128, 128, (8, 3, 5), np.int8)
    mapping = Mapping(3, 4, 3, we=2, steps=3, segments=2)
    program = convolution_program(CONFIG, layer, ifmap, mapping)
    assert [c.values["first"] for c in program.commands[5:13]] == [1, 0] * 4
    return program, golden.convolution(ifmap, layer)


def arrange(program, order):
    """The COMPUTEs in this order; small letters swap, capitals do not. a and b are segments of the
    first tile, c and d of the second, and so on."""
    computes = program.commands[5:13]
    tokens = [(c.wait, c.give) for c in computes]
    for place, (letter, (wait, give)) in enumerate(zip(order, tokens, strict=True)):
        command = computes["abcdefgh".index(letter.lower())]
        command.values["swap"] = int(letter.islower())
        command.wait, command.give = wait, give
        program.commands[5 + place] = command


@pytest.mark.parametrize("order", ["acBDegFH", "ABCDEFGH", "ABceDFGH"])
def test_tiles_take_turns(order):
    """By twos, one by one, and two between two that are alone."""
    program, ofmap = four_tiles()
    arrange(program, order)
    np.testing.assert_array_equal(run(program)[1], ofmap)


def test_a_program_is_cut_where_no_tile_is_open():
    program, _ = four_tiles()
    arrange(program, "acBDEFgh")
    assert cuts(program.commands) == [4, 5, 9, 11, 13, 14]


RULES = [
    ("ABCDEFgH", "command 12 (COMPUTE, tag 7): first must be 1: no tile is started"),
    ("acBdEFGH", "command 8 (COMPUTE, tag 7): swap must be 0 where last is 1: the psum memory"),
    ("aCDBEFGH", "command 7 (COMPUTE, tag 7): last must be 0: of two tiles that take turns the"),
    ("acEBDFGH", "command 7 (COMPUTE, tag 7): first must be 0: a tile is in progress"),
]


@pytest.mark.parametrize(("order", "message"), RULES)
def test_rules(order, message):
    program, _ = four_tiles()
    arrange(program, order)
    refused(program, message)


def test_both_tiles_must_drain():
    program, _ = four_tiles()
    arrange(program, "ABCDegFH")
    program.commands[11].values["last"] = 0
    program.commands[12].values["last"] = 0
    refused(program, "command 14 (END, tag 0): the last COMPUTE must have last = 1")


def test_tiles_that_take_turns_may_differ_in_shape():
    """Of what a tile's psums lie in the banks by; the second tile has one ofmap column less."""
    program, ofmap = four_tiles()
    arrange(program, "acBDEFGH")
    walk, unit = program.commands[0], program.commands[1]
    assert walk.values["steps"] == 3
    narrow = {"steps": 2, "wf_step": 2 * walk.values["wf_step"] // 3}
    other = type(walk)(walk.opcode, walk.engine, walk.values | narrow, walk.block)
    assert unit.values["columns"] == 2
    commands = program.commands
    program.commands[5:9] = [
        commands[5], other, commands[6], walk, commands[7], other, commands[8], walk
    ]  # fmt: skip
    for tile in (commands[7], commands[11]):
        tile.values["f_valid"] = 2
    _, got = run(program)
    np.testing.assert_array_equal(got[:3], ofmap[:3])
    np.testing.assert_array_equal(got[3:6, :, :2], ofmap[3:6, :, :2])
    np.testing.assert_array_equal(got[6:], ofmap[6:])
    assert ofmap[3:6, :, 2].any()
