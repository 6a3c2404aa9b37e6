"""Measurements that nobody made, for tests of what is done with them."""

from eyas.compiler.program import LayerEntry
from eyas.config import Config
from eyas.registers import Counter
from eyas.sim.bench import Measurement
from eyas.sim.bench_record import layer_record, total_record
from eyas.sim.bench_shares import Share
from eyas.sim.memory_timing import MemoryTiming


def counts(**named: int) -> dict[Counter, int]:
    """Counters by their lower-case names; the others are 0."""
    values = {Counter[name.upper()]: value for name, value in named.items()}
    return dict.fromkeys(Counter, 0) | values


def invented(network: str, macs: dict[str, int], batch: int = 1) -> Measurement:
    """Layers that use half of 168 PEs, a byte of memory each 100 MACs, a GLB word each 80."""
    config = Config.load("eyeriss168")
    layers = []
    for layer, useful in macs.items():
        useful *= batch
        counters = counts(
            cycles=useful // 84,
            active_macs=useful,
            memory_read_bytes=useful // 200,
            memory_write_bytes=useful // 200,
            glb_reads=useful // 160,
            glb_writes=useful // 160,
        )
        layers.append(layer_record(network, layer, useful, Share(counters), config, batch))
    entries = [
        LayerEntry(n, name, kind, "", "", "array", 1, "array", 0, name)
        for n, (name, kind) in enumerate(zip(macs, _KINDS * len(macs), strict=False))
    ]
    total = total_record(layers, config)
    return Measurement(network, config, MemoryTiming.of(config), "rtl", entries, layers, total, 2.0)


_KINDS = ["convolution", "depthwise convolution", "convolution, add", "fully connected"]
