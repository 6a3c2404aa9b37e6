"""The command line: what it prints, and one clear line for everything that is wrong."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from float_network import HOST_STEPS, SHAPE, float_network
from measurement_cases import invented
from PIL import Image
from tflite_reference import micro_run

from eyas.cli import COMMANDS, main
from eyas.compiler.program import Program
from eyas.config import presets
from eyas.sim.bench import STANDARD, Bench, useful_macs
from eyas.sim.networks import NETWORKS
from eyas.sim.program_run import ProgramResult, mismatch
from eyas.sim.verilator import find_verilator

ROOT = Path(__file__).parent.parent
DIGITS = str(ROOT / "demo" / "digits.onnx")
KEPT_BYTES = {
    "conv2_QuantizeLinear_Output": 16 * 14 * 14,
    "conv3_QuantizeLinear_Output": 32 * 7 * 7,
}
"""Of tensors of the demo network that no pool makes or reads."""
ODD_LAYER = ("--shape", "C=9,M=11,H=16,W=12,R=3,S=2,U=2,P=1")
"""A short layer in which nothing divides anything."""


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
        "heavy = {'numpy', 'amaranth', 'onnx', 'rich', 'onnxruntime', 'PIL', 'matplotlib'}\n"
        "heavy &= set(sys.modules)\n"
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
        "no configuration 'huge': give one of edge8x8, eyeriss168, square16, square32, square4, "
        "square8, tiny4x4 or a .toml file"
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


def test_generate(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = run("generate", "--config", "tiny4x4")
    assert code == 0
    assert out.startswith("tiny4x4.v: 16 PEs (4 × 4), 8 + 4 KiB of GLB, ")
    text = (tmp_path / "tiny4x4.v").read_text()
    assert "module eyas" in text
    code, out, _ = run("generate", "--config", "tiny4x4", "-o", "-")
    assert (code, out) == (0, text)


def test_layer(run):
    code, out, _ = run("layer", "--config", "tiny4x4", *ODD_LAYER, "--seed", "5")
    assert code == 0
    assert "all 616 bytes equal the reference" in out
    assert "all 616 bytes equal the program" in out
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert {"mapping", "cycles", "utilisation", "stalls", "memory", "speed"} <= set(lines)


def test_slow_memory_is_slower_and_still_exact(run):
    def cycles(*options: str) -> int:
        code, out, _ = run("layer", "--config", "tiny4x4", *ODD_LAYER, *options)
        assert code == 0
        [line] = [line for line in out.splitlines() if line.startswith("cycles")]
        return int(line.split()[1].strip(",").replace(",", ""))

    plain = cycles()
    assert cycles("--memory-latency", "500") > plain
    assert cycles("--memory-bytes-per-cycle", "0.5") > plain
    assert cycles("--back-pressure", "0.5", "--dialect", "onnx") > plain


@pytest.mark.parametrize("data", ["min", "max", "ramp"])
def test_layer_data(run, data):
    code, out, _ = run("layer", "--config", "tiny4x4", *ODD_LAYER, "--data", data)
    assert code == 0
    assert "all 616 bytes equal the program" in out


def test_layer_says_where_bytes_differ(run, monkeypatch):
    read = Program.read_tensor

    def wrong(program, memory, name):
        tensor = read(program, memory, name)
        if name == "ofmap" and memory.nbytes > program.memory_bytes:  # of the simulator
            tensor[3, 2, 1] ^= 0x10
        return tensor

    monkeypatch.setattr(Program, "read_tensor", wrong)
    code, out, _ = run("layer", "--config", "tiny4x4", *ODD_LAYER)
    assert code == 1
    assert "all 616 bytes equal the reference" in out
    assert "1 of 616 bytes differ, first channel 3, row 2, column 1" in out


def test_compile_simulate_run_diff(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = run("compile", DIGITS, "--config", "tiny4x4")
    assert code == 0
    for text in ("conv1", "fully connected", "vector unit", "q=", "predicted: ", "digits.eyas: "):
        assert text in out
    code, out, _ = run("simulate", "digits.eyas", "--config", "tiny4x4")
    assert code == 0
    [kept] = re.findall(r"^not stored +(.*): in the GLB only", out, re.MULTILINE)
    names = kept.split(", ")
    assert set(names) <= set(KEPT_BYTES)
    size = 15_194 - sum(KEPT_BYTES[name] for name in names)
    assert f"all {size:,} bytes of {8 - len(names)} tensors equal the reference" in out
    assert "conv4" in out
    assert "stalls" in out
    code, out, _ = run("diff", "digits.eyas", "--config", "tiny4x4")
    assert code == 0
    assert out.startswith("no difference: ")
    for target in ("golden", "rtl"):
        options = ("--target", target, "--output", f"{target}.npz")
        code, out, _ = run("run", "digits.eyas", "--config", "tiny4x4", *options)
        assert code == 0
        assert out.startswith("scores float32 (1, 10)\n")
    golden, rtl = (np.load(f"{target}.npz")["scores"] for target in ("golden", "rtl"))
    assert np.array_equal(golden, rtl)
    assert golden.any()


def test_intermediates(run, fails, tmp_path, monkeypatch):
    """Fmaps that could stay in the GLB are stored, and compared, if asked for."""
    monkeypatch.chdir(tmp_path)
    code, out, _ = run("simulate", DIGITS, "--config", "tiny4x4", "--intermediates")
    assert code == 0
    assert "all 15,194 bytes of 8 tensors equal the reference" in out
    assert "not stored" not in out
    run("compile", DIGITS, "--config", "tiny4x4")
    options = ("--config", "tiny4x4", "--intermediates")
    code, line = fails("simulate", "digits.eyas", *options)
    assert code == 1
    assert line.startswith("digits.onnx: the program keeps conv2_QuantizeLinear_Output")
    assert line.endswith("compile it again, with intermediates")
    lean = Path("digits.eyas").stat().st_size
    run("compile", DIGITS, *options)
    assert Path("digits.eyas").stat().st_size > lean
    code, out, _ = run("simulate", "digits.eyas", *options)
    assert "all 15,194 bytes of 8 tensors equal the reference" in out


@pytest.fixture
def tflite_file(tmp_path, monkeypatch):
    """A TFLite model that takes images as floats, `net.tflite` in the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("net.tflite").write_bytes(float_network())
    return "net.tflite"


