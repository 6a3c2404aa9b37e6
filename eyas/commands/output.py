"""How commands print: reports, tables and progress, on a terminal or into a file."""

from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from eyas.registers import Counter

if TYPE_CHECKING:
    from eyas.sim.simulator import RunResult

STALLS = {
    Counter.STALL_IFMAPS: "ifmaps",
    Counter.STALL_FILTERS: "filters",
    Counter.STALL_PSUM_BANKS: "psum banks",
    Counter.STALL_MEMORY_READ: "memory reads",
    Counter.STALL_MEMORY_WRITE: "memory writes",
    Counter.STALL_COMMANDS: "commands",
}


WIDTH = 400
"""Columns that lines may take: a terminal wraps them better than a table its cells."""


def console() -> Console:
    """Where a command prints."""
    return Console(highlight=False, markup=False, width=WIDTH)


class Progress:
    """One line on a terminal's stderr that says what goes on; nothing is left of it in the end."""

    def __init__(self) -> None:
        self._status = Console(stderr=True).status("starting")
        self._text = ""

    def __enter__(self) -> "Progress":
        self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType
    ) -> None:
        self._status.stop()

    def status(self, text: str) -> None:
        """Says what begins now."""
        self._text = text
        self._status.update(text)

    def cycles(self, cycles: int) -> None:
        """Says how far a simulation is."""
        self._status.update(f"{self._text}: {cycles:,} cycles")


def table(*left: str, right: Iterable[str] = (), last: str = "") -> Table:
    """A table without lines, with columns flush left, then flush right, then one flush left."""
    out = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for heading in left:
        out.add_column(heading, no_wrap=True)
    for heading in right:
        out.add_column(heading, justify="right", no_wrap=True)
    if last:
        out.add_column(last, no_wrap=True)
    return out


def report(lines: dict[str, str]) -> None:
    """Prints a name and what there is to say about it, a line each."""
    width = max(map(len, lines)) + 2
    for name, text in lines.items():
        console().print(f"{name:{width}}{text}")


def stalls(counters: dict[Counter, int]) -> str:
    """Stalled cycles by cause."""
    if not counters:
        return "not counted: control.counter_width is 0"
    causes = {name: counters[counter] for counter, name in STALLS.items() if counters[counter]}
    return ", ".join(f"{name} {cycles:,}" for name, cycles in causes.items()) or "none"


def traffic(run: "RunResult") -> str:
    """Bytes that memory delivered and took."""
    per_cycle = (run.read_bytes + run.write_bytes) / run.cycles
    return (
        f"{run.read_bytes:,} bytes read, {run.write_bytes:,} written, {per_cycle:.2f} bytes/cycle"
    )
