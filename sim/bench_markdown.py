"""Tables of docs/performance.md, from what `eyas bench --json` wrote.

python -m eyas.sim.bench_markdown bench.json                      # a line for each network
python -m eyas.sim.bench_markdown bench.json --against eyeriss    # a table for each, by layer
"""

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

import click

from eyas.errors import EyasError
from eyas.sim.bench_eyeriss import compare, published
from eyas.sim.bench_record import TOTAL, Record, load_json

TOTALS = (
    *("network", "batch", "cycles", "PEs in use", "memory, bytes/MAC", "GLB, values/MAC"),
    *("energy, MACs/MAC", "of it DRAM", "most stalls"),
)
COMPARED = (
    *("layer", "PEs: Eyeriss", "with loading", "Eyas", "GLB values/MAC: Eyeriss", "Eyas"),
    *("DRAM values/MAC: Eyeriss", "Eyas", "DRAM bytes/MAC: Eyeriss", "Eyas"),
)


@click.command()
@click.argument("file", metavar="FILE.json")
@click.option("--against", type=click.Choice(["eyeriss"]), help="Beside published figures.")
def main(file: str, against: str | None) -> None:
    """Print Markdown tables of measured networks."""
    try:
        records = load_json(Path(file))
    except (EyasError, OSError) as error:
        raise click.ClickException(str(error)) from None
    if not against:
        click.echo(totals_table(records))
        return
    for network, group in groupby(records, key=lambda record: record.network):
        if network in published():
            click.echo(f"{network}:\n\n{eyeriss_table(list(group))}\n")


def totals_table(records: Iterable[Record]) -> str:
    """A line for each network among the records."""
    return _table(TOTALS, [_total_row(record) for record in records if record.layer == TOTAL])


def _total_row(total: Record) -> list[str]:
    cause, stalled = total.main_stall
    return [
        total.network,
        str(total.batch),
        f"{total.cycles:,}",
        f"{total.utilisation:.1%}",
        f"{total.memory_bytes / total.macs:.4f}",
        f"{total.glb_values / total.macs:.3f}",
        f"{total.energy['total'] / total.macs:.1f}",
        f"{total.energy['dram'] / total.energy['total']:.0%}",
        f"{cause.replace('_', ' ')}, {stalled / total.cycles:.1%}",
    ]


def eyeriss_table(records: list[Record]) -> str:
    """Eyeriss's layers of one network beside its records."""
    rows = []
    for line in compare(records):
        shares = (line.processing, line.overall, line.utilisation)
        traffic = (*line.glb_values, *line.memory_values, *line.memory_bytes)
        rows.append(
            [line.layer, *(f"{n:.1%}" for n in shares), *(f"{n / line.macs:.4f}" for n in traffic)]
        )
    return _table(COMPARED, rows)


def _table(headings: Iterable[str], rows: list[list[str]]) -> str:
    """Markdown; the first column flush left, the others right."""
    headings = list(headings)
    rule = ["---", *["---:"] * (len(headings) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (headings, rule, *rows))


if __name__ == "__main__":
    main()
