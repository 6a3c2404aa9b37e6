"""Sessions: shaped like onnxruntime's, the same outputs, and clear words for a wrong feed."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import eyas
from eyas.compiler.compile import compile_model
from eyas.compiler.program_file import save_program
from eyas.config import Config
from eyas.errors import ModelError

DEMO = Path(__file__).parents[2] / "demo"
MODEL = DEMO / "digits.onnx"


@pytest.fixture(scope="module")
def digits():
    """Eight digits as the network takes them, (8, 1, 28, 28)."""
    images = np.load(DEMO / "digits.npz")["images"][:8]
    return (images.astype(np.float32) / np.float32(255))[:, None]


@pytest.fixture(scope="module")
def reference():
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    return onnxruntime.InferenceSession(str(MODEL), options)


def quantised_ports(unsigned):
    """A model that takes and gives quantised tensors: DequantizeLinear, Conv, QuantizeLinear."""
    dtype, kind = (np.uint8, TensorProto.UINT8) if unsigned else (np.int8, TensorProto.INT8)
    rng = np.random.default_rng(3)
    constants = {
        "scale": np.float32(0.1),
        "zero": dtype(120 if unsigned else -3),
        "w": rng.integers(-60, 60, (3, 2, 3, 3), np.int8),
        "w_scale": np.float32(0.01),
        "w_zero": np.int8(0),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "scale", "zero"], ["x_real"]),
        helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["w_real"]),
        helper.make_node("Conv", ["x_real", "w_real"], ["y_real"], "conv"),
        helper.make_node("QuantizeLinear", ["y_real", "scale", "zero"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "ports",
        [helper.make_tensor_value_info("x", kind, (1, 2, 6, 5))],
        [helper.make_tensor_value_info("y", kind, (1, 3, 4, 3))],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8)


@pytest.mark.parametrize("target", ["golden", "numpy"])
def test_outputs_equal_onnxruntime(target, digits, reference):
    session = eyas.Session(MODEL, target=target)
    (scores,) = session.run(None, {"image": digits})
    (expected,) = reference.run(None, {"image": digits})
    assert scores.dtype == expected.dtype
    assert scores.shape == expected.shape
    assert np.array_equal(scores, expected)


def test_description_equals_onnxruntime(reference):
    session = eyas.Session(MODEL)
    for ours, theirs in (
        (session.get_inputs(), reference.get_inputs()),
        (session.get_outputs(), reference.get_outputs()),
    ):
        assert [(a.name, a.shape, a.type) for a in ours] == [
            (a.name, a.shape, a.type) for a in theirs
        ]


def test_host_quantisation_equals_onnxruntime(reference):
    """Any float: halves, huge ones, infinities, on both sides of the range."""
    session = eyas.Session(MODEL, target="numpy")
    rng = np.random.default_rng(1)
    x = rng.choice(
        [0.5, -0.5, 1.5, 1e30, -1e30, np.inf, -np.inf, 0.0, -0.0, 1e-40], (2, 1, 28, 28)
    ).astype(np.float32)
    x[1] = (rng.integers(-600, 600, (1, 28, 28)) / np.float32(2)) * np.float32(1 / 255)
    (scores,) = session.run(["scores"], {"image": x})
    assert np.array_equal(scores, reference.run(None, {"image": x})[0])


@pytest.mark.parametrize("unsigned", [False, True])
def test_quantised_inputs_and_outputs(unsigned):
    model = quantised_ports(unsigned)
    session = eyas.Session(model, target="golden")
    (entry,), (result,) = session.get_inputs(), session.get_outputs()
    kind = "tensor(uint8)" if unsigned else "tensor(int8)"
    assert (entry.type, entry.shape, result.type) == (kind, [1, 2, 6, 5], kind)
    info = np.iinfo(np.uint8 if unsigned else np.int8)
    x = np.random.default_rng(4).integers(info.min, info.max, (1, 2, 6, 5), info.dtype)
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    assert np.array_equal(session.run(None, {"x": x})[0], expected)


def test_batches_run_one_after_the_other(digits):
    session = eyas.Session(MODEL, intermediates=True)
    (together,) = session.run(None, {"image": digits[:3]})
    work = session.counters["useful_macs"]
    assert session.intermediates["pool1_QuantizeLinear_Output"].shape == (3, 8, 14, 14)
    (alone,) = session.run(None, {"image": digits[1:2]})
    assert np.array_equal(alone[0], together[1])
    assert session.counters["useful_macs"] * 3 == work == 962_496 * 3


@pytest.mark.parametrize("target", ["golden", "numpy"])
def test_batches_that_share_filters(target, digits):
    """Three images a run: eight of them take three runs, the last with one image missing."""
    apart = eyas.Session(MODEL, intermediates=True)
    expected = apart.run(None, {"image": digits})[0]
    session = eyas.Session(MODEL, target=target, batch=3, intermediates=True)
    assert session.program.batch == 3
    assert np.array_equal(session.run(None, {"image": digits})[0], expected)
    for name, values in apart.intermediates.items():
        assert np.array_equal(session.intermediates[name], values), name
    assert np.array_equal(session.run(None, {"image": digits[4:5]})[0], expected[4:5])
    if target == "golden":
        macs = apart.counters["useful_macs"] // len(digits)
        assert session.counters["useful_macs"] == 3 * macs


def test_a_program_for_another_batch(tmp_path, digits):
    path = tmp_path / "digits.eyas"
    save_program(compile_model(MODEL, "edge8x8", batch=2), path)
    with pytest.raises(ModelError, match="was made for batches of 2, not of 4; compile it again"):
        eyas.Session(path, batch=4)
    session = eyas.Session(path)
    assert session.program.batch == 2
    expected = eyas.Session(MODEL).run(None, {"image": digits})[0]
    assert np.array_equal(session.run(None, {"image": digits})[0], expected)


def test_intermediates_of_the_targets_are_equal(digits):
    golden, numpy_ = eyas.Session(MODEL, intermediates=True), eyas.Session(MODEL, target="numpy")
    for session in (golden, numpy_):
        session.run(None, {"image": digits[:2]})
    assert golden.intermediates.keys() == numpy_.intermediates.keys()
    for name, value in golden.intermediates.items():
        assert np.array_equal(value, numpy_.intermediates[name]), name


def test_fmaps_that_stay_in_the_glb_are_intermediates_if_asked_for(digits):
    """They are never in memory otherwise: no address, no traffic, the same outputs."""
    lean, every = eyas.Session(MODEL), eyas.Session(MODEL, intermediates=True)
    scores = [session.run(None, {"image": digits[:2]})[0] for session in (lean, every)]
    assert np.array_equal(*scores)
    kept = lean.program.unstored
    assert {"conv2_QuantizeLinear_Output"} <= set(kept)
    assert every.program.unstored == []
    assert lean.intermediates.keys() == every.intermediates.keys() - set(kept)
    for name, value in lean.intermediates.items():
        assert np.array_equal(value, every.intermediates[name]), name
    assert lean.counters["memory_write_bytes"] < every.counters["memory_write_bytes"]


def test_intermediates_of_a_program_that_lacks_them(digits):
    lean = compile_model(MODEL, "edge8x8", intermediates=False)
    with pytest.raises(ModelError, match=r"keeps conv2_\w+, .* in the GLB .*; compile it again"):
        eyas.Session(lean, intermediates=True)
    session = eyas.Session(compile_model(MODEL, "edge8x8"), intermediates=True)
    session.run(None, {"image": digits[:1]})
    assert "conv2_QuantizeLinear_Output" in session.intermediates


def test_program_files(tmp_path, digits):
    path = tmp_path / "digits.eyas"
    save_program(compile_model(MODEL, "edge8x8"), path)
    (scores,) = eyas.Session(path).run(None, {"image": digits[:1]})
    assert np.array_equal(scores, eyas.Session(MODEL).run(None, {"image": digits[:1]})[0])
    with pytest.raises(ModelError, match="target numpy needs the model itself"):
        eyas.Session(path, target="numpy")
    with pytest.raises(ModelError, match="compile it again"):
        eyas.Session(path, config="tiny4x4")


def test_overwritten_tensors_are_no_intermediates(digits):
    program = compile_model(MODEL, "edge8x8", reuse_memory=True)
    session = eyas.Session(program)
    (scores,) = session.run(None, {"image": digits[:1]})
    reference = eyas.Session(MODEL, target="numpy")
    assert np.array_equal(scores, reference.run(None, {"image": digits[:1]})[0])
    assert len(session.intermediates) < len(reference.intermediates)
    for name, value in session.intermediates.items():
        assert np.array_equal(value, reference.intermediates[name]), name


@pytest.mark.parametrize(
    ("feed", "message"),
    [
        ({}, "digits.onnx: input image is missing from the feed"),
        ({"x": 1}, "digits.onnx: no input 'x' (inputs: image)"),
        ({"image": np.zeros((1, 1, 28, 28))}, "input image must be float32, not float64"),
        ({"image": np.zeros((1, 28, 28), np.float32)}, "shape (N, 1, 28, 28), not (1, 28, 28)"),
        ({"image": np.zeros((0, 1, 28, 28), np.float32)}, "shape (N, 1, 28, 28), not (0, 1, 2"),
        ({"image": np.full((1, 1, 28, 28), np.nan, np.float32)}, "has NaN in it"),
    ],
)
def test_wrong_feed(feed, message):
    with pytest.raises(ModelError) as caught:
        eyas.Session(MODEL, target="numpy").run(None, feed)
    assert message in str(caught.value)


def test_wrong_names():
    session = eyas.Session(MODEL, target="numpy")
    with pytest.raises(ModelError, match=r"no output 'probabilities' \(outputs: scores\)"):
        session.run(["probabilities"], {"image": np.zeros((1, 1, 28, 28), np.float32)})
    with pytest.raises(ModelError, match="no target 'fpga': give one of golden, numpy, rtl"):
        eyas.Session(MODEL, target="fpga")


def test_configuration_object_and_name_are_the_same(digits):
    by_name = eyas.Session(MODEL, config="tiny4x4")
    by_object = eyas.Session(MODEL, config=Config.load("tiny4x4"))
    for session in (by_name, by_object):
        session.run(None, {"image": digits[:1]})
    assert by_name.counters == by_object.counters


def test_rtl_equals_interpreter_and_onnxruntime(digits, reference):
    """The network in the generated Verilog, two digits in one batch, every tensor."""
    rtl = eyas.Session(MODEL, config="tiny4x4", target="rtl", profile=True, intermediates=True)
    golden = eyas.Session(rtl.program, config="tiny4x4")
    feed = {"image": digits[:2]}
    assert np.array_equal(rtl.run(None, feed)[0], reference.run(None, feed)[0])
    golden.run(None, feed)
    for name, value in golden.intermediates.items():
        assert np.array_equal(rtl.intermediates[name], value), name
    assert golden.counters.items() <= rtl.counters.items()
    assert rtl.counters["cycles"] > 2 * 962_496 / 16
    layers = sum(counters["useful_macs"] for counters in rtl.layer_counters)
    assert layers == rtl.counters["useful_macs"] == 2 * 962_496
