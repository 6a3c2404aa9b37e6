"""Shares a run out among its layers: what the counters say between the snapshots of a program.

    array          conv1 conv1 conv1 conv2 conv2 conv2 …
    vector unit          pool1 pool1 pool1                  runs beside conv2
    snapshots                   ▲              ▲  ▲
                                conv1      pool1  conv2     pool1's, in the midst of conv2, is
    shares         │   conv1    │      conv2      │         conv2's; pool1 has none

A share begins where the one before ends, and ends when the layer's last byte is in memory. What
comes behind the last snapshot is the last layer's, so shares add up to the run, exactly. A layer
that ends while the array is at work on another one has run beside it: its share is the other's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from eyas.command import Opcode, Space
from eyas.compiler.program import Program
from eyas.config import Config
from eyas.errors import ConfigError
from eyas.registers import Counter


@dataclass(frozen=True)
class Share:
    """A layer's part of a run.

    Where a counter holds two directions, the program tells them apart: STORE and VECTOR run in
    order, so what they move between two snapshots is known.
    """

    counters: dict[Counter, int] = field(default_factory=lambda: dict.fromkeys(Counter, 0))
    stored: int = 0
    """Words that STORE read from the GLB."""
    vector_written: int = 0
    """Words that VECTOR wrote."""

    def __add__(self, other: "Share") -> "Share":
        return Share(
            {c: self.counters[c] + other.counters[c] for c in Counter},
            self.stored + other.stored,
            self.vector_written + other.vector_written,
        )


def layer_shares(
    program: Program,
    profile: list[dict[Counter, int]],
    counters: Mapping[Counter, int],
    config: Config,
) -> list[Share]:
    """The share of each layer of a program with snapshots, from its profile.

    counters: of the whole run. Raises ConfigError where a layer can fill a counter.
    """
    whole = to_the_end(profile, counters, config)
    shares = [Share()] * len(program.layers)
    stored = written = 0
    for index, (command, place) in enumerate(zip(program.commands, program.places, strict=True)):
        values = command.values
        if command.opcode == Opcode.VECTOR:
            written += values["blocks"] * values["out_height"] * values["out_width"]
        elif command.opcode == Opcode.STORE and values["space"] != Space.COUNTERS:
            stored += values["n0"] * values["n1"] * values["n2"]
        elif command.opcode == Opcode.STORE:
            layer = int(place[0])
            owner = _owner(program, index, layer)
            shares[owner] += Share(whole[layer], stored, written)
            stored = written = 0
    return shares


def _owner(program: Program, index: int, layer: int) -> int:
    """Whose the share is that ends with the snapshot of a layer, the command at `index`."""
    before = _compute(program, range(index, -1, -1))
    after = _compute(program, range(index, len(program.commands)))
    return layer if before is None or before != after else before


def _compute(program: Program, indices: range) -> int | None:
    """The layer of the first COMPUTE among some commands."""
    for index in indices:
        if program.commands[index].opcode == Opcode.COMPUTE:
            return int(program.places[index, 0])
    return None


def to_the_end(
    profile: list[dict[Counter, int]], counters: Mapping[Counter, int], config: Config
) -> list[dict[Counter, int]]:
    """A profile that adds up to the counters of the whole run: the last layer has its end.

    Counters wrap; the profile's entries do not, unless a layer alone can fill one: ConfigError.
    """
    modulus = 1 << config.control.counter_width
    last = {c: counters[c] - sum(entry[c] for entry in profile[:-1]) for c in Counter}
    whole = [{c: n % modulus for c, n in entry.items()} for entry in (*profile[:-1], last)]
    longest = max(entry[Counter.CYCLES] for entry in whole)
    if longest * config.pes >= modulus:
        raise ConfigError(
            f"a layer of {longest:,} cycles can fill counters of {config.control.counter_width} "
            f"bits: control.counter_width must be at least {(longest * config.pes).bit_length()}"
        )
    return whole
