"""Finds the first command after which RTL and interpreter differ, and says what it got wrong.

    commands  0 1 2 3 … k | k+1 …
              └── run ──┘ END

Both machines run commands 0 … k from one memory image, with END in place of command k + 1; then
memory and GLB are compared. Bisection over k finds where they part.

A program may be cut wherever no tile is in progress. Each run starts from the program's own memory
image, an empty GLB and reset hardware. What RTL and interpreter may disagree about is left out: the
program itself and what STORE writes from the counters.

    difference = diff_program(config, memory, program_address, commands)
    if difference: print(difference)
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from eyas.command import COMMAND_BYTES, Command, Engine, Opcode, Space
from eyas.config import WORD_BYTES, Config
from eyas.sim.diff_machines import InterpreterMachine, Machine, RtlMachine, Snapshot
from eyas.sim.difference import Difference, report, tensor_position
from eyas.sim.locate import MEMORY, walk, written
from eyas.sim.simulator import Simulator

if TYPE_CHECKING:
    from eyas.compiler.program import Program


def diff_program(
    config: Config,
    memory: np.ndarray,
    program_address: int,
    commands: Sequence[Command],
    *,
    simulator: Simulator | None = None,
    place: Callable[[int], str] = lambda command: "",
    tensor: Callable[[int], str] = lambda address: "",
    progress: Callable[[int, bool], None] = lambda commands, equal: None,
    status: Callable[[str], None] = lambda text: None,
) -> Difference | None:
    """The first difference between interpreter and RTL, or None.

    memory: the image before the run, uint8, with the program and its inputs; left as it is.
    commands: the program, END last.
    simulator: to run on, with a memory at least as large; a new one of `config` otherwise.
    place, tensor: name a command's layer and tile, and a memory byte's tensor and position.
    progress: told, after each comparison, how many commands ran and whether all was equal.
    status: told what takes time before that (compiling).
    """
    own = simulator is None
    runner = simulator or Simulator(config, memory=memory.copy(), status=status)
    try:
        reference = InterpreterMachine(config, memory, commands)
        suspect = RtlMachine(runner, memory, program_address, len(commands))
        ignored = ignored_words(program_address, commands)
        return first_difference(
            reference, suspect, commands, ignored, place=place, tensor=tensor, progress=progress
        )
    finally:
        if own:
            runner.close()


def diff_compiled(
    program: "Program",
    config: Config,
    memory: np.ndarray,
    *,
    simulator: Simulator | None = None,
    progress: Callable[[int, bool], None] = lambda commands, equal: None,
    status: Callable[[str], None] = lambda text: None,
) -> Difference | None:
    """As diff_program, for a compiled program, whose tables name layer, tile and tensor.

    memory: `program.memory_image()` with the inputs written.
    """
    return diff_program(
        config,
        memory,
        program.program_address,
        program.commands,
        simulator=simulator,
        place=lambda command: str(program.place(command)),
        tensor=lambda address: tensor_position(program.tensors.values(), address),
        progress=progress,
        status=status,
    )


def first_difference(
    reference: Machine,
    suspect: Machine,
    commands: Sequence[Command],
    ignored: np.ndarray,
    *,
    place: Callable[[int], str] = lambda command: "",
    tensor: Callable[[int], str] = lambda address: "",
    progress: Callable[[int, bool], None] = lambda commands, equal: None,
) -> Difference | None:
    """As diff_program, for any two machines. ignored: memory words that are not compared.

    A difference that a later command overwrites does not show at the end; only what is different
    after the whole program starts the search.
    """

    def differs(count: int) -> tuple[Snapshot, Snapshot] | None:
        expected, actual = reference.run_prefix(count), suspect.run_prefix(count)
        for snapshot in (expected, actual):
            if MEMORY in snapshot.bytes:
                snapshot.bytes[MEMORY].reshape(-1, WORD_BYTES)[ignored] = 0
        equal = not actual.failure and all(
            np.array_equal(expected.bytes[name], actual.bytes[name]) for name in expected.bytes
        )
        progress(count, equal)
        return None if equal else (expected, actual)

    points = cuts(commands)
    low, high = -1, len(points) - 1
    found = differs(points[high])
    if found is None:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        now = differs(points[middle])
        if now is None:
            low = middle
        else:
            high, found = middle, now
    group = (points[low] if low >= 0 else 0, points[high])
    return report(commands, group, *found, place, tensor)


def cuts(commands: Sequence[Command]) -> list[int]:
    """Numbers of commands after which a program may be cut: behind work, and between tiles."""
    points = []
    open_tiles = 0
    for number, (command, registers) in enumerate(walk(commands)):
        if command.opcode == Opcode.COMPUTE:
            tile = registers[Engine.COMPUTE][0]
            open_tiles += tile["first"] - tile["last"]
        if command.opcode not in (Opcode.SET, Opcode.END) and not open_tiles:
            points.append(number + 1)
    return points


def ignored_words(program_address: int, commands: Sequence[Command]) -> np.ndarray:
    """Memory words that are not compared: the program, and counters that it stores."""
    start = program_address // WORD_BYTES
    words = [np.arange(start, start + len(commands) * COMMAND_BYTES // WORD_BYTES)]
    for command, registers in walk(commands):
        if command.opcode == Opcode.STORE and command.values.get("space") == Space.COUNTERS:
            result = written(command, registers)
            words.append(result.words if result else words[0])
    return np.concatenate(words)
