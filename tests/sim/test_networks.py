"""Networks by their papers: shapes, MACs and filters; and the fmaps of random ones are alive."""

import numpy as np
import pytest

from eyas.compiler.ir import Convolution
from eyas.sim.bench import STANDARD, useful_macs
from eyas.sim.golden import run_graph
from eyas.sim.networks import NETWORKS

SHAPES = {
    "lenet5": {"conv1": (6, 28, 28), "pool1": (6, 14, 14), "conv2": (16, 10, 10)},
    "alexnet": {"conv1": (96, 55, 55), "conv2": (256, 27, 27), "conv4": (384, 13, 13),
                "pool5": (256, 6, 6)},
    "overfeat": {"conv1": (96, 56, 56), "conv2": (256, 24, 24), "conv5": (1024, 12, 12),
                 "pool5": (1024, 6, 6)},
    "vgg16": {"conv1_2": (64, 224, 224), "conv3_3": (256, 56, 56), "pool5": (512, 7, 7)},
    "vgg16_conv3_to_5": {"conv3_1": (256, 56, 56), "conv5_3": (512, 14, 14)},
    "googlenet": {"pool1": (64, 56, 56), "pool2": (192, 28, 28),
                  "inception_3a/output": (256, 28, 28), "inception_3b/output": (480, 28, 28),
                  "inception_4a/output": (512, 14, 14), "inception_4d/output": (528, 14, 14),
                  "inception_4e/output": (832, 14, 14), "inception_5b/output": (1024, 7, 7),
                  "inception_5b/5x5_reduce": (48, 7, 7), "pool5": (1024, 1, 1)},
    "resnet50": {"pool1": (64, 56, 56), "conv2_c/add": (256, 56, 56),
                 "conv3_a/1x1_reduce": (128, 28, 28), "conv3_a/3x3": (128, 28, 28),
                 "conv4_f/add": (1024, 14, 14), "conv5_c/add": (2048, 7, 7)},
    "mobilenet_v1": {"conv1": (32, 112, 112), "conv3/dw": (64, 56, 56),
                     "conv12/pw": (512, 14, 14), "conv14/pw": (1024, 7, 7)},
    "resnet8": {"block1/add": (16, 32, 32), "block3/shortcut": (64, 8, 8), "pool": (64, 1, 1)},
    "dscnn": {"conv1": (64, 25, 5), "conv5/pw": (64, 25, 5), "pool": (64, 1, 1)},
    "vww": {"conv1": (8, 48, 48), "conv6/pw": (64, 12, 12), "pool": (256, 1, 1)},
}  # fmt: skip
"""Ofmaps (M, E, F), from the papers' tables and the models of MLPerf Tiny."""
MACS = {
    "alexnet": 666e6,
    "vgg16": 15.35e9,
    "googlenet": 1.58e9,
    "resnet50": 3.86e9,
    "mobilenet_v1": 568e6,
}
"""Of the convolutions, as published."""
FILTERS = {
    "alexnet": 2_332_704,
    "vgg16": 14_710_464,
    "resnet50": 23_454_912,
    "mobilenet_v1": 3_185_088,
    "googlenet": 6_998_552 - 1_025_000 - 7_280,
}
"""Values in all filters; FC layers and biases left out, which GoogLeNet's published count has."""
TINY_MACS = {"resnet8": 12_501_632 - 640, "dscnn": 2_656_768 - 768, "vww": 7_489_664 - 512}
"""Those of the MLPerf Tiny models, without their fully connected layers."""


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name):
    tensors = NETWORKS[name]().tensors
    for tensor, shape in SHAPES[name].items():
        assert tensors[tensor].shape == shape, tensor


def test_every_network_is_checked_and_named_as_itself():
    assert set(SHAPES) == set(NETWORKS)
    assert len(STANDARD) == 10
    assert set(NETWORKS) - set(STANDARD) == {"vgg16_conv3_to_5"}


@pytest.mark.parametrize("name", MACS)
def test_macs(name):
    assert sum(useful_macs(NETWORKS[name]()).values()) == pytest.approx(MACS[name], rel=0.01)


@pytest.mark.parametrize("name", TINY_MACS)
def test_macs_of_the_tiny_models(name):
    assert sum(useful_macs(NETWORKS[name]()).values()) == TINY_MACS[name]


def test_macs_by_layer():
    """M * C/G * R * S * E * F by hand, two groups and a depthwise layer among them."""
    macs = useful_macs(NETWORKS["alexnet"]())
    assert macs["conv1"] == 96 * 3 * 11 * 11 * 55 * 55
    assert macs["conv2"] == 256 * 48 * 5 * 5 * 27 * 27
    assert set(macs) == {"conv1", "conv2", "conv3", "conv4", "conv5"}
    assert useful_macs(NETWORKS["dscnn"]())["conv2/dw"] == 64 * 3 * 3 * 25 * 5
    assert not any("add" in layer for layer in useful_macs(NETWORKS["resnet8"]()))


@pytest.mark.parametrize("name", FILTERS)
def test_filters(name):
    graph = NETWORKS[name]()
    macs = useful_macs(graph)
    layers = [layer for layer in graph.layers if layer.name in macs]
    count = sum(layer.filters.size for layer in layers if isinstance(layer, Convolution))
    assert count == FILTERS[name]


@pytest.mark.parametrize("name", ["lenet5", "resnet8", "dscnn", "vww"])
def test_fmaps_are_alive(name):
    graph, rng = NETWORKS[name](), np.random.default_rng(5)
    shape = graph.tensors["input"].shape
    runs = [run_graph(graph, {"input": rng.integers(-128, 128, shape, np.int8)}) for _ in range(4)]
    for tensor in runs[0]:
        values = np.stack([run[tensor] for run in runs], axis=1)  # (C, runs, H, W)
        channels = values.reshape(len(values), -1)
        assert len(np.unique(values)) > 50, tensor
        assert 15 < values.std() < 85, tensor
        assert np.mean(values == 127) < 0.05, tensor  # few saturate above
        assert np.mean(values == -128) < 0.65, tensor  # nor does ReLU swallow all
        assert np.mean(np.ptp(channels, axis=1) == 0) < 0.33, tensor  # nor are channels dead