def test_compile_a_tflite_model(run, tflite_file):
    code, out, _ = run("compile", tflite_file, "--config", "tiny4x4")
    assert code == 0
    assert "net.eyas: " in out
    rows = [re.split(r" {2,}", line) for line in out.split("\n\n")[0].splitlines()]
    assert rows[0][:4] == ["layer", "kind", "shape", "runs on"]
    assert [(name, kind) for name, kind, *_ in rows[1:]] == [
        ("input", "quantize"),
        ("conv_2d_1", "convolution"),
        ("conv_2d_2", "convolution, add"),
        ("maxima", "max pool"),
        ("conv_2d_6", "convolution"),
        ("average_pool_2d_7", "average pool"),
        ("fully_connected_9", "fully connected"),
        ("softmax_10", "softmax"),
        ("probabilities", "dequantize"),
    ]
    assert [row[1] for row in rows if row[3] == "host"] == HOST_STEPS


def test_a_tflite_model_on_the_rtl(run, tflite_file):
    code, out, _ = run("simulate", tflite_file, "--config", "tiny4x4", "--intermediates")
    assert code == 0
    assert "all 7,154 bytes of 8 tensors equal the reference" in out
    code, out, _ = run("diff", tflite_file, "--config", "tiny4x4", "--seed", "2")
    assert code == 0
    pixels = np.random.default_rng(3).integers(0, 256, SHAPE, np.uint8)
    Image.fromarray(pixels).save("picture.png")
    np.save("ramp.npy", np.linspace(-0.2, 1.2, pixels.size, dtype=np.float32).reshape(1, *SHAPE))
    inputs = ("--input", "picture.png", "--input", "ramp.npy")
    options = ("--config", "tiny4x4", "--target", "rtl", "--output", "out.npz")
    code, out, _ = run("run", tflite_file, *inputs, *options)
    assert code == 0
    assert out.startswith("probabilities float32 (2, 10)\n")
    model = Path(tflite_file).read_bytes()
    given = pixels[None].astype(np.float32) / np.float32(255), np.load("ramp.npy")
    expected = np.concatenate([micro_run(model, [x])[0] for x in given])
    assert np.array_equal(np.load("out.npz")["probabilities"], expected)
    assert not np.array_equal(expected[0], expected[1])


def test_simulate_a_batch_of_files(run, tmp_path):
    images = np.load(ROOT / "demo" / "digits.npz")["images"]
    files = [str(tmp_path / "one.png"), str(tmp_path / "two.npy")]
    Image.fromarray(images[0]).save(files[0])
    np.save(files[1], images[1:3, None] / np.float32(255))
    inputs = [part for file in files for part in ("--input", file)]
    code, out, _ = run("simulate", DIGITS, "--config", "tiny4x4", "--intermediates", *inputs)
    assert code == 0
    assert "inference    3 of 3" in out
    assert f"all {3 * 15_194:,} bytes of 8 tensors equal the reference" in out


