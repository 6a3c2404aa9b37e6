"""Signatures and layouts that several components share. Each is seen from the component that starts
the exchange (requester, producer, or the engine)."""

from amaranth.hdl import unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out, Signature

from eyas.command import PAYLOAD_WORDS
from eyas.config import WORD_BYTES

GLB_ADDRESS_WIDTH = 16
GLB_READ_LATENCY = 2
"""Cycles from the transfer of a read request to `valid` with its data."""

WORD_WIDTH = WORD_BYTES * 8
PSUM_WIDTH = 32
"""Of psum banks and PPU; PEs chain narrower ones."""

GlbRead = Signature(
    {
        "request": Out(stream.Signature(unsigned(GLB_ADDRESS_WIDTH))),  # word address
        "valid": In(1),  # GLB_READ_LATENCY cycles after the transfer, whatever else happens
        "data": In(WORD_WIDTH),
    }
)

GlbWriteRequest = data.StructLayout(
    {"address": GLB_ADDRESS_WIDTH, "data": WORD_WIDTH, "mask": WORD_BYTES}  # mask: lanes written
)
GlbWrite = Signature({"request": Out(stream.Signature(GlbWriteRequest))})
"""A read whose request transfers in a later cycle than the write's sees the written word."""

EngineCommand = data.StructLayout({"opcode": 4, "block": 4, "payload": PAYLOAD_WORDS * 32})

EnginePort = Signature(
    {
        # Tokens are already taken when a command is offered. SETs come here too.
        "command": In(stream.Signature(EngineCommand)),
        # Bit k, pulses in program order, one for each command but SET: that command has ended, as
        # far as the k-th of the two other engines (ascending) is concerned.
        "ended": Out(2),
        "busy": Out(1),  # something is in progress; END waits for all to fall
    }
)
"""An engine as the sequencer sees it."""

PARAM_LAYOUT = data.StructLayout({"bias": 32, "multiplier": 32, "shift": 8})
"""A channel's requantisation parameters, as the PPU lanes take them (all two's complement)."""
