"""How commands print: tables and sizes, on a terminal or into a file."""

from rich.console import Console


def console(stderr: bool = False) -> Console:
    """Where a command prints. Redirected output is not wrapped at 80 columns."""
    out = Console(stderr=stderr, highlight=False)
    return out if out.is_terminal else Console(stderr=stderr, highlight=False, width=160)
