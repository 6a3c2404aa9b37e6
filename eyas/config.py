"""The configuration of an accelerator: frozen, nested by part, checked when it is made.

Everything that the generated hardware, the compiler and the simulator must agree on is here, and
everything that follows from it (widths, depths) is derived here once, as a property.

    config = Config.load("edge8x8")              # a preset by name
    config = Config.load("mine.toml")            # or a file of the same form
    config = replace(config, array=Array(3, 5))  # dataclasses.replace works at every level
"""

import json
import sys
import zlib
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from eyas.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib

WORD_LANES = 8
"""int8 lanes in a GLB word, which is also what memory descriptors count in."""
WORD_BYTES = 8
BEAT_LANES = 4
"""int8 lanes that an X-bus moves in a cycle."""

MIN_PSUMS = 3
"""Fewest psums of a step: a PE writes a psum two stages after it has read it, so another
micro-cycle may read it again only three later."""

MEMORY_STYLES = ("lut", "block", "macro")


def _check(rule: bool, name: str, accepted: str, value: object) -> None:
    if not rule:
        raise ConfigError(f"{name} must be {accepted}, not {value!r}")


def _check_int(name: str, value: object, low: int, high: int) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    _check(
        whole and low <= value <= high,  # type: ignore[operator]
        name,
        f"a whole number from {low} to {high}",
        value,
    )


def _check_power(name: str, value: object, low: int, high: int) -> None:
    _check_int(name, value, low, high)
    accepted = f"a power of two from {low} to {high}"
    _check(value & (value - 1) == 0, name, accepted, value)  # type: ignore[operator]


def _check_choice(name: str, value: object, *choices: object) -> None:
    # By type too: True equals 1 and 4.0 equals 4, but neither is meant.
    known = any(value == choice and type(value) is type(choice) for choice in choices)
    accepted = " or ".join(str(choice).lower() for choice in choices)
    _check(known, name, accepted, value)


def bits_for(values: int) -> int:
    """Bits that tell `values` different things apart; at least one."""
    return max(1, (values - 1).bit_length())


@dataclass(frozen=True)
class Array:
    """The PE array. Psums flow down the rows of each column."""

    rows: int
    cols: int

    def __post_init__(self) -> None:
        _check_int("array.rows", self.rows, 1, 32)
        _check_int("array.cols", self.cols, 1, 32)


@dataclass(frozen=True)
class Spad:
    """The three scratch pads of a PE.

    `memory` is the style of the filter spads: "lut" (LUT RAM, one a PE), "block" (a 32-bit block
    RAM with byte enables shared by the PEs of four neighbouring columns) or "macro" (as "block",
    but as an instance of an SRAM module that the user supplies).
    """

    filters: int = 128
    """int8 filter values in each of the two filter banks."""
    ifmap_lanes: int = 64
    """int8 lanes in the ifmap ring."""
    psums: int = 16
    psum_width: int = 24
    """Bits. rows * q * taps products must fit: 15 + ceil(log2(rows * q * taps + 1))."""
    memory: str = "block"

    def __post_init__(self) -> None:
        _check_power("spad.filters", self.filters, 16, 1024)
        _check_power("spad.ifmap_lanes", self.ifmap_lanes, 16, 128)
        _check_power("spad.psums", self.psums, 4, 32)
        _check_int("spad.psum_width", self.psum_width, 18, 32)
        _check(
            self.memory in MEMORY_STYLES,
            "spad.memory",
            f"one of {', '.join(MEMORY_STYLES)}",
            self.memory,
        )

    @property
    def ifmap_beats(self) -> int:
        return self.ifmap_lanes // BEAT_LANES

    @property
    def chain_limit(self) -> int:
        """The most products, rows * q * taps, that a chained psum may hold without overflow."""
        return (1 << (self.psum_width - 15)) - 1


@dataclass(frozen=True)
class Noc:
    """The row controllers and what they share."""

    tile_slots: int = 2
    """COMPUTE commands whose parameters the row controllers hold at a time."""

    def __post_init__(self) -> None:
        _check_power("noc.tile_slots", self.tile_slots, 2, 4)


@dataclass(frozen=True)
class Glb:
    """The global buffer: word-interleaved banks for fmaps, others for filters.

    Each bank reads a word a cycle. Of filters, a row takes a word in eight cycles.
    """

    fmap_kib: int
    filter_kib: int
    ifmap_ports: int = 1
    """Banks of fmaps."""
    filter_ports: int = 1
    """Banks of filters and parameters."""

    def __post_init__(self) -> None:
        _check_int("glb.fmap_kib", self.fmap_kib, 1, 512)
        _check_int("glb.filter_kib", self.filter_kib, 1, 512)
        _check_choice("glb.ifmap_ports", self.ifmap_ports, 1, 2, 4)
        _check_choice("glb.filter_ports", self.filter_ports, 1, 2, 4)

    @property
    def fmap_words(self) -> int:
        return self.fmap_kib * 1024 // WORD_BYTES

    @property
    def filter_words(self) -> int:
        return self.filter_kib * 1024 // WORD_BYTES

    @property
    def fmap_banks(self) -> tuple[str, ...]:
        """Names of the fmap memories: word a is entry a // n of memory a % n."""
        return tuple(f"fmap{number}" for number in range(self.ifmap_ports))

    @property
    def filter_banks(self) -> tuple[str, ...]:
        """Names of the filter memories, interleaved likewise."""
        if self.filter_ports == 1:
            return ("filters",)
        return tuple(f"filters{number}" for number in range(self.filter_ports))


@dataclass(frozen=True)
class PsumBank:
    """Per column two memories of `depth` 32-bit psums: one accumulates while the other drains."""

    depth: int = 512

    def __post_init__(self) -> None:
        _check_power("psum_bank.depth", self.depth, 16, 4096)


