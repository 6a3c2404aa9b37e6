"""What a command writes, and what each written byte means: for reports that name a place.

    LOAD     GLB words     word n of the move, from memory address …
    COMPUTE  GLB fmaps     ofmap row, column and channel of the tile (with `last`)
    VECTOR   GLB fmaps     ofmap row, column and channel of the tile
    STORE    memory        word n of the move, from GLB address …

Registers that SET wrote stay until the next SET, so a command is looked at together with all of the
program before it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from eyas.command import BLOCKS, Command, Engine, Opcode, Space
from eyas.config import WORD_BYTES, WORD_LANES
from eyas.sim.addresses import axes, wrap
from eyas.sim.interpreter_moves import descriptor_words

MEMORY = "memory"
"""Beside the GLB's spaces, the third place where bytes are."""

Registers = dict[Engine, list[dict[str, int]]]


@dataclass(frozen=True)
class Written:
    """The words that a command writes, in a space, and where they come from or belong."""

    space: Space | str
    words: np.ndarray
    """Word numbers, of any shape."""
    sources: np.ndarray | None = None
    """LOAD: memory words; STORE: GLB words; of the same shape."""
    first_channel: int = 0
    """COMPUTE and VECTOR: channel of lane 0 of the first block of `words` (block, row, column)."""

    def find(self, word: int) -> tuple[int, ...] | None:
        """The index of a word, the first if it is written several times."""
        hits = np.argwhere(self.words == word)
        return tuple(int(n) for n in hits[0]) if len(hits) else None

    def meaning(self, word: int, lane: int) -> str:
        """What a written word's lane is, in words."""
        index = self.find(word)
        if index is None:
            return "not written"
        if self.sources is not None:
            source = int(self.sources[index])
            if self.space == MEMORY:
                return f"word {index[0]} of the move, from GLB word {source}"
            return f"word {index[0]} of the move, from memory address 0x{source * WORD_BYTES:x}"
        block, row, column = index
        channel = self.first_channel + block * WORD_LANES + lane
        return f"channel {channel}, row {row}, column {column} of the tile's ofmap"


def walk(commands: Sequence[Command]) -> Iterator[tuple[Command, Registers]]:
    """Each command with the registers that it sees; they change as the walk goes on."""
    registers: Registers = {
        engine: [dict.fromkeys(block, 0) for block in blocks] for engine, blocks in BLOCKS.items()
    }
    for command in commands:
        values = dict.fromkeys(command.fields, 0) | command.values
        if command.opcode == Opcode.SET:
            registers[command.engine][command.block] = values
        elif command.opcode in (Opcode.COMPUTE, Opcode.VECTOR):
            registers[command.engine][0] = values
        yield command, registers


def written(command: Command, registers: Registers) -> Written | None:
    """What `command` writes outside of the registers and psum banks; None for nothing."""
    values = dict.fromkeys(command.fields, 0) | command.values
    if command.opcode in (Opcode.LOAD, Opcode.STORE):
        memory, glb = descriptor_words(values)
        if command.opcode == Opcode.STORE:
            return Written(MEMORY, memory, glb)
        return Written(Space(values["space"]), glb, memory)
    fields = {k: v for block in registers.get(command.engine, []) for k, v in block.items()}
    if command.opcode == Opcode.VECTOR:
        shape = fields["blocks"], fields["out_height"], fields["out_width"]
        return _ofmap(fields["out_base"], fields["out_plane"], fields["out_pitch"], shape, 0)
    if command.opcode == Opcode.COMPUTE and fields["last"]:
        lane = fields["ofmap_lane"]
        blocks = -(-(lane + fields["m_valid"]) // WORD_LANES)
        shape = blocks, fields["we_valid"], fields["f_valid"]
        base, plane, pitch = fields["ofmap_base"], fields["ofmap_plane"], fields["ofmap_pitch"]
        return _ofmap(base, plane, pitch, shape, -lane)
    return None


def _ofmap(
    base: int, plane: int, pitch: int, shape: tuple[int, int, int], first_channel: int
) -> Written:
    block, row, column = axes(*shape)
    words = wrap(base + block * plane + row * pitch + column)
    return Written(Space.FMAP, words, first_channel=first_channel)


def stored_at(commands: Sequence[Command], after: int, space: Space | str, word: int) -> int | None:
    """The memory word that a GLB word, as it is after command `after`, is stored to later on.

    None if something overwrites it first or nothing stores it.
    """
    for number, (command, registers) in enumerate(walk(commands)):
        if number <= after:
            continue
        result = written(command, registers)
        if result is None:
            continue
        if command.opcode == Opcode.STORE:
            if result.sources is None or command.values.get("space", 0) != space:
                continue
            hits = np.flatnonzero(result.sources == word)
            if len(hits):
                return int(result.words[hits[0]])
        elif result.space == space and result.find(word) is not None:
            return None
    return None
