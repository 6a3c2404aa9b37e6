"""eyas/config.py: presets, files, and a message that names the field that is out of range."""

from dataclasses import asdict, replace

import pytest

from eyas import config as configuration
from eyas.config import Array, Config, Glb, presets
from eyas.errors import ConfigError

BASE = Config.load("tiny4x4")

# part, field, accepted values, refused values
RANGES = [
    ("array", "rows", (1, 5, 32), (0, 33, -1, 2.0, "4", True, None)),
    ("array", "cols", (1, 7, 32), (0, 33, 1.5, [4])),
    ("spad", "filters", (16, 64, 1024), (0, 8, 17, 96, 2048, "64")),
    ("spad", "ifmap_lanes", (16, 128), (8, 48, 256, 16.0)),
    ("spad", "psums", (4, 32), (2, 5, 64, False)),
    ("spad", "psum_width", (18, 24, 32), (17, 33, "24")),
    ("spad", "memory", ("lut", "block", "macro"), ("LUT", "", 3, None)),
    ("noc", "tile_slots", (2, 4), (1, 3, 8)),
    ("glb", "fmap_kib", (1, 76, 512), (0, 513, 7.5)),
    ("glb", "filter_kib", (1, 512), (0, 513, None)),
    ("glb", "ifmap_ports", (1, 2, 4), (0, 3, 8, "1", True)),
    ("glb", "filter_ports", (1, 2, 4), (0, 3, 8, 2.0, True)),
    ("psum_bank", "depth", (16, 512, 4096), (8, 100, 8192)),
    ("ppu", "lanes", (1, 2, 4), (0, 3, 64)),
    ("ppu", "tables", (True, False), (0, 1, "yes", None)),
    ("ppu", "merge", (True, False), (0, 1, "yes", None)),
    ("memory", "bus_bytes", (4, 8), (0, 1, 6, 16, 4.0, "8")),
    ("memory", "burst_beats", (2, 16, 256), (1, 3, 512)),
    ("memory", "outstanding", (1, 32), (0, 3, 64)),
    ("memory", "latency_cycles", (1, 10_000), (0, 10_001, 1.0)),
    ("control", "queue_depth", (2, 64), (1, 3, 128)),
    ("control", "counter_width", (0, 16, 48, 64), (1, 15, 65, 48.5, "48", False)),
]
accepted = [(part, name, value) for part, name, values, _ in RANGES for value in values]
refused = [(part, name, value) for part, name, _, values in RANGES for value in values]


def tables(**changes):
    """BASE as nested dictionaries, with `part__field=value` changes."""
    content = asdict(BASE)
    for path, value in changes.items():
        part, name = path.split("__")
        content[part][name] = value
    return content


@pytest.mark.parametrize("name", presets())
def test_presets_load(name):
    config = Config.load(name)
    assert config.name == name
    assert config.pes == config.array.rows * config.array.cols
    assert Config.load(config) is config


def test_the_documented_presets_exist():
    assert {"tiny4x4", "edge8x8", "eyeriss168"} <= set(presets())
    eyeriss = Config.load("eyeriss168")
    assert (eyeriss.array.rows, eyeriss.array.cols, eyeriss.pes) == (12, 14, 168)
    assert eyeriss.glb.fmap_kib + eyeriss.glb.filter_kib <= 108


@pytest.mark.parametrize(("part", "name", "value"), accepted)
def test_values_within_range(part, name, value):
    config = Config.from_dict(tables(**{f"{part}__{name}": value}))
    assert getattr(getattr(config, part), name) == value


@pytest.mark.parametrize(("part", "name", "value"), refused)
def test_values_out_of_range_are_named(part, name, value):
    with pytest.raises(ConfigError) as error:
        Config.from_dict(tables(**{f"{part}__{name}": value}), "mine.toml")
    message = str(error.value)
    assert message.startswith(f"mine.toml: {part}.{name} must be ")
    assert message.endswith(f", not {value!r}")
    assert "\n" not in message


def test_every_field_has_a_range_test():
    tested = {(part, name) for part, name, _, _ in RANGES}
    content = asdict(BASE)
    del content["name"]
    assert tested == {(part, name) for part, values in content.items() for name in values}


@pytest.mark.parametrize("name", ["", "two words", "a/b", 7, None])
def test_name_must_be_plain(name):
    with pytest.raises(ConfigError, match=r"^name must be letters, digits, - and _, not"):
        replace(BASE, name=name)


