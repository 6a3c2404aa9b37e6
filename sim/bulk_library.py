"""Compiles the accelerator's Verilog and sim/harness.cpp into a shared library, and binds it.

    Verilog + wrapper ─► Verilator ─► C++ ──────┐
                          └► eyas_banks.h ──────┼─► libeyas.so, in the cache (sim/cache.py)
                sim/harness.cpp, memory_model.h ┘

A wrapper puts a register behind every input, which the harness sets a clock edge ahead. So nothing
depends on an input within a cycle, and Verilator evaluates the logic once a cycle and not twice.
The arrays `words` of the GLB's memories are the only variables that stay visible to the host.
docs/simulation.md has what this and the flags are worth.
"""

import ctypes
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from eyas.errors import LinkError
from eyas.sim.cache import cached, content_key
from eyas.sim.verilator import Verilator, find_verilator, run_tool

_SOURCES = Path(__file__).resolve().parent
_LIBRARY = "libeyas.so"

VERILATOR_FLAGS = (
    *("--cc", "--prefix", "Veyas", "--top-module", "eyas_registered", "-O3"),
    *("--x-assign", "fast", "--x-initial", "fast", "--no-assert"),
    *("-Wno-lint", "-Wno-SYMRSVDWORD"),  # sim/lint.py looks for mistakes
    *("--output-split", "10000", "--output-split-cfuncs", "2000"),
)
FAST = "-O3 -fPIC"
"""Compiler flags of what runs in every cycle."""
SLOW = "-O0 -fPIC"
"""Compiler flags of what runs once, and of Verilator's own library."""

BANKS = (*(f"fmap{n}" for n in range(4)), "filters", *(f"filters{n}" for n in range(4)))
"""All names that GLB memories can have (eyas/config.py), by the number that eyas_bank takes."""


class MemorySettings(ctypes.Structure):
    """Timing of the simulated memory; see MemorySettings in sim/memory_model.h."""

    _fields_ = (
        ("base", ctypes.c_uint64),
        ("seed", ctypes.c_uint64),
        ("bytes_per_cycle", ctypes.c_double),
        ("stall", ctypes.c_double),
        ("read_latency", ctypes.c_uint32),
        ("write_latency", ctypes.c_uint32),
        ("outstanding", ctypes.c_uint32),
        ("reorder", ctypes.c_uint32),
    )


class State(ctypes.Structure):
    """Counts of the harness; see State in sim/harness.cpp."""

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            "cycle",
            "last_transfer",
            "finished",
            "read_bytes",
            "write_bytes",
            "strobed_bytes",
            "errors",
            "error_address",
        )
    )


def compile_library(
    verilog: str, *, waves: bool = False, status: Callable[[str], None] = lambda text: None
) -> Path:
    """The shared library of `verilog`, whose top module is `eyas`, from the cache or new.

    waves: the flavour that can write wave files.
    status: told what takes time, if anything does.
    Raises LinkError with the messages where Verilator or the compiler fails.
    """
    verilator = find_verilator()
    flags = list(VERILATOR_FLAGS)
    if waves:
        flags += [f"--trace-{verilator.wave_format()}"]
    sources = [(_SOURCES / name).read_text() for name in ("harness.cpp", "memory_model.h")]
    compiler = run_tool([verilator.compiler, "--version"])
    key = content_key([verilog, *sources, *flags, FAST, SLOW, verilator.version, compiler])

    def build(folder: Path) -> None:
        status("compiling the simulator (once for this configuration)")
        _build(folder, verilator, verilog, flags, waves)

    return cached("bulk", key, build) / _LIBRARY


def _build(folder: Path, verilator: Verilator, verilog: str, flags: list[str], waves: bool) -> None:
    (folder / "eyas.v").write_text(verilog + _registered(verilog))
    (folder / "banks.vlt").write_text(_visible_arrays(verilog))
    objects = folder / "obj"
    verilator.run([*flags, "--Mdir", str(objects), "banks.vlt", "eyas.v"], cwd=folder)
    (folder / "eyas_banks.h").write_text(_bank_access(objects))
    archives = ["libVeyas.a", "libverilated.a"]
    optimise = {"OPT_FAST": FAST, "OPT_SLOW": SLOW, "OPT_GLOBAL": SLOW}
    verilator.make(objects, "Veyas.mk", targets=archives, **optimise)
    trace = ["-DVM_TRACE=1", f"-DVM_TRACE_FST={int(verilator.wave_format() == 'fst')}"]
    command = [verilator.compiler, *FAST.split(), "-std=c++20", "-shared", "-o", _LIBRARY]
    command += trace if waves else ["-DVM_TRACE=0"]
    include = verilator.include
    command += [f"-I{path}" for path in (folder, objects, _SOURCES, include, include / "vltstd")]
    command += [str(_SOURCES / "harness.cpp"), *(str(objects / name) for name in archives)]
    if waves and verilator.wave_format() == "fst":
        command += ["-llz4", "-lz"]
    run_tool([*command, "-pthread"], env=verilator.env, cwd=folder)
    shutil.rmtree(objects)


