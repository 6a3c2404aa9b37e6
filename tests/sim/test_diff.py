"""The bisecting tool names the right command, byte and place for faults planted on purpose."""

from dataclasses import replace

import numpy as np
import pytest
from copy_machine import END, PLANT, Plant, copy_machine, encode, load, store
from handmade_programs import Mapping, convolution_program
from interpreter_cases import convolution, merge_of

from eyas.command import Engine, MergeOp, Opcode, Space
from eyas.compiler.ir import Graph, MaxPool, Tensor, View
from eyas.compiler.program import ProgramTensor
from eyas.compiler.writer import compile_graph
from eyas.config import Config, Glb
from eyas.sim import diff_machines, golden
from eyas.sim.diff import (
    cuts,
    diff_program,
    first_difference,
    ignored_words,
)
from eyas.sim.diff_machines import InterpreterMachine
from eyas.sim.difference import tensor_position
from eyas.sim.layer_cases import LayerShape, layer_graph, layer_input
from eyas.sim.locate import MEMORY
from eyas.sim.simulator import Simulator

TINY = Config.load("tiny4x4")
COPIES = replace(Config.load("edge8x8"), glb=Glb(fmap_kib=8, filter_kib=8))
PROGRAM = 0x400
MOVES = [
    load(0x2000, 0, 64, tag=1),
    load(0x2200, 64, 64, tag=1),
    load(0x2400, 256, 100, tag=2),
    load(0x2800, 0, 50, Space.FILTER, tag=2, give=1 << Engine.STORE),
    store(0x4000, 0, 128, tag=3, wait=1 << Engine.LOAD),
    store(0x4800, 256, 30, tag=3),
    store(0x4900, 286, 60, tag=4, give=1 << Engine.LOAD),
    load(0x2000, 300, 1, tag=4, wait=1 << Engine.STORE),
    END,
]


# --- RTL against interpreter, on the copy machine ---


def diff_copies(seed, plant=Plant.NONE, **kwargs):
    memory = np.random.default_rng(seed).integers(0, 256, 0x8000, np.uint8)
    memory[0x4000:] = 0
    image = np.frombuffer(encode(MOVES), np.uint8)
    memory[PROGRAM : PROGRAM + len(image)] = image
    before = memory.copy()
    with Simulator(COPIES, copy_machine(COPIES), memory=1 << 16) as simulator:
        simulator.write_register(PLANT, plant)
        found = diff_program(COPIES, memory, PROGRAM, MOVES, simulator=simulator, **kwargs)
    assert np.array_equal(memory, before)
    return found, memory


def test_equal_machines(seed):
    told = []
    found, _ = diff_copies(seed, progress=lambda n, equal: told.append((n, equal)))
    assert found is None
    assert told == [(8, True)]


def test_wrong_load(seed):
    found, memory = diff_copies(
        seed,
        Plant.LOAD,
        place=lambda command: f"layer L{command}",
        tensor=lambda address: f"byte {address:x}",
    )
    assert (found.command_number, found.command.tag, found.commands_run) == (2, 2, (2, 3))
    assert (found.space, found.word, found.lane, found.bytes_different) == (Space.FMAP, 290, 1, 1)
    source = 0x2400 + (290 - 256) * 8
    right = memory[source + 1].view(np.int8)
    assert found.expected == right
    assert found.actual == np.int8(right ^ 1)
    assert found.meaning == f"word 34 of the move, from memory address 0x{source:x}"
    assert found.place == "layer L2"
    assert found.tensor == f"byte {0x4900 + (290 - 286) * 8 + 1:x}"  # where it is stored later
    report = str(found)
    for text in ("command 2: LOAD (tag 2)", "layer L2", "GLB FMAP word 290", "lane 1", "got"):
        assert text in report


