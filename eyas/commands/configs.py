"""`eyas configs`: which configurations come with Eyas, and how large they are."""

import click


@click.command()
def command() -> None:
    """List the configurations that come with Eyas."""
    from eyas.commands.output import console, table
    from eyas.config import Config, presets

    headings = ["rows × cols", "PEs", "GLB KiB", "spads a PE", "PPU lanes", "bytes/cycle"]
    sizes = table("name", right=headings)
    for config in map(Config.load, presets()):
        spad, glb = config.spad, config.glb
        sizes.add_row(
            config.name,
            f"{config.array.rows} × {config.array.cols}",
            f"{config.pes}",
            f"{glb.fmap_kib} + {glb.filter_kib}",
            f"2×{spad.filters} + {spad.ifmap_lanes} + {spad.psums}",
            f"{config.ppu.lanes}",
            f"{config.memory.bus_bytes}",
        )
    console().print(sizes)
    console().print(
        "\nGLB: fmaps + filters. Spads: filters + ifmap lanes + psums.\n"
        "Give --config NAME, or a TOML file of the same form.",
        style="dim",
    )
