"""Programs for tests/sim/copy_machine.v, the stand-in for the accelerator in tests of the tools."""

from pathlib import Path

from eyas.command import Command, Engine, Opcode, Space

VERILOG = (Path(__file__).parent / "copy_machine.v").read_text()


def load(memory_address, glb_address, n0, space=Space.FMAP, tag=0):
    values = {"memory_address": memory_address, "glb_address": glb_address, "n0": n0}
    return Command(Opcode.LOAD, Engine.LOAD, {**values, "space": space}, tag=tag)


def store(memory_address, glb_address, n0, space=Space.FMAP, enable=0xFF, tag=0):
    values = {"memory_address": memory_address, "glb_address": glb_address, "n0": n0}
    values |= {"space": space, "byte_enable": enable}
    return Command(Opcode.STORE, Engine.STORE, values, tag=tag)


END = Command(Opcode.END, Engine.NONE, {})


def encode(commands):
    return b"".join(command.encode() for command in commands)