def test_wrong_store(seed):
    found, _ = diff_copies(seed, Plant.STROBE)
    assert found.command_number == 5
    assert (found.space, found.word, found.lane) == (MEMORY, (0x4800 + 7 * 8) // 8, 4)
    assert found.address == 0x4800 + 7 * 8 + 4
    assert found.actual == 0
    assert found.meaning == "word 7 of the move, from GLB word 263"


def test_stray_write(seed):
    """A word that no command should touch changes: the report says so."""
    found, _ = diff_copies(seed, Plant.STRAY)
    assert (found.command_number, found.space, found.word) == (5, Space.FMAP, 900)
    assert "no command since the last equal state" in found.meaning


def test_hang(seed, monkeypatch):
    monkeypatch.setattr(diff_machines, "HANG_CYCLES", 4000)
    found, _ = diff_copies(seed, Plant.HANG)
    assert found.command_number == 5
    assert "did not finish: the accelerator hangs" in found.failure
    assert "command 5: STORE" in str(found)


def test_fault(seed):
    found, _ = diff_copies(seed, Plant.COMMAND)
    assert (found.command_number, found.failure) == (2, "the RTL stopped with fault COMMAND")


def test_smaller_memory(seed):
    with (
        Simulator(COPIES, copy_machine(COPIES), memory=1 << 12) as simulator,
        pytest.raises(ValueError, match="smaller"),
    ):
        diff_program(COPIES, np.zeros(1 << 13, np.uint8), 0, MOVES, simulator=simulator)


def test_counters_that_are_stored_are_not_compared():
    commands = [load(0, 0, 4), store(0x800, 0, 24, Space.COUNTERS), store(0x900, 0, 1), END]
    words = set(ignored_words(0x100, commands).tolist())
    assert words == set(range(0x100 // 8, 0x180 // 8)) | set(range(0x800 // 8, 0x8C0 // 8))


# --- compiled programs, two interpreters, one of them with a fault ---


def network():
    shape = LayerShape.parse("C=11,M=21,H=12,W=10,R=3,S=3,P=1")
    graph = layer_graph(shape)
    return graph, layer_input(shape)


class Faulty(InterpreterMachine):
    """Flips bits of one GLB byte right after one command."""

    def __init__(self, *args, after, word, lane):
        super().__init__(*args)
        self.after, self.word, self.lane = after, word, lane

    def run_prefix(self, count):
        from eyas.sim.interpreter import Interpreter

        interpreter = Interpreter(self.config, self.memory.copy())
        for number, command in enumerate(self.commands[:count]):
            interpreter.step(command)
            if number == self.after:
                interpreter.glb[Space.FMAP][self.word, self.lane] ^= 0x40
        places = {space: words.reshape(-1) for space, words in interpreter.glb.items()}
        return diff_machines.Snapshot({MEMORY: interpreter.memory, **places})


def compiled(graph, ifmap):
    program = compile_graph(graph, TINY)
    memory = program.memory_image()
    program.write_tensor(memory, "ifmap", ifmap)
    return program, memory


def written_words(program, memory, number):
    """GLB words that a command changes, found by running the interpreter around it."""
    before, after = (
        InterpreterMachine(TINY, memory, program.commands).run_prefix(count).bytes[Space.FMAP]
        for count in (number, number + 1)
    )
    return np.flatnonzero(before != after)


@pytest.mark.parametrize("which", [0, 3, -1])
def test_compute_names_layer_tile_channel_and_position(which):
    graph, ifmap = network()
    program, memory = compiled(graph, ifmap)
    commands = program.commands
    tiles = [
        n for n, c in enumerate(commands) if c.opcode == Opcode.COMPUTE and c.values.get("last")
    ]
    number = tiles[which]
    word, lane = divmod(int(written_words(program, memory, number)[-1]), 8)
    faulty = Faulty(TINY, memory, commands, after=number, word=word, lane=lane)
    found = first_difference(
        InterpreterMachine(TINY, memory, commands),
        faulty,
        commands,
        ignored_words(program.program_address, commands),
        place=lambda command: str(program.place(command)),
        tensor=lambda address: tensor_position(program.tensors.values(), address),
    )
    assert (found.command_number, found.space, found.word, found.lane) == (
        number,
        Space.FMAP,
        word,
        lane,
    )
    assert found.place == str(program.place(number))
    assert f"tile {program.place(number).tile}" in found.place
    # Where the byte ends up, found by comparing the ofmaps of whole runs.
    whole = len(commands) - 1
    right, wrong = (
        program.read_tensor(machine.run_prefix(whole).bytes[MEMORY], graph.outputs[0])
        for machine in (InterpreterMachine(TINY, memory, commands), faulty)
    )
    ((channel, row, column),) = np.argwhere(right != wrong).tolist()
    assert found.tensor.endswith(f", channel {channel}, row {row}, column {column}")
    m = int(found.meaning.split()[1].rstrip(","))
    assert m % 8 == (lane - commands[number].values.get("ofmap_lane", 0)) % 8
    assert found.expected == right[channel, row, column]
    assert found.actual == wrong[channel, row, column]


def test_merges_keep_their_constants_in_every_prefix():
    """Only the first of four tiles loads the constants; the fault is in the third."""
    rng = np.random.default_rng(4)
    layer = convolution(rng, 4, 12, 1, 1, merge=merge_of(MergeOp.MULTIPLY, rng))
    ifmap, operand = (rng.integers(-128, 128, (c, 2, 3), np.int8) for c in (4, 12))
    program = convolution_program(TINY, layer, ifmap, Mapping(3, 4, 1, we=2, steps=3), operand)
    memory, commands = program.image(), program.commands
    number = program.index(Opcode.COMPUTE, 2)
    assert [tile.get("merge_load", 0) for tile in program.tiles] == [1, 0, 0, 0]
    word, lane = divmod(int(written_words(program, memory, number)[-1]), 8)
    found = first_difference(
        InterpreterMachine(TINY, memory, commands),
        Faulty(TINY, memory, commands, after=number, word=word, lane=lane),
        commands,
        ignored_words(0, commands),
    )
    assert (found.command_number, found.word, found.lane) == (number, word, lane)
    assert found.meaning.startswith("channel 2, row 1, column 2"), "the last of channels 6 to 8"
    whole = len(commands) - 1
    right, wrong = (
        program.ofmap(machine.run_prefix(whole).bytes[MEMORY])
        for machine in (
            InterpreterMachine(TINY, memory, commands),
            Faulty(TINY, memory, commands, after=number, word=word, lane=lane),
        )
    )
    np.testing.assert_array_equal(right, golden.convolution(ifmap, layer, operand))
    assert len(np.argwhere(right != wrong)) == 1


def test_max_pool():
    graph = Graph(
        "pool",
        ["ifmap"],
        ["ofmap"],
        {"ifmap": Tensor("ifmap", (12, 9, 9)), "ofmap": Tensor("ofmap", (12, 4, 4))},
        [MaxPool("pool", "ifmap", "ofmap", (2, 2), (2, 2))],
    )
    ifmap = np.random.default_rng(1).integers(-128, 128, (12, 9, 9)).astype(np.int8)
    program, memory = compiled(graph, ifmap)
    number = next(n for n, c in enumerate(program.commands) if c.opcode == Opcode.VECTOR)
    word, lane = divmod(int(written_words(program, memory, number)[-1]), 8)
    found = first_difference(
        InterpreterMachine(TINY, memory, program.commands),
        Faulty(TINY, memory, program.commands, after=number, word=word, lane=lane),
        program.commands,
        ignored_words(program.program_address, program.commands),
        tensor=lambda address: tensor_position(program.tensors.values(), address),
    )
    assert found.command_number == number
    assert found.meaning.startswith("channel ")
    meaning = found.meaning.removesuffix(" of the tile's ofmap")
    assert found.tensor == f"tensor ofmap, {meaning}"  # one tile: positions are the tensor's


def test_cuts_lie_between_tiles():
    graph, ifmap = network()
    program, _ = compiled(graph, ifmap)
    points = cuts(program.commands)
    assert points == sorted(set(points))
    assert points[-1] == len(program.commands) - 1
    compute = [n for n, c in enumerate(program.commands) if c.opcode == Opcode.COMPUTE]
    last = [n for n in compute if program.commands[n].values.get("last")]
    assert 0 < len(last) < len(compute)  # some tiles have several segments
    assert all(n + 1 in points for n in last)
    assert not any(n + 1 in points for n in set(compute) - set(last))
    sets = [n for n, c in enumerate(program.commands) if c.opcode == Opcode.SET]
    assert not any(n + 1 in points for n in sets)


def test_tensor_position():
    whole = ProgramTensor("x", 0x100, (11, 3, 5))
    part = ProgramTensor("part", 0x100, (3, 3, 5), view=View("x", 8))
    for tensors in ([whole], [part, whole]):
        assert tensor_position(tensors, 0xFF) == ""
        assert tensor_position(tensors, 0x100) == "tensor x, channel 0, row 0, column 0"
        assert tensor_position(tensors, 0x100 + (15 + 7) * 8 + 2) == (
            "tensor x, channel 10, row 1, column 2"
        )
        assert tensor_position(tensors, 0x100 + whole.nbytes) == ""


def test_tensor_position_in_a_batch():
    batch = ProgramTensor("x", 0x100, (11, 3, 5), batch=4)
    at = 0x100 + (((1 * 4 + 2) * 3 + 1) * 5 + 3) * 8 + 1
    where = "tensor x, image 2, channel 9, row 1, column 3"
    assert tensor_position([batch], at) == where
