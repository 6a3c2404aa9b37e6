"""DMA and control as Verilog: clean, of sane size, and right under Verilator with random stalls."""

from dataclasses import asdict, replace

import pytest

from eyas.config import Config, Memory
from eyas.hw.area import Area, measure
from eyas.hw.axi_read_arbiter import AxiReadArbiter
from eyas.hw.control import Control
from eyas.hw.dma_load import LoadEngine
from eyas.hw.dma_store import StoreEngine
from eyas.hw.sequencer import Sequencer
from eyas.hw.store_vector import StoreDispatch
from eyas.hw.verilog import verilog_of
from eyas.hw.yosys import check_verilog
from eyas.sim.cocotb_runner import run_bench
from eyas.sim.lint import WAIVED, lint

TINY = Config.load("tiny4x4")
NARROW = replace(TINY, memory=Memory(bus_bytes=4, burst_beats=8))
WIDE = replace(TINY, memory=Memory(bus_bytes=8, burst_beats=32, outstanding=4))


@pytest.mark.parametrize("make", [AxiReadArbiter, Control, LoadEngine, Sequencer, StoreEngine])
@pytest.mark.parametrize("config", [NARROW, WIDE], ids=["32 bits", "64 bits"])
def test_verilog_is_clean(make, config):
    verilog = verilog_of(make(config), "dut")
    assert lint(verilog, "dut") == []
    check_verilog(verilog, "dut")


def test_dispatch_is_clean():
    verilog = verilog_of(StoreDispatch(), "dut")
    assert lint(verilog, "dut") == []
    check_verilog(verilog, "dut")


@pytest.mark.parametrize(
    ("part", "most"),
    [
        ("load", Area(comb=580, ff=330, multipliers=0, block_rams=0)),
        ("store", Area(comb=780, ff=340, multipliers=0, block_rams=0)),
        ("sequencer", Area(comb=720, ff=1050, multipliers=0, block_rams=1)),
    ],
)
def test_sizes_are_sane(part, most):
    """A tenth more than when this was written."""
    area = measure(part, Config.load("edge8x8"))
    assert area.comb <= most.comb
    assert area.ff <= most.ff
    assert area.multipliers == most.multipliers
    assert area.block_rams == most.block_rams


@pytest.mark.parametrize(
    ("engine", "name", "config"), [(LoadEngine, "load", NARROW), (StoreEngine, "store", WIDE)]
)
def test_engines_under_verilator(engine, name, config):
    waivers = "".join(f"/* verilator lint_off {warning} */\n" for warning in WAIVED)
    run_bench(
        waivers + verilog_of(engine(config), f"dma_{name}"),
        f"dma_{name}",
        "bench_dma",
        env={"CONFIG": asdict(config), "COMMANDS": 60},
        testcase=name,
    )
