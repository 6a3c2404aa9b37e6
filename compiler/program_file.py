"""Reads and writes .eyas files; docs/program-file.md describes them byte by byte.

magic │ version │ header bytes │ file bytes │ header (JSON) │ commands │ places │ constants │ CRC-32
"""

import json
import struct
import zlib
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from eyas.command import COMMAND_BYTES, Command, Dialect
from eyas.compiler.ir import HostStep, Port, Softmax, View
from eyas.compiler.program import LayerEntry, Program, ProgramTensor
from eyas.config import Config
from eyas.errors import ModelError

MAGIC = b"EYAS\r\n\x1a\n"
"""The line ends show a transfer as text."""
VERSION = 3
"""2: views, ports that are channels last or have a softmax, host steps. 3: batches. Older ones are
read as well."""
_PREFIX = struct.Struct("<8sIIQ")  # magic, version, header bytes, file bytes
_CHECKSUM = struct.Struct("<I")
_PLACE_BYTES = 16


def save_program(program: Program, path: str | Path) -> None:
    """Writes a .eyas file. Raises ModelError where it cannot be written."""
    try:
        Path(path).write_bytes(encode_program(program))
    except OSError as error:
        raise ModelError(f"{path}: cannot be written ({error.strerror})") from None


def load_program(path: str | Path, config: Config | None = None) -> Program:
    """Reads a .eyas file, for `config` if one is given.

    Raises ModelError for a file that cannot be read, is no .eyas file, of a newer version,
    truncated, damaged, wrongly made, or made for another configuration.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
    program = decode_program(data, str(path))
    if config is not None:
        program.check_config(config)
    return program


def encode_program(program: Program) -> bytes:
    """The bytes of a .eyas file."""
    header = json.dumps(_header(program), separators=(",", ":")).encode()
    parts = [
        header,
        program.encoded_commands(),
        np.ascontiguousarray(program.places, "<i4").tobytes(),
        *(data for _, data in program.constants),
    ]
    size = _PREFIX.size + sum(len(part) for part in parts) + _CHECKSUM.size
    content = _PREFIX.pack(MAGIC, VERSION, len(header), size) + b"".join(parts)
    return content + _CHECKSUM.pack(zlib.crc32(content))


def decode_program(data: bytes, where: str) -> Program:
    """A program from the bytes of a .eyas file; `where` names it in messages."""
    if not data.startswith(MAGIC):
        truncated = data and MAGIC.startswith(data)
        raise ModelError(f"{where}: {'truncated' if truncated else 'not an .eyas file'}")
    if len(data) < _PREFIX.size:
        raise ModelError(f"{where}: truncated after {len(data)} bytes")
    _, version, header_bytes, size = _PREFIX.unpack_from(data)
    if version > VERSION:
        raise ModelError(
            f"{where}: format version {version} is newer than this Eyas reads ({VERSION}); "
            f"update Eyas or compile the model again"
        )
    if len(data) < size:
        raise ModelError(f"{where}: truncated, {len(data)} of {size} bytes are there")
    if len(data) != size or zlib.crc32(data[:-4]) != _CHECKSUM.unpack(data[-4:])[0]:
        raise ModelError(f"{where}: damaged, its checksum is wrong")
    body = memoryview(data)[_PREFIX.size + header_bytes : -_CHECKSUM.size]
    try:
        header = json.loads(data[_PREFIX.size : _PREFIX.size + header_bytes])
        return _program(header, body)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {error}"
        raise ModelError(f"{where}: its checksum is right, its contents are not ({what})") from None


def _header(program: Program) -> dict[str, Any]:
    return {
        "name": program.name,
        "config": {"name": program.config_name, "hash": program.config_hash},
        "memory_bytes": program.memory_bytes,
        "program_address": program.program_address,
        "commands": len(program.commands),
        "constants": [
            {"address": address, "bytes": len(data)} for address, data in program.constants
        ],
        "tensors": [asdict(tensor) for tensor in program.tensors.values()],
        "inputs": [asdict(port) for port in program.inputs],
        "outputs": [asdict(port) for port in program.outputs],
        "layers": [asdict(layer) for layer in program.layers],
        "host_steps": [asdict(step) for step in program.host_steps],
    }


def _program(header: dict[str, Any], body: memoryview) -> Program:
    count = header["commands"]
    places_start = count * COMMAND_BYTES
    constants_start = places_start + count * _PLACE_BYTES
    commands = [
        Command.decode(bytes(body[at : at + COMMAND_BYTES]))
        for at in range(0, places_start, COMMAND_BYTES)
    ]
    places = np.frombuffer(body[places_start:constants_start], "<i4").reshape(count, 4)
    constants, at = [], constants_start
    for entry in header["constants"]:
        constants.append((entry["address"], bytes(body[at : at + entry["bytes"]])))
        at += entry["bytes"]
    tensors = [_tensor(entry) for entry in header["tensors"]]
    return Program(
        header["name"],
        header["config"]["name"],
        header["config"]["hash"],
        header["memory_bytes"],
        header["program_address"],
        commands,
        constants,
        {tensor.name: tensor for tensor in tensors},
        [_port(entry) for entry in header["inputs"]],
        [_port(entry) for entry in header["outputs"]],
        [LayerEntry(**_known(LayerEntry, entry)) for entry in header["layers"]],
        places.astype(np.int32),
        [HostStep(**_known(HostStep, entry)) for entry in header.get("host_steps", [])],
    )


def _tensor(entry: dict[str, Any]) -> ProgramTensor:
    known = _known(ProgramTensor, entry)
    if known.get("view") is not None:
        known["view"] = View(**_known(View, known["view"]))
    return ProgramTensor(**known)


def _port(entry: dict[str, Any]) -> Port:
    known = _known(Port, entry)
    if known.get("softmax") is not None:
        known["softmax"] = Softmax(**_known(Softmax, known["softmax"]))
    known["dialect"] = Dialect(known.get("dialect", Dialect.ONNX))
    return Port(**known)


def _known(kind: type, entry: dict[str, Any]) -> dict[str, Any]:
    """The entries that a dataclass has fields for; JSON's lists become tuples."""
    names = {field.name for field in fields(kind)}
    return {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in entry.items()
        if key in names
    }
