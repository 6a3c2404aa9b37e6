"""Verilog from the cache is what the generator gives, and another configuration's is another."""

from dataclasses import replace

from eyas.config import Config, Control
from eyas.hw import verilog
from eyas.sim.generated import accelerator_verilog

TINY = Config.load("tiny4x4")


def test_generated_once(tmp_path, monkeypatch):
    monkeypatch.setenv("EYAS_CACHE", str(tmp_path))
    made = []

    def generate(config):
        made.append(config)
        return f"// {config.name}, {len(made)}\n"

    monkeypatch.setattr(verilog, "generate", generate)
    other = replace(TINY, control=Control(queue_depth=4))
    assert accelerator_verilog(TINY) == "// tiny4x4, 1\n"
    assert accelerator_verilog(TINY) == "// tiny4x4, 1\n"
    assert accelerator_verilog(other) == "// tiny4x4, 2\n"
    assert made == [TINY, other]


def test_text_is_the_generators():
    assert accelerator_verilog(TINY) == verilog.generate(TINY)
