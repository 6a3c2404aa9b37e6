"""Counters layer by layer: a program that stores all hardware counters behind each layer.

    … STOREs of layer n │ STORE counters │ STOREs of layer n+1 … │ STORE counters │ END

The STORE engine works in order, so a snapshot holds what has happened until the layer's last ofmap
was in memory. A layer's share is the difference to the snapshot before; layers overlap a little,
and the shares add up to the whole run but for its end. A pool beside convolutions is left with
what it takes beyond the last of them. A layer whose ofmap stays in the GLB ends with its last
COMPUTE, whose token its snapshot waits for. A snapshot costs some tens of cycles.
"""

from dataclasses import replace

import numpy as np

from eyas.command import COMMAND_BYTES, Command, Engine, Opcode, Space
from eyas.compiler.allocate import align, check_memory
from eyas.compiler.program import Program
from eyas.config import WORD_BYTES
from eyas.registers import Counter

SNAPSHOT_BYTES = len(Counter) * WORD_BYTES


def with_profile(program: Program) -> Program:
    """The program with a snapshot of the counters behind each layer, for `read_profile`."""
    last = _last_commands(program)
    count = len(program.commands) + len(last)
    snapshots = align(program.program_address + count * COMMAND_BYTES)
    commands, places = [], []
    for index, command in enumerate(program.commands):
        commands.append(command)
        places.append(program.places[index])
        if index in last:
            address = snapshots + last[index] * SNAPSHOT_BYTES
            snapshot = _snapshot(program.layers[last[index]].tag, address)
            if command.engine == Engine.COMPUTE and not command.give >> Engine.STORE & 1:
                commands[-1] = replace(command, give=command.give | 1 << Engine.STORE)
                snapshot.wait = 1 << Engine.COMPUTE
            commands.append(snapshot)
            places.append(program.places[index])
    memory_bytes = align(snapshots + len(last) * SNAPSHOT_BYTES)
    check_memory(program.name, memory_bytes)
    return replace(program, commands=commands, places=np.array(places), memory_bytes=memory_bytes)


def _last_commands(program: Program) -> dict[int, int]:
    """For each layer its last STORE or VECTOR, or else its last COMPUTE: index to layer."""
    last: dict[int, int] = {}
    for engine in (Engine.COMPUTE, Engine.STORE):
        for index, command in enumerate(program.commands):
            if command.engine == engine:
                last[int(program.places[index, 0])] = index
    return {index: number for number, index in last.items()}


def read_profile(program: Program, memory: np.ndarray) -> list[dict[Counter, int]]:
    """Each layer's share of the counters, in the order of `program.layers`, after a run."""
    before = dict.fromkeys(Counter, 0)
    shares: dict[int, dict[Counter, int]] = {}
    for command in program.commands:
        if _is_snapshot(command):
            start = command.values["memory_address"]
            words = memory[start : start + SNAPSHOT_BYTES].view("<u8")
            now = {counter: int(words[counter]) for counter in Counter}
            shares[start] = {counter: now[counter] - before[counter] for counter in Counter}
            before = now
    return [shares[start] for start in sorted(shares)]


def _snapshot(tag: int, address: int) -> Command:
    values = {"memory_address": address, "space": Space.COUNTERS, "byte_enable": 0xFF}
    values |= {"n0": len(Counter), "n1": 1, "n2": 1}
    return Command(Opcode.STORE, Engine.STORE, values, tag=tag)


def _is_snapshot(command: Command) -> bool:
    return command.opcode == Opcode.STORE and command.values.get("space") == Space.COUNTERS
