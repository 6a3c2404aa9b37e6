"""`eyas run`: a model's outputs, on the reference arithmetic or on the RTL."""

from pathlib import Path

import click

from eyas.commands.options import batch_option, config_option, input_option, output_path


@click.command()
@click.argument("model", metavar="MODEL")
@click.option(
    "--target",
    type=click.Choice(["golden", "rtl"]),
    default="golden",
    show_default=True,
    help="golden: the program's reference interpreter. rtl: the simulated Verilog.",
)
@input_option
@config_option
@batch_option
@click.option("--seed", type=int, default=0, metavar="N", help="Of random inputs.")
@click.option("--output", metavar="FILE.npz", help="Write the outputs, by name.")
def command(
    model: str,
    target: str,
    inputs: tuple[str, ...],
    config: str,
    batch: int | None,
    seed: int,
    output: str | None,
) -> None:
    """Run a model (.onnx, .tflite or .eyas) for its outputs.

    Without inputs, random ones are used.
    """
    import numpy as np

    from eyas.commands.output import Progress, console
    from eyas.host.inputs import load_feed, random_feed
    from eyas.host.session import Session

    if output and output_path(output).suffix != ".npz":
        raise click.UsageError(f"{output}: outputs are written as .npz")
    with Progress() as progress:
        progress.status("compiling the model")
        session = Session(model, config, target, batch=batch, status=progress.status)
        ports = session.program.inputs
        images = session.program.batch
        feed = load_feed(inputs, ports) if inputs else random_feed(ports, seed, images)
        progress.status("running")
        outputs = session.run(None, feed)
    named = {port.name: value for port, value in zip(session.get_outputs(), outputs, strict=True)}
    for name, value in named.items():
        text = np.array2string(value, precision=4, threshold=50, suppress_small=True)
        console().print(f"{name} {value.dtype} {value.shape}\n{text}")
    if output:
        np.savez(output, **named)  # type: ignore[arg-type]
        console().print(f"{Path(output)}: {', '.join(named)}")
