"""Eyeriss's published figures, beside ours: 168 PEs at 200 MHz, 16-bit values.

    bench_eyeriss.csv ─► published ─┐
    records of a network ───────────┴─► compare ─► a Comparison for each layer, and the total

Y.-H. Chen, T. Krishna, J. S. Emer and V. Sze, "Eyeriss: An Energy-Efficient Reconfigurable
Accelerator for Deep Convolutional Neural Networks", IEEE JSSC 52(1), 2017, tables V and VI.
"""

import csv
from dataclasses import dataclass
from importlib import resources

from eyas.sim.bench_record import Record

SOURCE = "Chen et al., IEEE JSSC 52(1), 2017, tables V (AlexNet) and VI (VGG-16)"
PES, HERTZ, VALUE_BYTES = 168, 200e6, 2


@dataclass(frozen=True)
class Published:
    """A line of the tables; everything but the times is of one batch."""

    network: str
    batch: int
    layer: str
    gmac: float
    """Rounded to a hundredth."""
    total_ms: float
    processing_ms: float
    glb_mb: float
    """Millions of bytes."""
    dram_mb: float

    def utilisation(self, macs: int, ms: float) -> float:
        """Of 168 PEs, by the layer's `macs` in `ms` of time."""
        return macs / (ms / 1e3 * HERTZ * PES)


@dataclass(frozen=True)
class Comparison:
    """Eyeriss and ours in one layer. Traffic is that of one image."""

    layer: str
    processing: float
    """Eyeriss's utilisation while it processes."""
    overall: float
    """Eyeriss's utilisation with the time in which it loads."""
    utilisation: float
    """Ours."""
    glb_bytes: tuple[float, float]
    """Eyeriss's, ours."""
    glb_values: tuple[float, float]
    memory_bytes: tuple[float, float]
    memory_values: tuple[float, float]
    macs: int


def published() -> dict[str, list[Published]]:
    """The lines of each network's table, the last one its total."""
    text = (resources.files("eyas.sim") / "bench_eyeriss.csv").read_text("utf-8")
    found: dict[str, list[Published]] = {}
    for row in csv.DictReader(line for line in text.splitlines() if not line.startswith("#")):
        line = Published(
            row["network"],
            int(row["batch"]),
            row["layer"],
            *(float(row[k]) for k in ("GMAC", "total_ms", "processing_ms", "glb_MB", "dram_MB")),
        )
        found.setdefault(line.network, []).append(line)
    return found


def compare(records: list[Record]) -> list[Comparison]:
    """Each line of Eyeriss's table of a network, beside the records of its layers and total.

    Our total holds the pools as well, which theirs leaves out.
    """
    ours = {record.layer: record for record in records}
    return [_compared(line, ours[line.layer]) for line in published()[records[0].network]]


def _compared(theirs: Published, ours: Record) -> Comparison:
    macs = ours.macs // ours.batch
    glb, memory = (mb * 1e6 / theirs.batch for mb in (theirs.glb_mb, theirs.dram_mb))
    glb_ours, memory_ours = ours.glb_values / ours.batch, ours.memory_bytes / ours.batch
    return Comparison(
        ours.layer,
        theirs.utilisation(macs * theirs.batch, theirs.processing_ms),
        theirs.utilisation(macs * theirs.batch, theirs.total_ms),
        ours.utilisation,
        (glb, glb_ours),
        (glb / VALUE_BYTES, glb_ours),
        (memory, memory_ours),
        (memory / VALUE_BYTES, memory_ours),
        macs,
    )
