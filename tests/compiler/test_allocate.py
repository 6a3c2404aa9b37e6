"""Places in memory: aligned, apart while both are needed, and shared where they may be."""

import hypothesis.strategies as st
import pytest
from compiled_runs import RUN
from hypothesis import given, settings

from eyas.compiler.allocate import (
    ALIGNMENT,
    Lifetime,
    check_memory,
    first_fit,
    place_regions,
    place_tensors,
)
from eyas.compiler.ir import Graph, MaxPool, Tensor
from eyas.errors import ModelError

lifetimes = st.lists(
    st.tuples(st.integers(1, 5000), st.integers(0, 9), st.integers(0, 9)), max_size=14
)


@settings(RUN)
@given(lifetimes, st.integers(0, 1000))
def test_first_fit_keeps_the_living_apart(entries, start):
    tensors = [Lifetime(f"t{n}", s, min(a, b), max(a, b)) for n, (s, a, b) in enumerate(entries)]
    places, end = first_fit(tensors, start)
    for tensor in tensors:
        address = places[tensor.name]
        assert address % ALIGNMENT == 0
        assert start <= address <= address + tensor.size <= end
        for other in tensors:
            together = tensor.first <= other.last and other.first <= tensor.last
            if other is not tensor and together:
                there = places[other.name]
                assert address + tensor.size <= there or there + other.size <= address


def test_what_has_died_makes_room():
    places, end = first_fit([Lifetime("a", 640, 0, 1), Lifetime("b", 640, 2, 3)], 100)
    assert places == {"a": 128, "b": 128}
    assert end == 768


def test_regions_follow_each_other():
    assert place_regions([10, 0, 64, 1], 1) == ([64, 128, 128, 192], 256)


def chain(count: int) -> Graph:
    names = [f"t{n}" for n in range(count + 1)]
    tensors = {name: Tensor(name, (8, 4, 4)) for name in names}
    layers = [MaxPool(f"l{n}", names[n], names[n + 1], (1, 1)) for n in range(count)]
    return Graph("chain", [names[0]], [names[-1]], tensors, layers)


def test_inputs_and_outputs_keep_their_places():
    graph = chain(6)
    places, end = place_tensors(graph, 0, reuse=True)
    size = 8 * 4 * 4
    others = [places[f"t{n}"] for n in range(1, 7)]
    assert all(abs(address - places["t0"]) >= size for address in others)
    assert end == 3 * size  # the input, and two in turn, of which one is the output
    assert place_tensors(graph, 0, reuse=False)[1] == 7 * size


def test_a_program_beyond_32_bits():
    with pytest.raises(ModelError, match="net: needs 4294967360 bytes of memory"):
        check_memory("net", (1 << 32) + 64)
