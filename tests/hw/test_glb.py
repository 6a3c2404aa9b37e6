"""cocotb bench of the GLB, on GLBs of several shapes side by side."""

from dataclasses import asdict, replace

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from eyas.config import Config
from eyas.config import Glb as GlbConfig
from eyas.hw.glb import Glb
from eyas.sim.cocotb_runner import run_bench

BASE = Config.load("tiny4x4")


class SideBySide(wiring.Component):
    """Components by name, each with ports of its own: they compile in little more time than one."""

    def __init__(self, components):
        super().__init__({name: Out(part.signature) for name, part in components.items()})
        self.components = components
        for name, component in components.items():
            setattr(self, name, component)

    def elaborate(self, platform):
        m = Module()
        for name, component in self.components.items():
            m.submodules[f"the_{name}"] = component
        return m


def cases():
    """By name: fmap readers, fmap writers, filter readers; KiB and banks of fmaps, of filters."""
    return {
        "smallest": ((1, 1, 1), (2, 1), (1, 1)),
        "one_bank": ((6, 3, 5), (4, 1), (1, 2)),
        "two_banks": ((6, 3, 5), (4, 2), (1, 1)),
        "four_banks": ((9, 5, 7), (4, 4), (1, 4)),
        "odd_depth": ((3, 2, 2), (3, 2), (3, 2)),
    }


def test_glb():
    glbs, env = {}, {}
    for name, (ports, fmaps, filters) in cases().items():
        glb = GlbConfig(fmaps[0], filters[0], ifmap_ports=fmaps[1], filter_ports=filters[1])
        config = replace(BASE, glb=glb)
        readers, writers, filter_readers = ports
        glbs[name] = Glb(
            config, fmap_readers=readers, fmap_writers=writers, filter_readers=filter_readers
        )
        env[name] = {"config": asdict(config), "ports": ports}
    run_bench(SideBySide(glbs), "glbs", "bench_glb", env={"GLBS": env})
