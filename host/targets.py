"""Where a session's inferences run. All targets give the same bytes.

    golden   the program interpreter: the compiled command stream on a memory image
    numpy    the layers in plain NumPy, without a program
    rtl      the generated Verilog, cycle by cycle, in a Verilated simulator

A target runs one inference at a time, from int8 tensors (C, H, W) to all tensors that can be read;
those of a program for a batch are (N, C, H, W).
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from eyas.compiler.ir import Graph
from eyas.compiler.profile import read_profile
from eyas.compiler.program import Program
from eyas.config import Config
from eyas.errors import LinkError
from eyas.registers import Counter, Fault

Tensors = dict[str, np.ndarray]


class Target(Protocol):
    """What a session needs of a target."""

    def run(self, inputs: Tensors) -> tuple[Tensors, dict[Counter, int]]:
        """All tensors by name after an inference, int8, and its counters."""
        ...

    def profile(self) -> list[dict[Counter, int]]:
        """Each layer's counters in the last inference; empty where they are not known."""
        ...


class NumpyTarget:
    """The golden operators; no counters."""

    def __init__(self, graph: Graph):
        self._graph = graph

    def run(self, inputs: Tensors) -> tuple[Tensors, dict[Counter, int]]:
        from eyas.sim.golden import run_graph

        return run_graph(self._graph, inputs), {}

    def profile(self) -> list[dict[Counter, int]]:
        return []


class ProgramTarget:
    """A program on a memory image; the constants are written once, as on a board."""

    def __init__(self, program: Program):
        self._program = program
        self._readable = _readable(program)
        self.memory = program.memory_image()

    def run(self, inputs: Tensors) -> tuple[Tensors, dict[Counter, int]]:
        for name, values in inputs.items():
            self._program.write_tensor(self.memory, name, values)
        counters = self._execute()
        read = self._program.read_tensor
        return {name: read(self.memory, name).copy() for name in self._readable}, counters

    def profile(self) -> list[dict[Counter, int]]:
        return read_profile(self._program, self.memory)

    def _execute(self) -> dict[Counter, int]:
        """Runs the program on the memory."""
        raise NotImplementedError


class GoldenTarget(ProgramTarget):
    """The program interpreter; counts what does not depend on time."""

    def __init__(self, program: Program, config: Config):
        super().__init__(program)
        self._config = config

    def _execute(self) -> dict[Counter, int]:
        from eyas.sim.interpreter import Interpreter

        interpreter = Interpreter(self._config, self.memory)
        interpreter.run(self._program.program_address, len(self._program.commands))
        return dict(interpreter.counts)


class RtlTarget(ProgramTarget):
    """The Verilated RTL. `status` is told in a line what takes time."""

    def __init__(self, program: Program, config: Config, status: Callable[[str], None]):
        from eyas.sim.simulator import Simulator

        super().__init__(program)
        self._simulator = Simulator(config, memory=self.memory, status=status)

    def _execute(self) -> dict[Counter, int]:
        program = self._program
        result = self._simulator.run(program.program_address, len(program.commands))
        if result.fault != Fault.NONE:
            raise LinkError(f"{program.name}: the hardware stopped with fault {result.fault.name}")
        return {Counter.CYCLES: result.cycles} | result.counters


def _readable(program: Program) -> list[str]:
    """Tensors that share their memory with no other, so that they are there after a run.

    Outputs always are; the writer keeps them to the end. A view is there if its parent is.
    """
    owners = [t for t in program.tensors.values() if t.view is None]
    spans = sorted((t.address, t.address + t.nbytes, t.name) for t in owners)
    shared = set()
    for n, (_, end, name) in enumerate(spans):
        for start, _, other in spans[n + 1 :]:
            if start >= end:
                break
            shared |= {name, other}
    outputs = {port.tensor for port in program.outputs}
    return [
        name
        for name, tensor in program.tensors.items()
        if name in outputs or (tensor.view.parent if tensor.view else name) not in shared
    ]
