"""The command line: what it prints, and one clear line for everything that is wrong."""

import subprocess
import sys

import pytest

from eyas.cli import COMMANDS, main
from eyas.config import presets


@pytest.fixture
def run(capsys):
    """Runs a command line; returns exit code, stdout and stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exit_info:
            main(arguments)
        out, err = capsys.readouterr()
        return exit_info.value.code or 0, out, err

    return call


@pytest.fixture
def fails(run):
    """Runs a command line that must fail; returns its exit code and its one line."""

    def call(*arguments: str) -> tuple[int, str]:
        code, out, err = run(*arguments)
        assert out == ""
        assert err.startswith("error: ")
        assert err.endswith("\n")
        assert err.count("\n") == 1, err
        return code, err[len("error: ") : -1]

    return call


def test_help_names_every_command(run):
    code, out, _ = run("--help")
    assert code == 0
    for name in COMMANDS:
        assert f"\n  {name} " in out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_commands(run, name):
    code, out, _ = run(name, "--help")
    assert code == 0
    assert out.startswith(f"Usage: eyas {name} ")


def test_help_imports_nothing_heavy():
    script = (
        "import sys\n"
        "from eyas.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'amaranth', 'onnx', 'rich', 'onnxruntime', 'PIL'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_configs(run):
    code, out, _ = run("configs")
    assert code == 0
    for name in presets():
        assert name in out


def test_debug_shows_the_traceback():
    with pytest.raises(Exception, match="no configuration 'huge'"):
        main(["generate", "--config", "huge", "--debug"])


def test_unknown_command_and_option(fails):
    assert fails("frobnicate") == (2, "No such command 'frobnicate'.")
    assert fails("configs", "--size") == (2, "No such option '--size'.")


def test_bad_configurations(fails, tmp_path):
    code, line = fails("generate", "--config", "huge")
    assert code == 1
    assert line == (
        "no configuration 'huge': give one of edge8x8, eyeriss168, tiny4x4 or a .toml file"
    )
    missing = tmp_path / "missing.toml"
    assert fails("generate", "--config", str(missing)) == (
        1,
        f"{missing}: cannot be read (No such file or directory)",
    )
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[array]\nrows = 0\ncols = 4\n[glb]\nfmap_kib = 8\nfilter_kib = 4\n")
    code, line = fails("generate", "--config", str(wrong))
    assert code == 1
    assert line == f"{wrong}: array.rows must be a whole number from 1 to 32, not 0"