def test_batches(run, tmp_path, monkeypatch):
    """Two images a run; of the second run's the user has one."""
    monkeypatch.chdir(tmp_path)
    options = ("--config", "tiny4x4", "--intermediates")
    code, out, _ = run("compile", DIGITS, *options, "--batch", "2")
    assert code == 0
    assert "1×28×28 → 8×28×28, 3×3, 2 images" in out
    images = np.load(ROOT / "demo" / "digits.npz")["images"]
    np.save("three.npy", images[:3, None] / np.float32(255))
    options = ("--config", "tiny4x4", "--input", "three.npy")
    code, out, _ = run("simulate", "digits.eyas", *options)
    assert code == 0
    assert "inference    2 of 2" in out
    assert f"all {3 * 15_194:,} bytes of 8 tensors equal the reference" in out
    code, out, _ = run("diff", "digits.eyas", *options)
    assert code == 0
    scores = []
    for arguments in (("digits.eyas",), (DIGITS, "--batch", "3"), (DIGITS,)):
        code, out, _ = run("run", *arguments, *options, "--output", "out.npz")
        assert code == 0
        scores.append(np.load("out.npz")["scores"])
    assert scores[0].shape == (3, 10)
    assert np.array_equal(scores[0], scores[2])
    assert np.array_equal(scores[1], scores[2])


def test_simulate_says_where_bytes_differ(run, monkeypatch):
    wrong = mismatch(np.zeros((2, 3, 4), np.int8), np.eye(4, dtype=np.int8)[None, :3].repeat(2, 0))
    monkeypatch.setattr(ProgramResult, "mismatches", lambda *_: {"conv1": wrong})
    code, out, _ = run("simulate", DIGITS, "--config", "tiny4x4")
    assert code == 1
    assert "tensor conv1: 6 of 24 bytes differ, first channel 0, row 0, column 0: 1 instead" in out
    assert "exact" not in out


def test_bench(run, tmp_path):
    """The small networks in RTL: a table each, JSON and plot of both."""
    files = {name: tmp_path / f"bench.{name}" for name in ("json", "png")}
    options = ("--config", "tiny4x4", "--memory-bytes-per-cycle", "2.5", "--memory-latency", "20")
    options += ("--json", str(files["json"]), "--plot", str(files["png"]))
    code, out, err = run("bench", "lenet5", "dscnn", *options)
    assert (code, err) == (0, "")
    assert "4 × 4 PEs, memory of 2.5 bytes/cycle, latency 20 cycles" in out
    records = json.loads(files["json"].read_text("utf-8"))
    layers = [record for record in records if record["layer"] != "total"]
    totals = [record for record in records if record["layer"] == "total"]
    assert [(t["network"], t["macs"]) for t in totals] == [
        ("lenet5", 357_600),
        ("dscnn", 2_656_000),
    ]
    assert [layer["layer"] for layer in layers[:4]] == ["conv1", "pool1", "conv2", "pool2"]
    for total in totals:
        assert f"{total['cycles']:,} for {total['macs']:,} useful MACs" in out
        assert f"{total['utilisation']:.2%} of 16 PEs" in out
        mine = [layer for layer in layers if layer["network"] == total["network"]]
        for key in ("macs", "cycles", "memory_read_bytes", "glb_writes", "spad_accesses"):
            assert total[key] == sum(layer[key] for layer in mine), key
        for layer in mine:
            assert re.search(rf"^{layer['layer']} .*[^,\d]{layer['cycles']:,} ", out, re.MULTILINE)
    assert files["png"].stat().st_size > 10_000


def test_bench_against_eyeriss(run, monkeypatch):
    """Their batches unless another is asked for; ours beside theirs."""
    asked = []

    def measure(_, network, batch):
        asked.append((network, batch))
        return invented(network, useful_macs(NETWORKS[network]()), batch)

    monkeypatch.setattr(Bench, "measure", measure)
    code, out, _ = run("bench", "--against", "eyeriss")
    assert code == 0
    assert asked == [("alexnet", 4), ("vgg16", 3)]
    rows = {tuple(line.split()) for line in out.splitlines()}
    assert ("total", "76.6%", "68.7%", "50.0%") in rows
    assert ("conv2_1", "20.4%", "17.6%", "50.0%") in rows  # 2.775 GMAC in 405.3 ms, 470.3 ms
    assert "IEEE JSSC 52(1), 2017" in out
    asked.clear()
    assert run("bench", "alexnet", "--against", "eyeriss", "--batch", "2")[0] == 0
    assert asked == [("alexnet", 2)]


