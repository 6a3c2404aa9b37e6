"""Runs a cocotb bench on an Amaranth component, from inside a pytest function.

    def test_fifo():
        run_bench(Fifo(depth=4), "fifo", "eyas.sim.benches.fifo", env={"DEPTH": 4})

The component becomes Verilog, Verilator compiles it once (the result is cached by content), and
every `@cocotb.test` of the module runs on it in a process of its own. A failing one fails the
pytest test with its name, message and seed.

The clock is port `clk`, the synchronous reset port `rst`. With `pytest --waves` each run leaves a
wave file in `build/waves`; `pytest --seed N` sets the seed. cocotb wakes Python on every clock and
makes every signal public, which is right for components and small arrays; whole networks run in
sim/simulator.py.
"""

import contextlib
import json
import os
import re
import shutil
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eyas.errors import LinkError
from eyas.sim.cache import cached, content_key
from eyas.sim.lint import WAIVED
from eyas.sim.verilator import Verilator, find_verilator

WAVES_FOLDER = Path("build") / "waves"
AMARANTH_WAIVERS = tuple(f"-Wno-{name}" for name in WAIVED)
PLAIN_WAIVERS = ("-Wno-SYMRSVDWORD",)  # the port `interrupt` is a word that some C++ headers use


OPTIMISATION = "OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-Os"
"""Compiling takes longer than any bench runs, and Python takes most of its time."""


class BenchFailure(AssertionError):
    """A cocotb test that failed."""


def run_bench(
    dut: Any,
    top_name: str,
    module: str,
    *,
    generated: bool = False,
    parameters: Mapping[str, object] | None = None,
    env: Mapping[str, object] | None = None,
    testcase: str | None = None,
    waves: bool | None = None,
    seed: int | None = None,
) -> None:
    """Builds `dut` and runs the cocotb tests of `module` on it.

    dut: an Amaranth component, or Verilog text.
    top_name: the top module; the name that an Amaranth component gets.
    module: import path of the Python module with the cocotb tests (pytest's sys.path applies).
    generated: whether Verilog text comes from Amaranth, whose known warnings are let pass.
    parameters: parameters of the top module, for Verilog text.
    env: environment variables for the bench; values that are not text are passed as JSON.
    testcase: the one cocotb test to run, by name; all of the module's otherwise.
    waves: whether to write a wave file; $EYAS_WAVES (`pytest --waves`) otherwise.
    seed: of cocotb's random numbers; $EYAS_SEED (`pytest --seed`) or 1 otherwise.

    Raises BenchFailure where a cocotb test fails, LinkError where Verilator or the compiler does.
    """
    __tracebackhide__ = True
    waves = bool(os.environ.get("EYAS_WAVES")) if waves is None else waves
    seed = int(os.environ.get("EYAS_SEED", "1")) if seed is None else seed
    verilog = dut if isinstance(dut, str) else to_verilog(dut, top_name)
    plain = isinstance(dut, str) and not generated
    waivers = PLAIN_WAIVERS if plain else AMARANTH_WAIVERS
    bench = _Bench(find_verilator(), verilog, top_name, dict(parameters or {}), waves, waivers)
    folder = bench.build()
    print(f"bench {module} on {top_name}: seed {seed}")
    results = Path(tempfile.mkdtemp(prefix="eyas-bench-"))
    try:
        bench.run(folder, module, results, testcase, seed, env or {})
        failures = _failures(results / "results.xml")
        if waves:
            _keep_waves(results, top_name)
    finally:
        shutil.rmtree(results, ignore_errors=True)
    if failures:
        raise BenchFailure(f"{module}, seed {seed}: " + "; ".join(failures))


def to_verilog(component: Any, top_name: str) -> str:
    """The Verilog of an Amaranth component, its ports named after its signature."""
    from eyas.hw.verilog import verilog_of

    return verilog_of(component, top_name)


