"""Counters by layer: STOREs of all hardware counters, put into a program behind every layer.

    … STORE (layer n)  STORE of the counters  … STORE (layer n+1)  STORE of the counters … END

Engines take their commands in order, so the counters are read when the layer's last ofmap word is
in memory. What later layers have done by then (loads ahead of their time) counts for layer n. The
price is a command and a few hundred bytes of memory traffic a layer.
"""

from dataclasses import replace

import numpy as np

from eyas.command import COMMAND_BYTES, Command, Engine, Opcode, Space
from eyas.compiler.allocate import align
from eyas.compiler.program import LayerEntry, Program
from eyas.config import WORD_BYTES
from eyas.registers import Counter

SNAPSHOT_BYTES = align(len(Counter) * WORD_BYTES)


def with_layer_counters(program: Program) -> tuple[Program, int]:
    """The program with its counters stored behind each layer, and the address of the first.

    Snapshot n, SNAPSHOT_BYTES behind the one before, belongs to layer n.
    """
    last = {
        command.tag: number
        for number, command in enumerate(program.commands)
        if command.engine == Engine.STORE
    }
    behind = {last[entry.tag]: n for n, entry in enumerate(program.layers)}
    length = len(program.commands) + len(program.layers)
    address = align(program.program_address + length * COMMAND_BYTES)
    commands: list[Command] = []
    places = []
    for number, command in enumerate(program.commands):
        commands.append(command)
        places.append(program.places[number])
        if number in behind:
            commands.append(_store(command.tag, address + behind[number] * SNAPSHOT_BYTES))
            places.append(program.places[number])
    end = address + len(program.layers) * SNAPSHOT_BYTES
    return replace(program, commands=commands, places=np.array(places), memory_bytes=end), address


def layer_counters(
    program: Program, address: int, memory: np.ndarray
) -> list[tuple[LayerEntry, dict[Counter, int]]]:
    """What each layer added to the counters, from the memory after a run. Cycles add up to the
    end of the last layer.
    """
    out, before = [], dict.fromkeys(Counter, 0)
    for number, entry in enumerate(program.layers):
        start = address + number * SNAPSHOT_BYTES
        words = memory[start : start + len(Counter) * WORD_BYTES].view("<u8")
        now = {counter: int(words[counter]) for counter in Counter}
        out.append((entry, {counter: now[counter] - before[counter] for counter in Counter}))
        before = now
    return out


def _store(tag: int, address: int) -> Command:
    values = {
        "memory_address": address,
        "space": Space.COUNTERS,
        "byte_enable": 0xFF,
        "n0": len(Counter),
        "n1": 1,
        "n2": 1,
    }
    return Command(Opcode.STORE, Engine.STORE, values, tag=tag)
