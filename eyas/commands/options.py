"""Options that several commands share."""

import click

config_option = click.option(
    "--config",
    default="edge8x8",
    show_default=True,
    metavar="NAME|FILE.toml",
    help="The accelerator: a preset (see `eyas configs`) or a TOML file.",
)
