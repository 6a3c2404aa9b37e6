"""Compiled graphs of several layers: dependencies between layers, pooling, branches, memory."""

from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
from compiled_runs import CONFIGS, RUN, run_and_compare
from hypothesis import given, settings
from kept import moved
from made_up import convolution, graph_of

from eyas.command import Opcode
from eyas.compiler.ir import Graph, Layer, MaxPool, Tensor
from eyas.compiler.writer import compile_graph
from eyas.config import Glb
from eyas.errors import ConfigError, ModelError


def small_network(rng) -> Graph:
    """Every kind of layer, a branch, and a table."""
    table = rng.integers(-128, 128, 256, np.int8)
    layers = [
        convolution(rng, "conv1", "ifmap", "a", (12, 3, 3, 3), padding=(1, 1, 1, 1), pad_value=5),
        MaxPool("pool1", "a", "b", (3, 3), (2, 2), (1, 1, 1, 1)),
        convolution(rng, "depthwise", "b", "c", (12, 1, 3, 3), groups=12, padding=(1,) * 4),
        convolution(rng, "pointwise", "c", "d", (21, 12, 1, 1), table=table),
        convolution(rng, "branch", "b", "e", (9, 12, 1, 1)),
        convolution(rng, "grouped", "d", "f", (6, 7, 3, 2), groups=3, stride=(2, 1)),
        MaxPool("pool2", "f", "g", (2, 2), (2, 2)),
        convolution(rng, "fc", "g", "h", (10, 6, 2, 4)),
    ]
    graph = graph_of(layers, (3, 21, 19))
    graph.outputs = ["h", "e"]
    return graph


@pytest.mark.parametrize("reuse", [False, True])
@pytest.mark.parametrize("name", CONFIGS)
def test_small_network(name, reuse):
    rng = np.random.default_rng(3)
    graph = small_network(rng)
    ifmap = rng.integers(-128, 128, (3, 21, 19), np.int8)
    program, _ = run_and_compare(graph, CONFIGS[name], ifmap, reuse_memory=reuse)
    assert [entry.name for entry in program.layers] == [layer.name for layer in graph.layers]
    assert all(entry.predicted_cycles > 0 for entry in program.layers)
    tags = {command.tag for command in program.commands if command.opcode == Opcode.COMPUTE}
    assert tags == {0, 2, 3, 4, 5, 7}


def test_reused_memory_is_smaller_and_runs_again():
    rng = np.random.default_rng(4)
    graph = small_network(rng)
    config = CONFIGS["tiny4x4"]
    ifmap = rng.integers(-128, 128, (3, 21, 19), np.int8)
    kept = compile_graph(graph, config)
    program, interpreter = run_and_compare(graph, config, ifmap, reuse_memory=True)
    assert program.memory_bytes < kept.memory_bytes
    before = program.read_tensor(interpreter.memory, "h")
    interpreter.run(program.program_address, len(program.commands))
    np.testing.assert_array_equal(program.read_tensor(interpreter.memory, "h"), before)


@settings(RUN, max_examples=60)
@given(data=st.data(), name=st.sampled_from(list(CONFIGS)))
def test_any_pooling(data, name):
    draw = data.draw
    window = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    padding = tuple(draw(st.integers(0, 4)) for _ in range(4))
    least = [max(1, n - padding[i] - padding[i + 2]) for i, n in enumerate(window)]
    shape = (draw(st.integers(1, 40)), *(n + draw(st.integers(0, 25)) for n in least))
    stride = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    graph = graph_of([MaxPool("pool", "ifmap", "ofmap", window, stride, padding)], shape)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    run_and_compare(graph, CONFIGS[name], rng.integers(-128, 128, shape, np.int8))


@pytest.mark.parametrize(("height", "width"), [(40, 40), (3, 500), (300, 3)])
def test_pooling_in_parts_of_rows(height, width):
    config = replace(CONFIGS["tiny4x4"], glb=Glb(1, 4))
    graph = graph_of(
        [MaxPool("pool", "ifmap", "ofmap", (3, 3), (1, 2), (1,) * 4)], (9, height, width)
    )
    rng = np.random.default_rng(5)
    run_and_compare(graph, config, rng.integers(-128, 128, (9, height, width), np.int8))


