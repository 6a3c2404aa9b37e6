"""A single layer through all three levels: reference arithmetic, program interpreter, RTL.

shape ─► layer_graph ─► golden.run_graph ─────────────────────► ofmap  ┐
             └► compile_graph ─► program ─┬► Interpreter ─────► memory ├ equal?
                                          └► ProgramRunner ───► memory ┘ cycles, counters

with LayerRunner(Config.load("tiny4x4")) as runner:
    result = runner.run_layer(LayerShape.parse("C=16,M=32,H=14,R=3,P=1"))
    result.exact, result.cycles, result.utilization
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from eyas.command import Dialect
from eyas.compiler.mapping import Mapping
from eyas.compiler.program import LayerEntry, Program
from eyas.compiler.writer import compile_graph
from eyas.config import Config
from eyas.registers import Counter
from eyas.sim import golden
from eyas.sim.interpreter import Interpreter
from eyas.sim.layer_cases import LayerShape, layer_graph, layer_input
from eyas.sim.program_run import Mismatch, ProgramRunner, mismatch
from eyas.sim.simulator import MemoryTiming, RunResult


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


class LayerRunner(ProgramRunner):
    """Runs made-up layers on one machine."""

    def run_layer(
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
        """Runs a layer on all three levels.

        data, seed: what its operands hold, see sim/layer_cases.py. mapping: instead of the
        mapper's. timing, progress: as for `run`. Raises ConfigError where the layer does not fit
        and LinkError where the RTL hangs or reports a fault.
        """
        self.status("compiling the layer")
        graph = layer_graph(shape, data, seed, dialect)
        inputs = {"ifmap": layer_input(shape, data, seed)}
        mappings = {} if mapping is None else {graph.layers[0].name: mapping}
        program = compile_graph(graph, self.config, mappings=mappings)
        reference = golden.run_graph(graph, inputs)["ofmap"]
        interpreted, counts = _interpret(program, self.config, inputs["ifmap"])
        result = self.run(program, inputs, timing=timing, progress=progress)
        ofmap = result.tensors["ofmap"]
        return LayerResult(
            shape,
            self.config,
            program,
            ofmap,
            mismatch(reference, interpreted),
            mismatch(interpreted, ofmap),
            result.run,
            counts,
        )


def _interpret(
    program: Program, config: Config, ifmap: np.ndarray
) -> tuple[np.ndarray, dict[Counter, int]]:
    """The ofmap and the counters that the program interpreter comes to."""
    memory = program.memory_image()
    program.write_tensor(memory, "ifmap", ifmap)
    interpreter = Interpreter(config, memory)
    interpreter.run(program.program_address, len(program.commands))
    return program.read_tensor(memory, "ofmap"), dict(interpreter.counts)


def run_layer(shape: LayerShape | str, config: Config | str = "tiny4x4", **options) -> LayerResult:
    """Runs one layer on one machine; options are those of LayerRunner.run_layer."""
    shape = LayerShape.parse(shape) if isinstance(shape, str) else shape
    with LayerRunner(Config.load(config)) as runner:
        return runner.run_layer(shape, **options)
