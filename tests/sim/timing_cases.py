"""Machines, layers and networks that the timing model is held against the RTL with."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
from handmade_programs import Mapping, convolution_program
from interpreter_cases import convolution

from eyas.command import Opcode
from eyas.compiler.compile import load_graph
from eyas.compiler.ir import Graph
from eyas.compiler.profile import with_profile
from eyas.compiler.program import Program
from eyas.compiler.writer import compile_graph
from eyas.config import Array, Config, Control, Glb, Memory, Noc, Ppu, PsumBank, Spad
from eyas.errors import ConfigError
from eyas.registers import Counter
from eyas.sim.layer_cases import LayerShape, layer_graph
from eyas.sim.memory_timing import MemoryTiming
from eyas.sim.program_run import ProgramRunner
from eyas.sim.shape_network import ShapeNetwork
from eyas.sim.timing_model import predict

CONFIGS = {
    "1x1": Config(
        "one", Array(1, 1), Glb(8, 4, ifmap_ports=4, filter_ports=2), memory=Memory(bus_bytes=8)
    ),
    "2x3": Config(  # short of everything
        "two-by-three", Array(2, 3), Glb(4, 4), Spad(32, 16, 4), Noc(2), PsumBank(64),
        Ppu(1, tables=False, merge=False), Memory(4, burst_beats=2, outstanding=1),
        Control(queue_depth=2, counter_width=32),
    ),
    "3x5": Config.load(Path(__file__).parents[1] / "three-by-five.toml"),
    "4x4": Config.load("tiny4x4"),
    "5x2": Config(  # more rows than a queue of passes has, unless it grows with them
        "five-by-two", Array(5, 2), Glb(16, 8, ifmap_ports=2), Spad(64, 32, 8), Noc(4),
        PsumBank(128), Ppu(2), Memory(8, burst_beats=64, outstanding=2), Control(32),
    ),
    "8x8": Config.load("edge8x8"),
}  # fmt: skip


def random_config(rng: random.Random) -> Config:
    """Any machine of up to 12 rows and 12 columns."""
    rows, cols = rng.randint(1, 12), rng.randint(1, 12)
    lanes = rng.choice([n for n in (1, 2, 4, 8) if n <= cols])
    psums = rng.choice([4, 8, 16, 32])
    return Config(
        f"random-{rows}x{cols}",
        Array(rows, cols),
        Glb(
            rng.choice([4, 9, 32]),
            rng.choice([4, 16]),
            rng.choice([1, 2, 4]),
            rng.choice([1, 2, 4]),
        ),
        Spad(rng.choice([16, 64, 128, 256]), rng.choice([16, 32, 64, 128]), psums),
        Noc(rng.choice([2, 4])),
        PsumBank(rng.choice([64, 256, 512])),
        Ppu(lanes, rng.random() < 0.7, rng.random() < 0.7),
        Memory(rng.choice([4, 8]), rng.choice([2, 8, 16, 64]), rng.choice([1, 2, 8, 32])),
        Control(rng.choice([2, 4, 8, 64]), rng.choice([32, 48, 64])),
    )


def random_shape(rng: random.Random) -> LayerShape:
    """Any convolution whose ofmap is at least one value, small enough for a single PE."""
    r, s = (rng.choice([1, 1, 2, 3, 3, 5, 7, 11]) for _ in range(2))
    kind = rng.choice(["dense", "dense", "dense", "depthwise", "grouped"])
    c, m, groups = rng.randint(1, 40), rng.randint(1, 40), 1
    if kind == "depthwise":
        m = groups = c
    elif kind == "grouped":
        groups = rng.randint(2, 4)
        c, m = groups * rng.randint(1, 9), groups * rng.randint(1, 9)
    dilation, padding = rng.choice([1, 1, 1, 2]), rng.randint(0, 3)
    h, w = (max(1, dilation * (n - 1) + 1 - 2 * padding) + rng.randint(0, 14) for n in (r, s))
    return LayerShape(c, m, h, w, r, s, rng.choice([1, 1, 2, 3]), padding, dilation, groups)


def random_timing(rng: random.Random) -> MemoryTiming:
    """Any memory whose timing does not depend on random numbers."""
    return MemoryTiming(
        latency_cycles=rng.choice([1, 5, 60, 200]),
        bytes_per_cycle=rng.choice([1.5, 2.4, 4, 8]),
        outstanding=rng.choice([1, 4, 32]),
    )


MOST_CYCLES = 40_000
"""Of a layer, were all PEs busy: the RTL runs at 0.2 million cycles a second."""


def layer_program(rng: random.Random, config: Config) -> tuple[Program, str]:
    """The program of a random layer that fits, with snapshots of the counters, and its shape."""
    while True:
        shape = random_shape(rng)
        if shape.macs > MOST_CYCLES * config.pes:
            continue
        try:
            return with_profile(compile_graph(layer_graph(shape), config)), str(shape)
        except ConfigError:
            continue


def random_network(rng: random.Random, merge: bool) -> Graph:
    """A few layers of every kind, one behind the other."""
    net = ShapeNetwork("random", (rng.randint(1, 12), rng.randint(6, 20), rng.randint(6, 20)))
    x = net.conv("first", net.input, rng.randint(4, 20), 3, rng.randint(1, 2), 1)
    for number in range(rng.randint(2, 5)):
        kind = rng.choice(["conv", "depthwise", "max", "average", "add" if merge else "conv"])
        c, height, width = net.shape(x)
        if kind == "conv":
            x = net.conv(f"conv{number}", x, rng.randint(1, 24), rng.choice([1, 3]), 1, 1)
        elif kind == "depthwise":
            x = net.depthwise(f"depthwise{number}", x, rng.randint(1, 2))
        elif kind == "add":
            y = net.conv(f"branch{number}", x, c, 3, padding=1, relu=False)
            x = net.add(f"add{number}", x, y)
        elif min(height, width) >= 3:
            if kind == "average":
                x = net.average_pool(f"average{number}", x, 2, 2)
            else:
                window, padding = rng.randint(1, 3), rng.randint(0, 1)
                padding = min(padding, window - 1)
                x = net.max_pool(f"max{number}", x, window, rng.randint(1, 3), padding)
    return net.graph(x)


def network_program(model, config: Config) -> Program:
    """The program of a graph or model file, with snapshots of the counters."""
    return with_profile(compile_graph(load_graph(model), config))


def turns_program(config: Config, order: str) -> Program:
    """Four tiles of two segments (ab, cd, ef, gh) in this order; small letters swap memories.

    A tile drains for longer than its segments compute.
    """
    rng = np.random.default_rng(3)
    layer = convolution(rng, 2, 12, 1, 1)
    ifmap = rng.integers(-128, 128, (2, 5, 40), np.int8)
    made = convolution_program(config, layer, ifmap, Mapping(3, 1, 1, we=5, steps=40, segments=2))
    first = made.index(Opcode.COMPUTE)
    computes = made.commands[first : first + len(order)]
    for place, (letter, old) in enumerate(zip(order, computes, strict=True)):
        chosen = computes["abcdefgh".index(letter.lower())]
        values = chosen.values | {"swap": int(letter.islower())}
        made.commands[first + place] = replace(chosen, values=values, wait=old.wait, give=old.give)
    return Program(
        "turns", config.name, config.hash, made.memory_bytes, 0, made.commands,
        [(address, words.tobytes()) for address, words in made.data],
        {}, [], [], [], np.zeros((len(made.commands), 4), np.int32),
    )  # fmt: skip


def differences(
    runner: ProgramRunner, program: Program, timing: MemoryTiming | None = None
) -> list[str]:
    """What the timing model says otherwise than the RTL: cycles, counters, counters by layer."""
    run = runner.run(program, {}, timing=timing)
    prediction = predict(program, runner.config, timing)
    found = []
    if run.run.cycles != prediction.cycles:
        found.append(f"{prediction.cycles} cycles instead of {run.run.cycles}")
    wrap = 1 << runner.config.control.counter_width
    for counter, count in run.run.counters.items():
        if prediction.counters[counter] % wrap != count:
            found.append(f"{counter.name} {prediction.counters[counter]} instead of {count}")
    for layer, (theirs, ours) in enumerate(zip(run.profile, prediction.profile, strict=True)):
        wrong = [c.name for c in Counter if (theirs[c] - ours[c]) % wrap]
        if wrong:
            found.append(f"layer {layer}: {', '.join(wrong)}")
    return found