@settings(RUN, max_examples=60)
@given(data=st.data(), name=st.sampled_from(list(CONFIGS)))
def test_rectangular_strides_dilations_and_padding(data, name):
    """What LayerShape cannot say: everything different along the two axes, and a table."""
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    r, s = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    stride = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    dilation = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    padding = tuple(draw(st.integers(0, 6)) for _ in range(4))
    h = max(1, dilation[0] * (r - 1) + 1 - padding[0] - padding[2]) + draw(st.integers(0, 9))
    w = max(1, dilation[1] * (s - 1) + 1 - padding[1] - padding[3]) + draw(st.integers(0, 9))
    c, m = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    table = rng.integers(-128, 128, 256, np.int8) if draw(st.booleans()) else None
    layer = convolution(
        rng, "layer", "ifmap", "ofmap", (m, c, r, s), table,
        stride=stride, dilation=dilation, padding=padding, pad_value=-7,
    )  # fmt: skip
    ifmap = rng.integers(-128, 128, (c, h, w), np.int8)
    run_and_compare(graph_of([layer], ifmap.shape), CONFIGS[name], ifmap)


@pytest.mark.parametrize("filters", [(20, 4, 31, 29), (5, 40, 12, 12), (3, 3, 1, 60)])
@pytest.mark.parametrize("glb", [Glb(1, 1), Glb(2, 1)])
def test_filters_larger_than_the_glb(filters, glb):
    rng = np.random.default_rng(6)
    config = replace(CONFIGS["tiny4x4"], glb=glb)
    layer = convolution(rng, "fc", "ifmap", "ofmap", filters)
    ifmap = rng.integers(-128, 128, filters[1:], np.int8)
    run_and_compare(graph_of([layer], filters[1:]), config, ifmap)


def test_a_table_needs_tables():
    rng = np.random.default_rng(7)
    config = CONFIGS["tiny4x4"]
    config = replace(config, ppu=replace(config.ppu, tables=False))
    layer = convolution(rng, "conv9", "ifmap", "o", (3, 3, 1, 1), np.zeros(256, np.int8))
    with pytest.raises(ConfigError, match=r"layer conv9: .*ppu\.tables"):
        compile_graph(graph_of([layer], (3, 4, 4)), config)


def test_window_larger_than_the_glb():
    config = replace(CONFIGS["tiny4x4"], glb=Glb(1, 4))
    graph = graph_of([MaxPool("huge", "ifmap", "ofmap", (40, 40), (1, 1))], (1, 40, 40))
    with pytest.raises(ConfigError, match=r"layer huge: a window of 40 × 40 .*glb\.fmap_kib = 1"):
        compile_graph(graph, config)


def test_stride_beyond_the_command_format():
    rng = np.random.default_rng(8)
    layer = convolution(rng, "far", "ifmap", "o", (3, 3, 2, 1), stride=(300, 1))
    with pytest.raises(ConfigError, match=r"layer far: .*stride_y"):
        compile_graph(graph_of([layer], (3, 700, 4)), CONFIGS["tiny4x4"])


def test_layer_without_its_input():
    layers: list[Layer] = [MaxPool("pool", "nowhere", "ofmap", (2, 2))]
    tensors = {name: Tensor(name, (1, 2, 2)) for name in ("ifmap", "nowhere")}
    tensors["ofmap"] = Tensor("ofmap", (1, 1, 1))
    graph = Graph("net", ["ifmap"], ["ofmap"], tensors, layers)
    with pytest.raises(ModelError, match="layer pool: no layer before it makes nowhere"):
        compile_graph(graph, CONFIGS["tiny4x4"])


def test_filters_that_do_not_fit_the_ifmap():
    rng = np.random.default_rng(9)
    layer = convolution(rng, "conv", "ifmap", "ofmap", (3, 5, 1, 1))
    with pytest.raises(
        ModelError, match=r"layer conv: filters .* do not fit an ifmap of 4 channels"
    ):
        compile_graph(graph_of([layer], (4, 3, 3)), CONFIGS["tiny4x4"])


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("below", [0, 4])
@pytest.mark.parametrize("name", CONFIGS)
def test_rows_that_a_stride_passes_over_are_not_loaded(name, below, batch):
    """Of nine rows five are; with padding below two ofmap rows more see nothing else."""
    rng = np.random.default_rng(11)
    options = dict(stride=(2, 2), padding=(0, 0, below, 0), pad_value=9)
    layer = convolution(rng, "layer", "ifmap", "ofmap", (9, 11, 1, 1), **options)
    graph = replace(graph_of([layer], (11, 9, 7)), batch=batch)
    shape = (batch, 11, 9, 7) if batch > 1 else (11, 9, 7)
    program, _ = run_and_compare(graph, CONFIGS[name], rng.integers(-128, 128, shape, np.int8))
    rows = {word // 7 % 9 for word in moved(program, "ifmap", Opcode.LOAD)}
    assert rows == {0, 2, 4, 6, 8}
