"""The int8 models of MLPerf Tiny, unmodified, on the machine: every byte equal to tflite-micro's.

Through the program interpreter, which executes the compiled commands; tests/test_tflite_rtl.py
holds the RTL against it. The models themselves are not part of the project: without them tests
skip, and tests/compiler/mlperf_tiny.py says where they are to be had. Networks of their shapes with
random filters stand in for them (sim/tflite_networks.py).
"""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from mlperf_tiny import COMMIT, MODELS, read_model
from model_inputs import model_inputs
from tflite_comparison import Comparison
from tflite_structure import file_operators, input_shape

from eyas import Session
from eyas.compiler.compile import load_graph
from eyas.sim.tflite_networks import random_network

PAGE = Path(__file__).parents[1] / "docs" / "mlperf-tiny.md"
TENSORS = {"resnet8": 11, "dscnn": 11, "vww": 29, "autoencoder": 10}
"""What the machine computes: of the operators, not those that are fused into others (a CONV_2D in
front of each ADD), move nothing (RESHAPE) or run on the host (SOFTMAX)."""
HOST_STEPS = {"resnet8": ["softmax"], "dscnn": ["softmax"], "vww": ["softmax"], "autoencoder": []}
LEAST_OUTPUTS = 6
"""Different ones for those inputs; vww has two classes and few levels between them."""
INPUTS = {"model": 100, "random": 12}
"""Of each model: constants and ramps, then images, stripes, noise and so on."""


def network(name, kind):
    return read_model(name) if kind == "model" else random_network(name)


@pytest.fixture(scope="module", params=list(MODELS))
def name(request):
    return request.param


@pytest.fixture(scope="module", params=["model", "random"])
def kind(request):
    return request.param


def test_every_byte(name, kind, seed):
    model, different = network(name, kind), set()
    comparison = Comparison(model, Session(model, config="edge8x8", intermediates=True))
    for what, x in model_inputs(input_shape(model), INPUTS[kind], seed):
        assert comparison.check(f"{kind} {name}, {what}", x) == TENSORS[name]
        different.add(comparison.outputs[0].tobytes())
    assert len(different) > LEAST_OUTPUTS, "the inputs hardly differ to the network"


def test_the_host_runs_only_the_edges(name, kind):
    graph = load_graph(network(name, kind))
    assert [step.kind for step in graph.host_steps] == HOST_STEPS[name]


def test_one_layer_an_operator(name, kind):
    """Additions run in the drain of a convolution, all else as one layer of the machine."""
    graph = load_graph(network(name, kind))
    assert len(graph.layers) == TENSORS[name]


def test_random_networks_are_of_the_same_shapes(name):
    model, random = (list(file_operators(network(name, kind))) for kind in ("model", "random"))
    assert [(op.kind, op.macs, op.output) for op in model] == [
        (op.kind, op.macs, op.output) for op in random
    ]


@pytest.mark.parametrize("network_name", ["dscnn", "autoencoder"])
def test_batches(network_name):
    """A model whose batch is open takes many at once: fmaps and vectors."""
    model = random_network(network_name)
    session = Session(model, config="edge8x8", target="numpy")
    x = np.concatenate([x for _, x in model_inputs(input_shape(model), 12, 3)])[-3:]
    port = session.get_inputs()[0].name
    (together,) = session.run(None, {port: x})
    apart = [session.run(None, {port: x[n : n + 1]})[0] for n in range(3)]
    np.testing.assert_array_equal(together, np.concatenate(apart))
    assert Counter(output.tobytes() for output in apart).most_common(1)[0][1] == 1


def test_docs_say_where_the_models_are(name):
    model, page = MODELS[name], PAGE.read_text(encoding="utf-8")
    assert f"| `{model.file}` | `{model.path}` | `{model.sha256}` |" in page
    assert f"`{COMMIT}`" in page
