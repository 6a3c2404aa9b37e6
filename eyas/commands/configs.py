"""`eyas configs`: which configurations come with Eyas, and how large they are."""

import click


@click.command()
def command() -> None:
    """List the configurations that come with Eyas."""
    from rich.table import Table

    from eyas.commands.output import console
    from eyas.config import Config, presets

    table = Table("name", box=None, header_style="bold", pad_edge=False)
    for heading in ("rows × cols", "PEs", "GLB KiB", "spads a PE", "PPU lanes", "bytes/cycle"):
        table.add_column(heading, justify="right")
    for config in map(Config.load, presets()):
        spad, glb = config.spad, config.glb
        table.add_row(
            config.name,
            f"{config.array.rows} × {config.array.cols}",
            f"{config.pes}",
            f"{glb.fmap_kib} + {glb.filter_kib}",
            f"2×{spad.filters} + {spad.ifmap_lanes} + {spad.psums}",
            f"{config.ppu.lanes}",
            f"{config.memory.bus_bytes}",
        )
    console().print(table)
    console().print(
        "\nGLB: fmaps + filters. Spads: filters + ifmap lanes + psums.\n"
        "Give --config NAME, or a TOML file of the same form.",
        style="dim",
    )
