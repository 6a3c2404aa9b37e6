"""The command format: what the program writer emits and the sequencer decodes.

A command is 32 bytes, eight little-endian 32-bit words: a header and the seven words of a payload.

    word 0   header: opcode, engine, block, wait, give, tag
    word 1…7 payload: for SET, registers of block `block` of the engine; for every other opcode,
             block 0 of the engine's registers, and the command then runs

Three engines (LOAD, COMPUTE, STORE) take their commands in order, each from a queue of its own, and
run decoupled. For every ordered pair of engines there is a token counter. A command first takes one
token from each pair (engine in `wait` → its own engine), runs, and when it has ended gives one
to each pair (its own engine → engine in `give`).

Every field of every block is in the tables below, and nowhere else: hardware, interpreter,
compiler and driver all read these tables. GLB addresses and strides count words of 8 lanes
(8 bytes) and wrap at 16 bits; memory addresses count bytes and are multiples of 8.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

COMMAND_BYTES = 32
PAYLOAD_WORDS = 7
TOKEN_WIDTH = 8
"""Bits of a token counter. No program may have more than TOKEN_LIMIT outstanding on one pair."""
TOKEN_LIMIT = 128
"""Leaves room for the tokens of commands that wait in the deepest queue (64) and its engine."""


class Opcode(IntEnum):
    """What a command does. 0 stays invalid, so that empty memory is no program."""

    END = 1
    SET = 2
    LOAD = 3
    COMPUTE = 4
    STORE = 5
    VECTOR = 6


class Engine(IntEnum):
    """STORE also runs VECTOR, in order. END belongs to the sequencer: its engine field is 3."""

    LOAD = 0
    COMPUTE = 1
    STORE = 2
    NONE = 3


class Space(IntEnum):
    """On-chip address spaces that LOAD and STORE move words of."""

    FMAP = 0
    FILTER = 1
    COUNTERS = 2
    """STORE only: word n is hardware counter n, zero-extended to 64 bits."""


class VectorOp(IntEnum):
    MAX_POOL = 0


VECTOR_OPEN_WINDOWS = 3
"""Overlapping windows of an ofmap row that a VECTOR fills at once, from one read of an input.

