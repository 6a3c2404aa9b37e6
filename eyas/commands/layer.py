"""`eyas layer`: one made-up layer through reference arithmetic, interpreter and RTL."""

from typing import TYPE_CHECKING

import click

from eyas.commands.options import config_option, memory_options, memory_timing, waves_option

if TYPE_CHECKING:
    from eyas.sim.layer_run import LayerResult


@click.command()
@click.option(
    "--shape",
    required=True,
    metavar="C=…,M=…,H=…[,W=…,R=…,S=…,U=…,P=…,D=…,G=…]",
    help="Channels, filters, ifmap, filter size, stride, padding, dilation, groups.",
)
@config_option
@click.option(
    "--data",
    type=click.Choice(["random", "min", "max", "ramp"]),
    default="random",
    show_default=True,
    help="What ifmaps and filters hold.",
)
@click.option(
    "--dialect",
    type=click.Choice(["tflite", "onnx"]),
    default="tflite",
    show_default=True,
    help="How psums are requantised.",
)
@memory_options
@waves_option
def command(
    shape: str,
    config: str,
    data: str,
    dialect: str,
    memory_bytes_per_cycle: float | None,
    memory_latency: int | None,
    back_pressure: float,
    seed: int,
    waves: str | None,
) -> None:
    """Run one layer of any shape through the RTL: exact? how fast, and why?

    Exits with 1 where a byte differs.
    """
    from eyas.command import Dialect
    from eyas.commands.output import Progress
    from eyas.config import Config
    from eyas.sim.layer_cases import LayerShape
    from eyas.sim.layer_run import LayerRunner

    layer, machine = LayerShape.parse(shape), Config.load(config)
    timing = memory_timing(machine, memory_bytes_per_cycle, memory_latency, back_pressure, seed)
    with (
        Progress() as progress,
        LayerRunner(machine, waves=waves, status=progress.status) as runner,
    ):
        result = runner.run_layer(
            layer,
            data=data,
            seed=seed,
            dialect=Dialect[dialect.upper()],
            timing=timing,
            progress=progress.cycles,
        )
    _report(result)
    if waves:
        click.echo(f"waves        {waves}")
    if not result.exact:
        raise SystemExit(1)


def _report(result: "LayerResult") -> None:
    from eyas.commands.output import report, stalls, traffic

    config, entry, run = result.config, result.entry, result.run
    off = result.cycles / entry.predicted_cycles - 1
    size = result.ofmap.size
    report(
        {
            "layer": f"{entry.kind} {entry.shape}",
            "machine": f"{config.name}, {config.array.rows} × {config.array.cols} PEs",
            "mapping": entry.mapping,
            "program": f"{result.program_mismatch or f'all {size:,} bytes equal the reference'}",
            "RTL": f"{result.rtl_mismatch or f'all {size:,} bytes equal the program'}",
            "cycles": f"{result.cycles:,}, predicted {entry.predicted_cycles:,} ({off:+.1%} off)",
            "utilisation": f"{result.utilization:.1%}, {result.shape.macs:,} MACs",
            "stalls": stalls(run.counters),
            "memory": traffic(run),
            "speed": f"{run.cycles_per_second / 1e3:,.0f} kHz, {run.seconds:.1f} s",
        }
    )
