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

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eyas.command import COMMAND_BYTES, Command, Engine, Opcode, Space
from eyas.config import WORD_BYTES, WORD_LANES, Config
from eyas.sim.diff_machines import InterpreterMachine, Machine, RtlMachine, Snapshot
from eyas.sim.locate import MEMORY, Written, stored_at, walk, written
from eyas.sim.simulator import Simulator

if TYPE_CHECKING:
    from eyas.compiler.program import Program, ProgramTensor


@dataclass(frozen=True)
class Difference:
    """The first place where two machines part. `str` of it is a report of a few lines."""

    command_number: int
    """The command that wrote, or should have written, the byte."""
    command: Command
    commands_run: tuple[int, int]
    """Equal after the first of the two numbers of commands, different after the second."""
    space: Space | str
    """Space.FMAP, Space.FILTER or "memory"."""
    word: int
    lane: int
    expected: int
    actual: int
    bytes_different: int
    meaning: str
    """What the byte is, from the command's own fields."""
    place: str = ""
    """Layer and tile, where the program's tables name them."""
    tensor: str = ""
    """Tensor, channel and position, where the byte belongs to one."""
    failure: str = ""
    """Why the machine got no further, where that is the difference; no byte is named then."""

    @property
    def address(self) -> int:
        """The byte's address: in memory, or in its GLB space."""
        return self.word * WORD_BYTES + self.lane

    def __str__(self) -> str:
        what = f"command {self.command_number}: {self.command.opcode.name}"
        lines = [f"first difference after {what} (tag {self.command.tag})"]
        if self.place:
            lines.append(f"  {self.place}")
        if self.failure:
            return "\n".join([*lines, f"  {self.failure}"])
        where = self.space if isinstance(self.space, str) else f"GLB {self.space.name}"
        lines.append(f"  {where} word {self.word} (0x{self.word * WORD_BYTES:x}) lane {self.lane}")
        lines.append(f"  {self.meaning}")
        if self.tensor:
            lines.append(f"  {self.tensor}")
        lines.append(
            f"  expected {self.expected} (0x{self.expected & 0xFF:02x}), "
            f"got {self.actual} (0x{self.actual & 0xFF:02x}); {self.bytes_different} bytes differ"
        )
        values = ", ".join(f"{k}={v}" for k, v in self.command.values.items() if v)
        return "\n".join([*lines, f"  {self.command.opcode.name} {values}"])


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


def tensor_position(tensors: "Iterable[ProgramTensor]", address: int) -> str:
    """The tensor that holds a memory byte, and the byte's place in it; "" if none does."""
    for tensor in tensors:
        offset = address - tensor.address
        if 0 <= offset < tensor.nbytes:
            _, height, width = tensor.shape
            word, lane = divmod(offset, WORD_LANES)
            block, position = divmod(word, height * width)
            row, column = divmod(position, width)
            channel = block * WORD_LANES + lane
            return f"tensor {tensor.name}, channel {channel}, row {row}, column {column}"
    return ""


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
    return _report(commands, group, *found, place, tensor)


def cuts(commands: Sequence[Command]) -> list[int]:
    """Numbers of commands after which a program may be cut: behind work, and between tiles."""
    points = []
    open_tile = False
    for number, (command, registers) in enumerate(walk(commands)):
        if command.opcode == Opcode.COMPUTE:
            open_tile = not registers[Engine.COMPUTE][0]["last"]
        if command.opcode not in (Opcode.SET, Opcode.END) and not open_tile:
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


def _report(
    commands: Sequence[Command],
    group: tuple[int, int],
    expected: Snapshot,
    actual: Snapshot,
    place: Callable[[int], str],
    tensor: Callable[[int], str],
) -> Difference:
    last = group[1] - 1
    if actual.failure:
        where = place(last)
        return Difference(
            last, commands[last], group, MEMORY, 0, 0, 0, 0, 0, "", where, failure=actual.failure
        )
    space, offsets = _different_bytes(expected, actual)
    number, result, offset = _writer(commands, group, space, offsets)
    word, lane = divmod(offset, WORD_BYTES)
    meaning = result.meaning(word, lane) if result else "no command since the last equal state"
    if result is None:
        meaning += f" (after {group[0]} commands) writes there"
    home = word if space == MEMORY else stored_at(commands, number, space, word)
    return Difference(
        command_number=number,
        command=commands[number],
        commands_run=group,
        space=space,
        word=word,
        lane=lane,
        expected=int(expected.bytes[space][offset].view(np.int8)),
        actual=int(actual.bytes[space][offset].view(np.int8)),
        bytes_different=len(offsets),
        meaning=meaning,
        place=place(number),
        tensor="" if home is None else tensor(home * WORD_BYTES + lane),
    )


def _different_bytes(expected: Snapshot, actual: Snapshot) -> tuple[Space | str, np.ndarray]:
    """The first place with differences, the GLB before memory, and their offsets in it."""
    for space in (Space.FILTER, Space.FMAP, MEMORY):
        offsets = np.flatnonzero(expected.bytes[space] != actual.bytes[space])
        if len(offsets):
            return space, offsets
    raise AssertionError("equal snapshots have no difference to report")


def _writer(
    commands: Sequence[Command], group: tuple[int, int], space: Space | str, offsets: np.ndarray
) -> tuple[int, Written | None, int]:
    """The last command of the group that writes a differing byte, what it writes, and the byte."""
    best: tuple[int, Written | None, int] = (group[1] - 1, None, int(offsets[0]))
    for number, (command, registers) in enumerate(walk(commands[: group[1]])):
        if number < group[0]:
            continue
        result = written(command, registers)
        if result is None or result.space != space:
            continue
        hits = np.isin(offsets // WORD_BYTES, result.words)
        if hits.any():
            best = number, result, int(offsets[hits][0])
    return best