As many as a column of a 3x3 pool of stride 1 belongs to, the widest overlap that is common. Each is
230 COMB and 67 flip-flops of an ECP5; a fourth would spare wider windows a few reads only.
"""


class Dialect(IntEnum):
    """Rounding of the requantisation; see eyas/numerics.py. Bit 0 means float32, bit 1 once."""

    TFLITE = 0
    ONNX = 1
    TFLITE_SINGLE = 2


class MergeOp(IntEnum):
    """How the drain joins a second fmap to the ofmap; see MERGE_WORDS."""

    NONE = 0
    ADD = 1
    MULTIPLY = 2
    PRELU = 3


@dataclass(frozen=True)
class Field:
    """`width` bits from bit `low` of 32-bit word `word` of a block."""

    word: int
    low: int
    width: int
    signed: bool = False

    @property
    def range(self) -> tuple[int, int]:
        """Least and greatest value."""
        half = 1 << (self.width - 1)
        return (-half, half - 1) if self.signed else (0, 2 * half - 1)


Block = dict[str, Field]

HEADER: Block = {
    "opcode": Field(0, 0, 4),
    "engine": Field(0, 4, 2),
    "block": Field(0, 6, 4),
    "wait": Field(0, 10, 3),  # bit e: take a token from engine e
    "give": Field(0, 13, 3),  # bit e: give a token to engine e
    "tag": Field(0, 16, 16),  # layer number; for people and tools, hardware ignores it
}

# for a2 < n2: for a1 < n1: move n0 words between
#   memory  memory_address + a1 * memory_stride1 + a2 * memory_stride2   (bytes)
#   GLB     glb_address    + a1 * glb_stride1    + a2 * glb_stride2      (words)
DESCRIPTOR: Block = {
    "memory_address": Field(0, 0, 32),
    "glb_address": Field(1, 0, 16),
    "space": Field(1, 16, 2),
    "byte_enable": Field(1, 24, 8),  # STORE: lanes of each word that memory takes
    "n0": Field(2, 0, 16),
    "n1": Field(2, 16, 16),
    "n2": Field(3, 0, 16),
    "glb_stride1": Field(3, 16, 16),
    "glb_stride2": Field(4, 0, 16),
    "memory_stride1": Field(5, 0, 32),
    "memory_stride2": Field(6, 0, 32),
}

# What changes from tile to tile. A tile is the work between two drains of a psum memory; it is one
# or more COMPUTE commands (segments), the first with `first` set and the last with `last` set. Two
# tiles may take turns, each in a psum memory of its own.
TILE: Block = {
    "ifmap_base": Field(0, 0, 16),  # address of coordinate (y0, x0) of the channel block of lane0
    "filter_base": Field(0, 16, 16),
    "y0": Field(1, 0, 16, signed=True),  # ifmap row of filter row 0 and column 0, in the buffer
    "x0": Field(1, 16, 16, signed=True),  # ifmap column of tap 0 and step 0, in the buffer
    "ifmap_height": Field(2, 0, 11),  # rows and columns of the buffer; all outside of it is
    "ifmap_width": Field(2, 11, 11),  # padding
    "m_valid": Field(2, 22, 10),  # ofmap channels of the tile that are written
    "units": Field(3, 0, 16),  # filter rows x channel chunks x tap chunks
    "passes": Field(3, 16, 16),  # ceil(units / array rows)
    "lane0": Field(4, 0, 3),  # first ifmap lane in its channel block
    "first": Field(4, 3, 1),  # the psum banks start from zero
    "last": Field(4, 4, 1),  # the psum banks drain afterwards
    "fence": Field(4, 5, 1),  # start only when every earlier tile has drained into the GLB
    "ofmap_lane": Field(4, 6, 3),  # lane of the tile's first ofmap channel in its channel block
    "we_valid": Field(4, 9, 6),  # ofmap rows of the tile that are written
    "f_valid": Field(4, 15, 11),  # ofmap columns of the tile that are written
    "merge_load": Field(4, 26, 1),  # the drain first reads MERGE_WORDS from merge_base
    "swap": Field(4, 27, 1),  # the other psum memory is next, as after `last`, but nothing drains
    "ofmap_base": Field(5, 0, 16),  # address of the tile's first ofmap value's word
    "param_base": Field(5, 16, 16),  # filter space: 2 words a channel, then 32 of table
    "useful_macs": Field(6, 0, 32),  # added to the counter of that name
}

# How the array walks, and where the row controllers fetch from.
WALK: Block = {
    "p": Field(0, 0, 6),  # filters a PE holds; 1 in depthwise mode
    "q": Field(0, 8, 7),  # ifmap lanes a PE holds
    "taps": Field(0, 16, 7),  # filter taps a PE holds
    "depthwise": Field(0, 24, 1),
    "psums": Field(0, 25, 6),  # psums a step leaves in a PE: p, or q in depthwise mode
    "steps": Field(1, 0, 12),  # F', ofmap positions of a pass
    "span": Field(1, 12, 8),  # (taps - 1) * dilation + 1, ifmap positions of the first step
    "advance": Field(1, 20, 8),  # min(U, span), ifmap positions fetched by each further step
    "tap_pitch": Field(2, 0, 8),  # lanes between two taps in the ring: 4 * beats * dilation
    "beats": Field(2, 8, 6),  # ring beats of an ifmap position
    "position_gap": Field(2, 16, 8),  # U - advance: ifmap positions skipped between two steps
    "pad_value": Field(2, 24, 8, signed=True),
    "we": Field(3, 0, 6),  # ofmap rows side by side in the array
    "wf": Field(3, 8, 6),  # pieces of an ofmap row side by side in the array
    "wm": Field(3, 16, 6),  # filter sets side by side in the array
    "stride_y": Field(3, 24, 8),  # U: ifmap rows from one ofmap row to the next
    "ifmap_plane": Field(4, 0, 16),  # words from one channel block to the next
    "we_step": Field(4, 16, 16),  # U * pitch: words from one ofmap row's ifmap to the next
    "wf_step": Field(5, 0, 16),  # F' * U: words (and columns) from one piece to the next
    "row_step": Field(5, 16, 16),  # dilation * pitch: words from one filter row to the next
    "dilation": Field(6, 0, 8),  # ifmap rows from one filter row to the next
    "unit_rows": Field(6, 8, 8),  # R, fastest in the order of units
    "tap_chunks": Field(6, 16, 8),  # then tap chunks, then channel chunks
}
UNIT: Block = {
    "tap_chunk_step": Field(0, 0, 16),  # taps * dilation: columns from one tap chunk to the next
    "q_plane": Field(0, 16, 16),  # (q // 8) * ifmap_plane
    "filters": Field(1, 0, 16),  # p * q * taps: filter values of a PE (p = 1 in depthwise mode)
    "filter_words": Field(1, 16, 16),  # ceil(filters / 8)
    "unit_words": Field(2, 0, 16),  # wm * filter_words
    "columns": Field(2, 16, 8),  # we * wf * wm, columns in use
    "ifmap_mask": Field(3, 0, 32),  # columns of ofmap piece 0: bits 0, G, 2G … with G = we * wf
    "filter_mask": Field(4, 0, 32),  # columns of filter set 0: the lowest G bits
    "advance_beats": Field(5, 0, 8),  # advance * beats: ring beats that a step frees
    "span_beats": Field(5, 8, 8),  # span * beats: ring beats that a pass's last step frees
}
DRAIN: Block = {
    "ofmap_plane": Field(0, 0, 16),
    "ofmap_pitch": Field(0, 16, 16),
    "dialect": Field(1, 0, 2),
    "table": Field(1, 2, 1),
    "zero_point": Field(1, 8, 8, signed=True),
    "clamp_min": Field(1, 16, 8, signed=True),
    "clamp_max": Field(1, 24, 8, signed=True),
}
# The second fmap of a merge lies in the GLB as the ofmap will, operand_offset words further.
MERGE: Block = {
    "op": Field(0, 0, 2),  # of MergeOp
    "merge_base": Field(0, 16, 16),  # filter space: MERGE_WORDS, where merge_load is set
    "operand_offset": Field(1, 0, 16),
}

# One word in, one word out, channel block by channel block.
VECTOR_TILE: Block = {
    "in_base": Field(0, 0, 16),  # address of coordinate (y0, x0) of the first channel block
    "out_base": Field(0, 16, 16),
    "y0": Field(1, 0, 16, signed=True),
    "x0": Field(1, 16, 16, signed=True),
    "in_height": Field(2, 0, 16),  # rows and columns of the buffer; all outside is left out
    "in_width": Field(2, 16, 16),
    "out_height": Field(3, 0, 16),
    "out_width": Field(3, 16, 16),
    "blocks": Field(4, 0, 16),
    "in_pitch": Field(5, 0, 16),
    "in_plane": Field(5, 16, 16),
    "out_pitch": Field(6, 0, 16),
    "out_plane": Field(6, 16, 16),
}
VECTOR_WINDOW: Block = {
    "op": Field(0, 0, 4),
    "rows": Field(0, 8, 8),
    "taps": Field(0, 16, 8),
    "stride_y": Field(1, 0, 8),
    "stride_x": Field(1, 8, 8),
    "y_step": Field(1, 16, 16),  # stride_y * in_pitch
}

BLOCKS: dict[Engine, tuple[Block, ...]] = {
    Engine.LOAD: (DESCRIPTOR,),
    Engine.COMPUTE: (TILE, WALK, UNIT, DRAIN, MERGE),
    Engine.STORE: (VECTOR_TILE, VECTOR_WINDOW),  # STORE itself takes a DESCRIPTOR
}
"""Register blocks of each engine, by number."""

RUNS: dict[Opcode, tuple[Engine, Block]] = {
    Opcode.LOAD: (Engine.LOAD, DESCRIPTOR),
    Opcode.COMPUTE: (Engine.COMPUTE, TILE),
    Opcode.STORE: (Engine.STORE, DESCRIPTOR),
    Opcode.VECTOR: (Engine.STORE, VECTOR_TILE),
}
"""Engine and payload of each opcode that does work."""

PARAM_WORDS = 2
"""GLB words of a channel's parameters in front of a tile's drain:

    word 0   bias (int32), multiplier (int32, or a 24-bit significand in the ONNX dialect)
    word 1   shift (int8): see eyas/numerics.py; the other bytes are zero
