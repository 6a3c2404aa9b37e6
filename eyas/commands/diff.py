"""`eyas diff`: the first command after which the RTL and the program interpreter differ."""

from typing import TYPE_CHECKING

import click

from eyas.commands.options import config_option, input_option

if TYPE_CHECKING:
    import numpy as np

    from eyas.compiler.program import Program
    from eyas.config import Config


@click.command()
@click.argument("model", metavar="[MODEL]", required=False)
@click.option("--shape", metavar="C=…,M=…,H=…", help="A made-up layer instead of a model.")
@input_option
@config_option
@click.option("--seed", type=int, default=0, metavar="N", help="Of everything random.")
def command(
    model: str | None, shape: str | None, inputs: tuple[str, ...], config: str, seed: int
) -> None:
    """Find the first command and byte at which the RTL departs from the interpreter.

    Of a model (.onnx, .tflite or .eyas) or of one layer, see `eyas layer`. Without inputs, random
    ones are used; of a batch, the first. A model's program stores every tensor; one that keeps some
    of them in the GLB, as `eyas simulate` runs it, comes from `eyas compile`. Exits with 1 where
    there is a difference.
    """
    from eyas.commands.output import Progress, console
    from eyas.config import Config
    from eyas.sim.diff import diff_compiled

    if (model is None) == (shape is None):
        raise click.UsageError("give either a model or --shape")
    machine = Config.load(config)
    with Progress() as progress:
        progress.status("compiling")
        if shape is not None:
            program, memory = _layer(shape, machine, seed)
        else:
            program, memory = _model(str(model), inputs, machine, seed)
        progress.status("comparing all commands")
        difference = diff_compiled(
            program,
            machine,
            memory,
            progress=lambda count, equal: progress.status(
                f"{'equal' if equal else 'different'} after {count:,} commands"
            ),
        )
    if difference:
        console().print(str(difference))
        raise SystemExit(1)
    console().print(
        f"no difference: memory and GLB are equal after all {len(program.commands):,} commands"
    )


def _layer(shape: str, machine: "Config", seed: int) -> "tuple[Program, np.ndarray]":
    """The program of a made-up layer, and its memory image with the input."""
    from eyas.compiler.writer import compile_graph
    from eyas.sim.layer_cases import LayerShape, layer_graph, layer_input

    layer = LayerShape.parse(shape)
    program = compile_graph(layer_graph(layer, seed=seed), machine)
    memory = program.memory_image()
    program.write_tensor(memory, "ifmap", layer_input(layer, seed=seed))
    return program, memory


def _model(
    model: str, inputs: tuple[str, ...], machine: "Config", seed: int
) -> "tuple[Program, np.ndarray]":
    """The program of a model, and its memory image with the inputs."""
    from eyas.host.batches import filled, runs
    from eyas.host.inputs import load_feed, random_feed
    from eyas.host.session import Session

    session = Session(model, machine, intermediates=not model.endswith(".eyas"))
    program = session.program
    feed = load_feed(inputs, program.inputs) if inputs else random_feed(program.inputs, seed)
    session.run(None, {name: values[:1] for name, values in feed.items()})
    memory = program.memory_image()
    for port in program.inputs:
        values = next(runs(session.intermediates[port.tensor], program.batch))
        program.write_tensor(memory, port.tensor, filled(values, program.batch))
    return program, memory
