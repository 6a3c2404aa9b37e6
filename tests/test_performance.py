"""Utilisation of eyeriss168 in RTL, memory counted, from the first command to the last byte.

python -m pytest -m slow -s tests/test_performance.py
"""

import pytest

from eyas.config import Config
from eyas.sim.layer_cases import LayerShape
from eyas.sim.layer_run import LayerRunner
from eyas.sim.simulator import MemoryTiming

BARS = {
    "C=256,M=256,H=14,W=56,R=3,S=3,P=1": 0.90,  # a strip of VGG-16
    "C=512,M=512,H=28,W=28": 0.85,  # as in ResNet-50
}


@pytest.mark.slow
@pytest.mark.parametrize("shape", BARS)
def test_utilisation(shape):
    with LayerRunner(Config.load("eyeriss168")) as runner:
        timing = MemoryTiming(latency_cycles=60, bytes_per_cycle=8)
        result = runner.run_layer(LayerShape.parse(shape), timing=timing)
    print(f"{shape}: {result.utilization:.1%}, {result.run.cycles_per_second:,.0f} cycles/s")
    assert result.exact
    assert result.utilization >= BARS[shape]
