"""Layers without a neighbourhood: all of their positions in one row, so that tiles waste none."""

from dataclasses import replace

import numpy as np
import pytest

from eyas.command import Dialect
from eyas.compiler.conv_shape import ConvShape
from eyas.compiler.fmap_place import FmapPlace
from eyas.compiler.ir import Convolution, Requantization


def layer(r=1, s=1, groups=1, **changes) -> Convolution:
    filters = np.ones((8, 8 // groups, r, s), np.int8)
    how = Requantization(Dialect.TFLITE, np.ones(8, np.int32), np.zeros(8, np.int8))
    conv = Convolution("conv", "x", "y", filters, np.zeros(8, np.int32), how, groups=groups)
    return replace(conv, **changes)


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_positions_in_one_row(groups):
    shape = ConvShape.of(layer(groups=groups), (8, 5, 7))
    flat = shape.in_one_row()
    assert (flat.h, flat.w, flat.e, flat.f) == (1, 35, 1, 35)
    assert (flat.macs, str(flat)) == (shape.macs, str(shape))
    assert str(flat).startswith("8×5×7 → 8×5×7, 1×1")


@pytest.mark.parametrize(
    "changes",
    [
        {"r": 3, "padding": (1, 0, 1, 0)},
        {"s": 3, "padding": (0, 1, 0, 1)},
        {"stride": (1, 2)},
        {"stride": (2, 1)},
        {"padding": (0, 0, 0, 1)},
    ],
)
def test_neighbours_keep_their_rows(changes):
    shape = ConvShape.of(layer(**changes), (8, 5, 7))
    assert shape.in_one_row() == shape


def test_rows_that_lie_apart_stay_apart():
    """Views of a part of their parent's columns."""
    apart, whole = FmapPlace(0, 9, 45, part=True), FmapPlace.whole(0, (8, 5, 7))
    for places in ((apart, whole), (whole, apart)):
        shape = ConvShape.of(layer(), (8, 5, 7), *places)
        assert shape.in_one_row() == shape


@pytest.mark.parametrize(
    ("height", "changes", "rows", "step"),
    [
        (9, {"stride": (2, 2)}, 5, 2),
        (8, {"stride": (2, 1)}, 4, 2),
        (10, {"stride": (3, 2), "s": 3}, 4, 3),
        (9, {"stride": (2, 2), "padding": (0, 1, 0, 1)}, 5, 2),
        (9, {"stride": (2, 2), "padding": (0, 0, 4, 0)}, 5, 2),  # two ofmap rows see padding only
    ],
)
def test_rows_that_the_stride_passes_over(height, changes, rows, step):
    """Nobody reads them: to the layer the fmap has the others only, further apart in memory."""
    shape = ConvShape.of(layer(**changes), (8, height, 7))
    thin = shape.without_idle_rows()
    assert (thin.h, thin.row_step, thin.stride) == (rows, step, (1, changes["stride"][1]))
    assert (thin.e, thin.f, thin.w, thin.macs) == (shape.e, shape.f, shape.w, shape.macs)
    assert thin.ifmap_rows_apart
    assert thin.in_one_row() == thin
    place = FmapPlace.whole(40, (8, height, 7))
    for row in range(rows):
        assert place.every(step).word(0, row, 3) == place.word(0, row * step, 3)
    assert rows * step - step < height


@pytest.mark.parametrize(
    "changes",
    [
        {"stride": (1, 2)},
        {"stride": (2, 2), "r": 2},
        {"stride": (2, 2), "padding": (1, 0, 0, 0)},
        {"stride": (9, 1)},
    ],
)
def test_all_rows_are_needed(changes):
    """Those of a window, those behind rows of padding, and a single one."""
    shape = ConvShape.of(layer(**changes), (8, 9, 7))
    assert shape.without_idle_rows() == shape


def test_a_stride_is_shown_as_the_layer_has_it():
    shape = ConvShape.of(layer(stride=(2, 2)), (8, 9, 7))
    assert str(shape.without_idle_rows()).endswith("→ 8×5×4, 1×1/2")
