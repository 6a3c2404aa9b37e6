"""Eyeriss's columns: they add up, fit our networks, and come beside our figures in one unit."""

import pytest
from measurement_cases import invented

from eyas.sim.bench import useful_macs
from eyas.sim.bench_eyeriss import compare, published
from eyas.sim.networks import NETWORKS

NETWORK_NAMES = ("alexnet", "vgg16")


def macs(network: str) -> dict[str, int]:
    return useful_macs(NETWORKS[network]())


def test_batches():
    lines = published()
    assert {name: {line.batch for line in lines[name]} for name in lines} == {
        "alexnet": {4},
        "vgg16": {3},
    }


@pytest.mark.parametrize("network", NETWORK_NAMES)
def test_columns_add_up_to_the_printed_total(network):
    *layers, total = published()[network]
    assert total.layer == "total"
    for column in ("gmac", "total_ms", "processing_ms", "glb_mb", "dram_mb"):
        printed = getattr(total, column)
        # Every addend is rounded to the column's last digit.
        digit = 0.01 if column == "gmac" else 0.1
        assert sum(getattr(line, column) for line in layers) == pytest.approx(
            printed, abs=digit * len(layers) / 2
        ), column


@pytest.mark.parametrize("network", NETWORK_NAMES)
def test_their_layers_are_ours(network):
    *layers, total = published()[network]
    ours = macs(network)
    assert [line.layer for line in layers] == list(ours)
    for line in layers:
        assert line.gmac == pytest.approx(line.batch * ours[line.layer] / 1e9, abs=0.0051)
    assert total.gmac == pytest.approx(total.batch * sum(ours.values()) / 1e9, abs=0.0051)


@pytest.mark.parametrize(
    ("network", "processing", "overall"), [("alexnet", 0.766, 0.687), ("vgg16", 0.365, 0.318)]
)
def test_utilisation(network, processing, overall):
    """As published for the whole stacks."""
    *layers, total = compare(invented(network, macs(network)).records)
    assert total.processing == pytest.approx(processing, abs=5e-4)
    assert total.overall == pytest.approx(overall, abs=5e-4)
    assert total.utilisation == pytest.approx(0.5, abs=1e-4)
    assert all(0.1 < line.overall < line.processing < 1 for line in layers)


@pytest.mark.parametrize("batch", [1, 4])
def test_traffic_is_of_one_image(batch):
    *_, total = compare(invented("alexnet", macs("alexnet"), batch).records)
    assert total.macs == 665_784_864
    (theirs, ours), (their_values, our_values) = total.memory_bytes, total.memory_values
    assert theirs == pytest.approx(15.4e6 / 4)
    assert their_values / total.macs == pytest.approx(0.0029, abs=5e-5)
    assert ours == our_values == pytest.approx(total.macs / 100, rel=1e-5)
    (theirs, ours), (their_values, our_values) = total.glb_bytes, total.glb_values
    assert theirs == pytest.approx(208.5e6 / 4)
    assert their_values / total.macs == pytest.approx(0.039, abs=5e-4)
    assert ours == our_values == pytest.approx(total.macs / 10, rel=1e-5)
