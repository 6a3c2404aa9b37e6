"""Generated Verilog: deterministic, free of paths, clean under Verilator and Yosys."""

import json
from dataclasses import replace

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

import eyas
from eyas.config import Array, Config, Memory, presets
from eyas.errors import LinkError
from eyas.hw.glb import Glb
from eyas.hw.vector_unit import VectorUnit
from eyas.hw.verilog import TOP_NAME, generate, verilog_of
from eyas.hw.yosys import check_verilog, run_yosys
from eyas.sim.lint import lint

TINY = Config.load("tiny4x4")
TWO_PORTS = replace(TINY, glb=replace(TINY.glb, ifmap_ports=2))
MORE_PORTS = replace(TINY, glb=replace(TINY.glb, ifmap_ports=4, filter_ports=2))


def make_glb(config):
    return Glb(config, fmap_readers=6, fmap_writers=3, filter_readers=5)


def component_cases():
    return [
        pytest.param(lambda: make_glb(TINY), id="glb"),
        pytest.param(lambda: make_glb(TWO_PORTS), id="glb-two-ports"),
        pytest.param(lambda: make_glb(MORE_PORTS), id="glb-more-ports"),
        pytest.param(lambda: VectorUnit(TINY), id="vector-unit"),
    ]


@pytest.mark.parametrize("make", component_cases())
def test_component_is_clean(make):
    verilog = verilog_of(make(), "dut")
    assert lint(verilog, "dut") == []
    check_verilog(verilog, "dut")
    assert verilog == verilog_of(make(), "dut")
    assert "\\dut." not in verilog, "module names are plain"


def test_whole_machine():
    """One with as many odd sizes as a configuration can have."""
    config = replace(TWO_PORTS, array=Array(3, 2), memory=Memory(bus_bytes=8), name="odd")
    verilog = generate(config)
    first_line = verilog.split("\n", 1)[0]
    assert first_line == (
        f"// Eyas {eyas.__version__}, configuration odd, hash 0x{config.hash:08x}"
    )
    assert lint(verilog, TOP_NAME) == []
    check_verilog(verilog, TOP_NAME)
    assert ".py" not in verilog, "no paths of source files"
    assert verilog == generate(config)


@pytest.mark.slow
@pytest.mark.parametrize("name", presets())
def test_presets_are_clean(name):
    verilog = generate(Config.load(name))
    assert lint(verilog, TOP_NAME) == []
    check_verilog(verilog, TOP_NAME)


# A KiB is 128 words; tiny4x4 has 8 KiB for fmaps and 4 for filters.
@pytest.mark.parametrize(
    ("config", "banks"),
    [
        (TWO_PORTS, {"fmap0": 512, "fmap1": 512, "filters": 512}),
        (MORE_PORTS, {f"fmap{n}": 256 for n in range(4)} | {"filters0": 256, "filters1": 256}),
    ],
    ids=["two-ports", "more-ports"],
)
def test_glb_words_are_where_tools_look(config, banks):
    verilog = verilog_of(make_glb(config), "eyas__glb")
    assert {*config.glb.fmap_banks, *config.glb.filter_banks} == set(banks)
    for name, depth in banks.items():
        body = verilog.split(f"\nmodule eyas__glb__{name} ")[1].split("endmodule")[0]
        assert f"reg [63:0] words [{depth - 1}:0];" in body
        assert f"words_index < {depth};" in body, "the initial zeros are one loop"


def test_glb_becomes_block_ram_without_bypass():
    verilog = verilog_of(make_glb(TINY), "glb")
    cells = synthesize(verilog, "glb")
    kib = TINY.glb.fmap_kib + TINY.glb.filter_kib
    assert cells["DP16KD"] == kib // 2, "2 KiB each"
    assert "TRELLIS_DPR16X4" not in cells
    with_bypass = synthesize(verilog.replace("(* no_rw_check = 32'd1 *)", ""), "glb")
    assert cells["LUT4"] + 100 < with_bypass["LUT4"]


def synthesize(verilog, top):
    """Number of cells of each type on an ECP5."""
    script = f"synth_ecp5 -top {top}; tee -q -o cells.json stat -json"
    return json.loads(run_yosys(verilog, script, "cells.json"))["design"]["num_cells_by_type"]


def test_lint_finds_a_combinational_loop():
    verilog = """module dut(input clk, input i, output o);
        wire a = b ^ i;
        wire b = a & i;
        assign o = b;
    endmodule
    """
    assert any("UNOPTFLAT" in warning for warning in lint(verilog, "dut"))


def test_lint_and_check_find_what_is_undriven():
    verilog = "module dut(output o);\n wire a, b;\n assign o = a & b;\nendmodule\n"
    assert any("UNDRIVEN" in warning for warning in lint(verilog, "dut"))
    with pytest.raises(LinkError, match="check -assert"):
        check_verilog(verilog, "dut")


class Degenerate(wiring.Component):
    """Counts to one, in no bits."""

    i: In(1)
    o: Out(1)

    def elaborate(self, platform):
        m = Module()
        number = Signal(range(1))
        m.d.sync += number.eq(number + 1)
        m.d.comb += self.o.eq(self.i & (number == 0))
        return m


def test_signals_of_no_bits_are_left_out():
    verilog = verilog_of(Degenerate(), "dut")
    assert "[-1:0]" not in verilog
    assert lint(verilog, "dut") == []


class Preset(wiring.Component):
    """A memory with contents."""

    address: In(2)
    data: Out(8)

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = words = memory.Memory(shape=8, depth=4, init=[1, 2, 0, 0])
        port = words.read_port()
        m.d.comb += [port.addr.eq(self.address), self.data.eq(port.data)]
        return m


def test_memory_contents_survive():
    verilog = verilog_of(Preset(), "dut")
    assert "words[1] = 8'h02;" in verilog
    assert "words_index" not in verilog
