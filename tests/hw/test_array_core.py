"""The array core, from tile slots and GLB words to psums, against a literal loop nest."""

from dataclasses import asdict

import pytest

from eyas.config import Array, Config, Glb, Noc, PsumBank, Spad
from eyas.hw.array_core import ArrayCore
from eyas.sim.cocotb_runner import run_bench


@pytest.mark.parametrize(("array", "tile_slots"), [(Array(3, 5), 2), (Array(8, 2), 4)])
def test_array_core(array, tile_slots):
    config = Config(
        "core", array, Glb(4, 4), Spad(filters=64), Noc(tile_slots), psum_bank=PsumBank(64)
    )
    run_bench(ArrayCore(config), "array_core", "bench_array_core", env={"CONFIG": asdict(config)})
