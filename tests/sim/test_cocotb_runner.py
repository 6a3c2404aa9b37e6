import pytest
from amaranth.hdl import Module
from amaranth.lib.wiring import Component, In, Out

from eyas.errors import LinkError
from eyas.sim import cocotb_runner
from eyas.sim.cocotb_runner import BenchFailure, run_bench


class Counter(Component):
    step: In(8)
    count: Out(8)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.count.eq(self.count + self.step)
        return m


def test_bench_passes(capfd):
    run_bench(Counter(), "counter", "bench_counter", env={"STEP": 3}, testcase="counts", seed=7)
    assert "seed 7" in capfd.readouterr().out


def test_failing_bench_fails_with_its_message():
    with pytest.raises(BenchFailure, match=r"seed 5: counts_nonsense failed.*count is not 77"):
        run_bench(Counter(), "counter", "bench_counter", env={"STEP": 3}, seed=5)


def test_bench_without_such_a_test_fails():
    with pytest.raises(BenchFailure, match="no cocotb test"):
        run_bench(Counter(), "counter", "bench_counter", env={"STEP": 3}, testcase="missing")


def test_bench_that_cannot_be_imported_fails():
    with pytest.raises(BenchFailure, match="left no results"):
        run_bench(Counter(), "counter", "bench_that_is_missing")


def test_warnings_of_verilator_are_errors():
    verilog = "module t(input clk, input [7:0] a, output [3:0] b); assign b = a; endmodule\n"
    with pytest.raises(LinkError, match="WIDTHTRUNC"):
        run_bench(verilog, "t", "bench_counter")


def test_waves(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    bench = {"env": {"STEP": 1}, "testcase": "counts", "waves": True}
    run_bench(Counter(), "counter", "bench_counter", **bench)
    files = list((tmp_path / cocotb_runner.WAVES_FOLDER).iterdir())
    assert [f.suffix in (".fst", ".vcd") for f in files] == [True]
    assert files[0].name in capfd.readouterr().out
    assert files[0].stat().st_size > 100
