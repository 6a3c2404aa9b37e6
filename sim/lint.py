"""Lints generated Verilog with Verilator: all warnings but those that say nothing here.

What is left matters for any Verilog, also one that a generator wrote: combinational loops, latches,
several drivers, unconnected pins and signals, selects out of range.
"""

import tempfile
from pathlib import Path

from eyas.errors import LinkError
from eyas.sim.verilator import find_verilator

WAIVED = {
    "DECLFILENAME": "one file holds all modules",
    "WIDTHEXPAND": "Amaranth works out every width; its Verilog writer leaves extensions implicit",
    "WIDTHTRUNC": "likewise, and it writes !x for x == 0",
    "CASEINCOMPLETE": "the value of the missing cases is assigned in front of the case",
    "PROCASSINIT": "registers have initial values, so that FPGAs start without reset",
    "VARHIDDEN": "a memory may be called like its module's instance; no name is looked up outside",
    "SYMRSVDWORD": "`interrupt` is a word of C++ somewhere; in Verilog it is a name",
    "UNUSEDSIGNAL": "each port and each field of a structure has a wire of its own, read or not",
}
"""Verilator's warnings that are turned off, and why."""


def lint(verilog: str, top: str) -> list[str]:
    """Verilator's warnings and errors about `verilog`, one a line; none if it is clean."""
    with tempfile.TemporaryDirectory(prefix="eyas-lint-") as folder:
        (Path(folder) / "design.v").write_text(verilog)
        waivers = [f"-Wno-{name}" for name in WAIVED]
        try:
            find_verilator().run(
                ["--lint-only", "-Wall", *waivers, "--top-module", top, "design.v"],
                cwd=Path(folder),
            )
        except LinkError as error:
            return [line for line in str(error).splitlines() if line.startswith("%")]
    return []
