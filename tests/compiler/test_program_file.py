"""The .eyas file: a round trip, and a clear word about every file that cannot be used."""

import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest

from eyas.command import Opcode
from eyas.compiler.program import Program
from eyas.compiler.program_file import VERSION, decode_program, load_program, save_program
from eyas.compiler.writer import compile_graph
from eyas.config import Config
from eyas.errors import ModelError
from eyas.sim.golden import run_graph
from eyas.sim.interpreter import Interpreter
from eyas.sim.layer_cases import LayerShape, layer_graph, layer_input

TINY = Config.load("tiny4x4")
SHAPE = LayerShape(C=9, M=11, H=7, W=6, R=3, S=2, P=1)


@pytest.fixture(scope="module")
def program() -> Program:
    return compile_graph(layer_graph(SHAPE), TINY)


@pytest.fixture
def path(program, tmp_path):
    save_program(program, tmp_path / "net.eyas")
    return tmp_path / "net.eyas"


def test_round_trip(program, path):
    loaded = load_program(path, TINY)
    assert loaded.encoded_commands() == program.encoded_commands()
    np.testing.assert_array_equal(loaded.memory_image(), program.memory_image())
    np.testing.assert_array_equal(loaded.places, program.places)
    for name in ("name", "tensors", "inputs", "outputs", "layers", "memory_bytes", "constants"):
        assert getattr(loaded, name) == getattr(program, name), name


def test_a_loaded_program_runs(path):
    program = load_program(path)
    memory = program.memory_image()
    ifmap = layer_input(SHAPE)
    program.write_tensor(memory, "ifmap", ifmap)
    Interpreter(TINY, memory).run(program.program_address, len(program.commands))
    expected = run_graph(layer_graph(SHAPE), {"ifmap": ifmap})["ofmap"]
    np.testing.assert_array_equal(program.read_tensor(memory, "ofmap"), expected)


def test_places_name_the_layer_of_each_command(program):
    assert str(program.place(len(program.commands) - 1)) == "end of program"
    place = program.place(0)
    assert (place.layer.name, place.tile, place.segment) == ("layer", 0, 0)
    assert str(place) == "layer layer, tile 0, filter group 0, segment 0"
    stores = [n for n, c in enumerate(program.commands) if c.opcode == Opcode.STORE]
    assert program.place(stores[-1]).group == max(program.places[:, 2])


def test_wrong_tensors(program):
    memory = program.memory_image()
    with pytest.raises(ModelError, match=r"tensor ifmap must be int8 of shape \(9, 7, 6\)"):
        program.write_tensor(memory, "ifmap", np.zeros((9, 7, 7), np.int8))
    with pytest.raises(ModelError, match="no tensor x; there are ifmap, ofmap"):
        program.read_tensor(memory, "x")


def test_missing_file(tmp_path):
    with pytest.raises(ModelError, match=r"none\.eyas: cannot be read \(No such file"):
        load_program(tmp_path / "none.eyas")


def test_folder_that_does_not_exist(program, tmp_path):
    with pytest.raises(ModelError, match=r"cannot be written \(No such file"):
        save_program(program, tmp_path / "none" / "net.eyas")


@pytest.mark.parametrize("content", [b"", b"\x08\x00onnx model", b"EYAS\n\x1a\n and more"])
def test_not_an_eyas_file(path, content):
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"net\.eyas: not an \.eyas file"):
        load_program(path)


@pytest.mark.parametrize("size", [5, 8, 20, 24, 100, -5, -1])
def test_truncated(path, size):
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ModelError, match=r"net\.eyas: truncated"):
        load_program(path)


@pytest.mark.parametrize("where", [30, -1, -200, 2000])
def test_damaged(path, where):
    content = bytearray(path.read_bytes())
    content[where] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"net\.eyas: damaged, its checksum is wrong"):
        load_program(path)


def test_longer_than_it_says(path):
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ModelError, match="damaged"):
        load_program(path)


def test_newer_version(path):
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, 8, VERSION + 1)
    content[-4:] = struct.pack("<I", zlib.crc32(content[:-4]))
    path.write_bytes(content)
    message = f"version {VERSION + 1} is newer than this Eyas reads"
    with pytest.raises(ModelError, match=message):
        load_program(path)


def test_another_configuration(path):
    with pytest.raises(ModelError, match=r"made for configuration tiny4x4 .* not for edge8x8"):
        load_program(path, Config.load("edge8x8"))
    load_program(path, replace(TINY, name="other-name"))  # what counts is the hardware


def test_bytes_are_those_of_the_documentation(program, path):
    """The offsets that docs/program-file.md gives."""
    content = path.read_bytes()
    version, header, size = struct.unpack_from("<IIQ", content, 8)
    assert (version, size) == (VERSION, len(content))
    assert content[24 : 24 + 1] == b"{"
    commands = content[24 + header : 24 + header + program.program_bytes]
    assert commands == program.encoded_commands()
    assert decode_program(content, "net").program_address == program.program_address
