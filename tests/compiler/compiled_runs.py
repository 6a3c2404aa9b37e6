"""Configurations of all kinds, and a run of a compiled graph against the golden model."""

from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, Phase, settings

from eyas.compiler.ir import Graph
from eyas.compiler.writer import compile_graph
from eyas.config import Array, Config, Noc, Ppu, PsumBank, Spad
from eyas.registers import Counter
from eyas.sim.golden import run_graph
from eyas.sim.interpreter import Interpreter

TINY = Config.load("tiny4x4")
CONFIGS = {
    "tiny4x4": TINY,
    "edge8x8": Config.load("edge8x8"),
    "eyeriss168": Config.load("eyeriss168"),
    "3x5": replace(TINY, name="c3x5", array=Array(3, 5), psum_bank=PsumBank(64)),
    "1x1": replace(
        TINY, name="c1x1", array=Array(1, 1), spad=Spad(16, 16, 4, 18), psum_bank=PsumBank(16)
    ),
    "7x2": replace(TINY, name="c7x2", array=Array(7, 2), noc=Noc(4), ppu=Ppu(2)),
}
RUN = settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
    phases=(Phase.explicit, Phase.generate),  # the shapes are small enough as they are
)


def reference(graph: Graph, ifmap: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor by the golden operators, one image after the other."""
    alone = replace(graph, batch=1)
    if graph.batch == 1:
        return run_graph(alone, {graph.inputs[0]: ifmap})
    images = [run_graph(alone, {graph.inputs[0]: image}) for image in ifmap]
    return {name: np.stack([image[name] for image in images]) for name in graph.tensors}


def run_and_compare(graph: Graph, config: Config, ifmap: np.ndarray, **options):
    """Compiles, interprets, and compares every tensor. Returns the program and the interpreter.

    ifmap: of the graph's only input, (N, C, H, W) for a batch.
    """
    program = compile_graph(graph, config, **options)
    memory = program.memory_image()
    expected = reference(graph, ifmap)
    program.write_tensor(memory, graph.inputs[0], ifmap)
    interpreter = Interpreter(config, memory)
    interpreter.run(program.program_address, len(program.commands))
    assert interpreter.warnings == []
    kept = graph.outputs if options.get("reuse_memory") else program.tensors
    for name in kept:
        np.testing.assert_array_equal(program.read_tensor(memory, name), expected[name], name)
    assert interpreter.counts[Counter.USEFUL_MACS] == program.macs
    return program, interpreter
