import pytest
from copy_machine import VERILOG

from eyas.sim.cocotb_runner import BenchFailure, run_bench


def run(testcase, stall, latency):
    env = {"STALL": stall, "LATENCY": latency}
    run_bench(VERILOG, "eyas", "bench_axi_memory", testcase=testcase, env=env)


@pytest.mark.parametrize(("stall", "latency"), [(0.0, 1), (0.0, 40), (0.5, 4)])
def test_copies_through_memory_and_host(stall, latency):
    run("copies", stall, latency)


def test_errors():
    run("outside_is_an_error", 0.3, 4)


def test_breach_of_axi_fails_the_test():
    with pytest.raises(BenchFailure, match="wlast is wrong in the burst at 0x4000"):
        run("breach", 0.0, 4)
