"""A single layer through all three levels: reference arithmetic, program interpreter, RTL.

shape ─► layer_graph ─► golden.run_graph ──────────────────► ofmap  ┐
             └► compile_graph ─► program ─┬► Interpreter ──► memory ├ equal?
                                          └► Simulator ────► memory ┘ cycles, counters

with LayerRunner(Config.load("tiny4x4")) as runner:
    result = runner.run(LayerShape.parse("C=16,M=32,H=14,R=3,P=1"))
    result.exact, result.cycles, result.utilization
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eyas.command import Dialect
from eyas.compiler.mapping import Mapping
from eyas.compiler.program import LayerEntry, Program
from eyas.compiler.writer import compile_graph
from eyas.config import Config
from eyas.errors import LinkError
from eyas.registers import Counter, Fault
from eyas.sim import golden
from eyas.sim.interpreter import Interpreter
from eyas.sim.layer_cases import LayerShape, layer_graph, layer_input
from eyas.sim.simulator import MemoryTiming, RunResult, Simulator


@dataclass(frozen=True)
class Mismatch:
    """Where two tensors (C, H, W) differ."""

    count: int
    first: tuple[int, int, int]
    expected: int
    got: int

    def __str__(self) -> str:
        c, y, x = self.first
        return (
            f"{self.count:,} bytes differ, first channel {c}, row {y}, column {x}: "
            f"{self.got} instead of {self.expected}"
        )


def mismatch(expected: np.ndarray, got: np.ndarray) -> Mismatch | None:
    """What differs between two int8 tensors (C, H, W) of one shape; None where nothing does."""
    places = np.argwhere(expected != got)
    if not len(places):
        return None
    c, y, x = (int(n) for n in places[0])
    return Mismatch(len(places), (c, y, x), int(expected[c, y, x]), int(got[c, y, x]))


@dataclass(frozen=True)
class LayerResult:
    """What came out of a layer, and what it took."""

    shape: LayerShape
    config: Config
    program: Program
    ofmap: np.ndarray
    """Of the RTL, int8 (M, E, F)."""
    program_mismatch: Mismatch | None
    """Interpreter against reference arithmetic."""
    rtl_mismatch: Mismatch | None
    """RTL against interpreter."""
    run: RunResult
    counts: dict[Counter, int]
    """The counters that need no clock, as the interpreter worked them out."""

    @property
    def exact(self) -> bool:
        """Whether all three levels agree on every byte."""
        return self.program_mismatch is None and self.rtl_mismatch is None

    @property
    def entry(self) -> LayerEntry:
        """The layer's mapping and prediction."""
        return self.program.layers[0]

    @property
    def cycles(self) -> int:
        return self.run.cycles

    @property
    def utilization(self) -> float:
        """Useful MACs over what the PEs could have done in these cycles."""
        return self.shape.macs / (self.cycles * self.config.pes)


class LayerRunner:
    """Runs layers on one machine: its Verilog is generated and compiled once.

    waves: a file that the waves go to. status: told in a line what takes time.
    """

    def __init__(
        self,
        config: Config,
        *,
        waves: str | Path | None = None,
        status: Callable[[str], None] = lambda text: None,
    ):
        from eyas.hw.verilog import generate

        self.config = config
        self._waves, self._status = waves, status
        status("generating Verilog")
        self._verilog = generate(config)
        self._simulator: Simulator | None = None

    def __enter__(self) -> "LayerRunner":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the simulator and finishes the wave file."""
        if self._simulator:
            self._simulator.close()
            self._simulator = None

    def run(
        self,
        shape: LayerShape,
        *,
        data: str = "random",
        seed: int = 0,
        dialect: Dialect = Dialect.TFLITE,
        timing: MemoryTiming | None = None,
        mapping: Mapping | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> LayerResult:
        """Runs a layer with made-up operands on all three levels.

        timing: of the memory, what the configuration says otherwise. mapping: instead of the
        mapper's. progress: called with the cycles so far. Raises ConfigError where the layer does
        not fit and LinkError where the RTL hangs or reports a fault.
        """
        graph = layer_graph(shape, data, seed, dialect)
        ifmap = layer_input(shape, data, seed)
        self._status("compiling the layer")
        mappings = {} if mapping is None else {graph.layers[0].name: mapping}
        program = compile_graph(graph, self.config, mappings=mappings)
        memory = program.memory_image()
        program.write_tensor(memory, "ifmap", ifmap)
        simulator = self._simulator_for(memory, timing)
        self._status("interpreting the program")
        interpreter = Interpreter(self.config, memory)
        interpreter.run(program.program_address, len(program.commands))
        self._status("simulating")
        run = simulator.run(program.program_address, len(program.commands), progress=progress)
        if run.fault != Fault.NONE:
            raise LinkError(f"the accelerator ended with fault {run.fault.name}")
        reference = golden.run_graph(graph, {"ifmap": ifmap})["ofmap"]
        interpreted = program.read_tensor(memory, "ofmap")
        ofmap = program.read_tensor(simulator.memory, "ofmap")
        return LayerResult(
            shape,
            self.config,
            program,
            ofmap,
            mismatch(reference, interpreted),
            mismatch(interpreted, ofmap),
            run,
            dict(interpreter.counts),
        )

    def _simulator_for(self, image: np.ndarray, timing: MemoryTiming | None) -> Simulator:
        """The simulator with a copy of `image` in its memory, reset."""
        timing = timing or MemoryTiming.of(self.config)
        if self._simulator is None or self._simulator.memory.nbytes < image.nbytes:
            self.close()
            self._simulator = Simulator(
                self.config,
                self._verilog,
                memory=max(image.nbytes, 1 << 22),
                timing=timing,
                waves=self._waves,
                status=self._status,
            )
        else:
            self._simulator.set_timing(timing)
            self._simulator.reset()
        self._simulator.memory[: image.nbytes] = image
        return self._simulator


def run_layer(shape: LayerShape | str, config: Config | str = "tiny4x4", **options) -> LayerResult:
    """Runs one layer on one machine; options are those of LayerRunner.run."""
    shape = LayerShape.parse(shape) if isinstance(shape, str) else shape
    with LayerRunner(Config.load(config)) as runner:
        return runner.run(shape, **options)
