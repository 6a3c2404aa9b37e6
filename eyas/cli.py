"""The command line: `eyas COMMAND …`.

Each command is a module of eyas.commands, imported when it is named. The modules import what
they work with inside of the function, so that `eyas --help` answers at once.
"""

import importlib
import os
import sys
from collections.abc import Sequence

import click

from eyas import __version__
from eyas.errors import EyasError

COMMANDS = ("generate", "layer", "compile", "simulate", "run", "diff", "bench", "configs")


class LazyGroup(click.Group):
    """Finds command NAME as `command` in module eyas.commands.NAME."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return importlib.import_module(f"eyas.commands.{cmd_name}").command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error (anywhere).")
@click.version_option(__version__, message="eyas %(version)s")
def eyas(debug: bool) -> None:
    """Generate DNN accelerators, compile models for them and simulate them, bit for bit."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits: 0 for success, 1 for an error, 2 for a wrong option.

    An error is one line on stderr; what a compiler said follows it.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    if debug:
        arguments.remove("--debug")
    try:
        sys.exit(eyas.main(arguments, prog_name="eyas", standalone_mode=False))
    except BrokenPipeError:  # `eyas … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (EyasError, OSError, click.ClickException, click.Abort) as error:
        if debug:
            raise
        _fail(error)


def _fail(error: Exception) -> None:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        sys.exit(error.exit_code)
    if isinstance(error, click.Abort):
        click.echo("interrupted", err=True)
        sys.exit(130)
    if isinstance(error, click.ClickException):
        message = " ".join(error.format_message().split())
    elif isinstance(error, OSError) and error.filename:
        message = f"{error.filename}: {error.strerror}"
    else:
        message = str(error)
    click.echo(f"error: {message}", err=True)
    sys.exit(error.exit_code if isinstance(error, click.ClickException) else 1)
