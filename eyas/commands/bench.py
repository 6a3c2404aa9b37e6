"""`eyas bench`: whole networks on a machine: cycles, utilisation, traffic and energy by layer."""

from typing import TYPE_CHECKING

import click

from eyas.commands.options import memory_speed_options, memory_timing, output_path

if TYPE_CHECKING:
    from pathlib import Path

    from eyas.sim.bench import Measurement


@click.command()
@click.argument("networks", metavar="[NETWORK]…", nargs=-1)
@click.option(
    "--config",
    default="eyeriss168",
    show_default=True,
    metavar="NAME|FILE.toml",
    help="The accelerator: a preset (see `eyas configs`) or a TOML file.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    metavar="N",
    help="Images a run. [default: 1; with --against that of the other's table]",
)
@memory_speed_options
@click.option(
    "--engine",
    type=click.Choice(["model", "rtl"]),
    default="rtl",
    show_default=True,
    help="rtl: the simulated Verilog. model: the timing model, much faster.",
)
@click.option("--json", "json_file", metavar="FILE", help="Write every figure as a JSON list.")
@click.option(
    "--plot", "plot_file", metavar="FILE", help="Draw utilisation and roofline: .png, .svg, .pdf."
)
@click.option(
    "--against",
    type=click.Choice(["eyeriss"]),
    help="Set another chip's published figures beside ours: alexnet and vgg16 only.",
)
def command(
    networks: tuple[str, ...],
    config: str,
    batch: int | None,
    memory_bytes_per_cycle: float | None,
    memory_latency: int | None,
    engine: str,
    json_file: str | None,
    plot_file: str | None,
    against: str | None,
) -> None:
    """Measure networks on a machine, batch 1 or more: convolution stacks, random filters.

    Without a name all are measured, which takes long in RTL. A stack is every layer but fully
    connected ones and softmax, run as one program; utilisation is useful MACs over cycles times
    PEs, from the first command to the last byte in memory. docs/performance.md defines the rest.
    In RTL, all tensors that end in memory are compared with the reference; exits with 1 where a
    byte differs.
    """
    from eyas.commands.bench_report import report_against, report_measurement
    from eyas.commands.output import Progress
    from eyas.config import Config
    from eyas.sim.bench import Bench
    from eyas.sim.bench_record import save_json

    batches = _batches(networks, batch, against)
    json_path = output_path(json_file) if json_file else None
    plot_path = _plot_path(plot_file) if plot_file else None
    machine = Config.load(config)
    timing = memory_timing(machine, memory_bytes_per_cycle, memory_latency, 0.0, 1)
    measured: list[Measurement] = []
    with Bench(machine, timing, engine) as bench:
        for network, images in batches.items():
            with Progress() as bench.reporter:
                measured.append(bench.measure(network, images))
            report_measurement(measured[-1])
            if against:
                report_against(measured[-1])
            if json_path:  # after each network: what is there is kept if the next one is stopped
                save_json([record for m in measured for record in m.records], json_path)
    if plot_path:
        from eyas.sim.bench_plot import plot

        plot(measured, plot_path)
    if any(measurement.differences for measurement in measured):
        raise SystemExit(1)


def _batches(networks: tuple[str, ...], batch: int | None, against: str | None) -> dict[str, int]:
    """The networks to measure, and the batch of each. Raises UsageError for others."""
    from eyas.sim.bench import STANDARD
    from eyas.sim.bench_eyeriss import published
    from eyas.sim.networks import NETWORKS

    for name in networks:
        if name not in NETWORKS:
            raise click.UsageError(f"no network {name!r}: there are {', '.join(NETWORKS)}")
    if not against:
        return dict.fromkeys(networks or STANDARD, batch or 1)
    tables = published()
    for name in networks:
        if name not in tables:
            raise click.UsageError(
                f"--against {against}: nothing is published for {name}, only for "
                f"{' and '.join(tables)}"
            )
    return {name: batch or tables[name][0].batch for name in networks or tables}


def _plot_path(file: str) -> "Path":
    from eyas.sim.bench_plot import SUFFIXES, check_plotting

    path = output_path(file)
    if path.suffix not in SUFFIXES:
        raise click.UsageError(f"{path}: plots are written as {', '.join(SUFFIXES)}")
    check_plotting()
    return path
