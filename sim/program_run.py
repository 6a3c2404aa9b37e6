"""A compiled program on the RTL, with a memory as wanted: tensors, cycles, counters.

Program ─► memory image ─► Simulator ─► every tensor, RunResult, profile
                ▲ inputs                      │
                                              └─ mismatches(expected, tensors)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eyas.compiler.profile import read_profile
from eyas.compiler.program import Program
from eyas.config import Config
from eyas.errors import LinkError
from eyas.registers import Counter, Fault
from eyas.sim.generated import accelerator_verilog
from eyas.sim.simulator import MemoryTiming, RunResult, Simulator

if TYPE_CHECKING:
    from typing_extensions import Self

LEAST_MEMORY_BYTES = 1 << 22
"""Programs up to this size share a simulator."""


@dataclass(frozen=True)
class Mismatch:
    """Where two tensors (C, H, W), or (N, C, H, W) of a batch, differ."""

    count: int
    size: int
    first: tuple[int, ...]
    expected: int
    got: int

    def __str__(self) -> str:
        *image, c, y, x = self.first
        where = "".join(f"image {n}, " for n in image)
        return (
            f"{self.count:,} of {self.size:,} bytes differ, first {where}channel {c}, row {y}, "
            f"column {x}: {self.got} instead of {self.expected}"
        )


def mismatch(expected: np.ndarray, got: np.ndarray) -> Mismatch | None:
    """What differs between two int8 tensors of one shape; None where nothing does."""
    places = np.argwhere(expected != got)
    if not len(places):
        return None
    first = tuple(int(n) for n in places[0])
    return Mismatch(len(places), expected.size, first, int(expected[first]), int(got[first]))


@dataclass(frozen=True)
class ProgramResult:
    """A finished run of a program on the RTL."""

    run: RunResult
    tensors: dict[str, np.ndarray]
    """Every tensor, int8 (C, H, W), or (N, C, H, W) of a batch."""
    profile: list[dict[Counter, int]]
    """Each layer's share of the counters; empty unless the program stores them."""

    def mismatches(self, expected: Mapping[str, np.ndarray]) -> dict[str, Mismatch]:
        """Tensors that differ from those expected, in the order in which layers make them.

        Of a batch the first images may be expected alone.
        """
        found = {}
        for name, got in self.tensors.items():
            images = got if got.ndim == 3 else got[: len(expected[name])]
            found[name] = mismatch(expected[name], images)
        return {name: what for name, what in found.items() if what}


class ProgramRunner:
    """Runs programs on one machine: its Verilog is generated and compiled once.

    waves: a file that the waves go to. status: told in a line what takes time.
    """

    def __init__(
        self,
        config: Config,
        *,
        waves: str | Path | None = None,
        status: Callable[[str], None] = lambda text: None,
    ):
        self.config, self.status = config, status
        self._waves = waves
        status("generating Verilog")
        self._verilog = accelerator_verilog(config)
        self._simulator: Simulator | None = None

    def __enter__(self) -> "Self":
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
        program: Program,
        inputs: Mapping[str, np.ndarray],
        *,
        timing: MemoryTiming | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> ProgramResult:
        """Runs a program on int8 inputs by tensor name, (C, H, W), or of a batch (N, C, H, W).

        timing: of the memory, what the configuration says otherwise. progress: called with the
        cycles so far. Raises LinkError where the RTL hangs or reports a fault.
        """
        simulator = self._simulator_for(program, timing or MemoryTiming.of(self.config))
        for name, values in inputs.items():
            program.write_tensor(simulator.memory, name, values)
        self.status("simulating")
        run = simulator.run(program.program_address, len(program.commands), progress=progress)
        if run.fault != Fault.NONE:
            raise LinkError(f"{program.name}: the hardware stopped with fault {run.fault.name}")
        memory = simulator.memory
        tensors = {name: program.read_tensor(memory, name) for name in program.tensors}
        return ProgramResult(run, tensors, read_profile(program, memory))

    def _simulator_for(self, program: Program, timing: MemoryTiming) -> Simulator:
        """The simulator with the program in its memory, reset."""
        image = program.memory_image()
        if self._simulator is None or self._simulator.memory.nbytes < image.nbytes:
            self.close()
            self._simulator = Simulator(
                self.config,
                self._verilog,
                memory=max(image.nbytes, LEAST_MEMORY_BYTES),
                timing=timing,
                waves=self._waves,
                status=self.status,
            )
        else:
            self._simulator.set_timing(timing)
            self._simulator.reset()
        self._simulator.memory[: image.nbytes] = image
        return self._simulator
