"""The tables in docs/architecture.md say what the code says."""

import re
from pathlib import Path

import pytest

from eyas import command
from eyas.compiler.keep import LARGEST_SHARE
from eyas.compiler.room import POOL_SHARE
from eyas.registers import Counter, Register

TEXT = (Path(__file__).parent.parent / "docs" / "architecture.md").read_text()
BLOCKS = (
    "HEADER", "DESCRIPTOR", "TILE", "WALK", "UNIT", "DRAIN", "MERGE", "VECTOR_TILE",
    "VECTOR_WINDOW",
)  # fmt: skip


def place(field: command.Field) -> str:
    """A field's place as the page writes it: word.high:low, and s for two's complement."""
    bits = f"{field.word}.{field.low + field.width - 1}:{field.low}"
    return bits + (" s" if field.signed else "")


@pytest.mark.parametrize("block", BLOCKS)
def test_fields(block):
    row = re.search(rf"^\| `{block}` \|.*\| (.*) \|$", TEXT, re.M)
    fields = {name: place(field) for name, field in getattr(command, block).items()}
    assert row, f"add: {'; '.join(f'{n} {p}' for n, p in fields.items())}"
    assert row[1] == "; ".join(f"{name} {where}" for name, where in fields.items())


def test_opcodes():
    for opcode in command.Opcode:
        assert f"{opcode.name} {opcode.value}" in TEXT


def test_registers():
    for register in Register:
        assert f"| 0x{register.value:02x} | {register.name} |" in TEXT


def test_counters():
    for counter in Counter:
        assert f"| {counter.value} | {counter.name} |" in TEXT


def test_shares_of_the_fmap_space():
    text = " ".join(TEXT.split())
    assert f"one word in {POOL_SHARE} of the fmap space" in text
    assert f"a fmap larger than {LARGEST_SHARE:.0%} of the fmap space".replace("%", " %") in text
