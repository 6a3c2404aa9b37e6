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


def run_and_compare(graph: Graph, config: Config, ifmap: np.ndarray, **options):
    """Compiles, interprets, and compares every tensor. Returns the program and the interpreter."""
    program = compile_graph(graph, config, **options)
    memory = program.memory_image()
    expected = run_graph(graph, {"ifmap": ifmap})
    program.write_tensor(memory, "ifmap", ifmap)
    interpreter = Interpreter(config, memory)
    interpreter.run(program.program_address, len(program.commands))
    assert interpreter.warnings == []
    kept = graph.outputs if options.get("reuse_memory") else program.tensors
    for name in kept:
        np.testing.assert_array_equal(program.read_tensor(memory, name), expected[name], name)
    assert interpreter.counts[Counter.USEFUL_MACS] == program.macs
    return program, interpreter
