"""What `eyas bench` prints of a measured network: a table of its layers, and the totals."""

from typing import TYPE_CHECKING

from eyas.commands.output import console, report, table

if TYPE_CHECKING:
    from eyas.sim.bench import Measurement
    from eyas.sim.bench_eyeriss import Comparison
    from eyas.sim.bench_record import Record


def report_measurement(measurement: "Measurement") -> None:
    """Prints the layers of a network and its totals."""
    layers = table(
        *("layer", "shape", "bound by"),
        right=["cycles", "PEs used", "bytes/cycle"],
        last="main stall",
    )
    for entry, record in zip(measurement.entries, measurement.layers, strict=True):
        layers.add_row(
            entry.name,
            entry.shape,
            entry.bound,
            f"{record.cycles:,}" if record.cycles else "",
            f"{record.utilisation:.1%}" if record.macs else "",
            f"{record.memory_bytes / record.cycles:.2f}" if record.cycles else "",
            _main_stall(record) if record.cycles else "(beside others)",
        )
    console().print(layers)
    console().print()
    report(_totals(measurement))
    console().print()


def _main_stall(record: "Record") -> str:
    cause, stalled = record.main_stall
    share = stalled / record.cycles
    return f"{cause.replace('_', ' ')} {share:.1%}" if share >= 0.001 else ""


def _totals(measurement: "Measurement") -> dict[str, str]:
    total, config, batch = measurement.total, measurement.config, measurement.total.batch
    stalls = [f"{k.replace('_', ' ')} {v:,}" for k, v in total.stalls.items() if v]
    energy = total.energy
    parts = [f"{k} {v / energy['total']:.0%}" for k, v in energy.items() if k != "total"]
    speed = f"{total.cycles / max(measurement.seconds, 1e-9) / 1e3:,.0f} kHz"
    lines = {
        "network": f"{measurement.network}, batch {batch}",
        "machine": f"{config.name}, {config.array.rows} × {config.array.cols} PEs, memory of "
        f"{measurement.bytes_per_cycle:g} bytes/cycle, latency "
        f"{measurement.timing.latency_cycles} cycles",
        "cycles": f"{total.cycles:,} for {total.macs:,} useful MACs",
        "utilisation": f"{total.utilisation:.2%} of {config.pes} PEs",
        "stalls": ", ".join(stalls) or "none",
        "memory": f"{total.memory_read_bytes:,} bytes read, {total.memory_write_bytes:,} written, "
        f"{total.memory_bytes / total.macs:.5f} bytes/MAC",
        "GLB": f"{total.glb_reads:,} words read, {total.glb_writes:,} written, "
        f"{total.glb_values / total.macs:.4f} values/MAC",
        "energy": f"{energy['total'] / total.macs:.2f} MACs a useful MAC: {', '.join(parts)}",
        "speed": f"{measurement.engine}: {speed}, {measurement.seconds:.1f} s",
    }
    if measurement.tensors:
        wrong = [f"{name}: {what}" for name, what in measurement.differences.items()]
        same = f"all bytes of {measurement.tensors} tensors in memory equal the reference"
        lines["exact"] = f"WRONG: {'; '.join(wrong)}" if wrong else same
    if batch > 1:
        lines["an image"] = (
            f"{total.cycles / batch:,.0f} cycles, {total.memory_bytes / batch:,.0f} bytes of "
            f"memory, {total.glb_values / batch:,.0f} GLB values"
        )
    return lines


def report_against(measurement: "Measurement") -> None:
    """Prints Eyeriss's figures of the network beside the measured ones."""
    from eyas.sim.bench_eyeriss import SOURCE, compare, published

    lines = compare(measurement.records)
    used = table("PEs used", right=["Eyeriss, processing", "with loading", "Eyas"])
    for line in lines:
        shares = (line.processing, line.overall, line.utilisation)
        used.add_row(line.layer, *(f"{share:.1%}" for share in shares))
    traffic = table("an image, millions", right=_TRAFFIC)
    for line in lines:
        traffic.add_row(line.layer, *(f"{n / 1e6:,.2f}" for n in _traffic(line)))
    total = lines[-1]
    traffic.add_row("total, a MAC", *(f"{n / total.macs:.4f}" for n in _traffic(total)))
    batch = published()[measurement.network][0].batch
    console().print(used)
    console().print()
    console().print(traffic)
    console().print(
        f"\nEyeriss: {SOURCE}; 168 PEs at 200 MHz, values of 16 bits, batch {batch}, fmaps in DRAM "
        f"compressed.\nEyas: values of 8 bits, batch {measurement.total.batch}; its total has the "
        "pools as well, and all of its time counts.\n"
    )


_TRAFFIC = [
    *("GLB values: Eyeriss", "Eyas", "GLB bytes: Eyeriss", "Eyas"),
    *("DRAM values: Eyeriss", "Eyas", "DRAM bytes: Eyeriss", "Eyas"),
]


def _traffic(line: "Comparison") -> list[float]:
    return [*line.glb_values, *line.glb_bytes, *line.memory_values, *line.memory_bytes]
