"""Counters by layer: a program with them computes the same, and they are those of each layer."""

import numpy as np
import pytest

from eyas.command import Space
from eyas.compiler.ir import Graph, MaxPool, Tensor
from eyas.compiler.layer_counters import layer_counters, with_layer_counters
from eyas.compiler.writer import compile_graph
from eyas.config import Config
from eyas.registers import Counter
from eyas.sim.interpreter import Interpreter
from eyas.sim.layer_cases import LayerShape, layer_graph, layer_input

CONFIG = Config.load("tiny4x4")
SHAPE = LayerShape.parse("C=5,M=12,H=10,R=3,P=1")


@pytest.fixture
def program():
    """A convolution and a max pool."""
    graph = layer_graph(SHAPE)
    pool = MaxPool("pool", "ofmap", "pooled", (2, 2), (2, 2))
    tensors = graph.tensors | {"pooled": Tensor("pooled", (12, 5, 5))}
    graph = Graph("two", ["ifmap"], ["pooled"], tensors, [*graph.layers, pool])
    return compile_graph(graph, CONFIG)


def run(program):
    memory = program.memory_image()
    program.write_tensor(memory, "ifmap", layer_input(SHAPE))
    interpreter = Interpreter(CONFIG, memory)
    interpreter.run(program.program_address, len(program.commands))
    return memory, interpreter.counts


def test_same_tensors(program):
    plain, _ = run(program)
    counted, _ = with_layer_counters(program)
    memory, _ = run(counted)
    for name in program.tensors:
        want = program.read_tensor(plain, name)
        assert np.array_equal(counted.read_tensor(memory, name), want)
        assert want.any()


def test_counters_of_each_layer(program):
    _, totals = run(program)
    counted, address = with_layer_counters(program)
    memory, _ = run(counted)
    conv, pool = layer_counters(counted, address, memory)
    assert [entry.name for entry, _ in (conv, pool)] == ["layer", "pool"]
    assert conv[1][Counter.USEFUL_MACS] == SHAPE.macs
    assert pool[1][Counter.USEFUL_MACS] == 0
    assert conv[1][Counter.GLB_VECTOR_WORDS] == 0
    assert pool[1][Counter.GLB_VECTOR_WORDS] == totals[Counter.GLB_VECTOR_WORDS] > 0


def test_places_follow_the_commands(program):
    counted, _ = with_layer_counters(program)
    stores = [
        number
        for number, command in enumerate(counted.commands)
        if command.values.get("space") == Space.COUNTERS
    ]
    assert [str(counted.place(number).layer.name) for number in stores] == ["layer", "pool"]
    assert len(counted.places) == len(counted.commands) == len(program.commands) + 2
    assert counted.place(len(counted.commands) - 1).layer is None
