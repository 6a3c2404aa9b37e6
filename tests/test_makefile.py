"""The Makefile says in a line what is missing."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("present", "message"),
    [
        ([], "error: no C++ compiler: install g++"),
        (["g++"], "error: no perl: install perl"),
        (["clang++", "perl"], ""),
    ],
)
def test_missing_tools(tmp_path, present, message):
    for name in present:
        tool = tmp_path / name
        tool.write_text("#!/bin/sh\n")
        tool.chmod(0o755)
    make = shutil.which("make")
    assert make
    done = subprocess.run(
        [make, "tools"], cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True
    )
    lines = done.stderr.splitlines()
    if message:
        assert done.returncode
        assert lines[0].startswith(message)
    else:
        assert done.returncode == 0, done.stderr
