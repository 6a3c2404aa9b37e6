"""The area tool: how cells are counted, and a measurement through the command line."""

import pytest
from click.testing import CliRunner

from eyas.config import Config
from eyas.hw.area import PARTS, Area, main, measure


def test_cells_are_counted_as_nextpnr_does():
    # What nextpnr-ecp5 0.11 said of a netlist of these: Total LUT4s 30, 8 + 10 + 8 + 4.
    cells = {"LUT4": 8, "PFUMX": 4, "CCU2C": 5, "TRELLIS_DPR16X4": 2, "TRELLIS_FF": 19}
    assert Area.of_cells(cells) == Area(30, 19, 0, 0)
    assert Area.of_cells({"DP16KD": 1, "MULT18X18D": 4}).share(4) == Area(0, 0, 1, 0.25)


def test_an_unknown_cell_is_no_silent_zero():
    with pytest.raises(ValueError, match="ALU54B"):
        Area.of_cells({"ALU54B": 1, "LUT4": 1})


def test_four_pes_share_a_block_ram():
    area = measure("pe", Config.load("tiny4x4"))
    assert (area.multipliers, area.block_rams) == (1, 0.25)
    assert 100 < area.comb < 200, "166 in the prototype"


def test_command_line():
    done = CliRunner().invoke(main, ["--config", "tiny4x4", "-p", "vector"])
    assert done.exit_code == 0, done.output
    assert PARTS["vector"].title in done.output
    wrong = CliRunner().invoke(main, ["--config", "huge"])
    assert wrong.exit_code == 1
    assert wrong.output.startswith("Error: no configuration 'huge'")