@dataclass(frozen=True)
class _Bench:
    """What is built and run."""

    verilator: Verilator
    verilog: str
    top_name: str
    parameters: dict[str, object]
    waves: bool
    waivers: tuple[str, ...]

    @property
    def build_args(self) -> list[str]:
        trace = [f"--trace-{self.verilator.wave_format()}"] if self.waves else []
        return [*self.waivers, *trace]

    def build(self) -> Path:
        """The folder of the compiled bench, from the cache or new."""
        import cocotb

        identity = (cocotb.__version__, self.verilator.version, self.verilator.compiler)
        parameters = json.dumps(self.parameters, default=str)
        flags = [*self.build_args, OPTIMISATION]
        key = content_key([*identity, self.top_name, parameters, *flags, self.verilog])
        return cached("bench", key, self._compile)

    def _compile(self, folder: Path) -> None:
        from cocotb_tools.runner import get_runner

        source = folder / f"{self.top_name}.v"
        source.write_text(self.verilog)
        log = folder / "build.log"
        try:
            with _environment(self.verilator):
                get_runner("verilator").build(
                    sources=[source],
                    hdl_toplevel=self.top_name,
                    parameters=self.parameters,
                    build_args=self.build_args,
                    build_dir=folder,
                    waves=self.waves,
                    log_file=log,
                    timescale=("1ns", "1ps"),
                )
        except RuntimeError:
            tail = "\n".join(log.read_text().splitlines()[-30:])
            raise LinkError(f"building the bench of {self.top_name} failed:\n{tail}") from None
        for file in folder.iterdir():  # objects and C++ take many times the room of the program
            if file not in (source, log, folder / self.top_name):
                file.unlink()

    def run(
        self,
        folder: Path,
        module: str,
        results: Path,
        testcase: str | None,
        seed: int,
        env: Mapping[str, object],
    ) -> None:
        """Runs the tests of a module in `folder`; their results go to results/results.xml."""
        from cocotb_tools.runner import get_runner

        extra = {name: v if isinstance(v, str) else json.dumps(v) for name, v in env.items()}
        # The results file says what failed; a bench that crashes leaves none.
        with _environment(self.verilator), contextlib.suppress(SystemExit):
            get_runner("verilator").test(
                test_module=module,
                hdl_toplevel=self.top_name,
                hdl_toplevel_lang="verilog",
                testcase=testcase,
                seed=seed,
                extra_env={"PYTHONWARNINGS": "error::DeprecationWarning", **extra},
                waves=self.waves,
                build_dir=folder,
                test_dir=results,
                results_xml=str(results / "results.xml"),
            )


@contextlib.contextmanager
def _environment(verilator: Verilator) -> Iterator[None]:
    """cocotb's runner looks for Verilator in this process's own environment."""
    before = dict(os.environ)
    os.environ.update(verilator.env)
    os.environ["MAKEFLAGS"] = f"{verilator.env.get('MAKEFLAGS', '')} {OPTIMISATION}"
    # Its own switches would change what is built behind the cache's back.
    for name in ("WAVES", "GUI", "COCOTB_TEST_FILTER", "MAKELEVEL", "MFLAGS"):
        os.environ.pop(name, None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _failures(results: Path) -> list[str]:
    """One line for each test that failed; one that says so if none ran at all."""
    if not results.is_file():
        return ["the simulation ended early and left no results (its output is above)"]
    cases = list(ElementTree.parse(results).iter("testcase"))
    if not cases:
        return ["the module has no cocotb test to run"]
    lines = []
    for case in cases:
        for fault in [*case.iter("failure"), *case.iter("error")]:
            message = (
                fault.get("error_msg") or fault.get("message") or fault.get("error_type") or ""
            )
            lines.append(f"{case.get('name')} failed: {message}")
    return lines


def _keep_waves(results: Path, top_name: str) -> None:
    test = os.environ.get("PYTEST_CURRENT_TEST", top_name).split("::")[-1].split(" ")[0]
    name = re.sub(r"[^\w.=-]+", "_", f"{top_name}-{test}").strip("_")
    for dump in results.glob("dump.*"):
        WAVES_FOLDER.mkdir(parents=True, exist_ok=True)
        target = WAVES_FOLDER / f"{name}{dump.suffix}"
        shutil.move(dump, target)
        print(f"waves: {target}")