def _registered(verilog: str) -> str:
    """Verilog of the wrapper: module eyas_registered, `finished` in place of `interrupt`."""
    top = re.search(r"^module eyas\b.*?^endmodule", verilog, re.MULTILINE | re.DOTALL)
    if not top:
        raise LinkError("the Verilog has no module eyas")
    declaration = r"\b(input|output)\s+(?:reg\s+|wire\s+)?(\[[^\]]+\]\s*)?(\w+)\s*[,;)]"
    ports, body, pins = [], [], []
    for direction, width, name in re.findall(declaration, top[0]):
        outer = "finished" if name == "interrupt" else name
        ports.append(f"{direction} {width}{outer}")
        if direction == "input" and name != "clk":
            body.append(f"  reg {width}{name}_q = 0;\n  always @(posedge clk) {name}_q <= {name};")
            outer = f"{name}_q"
        pins.append(f".{name}({outer})")
    head = f"\nmodule eyas_registered({', '.join(ports)});"
    return "\n".join([head, *body, f"  eyas eyas({', '.join(pins)});", "endmodule", ""])


def _visible_arrays(verilog: str) -> str:
    """A Verilator configuration that makes the GLB's memories accessible, and nothing else."""
    modules = re.findall(rf"^module (\w+__glb__(?:{'|'.join(BANKS)}))\b", verilog, re.MULTILINE)
    lines = [f'public_flat_rw -module "{name}" -var "words"' for name in modules]
    return "\n".join(["`verilator_config", *lines, ""])


def _bank_access(objects: Path) -> str:
    """C++ that finds the GLB's memories in Verilator's model."""
    model = (objects / "Veyas___024root.h").read_text()
    found = re.findall(r"VlUnpacked<QData/\*63:0\*/, (\d+)> (\w+__DOT__(\w+)__DOT__words);", model)
    cases = [
        f"        case {BANKS.index(bank)}: return {{&root->{variable}[0], {depth}}};"
        for depth, variable, bank in found
        if bank in BANKS
    ]
    return "\n".join(
        [
            "#pragma once",
            '#include "Veyas___024root.h"',
            "namespace eyas {",
            "struct Bank { QData *words; uint64_t depth; };",
            "inline Bank bank([[maybe_unused]] Veyas___024root *root, unsigned index) {",
            "    switch (index) {",
            *cases,
            "        default: return {nullptr, 0};",
            "    }",
            "}",
            "}  // namespace eyas",
            "",
        ]
    )


def load_library(path: Path) -> ctypes.CDLL:
    """The library with the types of its functions. Raises LinkError where it does not load."""
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise LinkError(f"the simulator does not load: {error} (delete {path.parent})") from None
    handle, word = ctypes.c_void_p, ctypes.c_uint32
    signatures = {
        "new": (handle, [handle, ctypes.c_uint64, ctypes.POINTER(MemorySettings)]),
        "delete": (None, [handle]),
        "configure": (None, [handle, ctypes.POINTER(MemorySettings)]),
        "reset": (None, [handle, word]),
        "forget_interrupt": (None, [handle]),
        "run": (ctypes.c_int, [handle, ctypes.c_uint64]),
        "write_register": (ctypes.c_int, [handle, word, word]),
        "read_register": (ctypes.c_int, [handle, word, ctypes.POINTER(word)]),
        "state": (None, [handle, ctypes.POINTER(State)]),
        "violation": (ctypes.c_char_p, [handle]),
        "bank": (handle, [handle, word, ctypes.POINTER(ctypes.c_uint64)]),
        "open_waves": (ctypes.c_int, [handle, ctypes.c_char_p]),
        "close_waves": (None, [handle]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, f"eyas_{name}")
        function.restype, function.argtypes = result, arguments
    return library
