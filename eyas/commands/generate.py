"""`eyas generate`: the Verilog of an accelerator."""

import click

from eyas.commands.options import config_option, output_path


@click.command()
@config_option
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Where the Verilog goes: by default NAME.v; - is standard output.",
)
def command(config: str, output: str | None) -> None:
    """Write the Verilog of an accelerator."""
    from eyas.commands.output import console
    from eyas.config import Config
    from eyas.sim.generated import accelerator_verilog

    machine = Config.load(config)
    if output == "-":
        click.echo(accelerator_verilog(machine), nl=False)
        return
    path = output_path(output or f"{machine.name}.v")
    verilog = accelerator_verilog(machine)
    path.write_text(verilog, encoding="utf-8")
    console().print(
        f"{path}: {machine.pes} PEs ({machine.array.rows} × {machine.array.cols}), "
        f"{machine.glb.fmap_kib} + {machine.glb.filter_kib} KiB of GLB, "
        f"{verilog.count(chr(10)):,} lines, {len(verilog) / 1e6:.1f} MB"
    )
