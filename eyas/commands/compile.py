"""`eyas compile`: a model's program, and how each layer is mapped."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from eyas.commands.options import (
    batch_option,
    config_option,
    intermediates_option,
    output_path,
)

if TYPE_CHECKING:
    from rich.table import Table

    from eyas.compiler.ir import HostStep
    from eyas.compiler.program import Program
    from eyas.config import Config


@click.command()
@click.argument("model", metavar="MODEL")
@config_option
@batch_option
@intermediates_option
@click.option(
    "-o", "--output", metavar="FILE.eyas", help="Where the program goes. [default: MODEL.eyas]"
)
def command(
    model: str, config: str, batch: int | None, intermediates: bool, output: str | None
) -> None:
    """Compile a model (.onnx or .tflite) for a configuration; show the mapping of each layer."""
    from eyas.commands.output import Progress
    from eyas.compiler.compile import compile_model
    from eyas.compiler.program_file import save_program
    from eyas.config import Config

    machine = Config.load(config)
    path = output_path(output or f"{Path(model).stem}.eyas")
    with Progress() as progress:
        progress.status("reading the model")
        program = compile_model(
            model,
            machine,
            batch,
            intermediates=intermediates,
            progress=lambda n, of, name: progress.status(f"layer {n + 1} of {of}: {name}"),
        )
    save_program(program, path)
    _report(program, machine, path)


def _report(program: "Program", machine: "Config", path: Path) -> None:
    from eyas.commands.output import console, table

    layers = table(
        "layer", "kind", "shape", "runs on", right=["cycles", "PEs used"], last="bound by"
    )
    mappings = table("layer", last="mapping")
    before = [step for step in program.host_steps if step.kind == "quantize"]
    behind = [step for step in program.host_steps if step.kind != "quantize"]
    _add_host_steps(layers, program, before)
    for entry in program.layers:
        cycles = entry.predicted_cycles
        used = f"{entry.macs / cycles / machine.pes:.1%}" if entry.macs else ""
        layers.add_row(
            entry.name, entry.kind, entry.shape, entry.runs_on, f"{cycles:,}", used, entry.bound
        )
        mappings.add_row(entry.name, entry.mapping)
    _add_host_steps(layers, program, behind)
    cycles = program.predicted_cycles
    used = program.macs / cycles / machine.pes
    console().print(layers)
    console().print(f"\npredicted: {cycles:,} cycles, {used:.1%} of {machine.pes} PEs\n")
    console().print(mappings)
    console().print(
        f"\n{path}: {len(program.commands):,} commands, {program.memory_bytes:,} bytes of memory, "
        f"{program.macs:,} MACs"
    )


def _add_host_steps(layers: "Table", program: "Program", steps: "list[HostStep]") -> None:
    for step in steps:
        shape = "×".join(map(str, program.tensor(step.tensor).shape))
        layers.add_row(step.name, step.kind, shape, "host", "", "", "")
