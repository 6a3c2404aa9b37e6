"""What sim/diff.py found: the byte, the command that wrote it, and where both belong."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eyas.command import Command, Space
from eyas.config import WORD_BYTES, WORD_LANES
from eyas.sim.diff_machines import Snapshot
from eyas.sim.locate import MEMORY, Written, stored_at, walk, written

if TYPE_CHECKING:
    from eyas.compiler.program import ProgramTensor


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


def tensor_position(tensors: "Iterable[ProgramTensor]", address: int) -> str:
    """The tensor that holds a memory byte, and the byte's place in it; "" if none does.

    Views are left out: their parents hold the byte.
    """
    for tensor in tensors:
        if tensor.view is not None:
            continue
        offset = address - tensor.address
        if 0 <= offset < tensor.nbytes:
            _, height, width = tensor.shape
            word, lane = divmod(offset, WORD_LANES)
            word, column = divmod(word, width)
            word, row = divmod(word, height)
            block, image = divmod(word, tensor.batch)
            channel = block * WORD_LANES + lane
            where = f"image {image}, " if tensor.batch > 1 else ""
            return f"tensor {tensor.name}, {where}channel {channel}, row {row}, column {column}"
    return ""


def report(
    commands: Sequence[Command],
    group: tuple[int, int],
    expected: Snapshot,
    actual: Snapshot,
    place: Callable[[int], str],
    tensor: Callable[[int], str],
) -> Difference:
    """What differs after group[1] commands, of machines that are equal after group[0]."""
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
