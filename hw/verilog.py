"""Verilog of the whole accelerator, or of any component.

The text depends on the configuration and the versions of Eyas and Amaranth only: no paths, no date.
Amaranth names a module after its place in the hierarchy, `top.glb.fmap0`, which Verilog must
escape; here it becomes the plain identifier `top__glb__fmap0`. A memory that a component calls
`words` is the array `words` in the component's module.
"""

import re

from amaranth.back import verilog
from amaranth.hdl import Elaboratable

from eyas import __version__
from eyas.config import Config
from eyas.hw.shared_modules import SharedModules

TOP_NAME = "eyas"
"""Module name of the whole accelerator."""

_MODULE = re.compile(r"^module \\(\S+) ", re.MULTILINE)
_EMPTY_WIRE = re.compile(r"^  (?:wire|reg) \[-1:0\] .*\n", re.MULTILINE)
"""A signal of zero bits, which some configurations have, would become one of two bits."""
_ESCAPED = re.compile(r"\\(\S+) ")
_MEMORY_INIT = re.compile(
    r"^  initial begin\n((?:    (\S+)\[\d+\] = (\d+'h0+);\n)+)  end\n", re.MULTILINE
)


def generate(config: Config) -> str:
    """Verilog of the accelerator of `config`, top module TOP_NAME."""
    from eyas.hw.top import Top

    title = f"Eyas {__version__}, configuration {config.name}, hash 0x{config.hash:08x}"
    array = f"{config.array.rows}x{config.array.cols} PEs"
    glb = f"GLB {config.glb.fmap_kib} KiB of fmaps, {config.glb.filter_kib} KiB of filters"
    header = f"// {title}\n// {array}, {glb}. Generated: do not edit.\n"
    return header + verilog_of(Top(config), TOP_NAME)


def verilog_of(component: Elaboratable, name: str) -> str:
    """Verilog of a component with a signature; its top module is called `name`."""
    shared = SharedModules(name, _convert)
    text = _convert(component, name, shared)
    return "\n".join([*shared.texts.values(), text])


def _convert(component: Elaboratable, name: str, shared: SharedModules) -> str:
    text = verilog.convert(
        component, platform=shared, name=name, emit_src=False, strip_internal_attrs=True
    )
    return _shorten_init(_plain_module_names(_EMPTY_WIRE.sub("", _without_banner(text))))


def _without_banner(text: str) -> str:
    """Drops the first line, which names the build of Yosys that wrote the text."""
    return text.split("\n", 1)[1].lstrip("\n")


def _plain_module_names(text: str) -> str:
    """Turns escaped hierarchical module names into plain identifiers."""
    plain = {name: name.replace(".", "__") for name in _MODULE.findall(text)}
    return _ESCAPED.sub(
        lambda match: f"{plain[match[1]]} " if match[1] in plain else match[0], text
    )


def _shorten_init(text: str) -> str:
    """Turns the line-by-line initialisation of a zero memory into a loop."""

    def loop(match: re.Match) -> str:
        depth = match[1].count("\n")
        name, zero = match[2], match[3]
        return (
            f"  integer {name}_index;\n"
            f"  initial\n"
            f"    for ({name}_index = 0; {name}_index < {depth}; "
            f"{name}_index = {name}_index + 1)\n"
            f"      {name}[{name}_index] = {zero};\n"
        )

    return _MEMORY_INIT.sub(loop, text)
