"""cocotb bench of the row controller."""

from dataclasses import asdict

from eyas.config import Array, Config, Glb, PsumBank, Spad
from eyas.hw.row_controller import RowController
from eyas.sim.cocotb_runner import run_bench


def test_row_controller():
    config = Config("row", Array(3, 5), Glb(4, 4), spad=Spad(filters=64), psum_bank=PsumBank(64))
    env = {"CONFIG": asdict(config)}
    run_bench(RowController(config), "row_controller", "bench_row_controller", env=env)
