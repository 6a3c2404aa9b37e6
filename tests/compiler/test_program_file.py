"""The .eyas file: a round trip, and a clear word about every file that cannot be used."""

import json
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest

from eyas.command import Dialect, Opcode
from eyas.compiler.ir import HostStep, Port, Softmax, View
from eyas.compiler.program import Program, ProgramTensor
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


@pytest.fixture
def extended(program):
    """The program with views and with ports and host steps as TFLite models have them."""
    ofmap = program.tensors["ofmap"]
    views = {
        "block": ProgramTensor("block", ofmap.address, (5, 2, 3), 0.5, 3, view=View("ofmap", 3, 1)),
        "recut": ProgramTensor("recut", ofmap.address, (11, 1, 49), view=View("ofmap")),
    }
    assert ofmap.shape == (11, 7, 7)
    return replace(
        program,
        tensors=program.tensors | views,
        inputs=[Port("x", "ifmap", "float32", ("N", 7, 6, 9), 0.1, -3, True, None, Dialect.TFLITE)],
        outputs=[Port("y", "recut", "uint8", (1, 49, 11), 1 / 256, -128, True, Softmax(0.3, 2.0))],
        host_steps=[HostStep("q", "quantize", "ifmap"), HostStep("s", "softmax", "recut")],
    )


def test_round_trip_of_what_tflite_models_need(extended, tmp_path):
    save_program(extended, tmp_path / "net.eyas")
    loaded = load_program(tmp_path / "net.eyas")
    for name in ("tensors", "inputs", "outputs", "host_steps"):
        assert getattr(loaded, name) == getattr(extended, name), name
    assert loaded.inputs[0].dialect is Dialect.TFLITE


def test_round_trip_of_a_batch(tmp_path, seed):
    save_program(compile_graph(replace(layer_graph(SHAPE), batch=3), TINY), tmp_path / "net.eyas")
    loaded = load_program(tmp_path / "net.eyas")
    assert loaded.batch == 3
    values = np.random.default_rng(seed).integers(-128, 128, (3, 9, 7, 6), np.int8)
    memory = loaded.memory_image()
    loaded.write_tensor(memory, "ifmap", values)
    np.testing.assert_array_equal(loaded.read_tensor(memory, "ifmap"), values)
    address = loaded.tensors["ifmap"].address
    words = memory[address : address + 2 * 3 * 7 * 6 * 8].view(np.int8).reshape(2, 3, 7, 6, 8)
    np.testing.assert_array_equal(words[0, 2, 4, 5], values[2, :8, 4, 5])
    np.testing.assert_array_equal(words[1, 1, :, :, 0], values[1, 8])


def test_views(extended, seed):
    values = np.random.default_rng(seed).integers(-128, 128, (11, 7, 7), np.int8)
    memory = extended.memory_image()
    extended.write_tensor(memory, "ofmap", values)
    block = extended.read_tensor(memory, "block")
    np.testing.assert_array_equal(block, values[3:8, 1:3, 0:3])
    recut = extended.read_tensor(memory, "recut")
    np.testing.assert_array_equal(recut[:, 0], values.reshape(11, 49))
    with pytest.raises(ModelError, match="tensor block is a part of ofmap: write that one"):
        extended.write_tensor(memory, "block", block)


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


def with_header(path, change, version=VERSION):
    """Rewrites a file with another header, and the right sizes and checksum for it."""
    content = path.read_bytes()
    _, size, _ = struct.unpack_from("<IIQ", content, 8)
    header = json.loads(content[24 : 24 + size])
    change(header)
    new, body = json.dumps(header).encode(), content[24 + size : -4]
    total = 24 + len(new) + len(body) + 4
    content = content[:8] + struct.pack("<IIQ", version, len(new), total) + new + body
    path.write_bytes(content + struct.pack("<I", zlib.crc32(content)))


def test_version_1_is_read(program, path):
    def as_it_was(header):
        del header["host_steps"]
        for tensor in header["tensors"]:
            del tensor["view"], tensor["batch"]
        for port in (*header["inputs"], *header["outputs"]):
            del port["channels_last"], port["softmax"], port["dialect"]

    with_header(path, as_it_was, version=1)
    loaded = load_program(path)
    for name in ("tensors", "inputs", "outputs", "layers", "host_steps", "constants"):
        assert getattr(loaded, name) == getattr(program, name), name


def test_unknown_keys_are_left_out_of_account(program, path):
    def extend(header):
        header["colour"] = 1
        for name in ("tensors", "inputs", "outputs", "layers"):
            header[name][0]["colour"] = [1, 2]

    with_header(path, extend)
    assert load_program(path).tensors == program.tensors


@pytest.mark.parametrize("key", ["name", "commands", "tensors", "layers"])
def test_contents_that_make_no_sense(path, key):
    def lose(header):
        del header[key]

    with_header(path, lose)
    with pytest.raises(ModelError, match=rf"net\.eyas: its checksum is right, .*KeyError: '{key}'"):
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
