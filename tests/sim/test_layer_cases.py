"""Shapes are read and checked; the random layers have lively ofmaps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eyas.errors import ModelError
from eyas.sim.layer_cases import OFMAP_SPREAD, LayerShape, layer_graph, layer_input


def test_defaults():
    shape = LayerShape.parse("C=16,M=32,H=28,R=3,P=1")
    assert shape == LayerShape(C=16, M=32, H=28, W=28, R=3, S=3, U=1, P=1, D=1, G=1)
    assert (shape.E, shape.F) == (28, 28)
    assert shape.macs == 16 * 32 * 28 * 28 * 9


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("C=16,M=32", "shape: H must be given"),
        ("H=3", "shape: C and M must be given"),
        ("C=16,M=32,H=8,Q=3", "'Q=3' is not LETTER=NUMBER"),
        ("C=16,M=32,H=-8", "'H=-8' is not LETTER=NUMBER"),
        ("C=16,M=32,H=8,U=0", "U must be at least 1, not 0"),
        ("C=16,M=32,H=8,C=8", "C is given twice"),
        ("C=16,M=32,H=8,G=3", "groups G = 3 must divide C = 16 and M = 32"),
        ("C=16,M=32,H=3,R=5", "the filter, 5 × 5 at dilation 1, does not fit"),
        ("C=16,M=32,H=4,R=3,D=2", "the filter, 3 × 3 at dilation 2, does not fit"),
    ],
)
def test_bad_shapes(text, complaint):
    with pytest.raises(ModelError, match=complaint):
        LayerShape.parse(text)


@given(
    C=st.integers(1, 64),
    M=st.integers(1, 64),
    H=st.integers(7, 64),
    W=st.integers(7, 64),
    R=st.integers(1, 7),
    S=st.integers(1, 7),
    U=st.integers(1, 4),
    P=st.integers(0, 3),
)
def test_text_round_trip(**letters):
    shape = LayerShape(**letters)
    assert LayerShape.parse(str(shape)) == shape


@pytest.mark.parametrize("text", ["C=16,M=24,H=9,R=3,P=1", "C=256,M=8,H=5", "C=8,M=8,H=12,R=3,G=8"])
def test_ofmaps_are_lively(text):
    """Psums in float: the requantised spread is what was meant, and differs by channel."""
    shape = LayerShape.parse(text)
    layer = layer_graph(shape, seed=7).layers[0]
    ifmap = layer_input(shape, seed=7).astype(float)
    per_group = shape.C // shape.G
    windows = np.lib.stride_tricks.sliding_window_view(ifmap, (shape.R, shape.S), axis=(1, 2))
    for m in range(shape.M):
        first = m // (shape.M // shape.G) * per_group
        psums = np.einsum("cefrs,crs->ef", windows[first : first + per_group], layer.filters[m])
        scale = layer.requantization.multiplier[m] / 2.0**31 * 2.0 ** layer.requantization.shift[m]
        spread = np.std(psums * scale)
        assert OFMAP_SPREAD / 4 < spread < OFMAP_SPREAD * 3, f"channel {m}"


def test_seeds():
    shape = LayerShape.parse("C=4,M=4,H=6")
    assert (layer_input(shape, seed=1) == layer_input(shape, seed=1)).all()
    assert (layer_input(shape, seed=1) != layer_input(shape, seed=2)).any()
    assert (
        layer_graph(shape).layers[0].filters != layer_graph(shape, seed=1).layers[0].filters
    ).any()


def test_extremes():
    shape = LayerShape.parse("C=4,M=4,H=6")
    assert (layer_input(shape, "min") == -128).all()
    assert (layer_graph(shape, "max").layers[0].filters == 127).all()
    assert layer_input(shape, "ramp").ravel()[:3].tolist() == [-128, -127, -126]
