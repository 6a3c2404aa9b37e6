"""Records by hand: where each figure of the JSON comes from."""

import json
from dataclasses import fields

import pytest
from measurement_cases import counts

from eyas.config import Config
from eyas.errors import ModelError
from eyas.sim.bench_energy import energy
from eyas.sim.bench_record import Record, layer_record, load_json, save_json, total_record
from eyas.sim.bench_shares import Share

TINY = Config.load("tiny4x4")
KEYS = (
    "network layer macs cycles utilisation stalls memory_read_bytes memory_write_bytes glb_reads "
    "glb_writes noc_words spad_accesses energy batch"
).split()


def test_energy_by_hand():
    """9 MACs that take 40 spad accesses, 10 values over the NoC, 6 from the GLB, 3 from DRAM."""
    parts = energy(9, 40, 10, 6, 3)
    assert parts == dict(alu=9, spad=40, noc=20, glb=36, dram=600, total=705)


def one_layer() -> Record:
    counters = counts(
        cycles=1000, array_busy=900, stall_ifmaps=60, stall_memory_read=40, active_macs=9000,
        spad_writes=500, glb_reads=300, glb_writes=50, glb_dma_words=210, glb_vector_words=25,
        noc_ifmap_beats=31, noc_filter_values=13, noc_psums=20, memory_read_bytes=1312,
        memory_write_bytes=400,
    )  # fmt: skip
    return layer_record("net", "conv", 8000, Share(counters, 50, 5), TINY, 2)


def test_layer_by_hand():
    record = one_layer()
    assert (record.macs, record.cycles, record.batch) == (8000, 1000, 2)
    assert record.utilisation == 8000 / (1000 * 16)
    assert record.stalls == dict(
        ifmaps=60, filters=0, psum_banks=0, memory_read=40, memory_write=0, commands=0
    )
    assert record.main_stall == ("ifmaps", 60)
    assert record.glb_reads == 300 + 50 + 20  # rows and PPU, STORE, VECTOR
    assert record.glb_writes == 50 + 160 + 5  # PPU, LOAD, VECTOR
    assert record.glb_values == 8 * 585
    assert record.noc_words == 28  # 4 × 31 + 13 + 4 rows × 20 = 217 values
    assert record.spad_accesses == 4 * 9000 + 500
    assert record.memory_bytes == 1712
    assert record.energy == dict(
        alu=9000, spad=36_500, noc=2 * 8 * 28, glb=6 * 8 * 585, dram=200 * 1712,
        total=9000 + 36_500 + 448 + 28_080 + 342_400,
    )  # fmt: skip


def test_total_adds_layers_up():
    total = total_record([one_layer()] * 3, TINY)
    assert (total.network, total.layer, total.batch) == ("net", "total", 2)
    assert (total.macs, total.cycles, total.utilisation) == (24_000, 3000, 0.5)
    assert total.stalls["ifmaps"] == 180
    assert total.energy["total"] == 3 * one_layer().energy["total"]
    for key in ("glb_reads", "glb_writes", "noc_words", "spad_accesses", "memory_bytes"):
        assert getattr(total, key) == 3 * getattr(one_layer(), key), key


def test_json_has_the_keys_and_nothing_else(tmp_path):
    path = tmp_path / "bench.json"
    save_json([one_layer(), total_record([one_layer()], TINY)], path)
    objects = json.loads(path.read_text("utf-8"))
    assert load_json(path) == [one_layer(), total_record([one_layer()], TINY)]
    assert [entry["layer"] for entry in objects] == ["conv", "total"]
    for entry in objects:
        assert list(entry) == KEYS == [field.name for field in fields(Record)]
        assert entry["utilisation"] == pytest.approx(0.5)
        assert entry["stalls"]["memory_read"] == 40
        assert (
            sum(v for k, v in entry["energy"].items() if k != "total") == entry["energy"]["total"]
        )


@pytest.mark.parametrize("text", ["no JSON", '[{"network": "vww"}]', "[1]"])
def test_another_file_is_refused(tmp_path, text):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ModelError, match="not a file that `eyas bench --json` wrote"):
        load_json(path)
