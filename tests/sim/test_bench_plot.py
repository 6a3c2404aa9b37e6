"""Plots are drawn; what they show is looked at by people."""

import sys

import pytest
from measurement_cases import invented
from PIL import Image

from eyas.errors import LinkError
from eyas.sim.bench_plot import check_plotting, plot

SMALL = {"conv1": 400_000, "dw": 60_000, "conv2": 700_000, "fc": 90_000, "conv3": 0}


def test_a_row_for_each_network(tmp_path):
    sizes = []
    for count in (1, 2):
        path = tmp_path / f"{count}.png"
        plot([invented(f"net{n}", SMALL) for n in range(count)], path)
        with Image.open(path) as image:
            sizes.append(image.size)
            colours = image.convert("RGB").getcolors(1 << 20)
        assert colours is not None
        shown = {colour for _, colour in colours}
        bars = {(0x3B, 0x6F, 0xB6), (0xE0, 0x8A, 0x2C), (0x5A, 0x9E, 0x57)}
        assert bars <= shown
    assert sizes[1] == (sizes[0][0], 2 * sizes[0][1])


def test_vector_graphics_name_the_layers(tmp_path):
    path = tmp_path / "page.svg"
    plot([invented("net", SMALL)], path)
    text = path.read_text("utf-8")
    for label in ("conv1", "dw", "conv2", "fc", "168 PEs"):
        assert f"<!-- {label} -->" in text
    assert "<!-- conv3 -->" not in text  # without MACs


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(LinkError, match=r"plots need matplotlib: pip install eyas\[plot\]"):
        check_plotting()
