"""Counters layer by layer: the shares add up, and the snapshots disturb nothing."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from eyas.command import Engine, Opcode, Space
from eyas.compiler.compile import compile_model
from eyas.compiler.profile import read_profile, with_profile
from eyas.compiler.tokens import check_tokens
from eyas.config import Config
from eyas.registers import Counter
from eyas.sim.interpreter import Interpreter

MODEL = Path(__file__).parents[2] / "demo" / "digits.onnx"


@pytest.fixture(scope="module", params=[True, False], ids=["stored", "kept"])
def program(request):
    return compile_model(MODEL, "edge8x8", intermediates=request.param)


def run(program):
    memory = program.memory_image()
    x = np.random.default_rng(1).integers(-128, 128, (1, 28, 28), np.int8)
    program.write_tensor(memory, program.inputs[0].tensor, x)
    interpreter = Interpreter(Config.load("edge8x8"), memory)
    interpreter.run(program.program_address, len(program.commands))
    return memory, interpreter.counts


def test_shares_are_those_of_the_layers(program):
    """Those of pools, which run beside convolutions, fall to the next layer's in part."""
    profiled = with_profile(program)
    memory, counts = run(profiled)
    shares = read_profile(profiled, memory)
    macs = [share[Counter.USEFUL_MACS] for share in shares]
    assert sum(macs) == sum(layer.macs for layer in program.layers)
    assert macs[0] == program.layers[0].macs, "nothing ran before"
    for counter in (Counter.USEFUL_MACS, Counter.GLB_WRITES, Counter.NOC_PSUMS):
        assert sum(share[counter] for share in shares) == counts[counter]


def test_a_layer_whose_ofmap_stays_ends_with_its_last_tile(program):
    """Its snapshot waits for the tile's drain; behind STOREs and VECTORs order is enough."""
    profiled = with_profile(program)
    check_tokens(profiled.commands)
    behind = {}
    for before, command in pairwise(profiled.commands):
        if command.values.get("space") == Space.COUNTERS:
            layer = program.layers[command.tag]
            behind[layer.output] = before.opcode, command.wait
            if before.opcode == Opcode.COMPUTE:
                assert before.values["last"]
                assert before.give >> Engine.STORE & 1
    kept = {name for name, (opcode, _) in behind.items() if opcode == Opcode.COMPUTE}
    assert kept == set(program.unstored)
    for name, (_, wait) in behind.items():
        assert wait == (1 << Engine.COMPUTE if name in kept else 0)


def test_snapshots_change_no_tensor(program):
    profiled = with_profile(program)
    assert len(profiled.commands) == len(program.commands) + len(program.layers)
    assert profiled.commands[-1].opcode == Opcode.END
    plain_memory, profiled_memory = run(program)[0], run(profiled)[0]
    for name in program.tensors:
        plain = program.read_tensor(plain_memory, name)
        assert np.array_equal(plain, profiled.read_tensor(profiled_memory, name))


def test_a_program_without_snapshots_has_no_profile(program):
    assert read_profile(program, program.memory_image()) == []