@dataclass(frozen=True)
class Ppu:
    """Post-processing: `lanes` columns drain at a time, each a value a cycle."""

    lanes: int = 1
    tables: bool = True
    """Whether the lanes have the 256-entry table for arbitrary int8 functions."""
    merge: bool = True
    """Whether the drain can join a second fmap to the ofmap: ADD, MUL, PRELU."""

    def __post_init__(self) -> None:
        _check_power("ppu.lanes", self.lanes, 1, 32)
        _check_choice("ppu.tables", self.tables, True, False)
        _check_choice("ppu.merge", self.merge, True, False)


@dataclass(frozen=True)
class Memory:
    """The AXI4 port, and the timing of the memory that simulations put behind it by default."""

    bus_bytes: int = 4
    """Width of the AXI4 data bus."""
    burst_beats: int = 16
    """The longest burst, in bus beats."""
    outstanding: int = 8
    """Read bursts in flight; as many write bursts."""
    latency_cycles: int = 60

    def __post_init__(self) -> None:
        _check_choice("memory.bus_bytes", self.bus_bytes, 4, 8)
        _check_power("memory.burst_beats", self.burst_beats, 2, 256)
        _check_power("memory.outstanding", self.outstanding, 1, 32)
        _check_int("memory.latency_cycles", self.latency_cycles, 1, 10_000)


@dataclass(frozen=True)
class Control:
    """Command queues and counters."""

    queue_depth: int = 8
    """Commands that each engine's queue holds."""
    counter_width: int = 48
    """Bits in each hardware counter; 0 leaves the counters out."""

    def __post_init__(self) -> None:
        _check_power("control.queue_depth", self.queue_depth, 2, 64)
        width = self.counter_width
        whole = isinstance(width, int) and not isinstance(width, bool)
        _check(
            whole and (width == 0 or 16 <= width <= 64),
            "control.counter_width",
            "0 or a whole number from 16 to 64",
            width,
        )


@dataclass(frozen=True)
class Config:
    """A whole accelerator."""

    name: str
    array: Array
    glb: Glb
    spad: Spad = field(default_factory=Spad)
    noc: Noc = field(default_factory=Noc)
    psum_bank: PsumBank = field(default_factory=PsumBank)
    ppu: Ppu = field(default_factory=Ppu)
    memory: Memory = field(default_factory=Memory)
    control: Control = field(default_factory=Control)

    def __post_init__(self) -> None:
        _check(
            isinstance(self.name, str) and self.name.replace("_", "").replace("-", "").isalnum(),
            "name",
            "letters, digits, - and _",
            self.name,
        )
        _check(
            self.ppu.lanes <= self.array.cols,
            "ppu.lanes",
            f"at most array.cols ({self.array.cols})",
            self.ppu.lanes,
        )
        _check(
            self.spad.psums <= self.psum_bank.depth,
            "psum_bank.depth",
            f"at least spad.psums ({self.spad.psums})",
            self.psum_bank.depth,
        )

    @property
    def pes(self) -> int:
        return self.array.rows * self.array.cols

    @property
    def hash(self) -> int:
        """CRC-32 of every field but the name and the simulated memory latency.

        Two configurations with equal hashes run the same programs on the same hardware.
        """
        content = asdict(self)
        del content["name"]
        del content["memory"]["latency_cycles"]
        return zlib.crc32(json.dumps(content, sort_keys=True).encode())

    @classmethod
    def from_dict(cls, content: dict[str, Any], where: str = "configuration") -> "Config":
        """Builds a configuration from nested dictionaries, as TOML gives them.

        Raises ConfigError that names the field for anything unknown, missing or out of range.
        """
        return _build(cls, content, where, "")

    @classmethod
    def load(cls, source: "str | Path | Config") -> "Config":
        """A preset by name, or a TOML file by path (anything that ends in .toml)."""
        if isinstance(source, Config):
            return source
        if str(source).endswith(".toml"):
            return cls._load_file(Path(source))
        if source not in presets():
            names = ", ".join(presets())
            raise ConfigError(
                f"no configuration {str(source)!r}: give one of {names} or a .toml file"
            )
        text = (resources.files("eyas") / "presets" / f"{source}.toml").read_text()
        return cls.from_dict(tomllib.loads(text), f"preset {source}")

    @classmethod
    def _load_file(cls, path: Path) -> "Config":
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: not a TOML file ({error})") from None
        content.setdefault("name", path.stem)
        return cls.from_dict(content, str(path))


def presets() -> list[str]:
    """Names of the configurations that come with Eyas."""
    folder = resources.files("eyas") / "presets"
    return sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".toml"))


def _build(cls: Any, content: Any, where: str, prefix: str) -> Any:
    if not isinstance(content, dict):
        raise ConfigError(f"{where}: {prefix.rstrip('.')} must be a table, not {content!r}")
    known = {f.name: f for f in fields(cls)}
    for name in content:
        if name not in known:
            accepted = ", ".join(known)
            raise ConfigError(f"{where}: unknown field {prefix}{name} (known: {accepted})")
    values = {}
    for name, value in content.items():
        kind = known[name].type
        values[name] = (
            _build(kind, value, where, f"{prefix}{name}.") if is_dataclass(kind) else value
        )
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    except TypeError:
        missing = [n for n in ("name", *known) if n in known and n not in values]
        required = [n for n in missing if not _has_default(known[n])]
        raise ConfigError(f"{where}: {prefix}{required[0]} is missing") from None


def _has_default(entry: Any) -> bool:
    from dataclasses import MISSING

    return entry.default is not MISSING or entry.default_factory is not MISSING
