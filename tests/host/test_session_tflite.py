"""Sessions with TFLite models: tflite-micro's outputs, channels last, from floats to floats."""

import numpy as np
import pytest
from float_network import SHAPE, float_network
from tflite_comparison import same_tensors
from tflite_reference import MicroModel

import eyas
from eyas.compiler.compile import compile_model
from eyas.compiler.program_file import save_program
from eyas.errors import ModelError


@pytest.fixture(scope="module")
def model():
    return float_network()


@pytest.fixture(scope="module")
def images():
    """Six pictures: a ramp, the extremes, and noise around the steps of the quantisation."""
    rng = np.random.default_rng(5)
    x = rng.normal(0.5, 0.2, (6, *SHAPE)).astype(np.float32)
    x[0] = np.linspace(0, 1, x[0].size).reshape(SHAPE)
    x[1], x[2] = 0, 1
    x[3] = (rng.integers(0, 255, SHAPE) + np.float32(0.5)) * np.float32(1 / 255)
    return x


@pytest.mark.parametrize("target", ["golden", "numpy"])
def test_every_tensor_equals_tflite_micro(target, model, images):
    session, micro = eyas.Session(model, target=target, intermediates=True), MicroModel(model)
    different = set()
    for number, image in enumerate(images):
        [expected] = micro.run(image[None])
        [probabilities] = session.run(None, {"image": image[None]})
        assert (probabilities.dtype, probabilities.shape) == (np.float32, (1, 10))
        np.testing.assert_array_equal(probabilities, expected)
        different.add(expected.tobytes())
        # The convolution in front of the addition, RESHAPE and the host's have none of their own.
        assert same_tensors(f"image {number}", session.intermediates, micro.tensors()) == 8
    assert len(different) == len(images)


def test_batches(model, images):
    session = eyas.Session(model, target="numpy")
    (together,) = session.run(None, {"image": images})
    assert session.intermediates["both"].shape == (6, 32, 8, 10)
    apart = [session.run(None, {"image": image[None]})[0] for image in images]
    np.testing.assert_array_equal(together, np.concatenate(apart))


def test_description(model):
    session = eyas.Session(model)
    [image], [probabilities] = session.get_inputs(), session.get_outputs()
    assert (image.name, image.shape, image.type) == ("image", ["N", 8, 10, 3], "tensor(float)")
    assert (probabilities.name, probabilities.type) == ("probabilities", "tensor(float)")


def test_paths_and_program_files(model, images, tmp_path):
    path, program = tmp_path / "net.tflite", tmp_path / "net.eyas"
    path.write_bytes(model)
    save_program(compile_model(path, "edge8x8"), program)
    sessions = [eyas.Session(source) for source in (model, path, str(path), program)]
    first, *others = (session.run(None, {"image": images[3:4]})[0] for session in sessions)
    for other in others:
        np.testing.assert_array_equal(other, first)
    assert sessions[0].program.host_steps == sessions[-1].program.host_steps


def test_overwritten_tensors_are_no_intermediates(model, images):
    """With memory reuse; a view is there as long as its parent is."""
    session = eyas.Session(compile_model(model, "edge8x8", reuse_memory=True))
    reference = eyas.Session(model, target="numpy")
    for each in (session, reference):
        each.run(None, {"image": images[:2]})
    assert "input" in session.intermediates
    assert len(session.intermediates) < len(reference.intermediates)
    for name, value in session.intermediates.items():
        np.testing.assert_array_equal(value, reference.intermediates[name], name)


def test_channels_first_is_refused(model):
    x = np.zeros((1, 3, 8, 10), np.float32)
    with pytest.raises(ModelError, match=r"shape \(N, 8, 10, 3\), not \(1, 3, 8, 10\)"):
        eyas.Session(model, target="numpy").run(None, {"image": x})


def test_damaged_bytes(model):
    with pytest.raises(ModelError, match="not a valid TFLite model, truncated or damaged"):
        eyas.Session(model[: len(model) // 2])
