"""What the cost model says of loop orders, held against the machine's timing model.

Filters that come once for all blocks, groups of filters that the GLB does not hold twice, and
windows that replace each other: large layers, in which nothing else decides.
"""

import numpy as np
import pytest
from compiled_runs import CONFIGS
from made_up import convolution, graph_of

from eyas.compiler.mapping import Mapping
from eyas.compiler.writer import compile_graph
from eyas.sim.timing_model import predict

EYERISS = CONFIGS["eyeriss168"]


@pytest.mark.parametrize(
    ("chunks", "order", "windows", "least", "most"),
    [
        (8, "blocks", 1, 1.0, 1.02),  # groups replace each other segment by segment
        (8, "groups", 1, 1.0, 1.02),
        (8, "blocks", 2, 1.0, 1.02),
        (32, "blocks", 1, 1.05, 1.2),  # or, as a single segment, with the array waiting
    ],
)
def test_filter_groups_of_half_the_glb_and_more(chunks, order, windows, least, most):
    rng = np.random.default_rng(1)
    shape = (128, 28, 28)
    layer = convolution(rng, "layer", "ifmap", "ofmap", (64, 128, 3, 3), padding=(1,) * 4)
    mapping = Mapping(
        4, 8, 3, 7, 1, 2, 28, 3, 1, chunks, 1, 1, "block", "group", 2, True, order, windows
    )  # fmt: skip
    program = compile_graph(graph_of([layer], shape), EYERISS, mappings={"layer": mapping})
    cycles = predict(program, EYERISS).cycles
    assert program.predicted_cycles == pytest.approx(cycles, rel=0.03)
    assert least < cycles * EYERISS.pes / program.macs < most
