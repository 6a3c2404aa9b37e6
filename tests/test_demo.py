"""The demo: its network and digits are what README.md says, and its last line is earned."""

import re
import subprocess
import sys

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import numpy_helper

from eyas.compiler.compile import load_graph
from eyas.demo import run as demo
from eyas.demo.art import draw, sheet
from eyas.demo.compare import Comparison
from eyas.demo.reference import Reference
from eyas.host import targets
from eyas.registers import Counter

FILE_LIMIT_BYTES = 60_000


def test_network_is_as_described():
    model = onnx.load(demo.MODEL)
    kinds = {node.op_type for node in model.graph.node}
    assert {"Conv", "Relu", "MaxPool", "Flatten", "Gemm"} <= kinds
    graph = load_graph(demo.MODEL)
    filters = [layer for layer in graph.layers if hasattr(layer, "filters")]
    assert sum(layer.filters.size + layer.bias.size for layer in filters) <= 20_000
    assert {layer.stride for layer in filters} == {(1, 1), (2, 2)}
    assert demo.MODEL.stat().st_size < FILE_LIMIT_BYTES
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    types = {
        (values[node.input[2]].dtype.name, values[node.input[1]].size > 1)
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and values[node.input[2]].dtype != np.int32
    }
    assert types == {("int8", False), ("int8", True)}  # fmaps, and filters per channel


def test_accuracy_on_digits_held_back():
    images, labels = demo.load_digits()
    assert images.shape == (500, 28, 28)
    assert min(np.bincount(labels)) > 30
    scores = Reference(demo.MODEL, []).run({"image": demo.network_input(images)})["scores"]
    assert np.mean(scores.argmax(axis=1) == labels) >= 0.97


def test_drawing():
    image = np.zeros((8, 8), np.uint8)
    image[:2] = 255  # the upper half of the first line
    image[4:, 4:] = 255  # the right half of the second
    assert draw(image) == ["▀▀▀▀", "  ██"]
    lines = sheet(np.stack([image] * 3), ["a", "b", "c"], columns=2).splitlines()
    assert lines[0] == "▀▀▀▀  ▀▀▀▀"
    assert lines[2] == " a     b"
    assert lines[4:] == ["▀▀▀▀", "  ██", " c"]


def test_comparison_counts_bytes_that_are_equal_everywhere():
    comparison = Comparison()
    ours = {"a": np.arange(10, dtype=np.int8), "b": np.zeros((2, 3), np.int8)}
    other = {"a": ours["a"].copy(), "b": ours["b"].copy()}
    comparison.add(ours, (other, other), {"b": np.zeros(6, np.int8)})
    assert comparison.holds
    third = {"a": ours["a"] // 9, "b": ours["b"]}  # equal to `ours` in its first element only
    comparison.add(ours, (other, third), {"b": np.array([0, 0, 1, 0, 0, 0], np.int8)})
    assert not comparison.holds
    assert str(comparison) == (
        "bit-exact: 23/32 bytes equal (RTL = interpreter = NumPy), 11/12 equal to onnxruntime"
    )
    assert not Comparison().holds, "nothing compared is no success"


class InterpreterAsRtl(targets.GoldenTarget):
    """Stands in for the RTL where a test is about the demo itself; `damage` changes a byte."""

    damage = False

    def __init__(self, program, config, status):
        super().__init__(program, config)
        self._address = program.tensors["pool1_QuantizeLinear_Output"].address

    def _execute(self):
        counts = super()._execute()
        self.memory[self._address] ^= self.damage
        return counts | {Counter.CYCLES: 1000}


@pytest.mark.parametrize("damage", [False, True])
def test_exit_code_says_whether_everything_is_equal(monkeypatch, damage):
    monkeypatch.setattr("eyas.host.session.RtlTarget", InterpreterAsRtl)
    monkeypatch.setattr(InterpreterAsRtl, "damage", damage)
    done = CliRunner().invoke(demo.main, ["--digits", "2", "--held-back", "3"])
    assert done.exit_code == int(damage), done.output
    equal = 2 * (15_194 - damage)
    assert done.output.splitlines()[-1] == (
        f"bit-exact: {equal}/30388 bytes equal (RTL = interpreter = NumPy), "
        f"{equal}/30388 equal to onnxruntime"
    )


def test_wrong_configuration_is_an_error_line():
    done = CliRunner().invoke(demo.main, ["--config", "huge"])
    assert done.exit_code == 1
    assert done.output.startswith("error: no configuration 'huge'")


def test_demo_through_the_rtl():
    command = [sys.executable, "-m", "eyas.demo.run", "--config", "tiny4x4"]
    command += ["--digits", "2", "--held-back", "20"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    assert last == (
        "bit-exact: 30388/30388 bytes equal (RTL = interpreter = NumPy), "
        "30388/30388 equal to onnxruntime"
    )
    row = re.search(r"│ network +│[^│]+│ +962,496 │ +([\d,]+) │ +(\d+)% │", done.stdout)
    assert row, done.stdout
    cycles = int(row[1].replace(",", ""))
    assert int(row[2]) == round(100 * 962_496 / 16 / cycles)