"""
TABLE_WORDS = 32
"""GLB words of an activation table, 256 int8 entries indexed by the value's two's complement."""
MERGE_WORDS = 258
"""GLB words of what a merge needs beside its operand; a layer's first tile loads them.

    word 0     multiplier, negative_multiplier (int32)
    word 1     shift, negative_shift, zero_point, clamp_min, clamp_max (int8); the rest is zero
    word 2+i   left[i], right[i] (int32), i the two's complement of an int8

With y the value after requantisation and clamp, x the operand's, l = left[y] and r = right[x], the
drain requantises, TFLITE, without bias: l + r (ADD), l * r (MULTIPLY), or l, if negative l * r with
the negative multiplier and shift (PRELU). Factors are from -512 to 511. Then zero point and clamp
of word 1, and the tile's table if it has one: with a merge, it is looked up at the end only.
"""


def pack(block: Block, words: int = PAYLOAD_WORDS, /, **values: int) -> list[int]:
    """Packs field values into 32-bit words; fields that are not named are zero.

    Raises ValueError that names the field for a value out of its range.
    """
    out = [0] * words
    for name, value in values.items():
        entry = block[name]
        low, high = entry.range
        if not low <= value <= high:
            raise ValueError(f"command field {name} must be from {low} to {high}, not {value}")
        out[entry.word] |= (int(value) & ((1 << entry.width) - 1)) << entry.low
    return out


def unpack(block: Block, words: Iterable[int]) -> dict[str, int]:
    """The values of a block's fields, from its 32-bit words."""
    words = list(words)
    values = {}
    for name, entry in block.items():
        value = (words[entry.word] >> entry.low) & ((1 << entry.width) - 1)
        if entry.signed and value >> (entry.width - 1):
            value -= 1 << entry.width
        values[name] = value
    return values


