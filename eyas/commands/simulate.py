"""`eyas simulate`: a model through the RTL, compared with the program interpreter."""

from typing import TYPE_CHECKING

import click

from eyas.commands.options import (
    batch_option,
    config_option,
    input_option,
    intermediates_option,
    memory_options,
    memory_timing,
    waves_option,
)

if TYPE_CHECKING:
    from eyas.compiler.program import Program
    from eyas.config import Config
    from eyas.sim.program_run import Mismatch, ProgramResult


@click.command()
@click.argument("model", metavar="MODEL")
@input_option
@config_option
@batch_option
@intermediates_option
@memory_options
@waves_option
def command(
    model: str,
    inputs: tuple[str, ...],
    config: str,
    batch: int | None,
    intermediates: bool,
    memory_bytes_per_cycle: float | None,
    memory_latency: int | None,
    back_pressure: float,
    seed: int,
    waves: str | None,
) -> None:
    """Run a model (.onnx, .tflite or .eyas) through the RTL; compare all tensors in memory.

    Every byte of them. Fmaps that stay in the GLB from layer to layer are never there, unless
    --intermediates has them stored. Without inputs, random ones are used. Layers overlap: a line of
    the table covers the time from the last ofmap of the layer before to the last of its own,
    whoever used the PEs meanwhile. Exits with 1 where a byte differs.
    """
    from eyas.commands.output import Progress
    from eyas.config import Config
    from eyas.host.batches import filled, runs
    from eyas.host.inputs import load_feed, random_feed
    from eyas.host.session import Session
    from eyas.sim.program_run import ProgramRunner

    machine = Config.load(config)
    timing = memory_timing(machine, memory_bytes_per_cycle, memory_latency, back_pressure, seed)
    with Progress() as progress:
        progress.status("compiling the model")
        counted = machine.control.counter_width > 0
        session = Session(
            model, machine, "golden", profile=counted, batch=batch, intermediates=intermediates
        )
        program = session.program
        size, ports = program.batch, program.inputs
        feed = load_feed(inputs, ports) if inputs else random_feed(ports, seed, size)
        progress.status("interpreting the program")
        session.run(None, feed)
        split = {name: list(runs(v, size)) for name, v in session.intermediates.items()}
        names = [port.tensor for port in ports]
        results, differences = [], []
        with ProgramRunner(machine, waves=waves, status=progress.status) as runner:
            for n in range(len(split[names[0]])):
                expected = {name: values[n] for name, values in split.items()}
                result = runner.run(
                    program,
                    {name: filled(expected[name], size) for name in names},
                    timing=timing,
                    progress=progress.cycles,
                )
                results.append(result)
                differences.append(result.mismatches(expected))
    _report_layers(program, results[0], machine)
    _report_totals(results, machine)
    compared = sum(values.size for values in session.intermediates.values())
    _report_differences(program, compared, len(split), differences)
    if any(differences):
        raise SystemExit(1)


def _report_layers(program: "Program", result: "ProgramResult", machine: "Config") -> None:
    from eyas.commands.output import console, stalls, table
    from eyas.registers import Counter

    if not result.profile:
        return
    layers = table("layer", "shape", right=["predicted", "cycles", "PEs used"], last="stalls")
    for entry, counters in zip(program.layers, result.profile, strict=True):
        cycles = counters[Counter.CYCLES]
        layers.add_row(
            entry.name,
            entry.shape,
            f"{entry.predicted_cycles:,}",
            f"{cycles:,}",
            f"{counters[Counter.USEFUL_MACS] / cycles / machine.pes:.1%}",
            stalls(counters),
        )
    console().print(layers)
    console().print()


def _report_totals(results: "list[ProgramResult]", machine: "Config") -> None:
    from eyas.commands.output import report, stalls, traffic
    from eyas.registers import Counter

    for number, result in enumerate(results):
        run = result.run
        lines = {} if len(results) == 1 else {"inference": f"{number + 1} of {len(results)}"}
        lines["cycles"] = f"{run.cycles:,}"
        if run.counters:
            used = run.counters[Counter.USEFUL_MACS] / run.cycles / machine.pes
            lines["utilisation"] = f"{used:.1%} of {machine.pes} PEs"
        lines["stalls"] = stalls(run.counters)
        lines["memory"] = traffic(run)
        lines["speed"] = f"{run.cycles_per_second / 1e3:,.0f} kHz, {run.seconds:.1f} s"
        report(lines)


def _report_differences(
    program: "Program", size: int, count: int, differences: "list[dict[str, Mismatch]]"
) -> None:
    from eyas.commands.output import console

    if not any(differences):
        console().print(f"exact        all {size:,} bytes of {count} tensors equal the reference")
        if program.unstored:
            names = ", ".join(program.unstored)
            console().print(f"not stored   {names}: in the GLB only, without --intermediates")
        return
    for number, found in enumerate(differences):
        for name, what in found.items():
            console().print(f"WRONG        inference {number + 1}, tensor {name}: {what}")
