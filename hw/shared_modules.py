"""One Verilog module for components that are alike, where it would otherwise be one for each.

An array has hundreds of equal PEs. Amaranth writes a module for each of them, which makes the
Verilog of a large machine tens of times longer than it need be, for people and for tools.
`add_shared` makes a component a submodule as usual, except when the Verilog is generated: then the
platform is a `SharedModules`, which converts the first component of each kind and makes all of them
instances of that one module.
"""

import re
from collections.abc import Callable

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal
from amaranth.lib.wiring import Component, In


class SharedModules:
    """The platform of Verilog generation. `texts` are the modules made so far, by name."""

    def __init__(self, prefix: str, convert: Callable[[Component, str, "SharedModules"], str]):
        self.prefix, self.convert = prefix, convert
        self.texts: dict[str, str] = {}

    def instance(self, component: Component, kind: str) -> Instance:
        """An instance of the module of `kind`, wired to the component's own ports."""
        name = f"{self.prefix}__{kind}"
        if name not in self.texts:
            self.texts[name] = ""  # a kind does not contain itself
            self.texts[name] = self.convert(component, name, self)
        else:
            component._MustUse__used = True  # its ports are used, and it is elaborated elsewhere
        ports = {}
        for path, member, value in component.signature.flatten(component):
            direction = "i" if member.flow is In else "o"
            ports[f"{direction}_{'__'.join(str(part) for part in path)}"] = value
        declared = re.search(rf"^module {name}\((.*?)\);", self.texts[name], re.M | re.S)
        for port, signal in (("clk", ClockSignal()), ("rst", ResetSignal())):
            if declared and re.search(rf"\b{port}\b", declared[1]):
                ports[f"i_{port}"] = signal
        return Instance(name, **ports)


def add_shared(m: Module, name: str, component: Component, platform, kind: str) -> None:
    """Makes `component` the submodule `name`; all of one `kind` must have equal parameters."""
    shared = isinstance(platform, SharedModules)
    m.submodules[name] = platform.instance(component, kind) if shared else component