def test_no_more_ppu_lanes_than_columns():
    with pytest.raises(ConfigError, match=r"ppu.lanes must be at most array.cols \(4\), not 8"):
        Config.from_dict(tables(ppu__lanes=8))


def test_a_step_fits_into_the_psum_bank():
    with pytest.raises(ConfigError, match=r"psum_bank.depth must be at least spad.psums \(32\)"):
        Config.from_dict(tables(spad__psums=32, psum_bank__depth=16))


def test_unknown_fields_are_named():
    content = tables()
    content["spad"]["filter"] = 64
    with pytest.raises(ConfigError, match=r"^mine: unknown field spad.filter \(known: filters, "):
        Config.from_dict(content, "mine")
    with pytest.raises(ConfigError, match=r"^configuration: unknown field dram "):
        Config.from_dict({**tables(), "dram": {}})


@pytest.mark.parametrize(
    ("content", "missing"),
    [
        ({}, "name"),
        ({"name": "a", "glb": {"fmap_kib": 8, "filter_kib": 4}}, "array"),
        ({"name": "a", "array": {"rows": 2, "cols": 2}}, "glb"),
        ({"name": "a", "array": {"rows": 2}}, "array.cols"),
        ({"name": "a", "glb": {"fmap_kib": 2}}, "glb.filter_kib"),
    ],
)
def test_missing_fields_are_named(content, missing):
    with pytest.raises(ConfigError, match=f"^configuration: {missing} is missing$"):
        Config.from_dict(content)


@pytest.mark.parametrize("value", [3, "4x4", None, [1, 2]])
def test_parts_must_be_tables(value):
    with pytest.raises(ConfigError, match=r"^configuration: array must be a table, not"):
        Config.from_dict({**tables(), "array": value})


def test_unknown_preset_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"no configuration 'nosuch': give one of .*tiny4x4"):
        Config.load("nosuch")


def test_files_load(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[array]\nrows = 3\ncols = 5\n[glb]\nfmap_kib = 2\nfilter_kib = 1\n")
    expected = Config("mine", Array(3, 5), Glb(2, 1))
    assert Config.load(path) == expected
    assert Config.load(str(path)) == expected


def test_a_file_may_name_itself(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "other"\n[array]\nrows = 3\ncols = 5\n[glb]\nfmap_kib = 2\nfilter_kib = 1\n'
    )
    assert Config.load(path).name == "other"


def test_unreadable_files(tmp_path):
    path = tmp_path / "none.toml"
    with pytest.raises(ConfigError) as error:
        Config.load(path)
    assert str(error.value) == f"{path}: cannot be read (No such file or directory)"
    folder = tmp_path / "folder.toml"
    folder.mkdir()
    with pytest.raises(ConfigError, match=r"folder.toml: cannot be read"):
        Config.load(folder)


@pytest.mark.parametrize("data", [b"[array\nrows = 3", b"rows 3", b"\xff\xfe\x00", b"a = 1\na = 2"])
def test_damaged_files(tmp_path, data):
    path = tmp_path / "damaged.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"damaged.toml: not a TOML file \(") as error:
        Config.load(path)
    assert "\n" not in str(error.value)


def test_file_errors_name_file_and_field(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[array]\nrows = 0\ncols = 5\n[glb]\nfmap_kib = 2\nfilter_kib = 1\n")
    with pytest.raises(ConfigError, match=r"mine.toml: array.rows must be .* from 1 to 32, not 0$"):
        Config.load(path)


def test_hash_covers_everything_but_name_and_latency():
    assert replace(BASE, name="other").hash == BASE.hash
    assert Config.from_dict(tables(memory__latency_cycles=7)).hash == BASE.hash
    changed = {
        (part, name): Config.from_dict(tables(**{f"{part}__{name}": value})).hash
        for part, name, value in accepted
        if (part, name) != ("memory", "latency_cycles") and asdict(BASE)[part][name] != value
    }
    assert BASE.hash not in changed.values()
    assert len(changed) == len(RANGES) - 1


def test_derived_sizes():
    assert (BASE.glb.fmap_words, BASE.glb.filter_words) == (1024, 512)
    assert BASE.spad.ifmap_beats == 16
    assert BASE.spad.chain_limit == 511
    assert [configuration.bits_for(n) for n in (1, 2, 3, 4, 5, 256)] == [1, 1, 2, 2, 3, 8]
