"""A layer on the whole machine under cocotb; tests/test_rtl_layers.py runs many, in bulk."""

import pytest

from eyas.config import Config
from eyas.sim.cocotb_runner import run_bench
from eyas.sim.generated import accelerator_verilog


@pytest.mark.parametrize(
    "shape", ["C=11,M=9,H=7,W=6,R=3,S=3,P=1", "C=9,M=9,H=8,W=8,R=3,S=3,U=2,G=9"]
)
def test_layer_under_stalls(shape):
    verilog = accelerator_verilog(Config.load("tiny4x4"))
    env = {"CONFIG": "tiny4x4", "SHAPE": shape}
    run_bench(verilog, "eyas", "bench_machine", generated=True, env=env)