@dataclass
class Command:
    """One command, with its payload as field values."""

    opcode: Opcode
    engine: Engine
    values: dict[str, int]
    block: int = 0
    wait: int = 0
    give: int = 0
    tag: int = 0

    @property
    def fields(self) -> Block:
        """The table that says where each payload value lies."""
        if self.opcode == Opcode.SET:
            return BLOCKS[self.engine][self.block]
        return RUNS[self.opcode][1] if self.opcode in RUNS else {}

    def encode(self) -> bytes:
        """The command's 32 bytes. Raises ValueError for a value out of its field's range."""
        header = pack(
            HEADER,
            1,
            opcode=self.opcode,
            engine=self.engine,
            block=self.block,
            wait=self.wait,
            give=self.give,
            tag=self.tag & 0xFFFF,
        )
        words = header + pack(self.fields, PAYLOAD_WORDS, **self.values)
        return b"".join(word.to_bytes(4, "little") for word in words)

    @classmethod
    def decode(cls, data: bytes) -> "Command":
        """Reads a command back. Raises ValueError for a header that means nothing."""
        words = [int.from_bytes(data[i : i + 4], "little") for i in range(0, COMMAND_BYTES, 4)]
        header = unpack(HEADER, words)
        command = cls(Opcode(header["opcode"]), Engine(header["engine"]), {})
        for name in ("block", "wait", "give", "tag"):
            setattr(command, name, header[name])
        if command.opcode == Opcode.SET and command.block >= len(BLOCKS.get(command.engine, ())):
            raise ValueError(f"engine {command.engine.name} has no register block {command.block}")
        if command.opcode in RUNS and command.engine != RUNS[command.opcode][0]:
            raise ValueError(f"{command.opcode.name} cannot run on engine {command.engine.name}")
        command.values = unpack(command.fields, words[1:])
        return command


def layout(block: Block):
    """The block as an Amaranth layout of PAYLOAD_WORDS * 32 bits, for hardware."""
    from amaranth.hdl import signed, unsigned
    from amaranth.lib import data

    return data.FlexibleLayout(
        PAYLOAD_WORDS * 32,
        {
            name: data.Field(
                signed(f.width) if f.signed else unsigned(f.width), f.word * 32 + f.low
            )
            for name, f in block.items()
        },
    )


def header_layout():
    """The header as an Amaranth layout of 32 bits."""
    from amaranth.lib import data

    fields = {name: data.Field(f.width, f.low) for name, f in HEADER.items()}
    return data.FlexibleLayout(32, fields)
