"""What `eyas bench` says of a layer or a network: from hardware counters to JSON.

    Share of a layer ─► Record ─► total of a network ─► list of objects

docs/performance.md defines each key.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from eyas.config import BEAT_LANES, WORD_LANES, Config
from eyas.errors import ModelError
from eyas.registers import SPAD_ACCESSES_PER_MAC, Counter
from eyas.sim.bench_energy import energy
from eyas.sim.bench_shares import Share

STALLS = {
    "ifmaps": Counter.STALL_IFMAPS,
    "filters": Counter.STALL_FILTERS,
    "psum_banks": Counter.STALL_PSUM_BANKS,
    "memory_read": Counter.STALL_MEMORY_READ,
    "memory_write": Counter.STALL_MEMORY_WRITE,
    "commands": Counter.STALL_COMMANDS,
}
TOTAL = "total"
"""Stands for the layer in the record of a whole network."""


@dataclass(frozen=True)
class Record:
    """A layer of a network, or all of them; an object of the JSON list."""

    network: str
    layer: str
    macs: int
    """Useful ones, of the whole batch."""
    cycles: int
    utilisation: float
    stalls: dict[str, int]
    """Cycles by cause, the keys of STALLS."""
    memory_read_bytes: int
    memory_write_bytes: int
    glb_reads: int
    """Words of 8 values, as the next three."""
    glb_writes: int
    noc_words: int
    spad_accesses: int
    energy: dict[str, int]
    """In MACs, see eyas.sim.bench_energy."""
    batch: int

    @property
    def memory_bytes(self) -> int:
        return self.memory_read_bytes + self.memory_write_bytes

    @property
    def glb_values(self) -> int:
        return WORD_LANES * (self.glb_reads + self.glb_writes)

    @property
    def main_stall(self) -> tuple[str, int]:
        """The cause that costs most, and its cycles."""
        return max(self.stalls.items(), key=lambda stall: stall[1])


def layer_record(
    network: str,
    layer: str,
    macs: int,
    share: Share,
    config: Config,
    batch: int,
) -> Record:
    """The record of a layer with these useful MACs, from its share of a run."""
    counters = share.counters
    loaded = counters[Counter.GLB_DMA_WORDS] - share.stored
    vector_read = counters[Counter.GLB_VECTOR_WORDS] - share.vector_written
    reads = counters[Counter.GLB_READS] + share.stored + vector_read
    writes = counters[Counter.GLB_WRITES] + loaded + share.vector_written
    spads = SPAD_ACCESSES_PER_MAC * counters[Counter.ACTIVE_MACS] + counters[Counter.SPAD_WRITES]
    noc_words = -(-noc_values(counters, config) // WORD_LANES)
    read_bytes = counters[Counter.MEMORY_READ_BYTES]
    write_bytes = counters[Counter.MEMORY_WRITE_BYTES]
    return Record(
        network,
        layer,
        macs,
        counters[Counter.CYCLES],
        _utilisation(macs, counters[Counter.CYCLES], config),
        {name: counters[counter] for name, counter in STALLS.items()},
        read_bytes,
        write_bytes,
        reads,
        writes,
        noc_words,
        spads,
        energy(
            counters[Counter.ACTIVE_MACS],
            spads,
            WORD_LANES * noc_words,
            WORD_LANES * (reads + writes),
            read_bytes + write_bytes,
        ),
        batch,
    )


def noc_values(counters: Mapping[Counter, int], config: Config) -> int:
    """Values on the X-buses, and psums from PE to PE and into the psum banks.

    A psum that reaches a bank has left every row of its column once.
    """
    beats, filters = counters[Counter.NOC_IFMAP_BEATS], counters[Counter.NOC_FILTER_VALUES]
    return BEAT_LANES * beats + filters + config.array.rows * counters[Counter.NOC_PSUMS]


def total_record(layers: list[Record], config: Config) -> Record:
    """The record of a network from those of its layers."""
    first = layers[0]
    sums = {
        key: sum(getattr(layer, key) for layer in layers)
        for key in (
            *("macs", "cycles", "memory_read_bytes", "memory_write_bytes"),
            *("glb_reads", "glb_writes", "noc_words", "spad_accesses"),
        )
    }
    return Record(
        network=first.network,
        layer=TOTAL,
        utilisation=_utilisation(sums["macs"], sums["cycles"], config),
        stalls={name: sum(layer.stalls[name] for layer in layers) for name in first.stalls},
        energy={name: sum(layer.energy[name] for layer in layers) for name in first.energy},
        batch=first.batch,
        **sums,
    )


def save_json(records: Iterable[Record], path: Path) -> None:
    """Writes a list of objects, one a record."""
    path.write_text(json.dumps([asdict(record) for record in records], indent=1) + "\n", "utf-8")


def load_json(path: Path) -> list[Record]:
    """The records that `save_json` wrote. Raises ModelError for any other file."""
    try:
        return [Record(**entry) for entry in json.loads(path.read_text("utf-8"))]
    except (ValueError, TypeError):
        raise ModelError(f"{path}: not a file that `eyas bench --json` wrote") from None


def _utilisation(macs: int, cycles: int, config: Config) -> float:
    return macs / (cycles * config.pes) if cycles else 0.0
