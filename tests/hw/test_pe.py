"""cocotb benches of PE and PE array."""

from dataclasses import asdict

import pytest

from eyas.config import Array, Config, Glb, Spad
from eyas.hw.pe import PE
from eyas.hw.pe_array import PEArray
from eyas.sim.cocotb_runner import run_bench


def test_pe():
    run_bench(PE(Spad()), "pe", "bench_pe")


@pytest.mark.parametrize("style", ["lut", "block"])
def test_pe_array(style):
    spad = Spad(filters=64, memory=style)
    config = Config("array", Array(3, 5), Glb(4, 4), spad=spad)
    run_bench(PEArray(config), "pe_array", "bench_pe_array", env={"CONFIG": asdict(config)})
