"""Compiles the timing model, sim/timing/, into a shared library, and binds it.

    eyas/command.py, eyas/registers.py ─► command_fields.h ─┐
                       sim/timing/, sim/memory_model.h ─────┴─► libtiming.so, in the cache

One library serves all configurations: a configuration is a struct that it is given.
"""

import ctypes
import functools
import re
from pathlib import Path

from eyas import command
from eyas.command import Block, Opcode, Space
from eyas.config import Config
from eyas.errors import LinkError
from eyas.registers import Counter
from eyas.sim.bulk_library import MemorySettings
from eyas.sim.cache import cached, content_key
from eyas.sim.verilator import find_compiler, run_tool

_SIM = Path(__file__).resolve().parent
_SOURCES = _SIM / "timing"
_LIBRARY = "libtiming.so"
_FLAGS = ("-O3", "-std=c++17", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror=switch")

_BLOCKS: dict[str, Block] = {
    "Header": command.HEADER,
    "Descriptor": command.DESCRIPTOR,
    "Tile": command.TILE,
    "Walk": command.WALK,
    "Unit": command.UNIT,
    "Drain": command.DRAIN,
    "Merge": command.MERGE,
    "VectorTile": command.VECTOR_TILE,
    "VectorWindow": command.VECTOR_WINDOW,
}


class TimingConfig(ctypes.Structure):
    """The sizes that timing depends on; Config in sim/timing/config.h."""

    _fields_ = tuple(
        (name, ctypes.c_uint32)
        for name in (
            *("rows", "cols", "ifmap_beats", "tile_slots"),
            *("ifmap_ports", "filter_ports", "lanes", "tables", "merge"),
            *("bus_bytes", "burst_beats", "outstanding", "queue_depth", "counter_width"),
        )
    )

    @classmethod
    def of(cls, config: Config) -> "TimingConfig":
        """What the C++ side takes of a configuration."""
        return cls(
            rows=config.array.rows,
            cols=config.array.cols,
            ifmap_beats=config.spad.ifmap_beats,
            tile_slots=config.noc.tile_slots,
            ifmap_ports=config.glb.ifmap_ports,
            filter_ports=config.glb.filter_ports,
            lanes=config.ppu.lanes,
            tables=config.ppu.tables,
            merge=config.ppu.merge,
            bus_bytes=config.memory.bus_bytes,
            burst_beats=config.memory.burst_beats,
            outstanding=config.memory.outstanding,
            queue_depth=config.control.queue_depth,
            counter_width=config.control.counter_width,
        )


@functools.cache
def timing_library() -> ctypes.CDLL:
    """The library, from the cache or new. Raises LinkError without a C++ compiler."""
    compiler = find_compiler()
    fields = command_fields()
    files = [_SIM / "memory_model.h", *sorted(_SOURCES.iterdir())]
    sources = [path.read_text() for path in files if path.suffix in (".h", ".cpp")]
    key = content_key([fields, *sources, *_FLAGS, run_tool([compiler, "--version"])])

    def build(folder: Path) -> None:
        (folder / "command_fields.h").write_text(fields)
        units = [str(path) for path in files if path.suffix == ".cpp"]
        run_tool([compiler, *_FLAGS, f"-I{folder}", "-o", _LIBRARY, *units], cwd=folder)

    return _bind(cached("timing", key, build) / _LIBRARY)


def command_fields() -> str:
    """C++ that takes commands apart, and the numbers that hardware and programs share."""
    lines = ["#pragma once", "#include <cstdint>", "namespace eyas::timing::fields {"]
    for name, block in _BLOCKS.items():
        lines += _struct(name, block)
    lines += [_enum("Opcode", {opcode.name: opcode for opcode in Opcode})]
    lines += [_enum("Space", {f"SPACE_{space.name}": space for space in Space})]
    numbers = {counter.name: counter for counter in Counter}
    lines += [_enum("Counter", numbers | {"COUNTERS": len(Counter)})]
    blocks = [str(len(command.BLOCKS[engine])) for engine in sorted(command.BLOCKS)]
    lines += [f"constexpr int BLOCKS[] = {{{', '.join(blocks)}}};  // of each engine"]
    for name in ("TABLE_WORDS", "MERGE_WORDS", "VECTOR_OPEN_WINDOWS"):
        lines += [f"constexpr unsigned {name} = {getattr(command, name)};"]
    return "\n".join([*lines, "}", ""])


def _struct(name: str, block: Block) -> list[str]:
    """A struct of the block's fields, and a function that reads it from 32-bit words."""
    declarations, values = [], []
    for field, entry in block.items():
        kind = "uint32_t" if entry.width == 32 else "int32_t"
        declarations.append(f"    {kind} {field};")
        above = 32 - entry.low - entry.width
        shifted = f"w[{entry.word}] << {above}"
        signed = f"int32_t({shifted})" if entry.signed else f"({shifted})"
        values.append(f"{kind}({signed} >> {32 - entry.width})")
    unpack = f"    static {name} unpack(const uint32_t *w) {{ return {{{', '.join(values)}}}; }}"
    return [f"struct {name} {{", *declarations, unpack, "};"]


def _enum(name: str, values: dict[str, int]) -> str:
    entries = ", ".join(f"{entry} = {int(value)}" for entry, value in values.items())
    return f"enum {name} {{ {entries} }};"


def _bind(path: Path) -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        text = re.sub(r"\s+", " ", str(error))
        raise LinkError(f"the timing model does not load: {text} (delete {path.parent})") from None
    handle, count, word = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32
    config, settings = ctypes.POINTER(TimingConfig), ctypes.POINTER(MemorySettings)
    signatures = {
        "new": (handle, [config, handle, count, settings, word, word]),
        "delete": (None, [handle]),
        "run": (ctypes.c_int, [handle, count]),
        "progress": (count, [handle]),
        "counters": (ctypes.POINTER(count), [handle]),
        "failure": (ctypes.c_char_p, [handle]),
        "describe": (None, [handle, ctypes.c_char_p, count]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, f"timing_{name}")
        function.restype, function.argtypes = result, arguments
    return library
