"""Plots measurements: utilisation layer by layer, and a roofline, a row of the page for a network.

    ┌ utilisation ───────────────┐ ┌ roofline ─────────┐
    │ ▇▇▇▇▅▇▇▇▇▇ …     ── total  │ │      ╱────── PEs  │
    └ conv1 conv2 …  ────────────┘ └ MACs a byte ──────┘

matplotlib comes with `pip install eyas[plot]`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from eyas.errors import LinkError
from eyas.sim.bench import Measurement

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".png", ".svg", ".pdf")
COLOURS = {
    "convolution": "#3b6fb6",
    "depthwise convolution": "#e08a2c",
    "fully connected": "#5a9e57",
}
"""Of layers with MACs by kind: bars and points alike."""
TOTAL_COLOUR, ROOF_COLOUR = "#444444", "#888888"


def check_plotting() -> None:
    """Raises LinkError where matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise LinkError("plots need matplotlib: pip install eyas[plot]") from None


def plot(measurements: list[Measurement], path: Path) -> None:
    """Draws a page of measurements into a file with one of SUFFIXES."""
    check_plotting()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.6 * len(measurements)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(measurements), 2, width_ratios=(2.2, 1), squeeze=False)
    for (bars, roofline), measurement in zip(axes, measurements, strict=True):
        _plot_utilisation(bars, measurement)
        _plot_roofline(roofline, measurement)
    figure.savefig(path, dpi=110)


def _plot_utilisation(axes: "Axes", measurement: Measurement) -> None:
    config, total = measurement.config, measurement.total
    layers = [(entry, record) for entry, record in _with_macs(measurement)]
    axes.bar(
        range(len(layers)),
        [100 * record.utilisation for _, record in layers],
        color=[_colour(entry.kind) for entry, _ in layers],
        width=0.8,
    )
    axes.axhline(100 * total.utilisation, color=TOTAL_COLOUR, linewidth=1, linestyle="--")
    axes.set_xticks(range(len(layers)))
    size = 9 if len(layers) <= 25 else 6.5
    axes.set_xticklabels([entry.name for entry, _ in layers], rotation=90, fontsize=size)
    axes.set_xlim(-0.7, max(len(layers), 8) - 0.3)
    axes.set_ylim(0, max(110, *(105 * record.utilisation for _, record in layers)))
    axes.set_ylabel("useful MACs, % of PEs × cycles")
    axes.set_title(
        f"{measurement.network} on {config.name}, {config.pes} PEs, batch {total.batch}, "
        f"{measurement.bytes_per_cycle:g} bytes/cycle ({measurement.engine}): "
        f"{total.utilisation:.1%}",
        fontsize=11,
        loc="left",
    )
    axes.grid(axis="y", color="#dddddd")
    axes.set_axisbelow(True)


def _plot_roofline(axes: "Axes", measurement: Measurement) -> None:
    pes, bandwidth = measurement.config.pes, measurement.bytes_per_cycle
    layers = [(e, r) for e, r in _with_macs(measurement) if r.memory_bytes]
    longest = max(record.cycles for _, record in layers)
    intensity = [record.macs / record.memory_bytes for _, record in layers]
    speed = [record.macs / record.cycles for _, record in layers]
    axes.scatter(
        intensity,
        speed,
        s=[20 + 180 * record.cycles / longest for _, record in layers],
        c=[_colour(entry.kind) for entry, _ in layers],
        alpha=0.65,
        linewidths=0.5,
        edgecolors="white",
        zorder=3,
    )
    ridge = pes / bandwidth
    left, right = min(*intensity, ridge) / 2, max(*intensity, ridge) * 2
    axes.plot([left, ridge, right], [left * bandwidth, pes, pes], color=ROOF_COLOUR, linewidth=1.5)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    axes.set_xlim(left, right)
    axes.set_ylim(min(*speed, left * bandwidth) / 1.5, 1.8 * pes)
    axes.annotate(
        f"{pes} PEs", (right, pes), textcoords="offset points", xytext=(-4, 4), ha="right"
    )
    axes.set_xlabel("useful MACs a byte of memory")
    axes.set_ylabel("useful MACs a cycle")
    axes.set_title("roofline; areas are cycles", fontsize=11, loc="left")
    axes.grid(which="major", color="#dddddd")
    handles = [
        axes.scatter([], [], c=colour, label=kind)
        for kind, colour in COLOURS.items()
        if any(_kind(entry.kind) == kind for entry, _ in layers)
    ]
    axes.legend(handles=handles, loc="lower right", fontsize=9)


def _with_macs(measurement: Measurement):
    pairs = zip(measurement.entries, measurement.layers, strict=True)
    return [(entry, record) for entry, record in pairs if record.macs]


def _kind(kind: str) -> str:
    """What a layer is without the merge in its drain."""
    return kind.split(",")[0]


def _colour(kind: str) -> str:
    return COLOURS[_kind(kind)]
