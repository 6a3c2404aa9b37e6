"""Passes of a single step, as in fully connected layers: the rows are then many passes apart."""

from dataclasses import replace

import pytest
from segments import make_segment
from test_array_core import CONFIG, check

from eyas.config import Array


@pytest.mark.parametrize("rows", [3, 8, 12])
def test_many_rows(rows):
    """The last row's queues must hold all passes that the first is ahead: else nothing moves."""
    config = replace(CONFIG, array=Array(rows, 2))
    choices = dict(
        p=3, q=2, taps=1, unit_rows=3, tap_chunks=3, channel_chunks=10, we=1, wf=1, wm=2, steps=1,
        stride=(1, 1), height=3, width=3, y0=0, x0=0,
    )  # fmt: skip
    check(config, [make_segment(config, **choices)], seed=rows)
