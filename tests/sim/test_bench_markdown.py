"""Markdown tables from JSON files."""

from click.testing import CliRunner
from measurement_cases import invented

from eyas.sim.bench import useful_macs
from eyas.sim.bench_markdown import main
from eyas.sim.bench_record import save_json
from eyas.sim.networks import NETWORKS


def lines(*arguments: str) -> list[list[str]]:
    """The cells of each line that is one of a table."""
    result = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0
    rows = [line for line in result.output.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_tables(tmp_path):
    path = tmp_path / "bench.json"
    alexnet = invented("alexnet", useful_macs(NETWORKS["alexnet"]()), 4)
    save_json([*alexnet.records, *invented("vww", {"conv1": 840_000}).records], path)
    headings, rule, *rows = lines(str(path))
    assert len(headings) == len(rule) == 9
    assert [len(row) for row in rows] == [9, 9]
    # 4 accesses of spads a MAC, 1/100 byte of memory, 1/80 word of the GLB, and the MAC itself.
    energy = 1 + 4 + 200 / 100 + 6 * 8 / 80
    assert rows[1] == [
        *("vww", "1", "10,000", "50.0%", "0.0100", "0.100", f"{energy:.1f}", "26%"),
        "ifmaps, 0.0%",
    ]
    headings, _, *rows = lines(str(path), "--against", "eyeriss")
    assert [row[0] for row in rows] == ["conv1", "conv2", "conv3", "conv4", "conv5", "total"]
    assert rows[-1] == ("total 76.6% 68.7% 50.0% 0.0391 0.1000 0.0029 0.0100 0.0058 0.0100".split())


def test_other_files(tmp_path):
    result = CliRunner().invoke(main, [str(tmp_path / "none.json")])
    assert result.exit_code == 1
    assert "No such file" in result.output
