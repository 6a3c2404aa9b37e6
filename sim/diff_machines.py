"""The two machines that sim/diff.py compares: each runs the first commands of a program."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from eyas.command import COMMAND_BYTES, Command, Engine, Opcode, Space
from eyas.config import Config
from eyas.errors import EyasError
from eyas.registers import Fault
from eyas.sim.locate import MEMORY
from eyas.sim.simulator import Simulator

HANG_CYCLES = 200_000
"""A run that hangs is a difference too; it need not take long to say so."""

_END = np.frombuffer(Command(Opcode.END, Engine.NONE, {}).encode(), np.uint8)


@dataclass(frozen=True)
class Snapshot:
    """A machine after some commands: bytes by place, or why it did not get there."""

    bytes: dict[Space | str, np.ndarray]
    failure: str = ""


class Machine(Protocol):
    """What is compared: something that runs the first commands of the program."""

    def run_prefix(self, count: int) -> Snapshot:
        """Runs commands 0 … count - 1 from the start."""
        ...


class InterpreterMachine:
    """The reference: the interpreter on a copy of the memory image."""

    def __init__(self, config: Config, memory: np.ndarray, commands: Sequence[Command]):
        self.config, self.memory, self.commands = config, memory, commands

    def run_prefix(self, count: int) -> Snapshot:
        from eyas.sim.interpreter import Interpreter

        interpreter = Interpreter(self.config, self.memory.copy())
        for command in self.commands[:count]:
            interpreter.step(command)
        places: dict[Space | str, np.ndarray] = {MEMORY: interpreter.memory}
        for space in (Space.FMAP, Space.FILTER):
            places[space] = interpreter.glb[space].reshape(-1)
        return Snapshot(places)


class RtlMachine:
    """The suspect: the simulated hardware, reset, with END behind the commands to run."""

    def __init__(self, simulator: Simulator, memory: np.ndarray, program_address: int, n: int):
        if simulator.memory.nbytes < memory.nbytes:
            raise ValueError("the simulator's memory is smaller than the memory image")
        self.simulator, self.memory = simulator, memory
        self.program_address, self.n_commands = program_address, n

    def run_prefix(self, count: int) -> Snapshot:
        simulator = self.simulator
        simulator.memory[: self.memory.nbytes] = self.memory
        end = self.program_address + count * COMMAND_BYTES
        simulator.memory[end : end + COMMAND_BYTES] = _END
        for space in (Space.FMAP, Space.FILTER):
            simulator.write_glb(space, np.zeros_like(simulator.read_glb(space)))
        simulator.reset()
        try:
            result = simulator.run(self.program_address, count + 1, hang_cycles=HANG_CYCLES)
        except EyasError as error:
            return Snapshot({}, f"the RTL did not finish: {error}")
        if result.fault != Fault.NONE:
            return Snapshot({}, f"the RTL stopped with fault {result.fault.name}")
        places: dict[Space | str, np.ndarray] = {
            MEMORY: simulator.memory[: self.memory.nbytes].copy()
        }
        for space in (Space.FMAP, Space.FILTER):
            places[space] = simulator.read_glb(space).view(np.uint8)
        return Snapshot(places)