def test_bench_all_networks(run, monkeypatch):
    asked = []

    def measure(_, network, batch):
        asked.append((network, batch))
        return invented(network, {"conv1": 1000})

    monkeypatch.setattr(Bench, "measure", measure)
    assert run("bench")[0] == 0
    assert asked == [(network, 1) for network in STANDARD]


def test_bench_keeps_what_it_has(run, monkeypatch, tmp_path):
    """JSON is written network by network: a long run that is stopped is not lost."""

    def measure(_, network, batch):
        if network == "vww":
            raise KeyboardInterrupt
        return invented(network, {"conv1": 1000})

    monkeypatch.setattr(Bench, "measure", measure)
    path = tmp_path / "bench.json"
    code, _, err = run("bench", "lenet5", "vww", "--json", str(path))
    assert (code, err.strip()) == (130, "interrupted")
    assert [record["network"] for record in json.loads(path.read_text())] == ["lenet5"] * 2


def test_bench_without_matplotlib(fails, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert fails("bench", "lenet5", "--plot", str(tmp_path / "x.png")) == (
        1,
        "plots need matplotlib: pip install eyas[plot]",
    )


@pytest.mark.slow
def test_waves(run, tmp_path):
    path = tmp_path / f"layer.{find_verilator().wave_format()}"
    code, out, _ = run("layer", "--config", "tiny4x4", *ODD_LAYER, "--waves", str(path))
    assert code == 0
    assert out.splitlines()[-1].split() == ["waves", str(path)]
    assert path.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        ("layer --shape C=3,M=4", 1, "shape: H must be given, as in C=16,M=32,H=28"),
        ("layer", 2, "Missing option '--shape'."),
        ("layer --shape C=1,M=1,H=1 --memory-latency x", 2, "'x' is not a valid integer range."),
        ("layer --shape C=1,M=1,H=1 --back-pressure 1", 2, "1.0 is not in the range 0<=x<1."),
        ("compile missing.onnx", 1, "missing.onnx: cannot be read (No such file or directory)"),
        ("compile broken.onnx", 1, "broken.onnx: not an ONNX model"),
        ("compile missing.tflite", 1, "missing.tflite: cannot be read (No such file or directory)"),
        ("compile broken.tflite", 1, "broken.tflite: not a TFLite model"),
        ("run cut.tflite", 1, "cut.tflite: not a valid TFLite model, truncated or damaged"),
        ("simulate missing.eyas", 1, "missing.eyas: cannot be read (No such file or directory)"),
        ("simulate broken.eyas", 1, "broken.eyas: "),
        (f"simulate {DIGITS} --input none.npy", 1, "none.npy: no such file"),
        (f"compile {DIGITS} -o none/x.eyas", 2, "none/x.eyas: cannot be written, there is no"),
        ("generate -o none/x.v", 2, "none/x.v: cannot be written, there is no folder none"),
        (f"run {DIGITS} --target board", 2, "'board' is not one of 'golden', 'rtl'."),
        (f"run {DIGITS} --output x.csv", 2, "x.csv: outputs are written as .npz"),
        ("diff", 2, "give either a model or --shape"),
        ("bench lenet", 2, "no network 'lenet': there are lenet5, alexnet, overfeat, vgg16, goo"),
        (
            "bench vww --against eyeriss",
            2,
            "nothing is published for vww, only for alexnet and vgg",
        ),
        ("bench --against tpu", 2, "'tpu' is not 'eyeriss'."),
        ("bench --engine fpga", 2, "'fpga' is not one of 'model', 'rtl'."),
        ("bench --batch 0", 2, "0 is not in the range x>=1."),
        ("bench --memory-bytes-per-cycle 0", 2, "0.0 is not in the range x>0."),
        ("bench --memory-latency -1", 2, "-1 is not in the range x>=0."),
        ("bench --json none/x.json", 2, "none/x.json: cannot be written, there is no folder none"),
        ("bench --plot x.gif", 2, "x.gif: plots are written as .png, .svg, .pdf"),
        ("bench --config huge", 1, "no configuration 'huge': give one of edge8x8, "),
    ],
)
def test_bad_options_and_files(fails, tmp_path, monkeypatch, arguments, code, line):
    monkeypatch.chdir(tmp_path)
    for name in ("broken.onnx", "broken.tflite", "broken.eyas"):
        (tmp_path / name).write_text("no model")
    (tmp_path / "cut.tflite").write_bytes(float_network()[:9000])
    got_code, got_line = fails(*arguments.split())
    assert got_code == code
    assert line in got_line
