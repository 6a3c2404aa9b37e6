"""The wheel holds everything: installed outside of the checkout, it generates and infers."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOT_SOURCE = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info")

INFERENCE = """
from importlib import resources
import numpy as np
import eyas

with resources.as_file(resources.files("eyas") / "demo" / "digits.onnx") as model:
    session = eyas.Session(model, config="tiny4x4", target="golden")
entry = session.get_inputs()[0]
shape = [size if isinstance(size, int) else 1 for size in entry.shape]
[output] = session.run(None, {entry.name: np.zeros(shape, np.float32)})
assert np.isfinite(output).all() and output.size == 10, output
print(eyas.__file__)
"""


def call(*command: str | Path, cwd: Path) -> str:
    """Runs a program in an environment that knows nothing of the checkout."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy: setuptools would leave its build folder in the checkout."""
    source = tmp_path_factory.mktemp("source") / "eyas"
    shutil.copytree(ROOT, source, symlinks=True, ignore=NOT_SOURCE)
    call(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "out", "."),
        cwd=source,
    )
    [built] = (source / "out").glob("*.whl")
    return built


def test_wheel_holds_every_source_file(wheel):
    """Whatever Python and data files the checkout's packages have, under their import names."""
    held = set(zipfile.ZipFile(wheel).namelist())
    assert "eyas/presets/tiny4x4.toml" in held
    for folder in ("boards", "compiler", "demo", "eyas", "host", "hw", "sim"):
        prefix = Path("eyas") if folder == "eyas" else Path("eyas") / folder
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".toml", ".cpp", ".h", ".onnx", ".npz", ".csv"):
                name = (prefix / path.relative_to(ROOT / folder)).as_posix()
                assert name in held


def test_installed_wheel_generates_and_infers(wheel, tmp_path):
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    call(python, "-m", "pip", "install", "--quiet", wheel, cwd=tmp_path)
    out = call(environment / "bin" / "eyas", "generate", "--config", "tiny4x4", cwd=tmp_path)
    assert "16 PEs" in out
    assert "endmodule" in (tmp_path / "tiny4x4.v").read_text()
    where = call(python, "-c", INFERENCE, cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(environment)
