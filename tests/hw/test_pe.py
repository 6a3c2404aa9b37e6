"""cocotb benches of PE and PE array."""

from dataclasses import asdict

import pytest

from eyas.config import Array, Config, Glb, Spad
from eyas.hw.pe import PE
from eyas.hw.pe_array import PEArray
from eyas.hw.verilog import verilog_of
from eyas.sim.cocotb_runner import run_bench
from eyas.sim.lint import WAIVED

SRAM = """
module eyas_sram_128x{bits}(
  input clk, input [{lanes} - 1:0] write_enable, input [6:0] write_address,
  input [{bits} - 1:0] write_data, input [6:0] read_address, output reg [{bits} - 1:0] read_data);
  reg [{bits} - 1:0] words [0:127];
  integer lane;
  always @(posedge clk) begin
    read_data <= words[read_address];
    for (lane = 0; lane < {lanes}; lane = lane + 1)
      if (write_enable[lane]) words[write_address][8 * lane +: 8] <= write_data[8 * lane +: 8];
  end
endmodule
"""
"""What a user would wrap around an SRAM macro."""


def test_pe():
    run_bench(PE(Spad()), "pe", "bench_pe")


@pytest.mark.parametrize("style", ["lut", "block"])
def test_pe_array(style):
    spad = Spad(filters=64, memory=style)
    config = Config("array", Array(3, 5), Glb(4, 4), spad=spad)
    run_bench(PEArray(config), "pe_array", "bench_pe_array", env={"CONFIG": asdict(config)})


def test_pe_array_with_sram_macros():
    """Filter spads of four PEs, and of what is left of the row, in modules from outside."""
    config = Config("array", Array(2, 5), Glb(4, 4), spad=Spad(filters=64, memory="macro"))
    verilog = verilog_of(PEArray(config), "pe_array")
    macros = SRAM.format(bits=32, lanes=4) + SRAM.format(bits=8, lanes=1)
    waivers = "".join(f"/* verilator lint_off {name} */\n" for name in WAIVED)
    run_bench(
        waivers + verilog + macros, "pe_array", "bench_pe_array", env={"CONFIG": asdict(config)}
    )
