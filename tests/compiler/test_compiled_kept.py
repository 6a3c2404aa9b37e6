"""Programs whose fmaps stay in the GLB from layer to layer: the same bytes, and fewer moved.

GLBs that hold some fmaps of a graph but not others, so that those that stay crowd the buffers of
those that do not. With `intermediates` fmaps that stay are stored as well, and never loaded.
"""

from dataclasses import replace

import numpy as np
import pytest
from compiled_runs import CONFIGS, RUN, run_and_compare
from hypothesis import given, settings
from hypothesis import strategies as st
from kept import keeping_all, residual_network, words_moved, words_of_tensor
from random_graphs import graphs

from eyas.command import Opcode
from eyas.compiler.ir import Graph
from eyas.compiler.passes import run_passes
from eyas.compiler.views import root
from eyas.compiler.writer import compile_graph
from eyas.config import Config, Glb
from eyas.registers import Counter

SMALL = {
    f"{name}, {kib} KiB": replace(CONFIGS[name], glb=replace(CONFIGS[name].glb, fmap_kib=kib))
    for name in ("tiny4x4", "3x5", "7x2")
    for kib in (1, 2, 4)
}
SIDES = [f"{name}, {kib} KiB" for name, kib in (("tiny4x4", 2), ("3x5", 4), ("7x2", 2))]


def images(graph: Graph, seed: int) -> np.ndarray:
    shape = (graph.batch, *graph.tensors[graph.inputs[0]].shape)
    values = np.random.default_rng(seed).integers(-128, 128, shape, np.int8)
    return values if graph.batch > 1 else values[0]


def kept_by(graph: Graph, config: Config, **options) -> list[str]:
    """Fmaps that a program never stores, those of views by their parents."""
    program = compile_graph(graph, config, intermediates=False, **options)
    return list(dict.fromkeys(root(graph, name) for name in program.unstored))


@pytest.mark.parametrize("greedy", [False, True])
def test_any_graph(greedy):
    """Convolutions of all kinds, merges, views, pools, in batches, with memory reused or not."""
    kept = []

    @settings(RUN, max_examples=40)
    @given(
        graph=graphs((11, 9, 8), more=("conv", "depthwise", "stride", "stride")),
        batch=st.integers(1, 3),
        name=st.sampled_from(list(SMALL)),
        reuse=st.booleans(),
        intermediates=st.booleans(),
        seed=st.integers(0, 99),
    )
    def check(graph, batch, name, reuse, intermediates, seed):
        graph = run_passes(replace(graph, batch=batch))
        options = {"reuse_memory": reuse, "intermediates": intermediates}
        run_and_compare(graph, SMALL[name], images(graph, seed), **options)
        kept.extend(kept_by(graph, SMALL[name]))

    if greedy:
        with keeping_all():
            check()
    else:
        check()
    assert len(kept) >= 20


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", SIDES)
def test_fmaps_that_stay_are_never_loaded(name, batch):
    graph, _ = residual_network()
    graph = run_passes(replace(graph, batch=batch))
    with keeping_all():
        kept = kept_by(graph, SMALL[name])
        program, every = run_and_compare(graph, SMALL[name], images(graph, 3))
        _, lean = run_and_compare(graph, SMALL[name], images(graph, 3), intermediates=False)
    assert kept
    assert len(kept) < len([n for n in graph.tensors if graph.tensors[n].view is None]) - 2
    for tensor in graph.tensors:
        if tensor in kept:
            assert words_moved(program, tensor, Opcode.LOAD) == 0
            assert words_moved(program, tensor, Opcode.STORE) >= words_of_tensor(program, tensor)
        elif graph.tensors[tensor].view is None and tensor not in graph.outputs:
            assert words_moved(program, tensor, Opcode.LOAD) > 0, "it is read by somebody"
    stored = sum(words_moved(program, tensor, Opcode.STORE) for tensor in kept)
    written = [run.counts[Counter.MEMORY_WRITE_BYTES] for run in (every, lean)]
    assert written[0] - written[1] == 8 * stored


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("intermediates", [False, True])
def test_all_of_a_network_stays(intermediates, batch):
    """In a GLB that holds everything, memory has inputs, outputs and constants only."""
    graph, never = residual_network(2)
    graph = run_passes(replace(graph, batch=batch))
    config = CONFIGS["edge8x8"]
    with keeping_all():
        options = {"intermediates": intermediates}
        program, _ = run_and_compare(graph, config, images(graph, 4), **options)
        roots = {name for name in graph.tensors if graph.tensors[name].view is None}
        assert set(kept_by(graph, config)) == roots - never
    loaded = {n for n in program.tensors if program.tensors[n].view is None}
    loaded = {name for name in loaded if words_moved(program, name, Opcode.LOAD)}
    assert loaded == never - {graph.outputs[0]}


def test_the_mapper_decides():
    """Fmaps that leave little room stay in memory, others do not, and that is no longer than
    without."""
    graph = run_passes(residual_network(3, (12, 24, 20))[0])
    config = replace(CONFIGS["tiny4x4"], glb=Glb(8, 4))
    kept = kept_by(graph, config)
    words = {name: words_of_tensor(compile_graph(graph, config), name) for name in graph.tensors
             if graph.tensors[name].view is None}  # fmt: skip
    large = [name for name, count in words.items() if count > 0.6 * 1024]
    assert kept
    assert large
    assert not set(kept) & set(large)
    run_and_compare(graph, config, images(graph, 5))
    run_and_compare(graph, config, images(graph, 5), intermediates=False, reuse_memory=True)


def test_memory_that_is_not_needed_is_not_there():
    graph = run_passes(residual_network()[0])
    config = CONFIGS["edge8x8"]
    with keeping_all():
        lean, every = (compile_graph(graph, config, intermediates=n) for n in (False, True))
    kept = sum(t.nbytes for n, t in every.tensors.items() if n not in lean.tensors and not t.view)
    assert kept > 0
    assert every.memory_bytes - lean.memory_bytes > 0.9 * kept
