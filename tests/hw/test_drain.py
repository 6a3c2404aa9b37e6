"""The drain against NumPy: random tiles back to back, with memories that make it wait.

The memories around the drain punish: psums of a drained memory and parameters that have been read
turn into rubbish at once, and reads answer with rubbish in all cycles but the right one.
"""

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
import pytest
from amaranth.sim import Simulator

from eyas.command import Dialect
from eyas.config import Array, Config, Glb, Ppu, PsumBank, Spad
from eyas.hw.drain import Drain
from eyas.hw.interfaces import GLB_READ_LATENCY
from eyas.hw.verilog import verilog_of
from eyas.sim.lint import lint
from eyas.sim.requantize import requantize

RUBBISH = 0x5A5A5A5A5A5A5A5A


def config_of(cols=6, lanes=2, psums=16, depth=64, tables=True):
    return replace(
        Config.load("tiny4x4"),
        array=Array(3, cols),
        glb=Glb(fmap_kib=8, filter_kib=32),
        spad=Spad(psums=psums),
        psum_bank=PsumBank(depth),
        ppu=Ppu(lanes, tables),
    )


@dataclass
class Tile:
    fields: dict[str, int]
    psums: np.ndarray  # (cols, depth)
    bias: np.ndarray
    multiplier: np.ndarray
    shift: np.ndarray
    table: np.ndarray

    @property
    def param_words(self):
        words = []
        for bias, multiplier, shift in zip(self.bias, self.multiplier, self.shift, strict=True):
            words.append((int(multiplier) << 32) | (int(bias) & 0xFFFFFFFF))
            words.append(int(shift) & 0xFF)
        if self.fields["table"]:
            words += [int(word) for word in self.table.astype(np.int8).view("<u8")]
        return words


def random_tile(rng, config, **given):
    """A tile that fits the configuration; `given` fields are as given."""
    cols, depth = config.array.cols, config.psum_bank.depth
    wm = int(rng.integers(1, cols + 1))
    we = int(rng.integers(1, cols // wm + 1))
    wf = int(rng.integers(1, cols // (wm * we) + 1))
    p = given.get("p", int(rng.integers(3, config.spad.psums + 1)))
    steps = int(rng.integers(1, depth // p + 1))
    fields = {"we": we, "wf": wf, "wm": wm, "p": p, "steps": steps}
    fields |= given
    we, wf, wm, p, steps = (fields[name] for name in ("we", "wf", "wm", "p", "steps"))
    channels = wm * p
    pitch = wf * steps + int(rng.integers(0, 3))
    plane = we * pitch + int(rng.integers(0, 3))
    blocks = -(-(7 + channels) // 8)
    base = int(rng.integers(0, config.glb.fmap_words - blocks * plane))
    clamp = sorted(int(x) for x in rng.integers(-128, 128, 2))
    defaults = {
        "columns": we * wf * wm,
        "ofmap_base": base,
        "ofmap_plane": plane,
        "ofmap_pitch": pitch,
        "ofmap_lane": int(rng.integers(0, 8)),
        "we_valid": int(rng.integers(max(we - 1, 1), we + 1)),
        "f_valid": int(rng.integers(max(wf * steps - steps - 1, 1), wf * steps + 1)),
        "m_valid": int(rng.integers(max(channels - p - 1, 1), channels + 1)),
        "param_base": 0,  # see rtl
        "dialect": int(rng.choice(list(Dialect))),
        "table": int(config.ppu.tables and rng.random() < 0.3),
        "zero_point": int(rng.integers(-128, 128)),
        "clamp_min": clamp[0],
        "clamp_max": clamp[1],
    }
    fields = defaults | fields
    onnx = fields["dialect"] == Dialect.ONNX
    bits = 24 if onnx else 31
    return Tile(
        fields,
        rng.integers(-(1 << 20), 1 << 20, (cols, depth)),
        rng.integers(-(1 << 18), 1 << 18, channels),
        rng.integers(1 << bits - 1, 1 << bits, channels),
        rng.integers(-14, -10, channels) - (24 if onnx else 0),
        rng.integers(-128, 128, 256),
    )


def ref(tile, fmap):
    """Writes the tile into fmap (words, 8), as docs/architecture.md has it."""
    t = tile.fields
    for c in range(t["columns"]):
        rest, b = divmod(c, t["wf"])
        set_, a = divmod(rest, t["we"])
        for f in range(t["steps"]):
            for j in range(t["p"]):
                m = set_ * t["p"] + j
                if a < t["we_valid"] and b * t["steps"] + f < t["f_valid"] and m < t["m_valid"]:
                    block, lane = divmod(t["ofmap_lane"] + m, 8)
                    word = t["ofmap_base"] + block * t["ofmap_plane"] + a * t["ofmap_pitch"]
                    fmap[word + b * t["steps"] + f, lane] = requantize(
                        tile.psums[c, f * t["p"] + j],
                        tile.bias[m],
                        tile.multiplier[m],
                        tile.shift[m],
                        t["dialect"],
                        t["zero_point"],
                        t["clamp_min"],
                        t["clamp_max"],
                        tile.table if t["table"] else None,
                    )


class Surroundings:
    """Everything around a drain, cycle by cycle; `stall` is how often each part makes it wait."""

    def __init__(self, dut, config, tiles, rng, stall, one_port):
        self.dut, self.tiles, self.rng, self.stall = dut, tiles, rng, stall
        self.one_port = one_port
        self.fmap = np.zeros((config.glb.fmap_words, 8), np.int8)
        self.reference = self.fmap.copy()
        self.filters = [RUBBISH] * config.glb.filter_words
        self.answers = deque([None] * GLB_READ_LATENCY)
        self.memories = [None, None]
        self.accepted = self.filled = self.drained = self.read = self.written = 0
        self.reads = self.writes = self.draining = self.cycles = 0

    def waits(self):
        return self.rng.random() < self.stall

    async def run(self, ctx):
        psums = sum(t.fields["columns"] * t.fields["steps"] * t.fields["p"] for t in self.tiles)
        limit = 2000 + 1000 * len(self.tiles) + 10 * psums
        while self.written < len(self.tiles):
            self._offer_tile(ctx)
            self._read_filters(ctx)
            self._write_ofmaps(ctx)
            self._note_events(ctx)
            accepted = ctx.get(self.dut.tile.valid) and ctx.get(self.dut.tile.ready)
            place = ctx.get(self.dut.psum_memory), ctx.get(self.dut.psum_address)
            await ctx.tick()
            self._answer_psums(ctx, *place)
            if accepted:
                self.accepted += 1
                ctx.set(self.dut.tile.valid, 0)
            self.cycles += 1
            assert self.cycles < limit, "the drain hangs"
        assert not ctx.get(self.dut.busy)
        assert self.read == self.drained == self.written

    def _offer_tile(self, ctx):
        stream = self.dut.tile
        if self.accepted < len(self.tiles) and not ctx.get(stream.valid) and not self.waits():
            tile = self.tiles[self.accepted]
            base = tile.fields["param_base"]
            self.filters[base : base + len(tile.param_words)] = tile.param_words
            ctx.set(stream.payload, tile.fields)
            ctx.set(stream.valid, 1)

    def _read_filters(self, ctx):
        read = self.dut.filter_read
        ctx.set(read.request.ready, not self.waits())
        answer = self.answers.popleft()
        ctx.set(read.valid, answer is not None)
        ctx.set(read.data, RUBBISH if answer is None else answer)
        taken = ctx.get(read.request.valid) and ctx.get(read.request.ready)
        self.answers.append(self.filters[ctx.get(read.request.payload)] if taken else None)
        self.reads += taken

    def _write_ofmaps(self, ctx):
        taken = False
        for write in self.dut.ofmap_write:
            ctx.set(write.request.ready, not self.waits() and not (self.one_port and taken))
            taken |= ctx.get(write.request.valid)
            if ctx.get(write.request.valid) and ctx.get(write.request.ready):
                request = ctx.get(write.request.payload)
                assert request.mask != 0
                values = np.frombuffer(request.data.to_bytes(8, "little"), np.int8)
                written = (request.mask >> np.arange(8) & 1).astype(bool)
                self.fmap[request.address, written] = values[written]
                self.writes += 1

    def _note_events(self, ctx):
        self.draining += ctx.get(self.dut.draining)
        drained = ctx.get(self.dut.drained)
        if drained:
            assert drained == 1 << (self.drained & 1), "psum memories take turns"
            self.memories[self.drained & 1] = None
            self.drained += 1
        if ctx.get(self.dut.params_read):
            tile = self.tiles[self.read]
            for word in range(len(tile.param_words)):
                self.filters[tile.fields["param_base"] + word] = RUBBISH
            self.read += 1
        if ctx.get(self.dut.written):
            ref(self.tiles[self.written], self.reference)
            np.testing.assert_array_equal(self.fmap, self.reference, f"tile {self.written}")
            self.written += 1

    def _answer_psums(self, ctx, memory, address):
        """Just after the clock edge."""
        if self.filled < min(self.accepted, self.drained + 2) and not self.waits():
            self.memories[self.filled & 1] = self.tiles[self.filled].psums
            self.filled += 1
        held = self.memories[memory]
        for column, data in enumerate(self.dut.psum_data):
            ctx.set(data, 0x5A5A5A5A if held is None else int(held[column, address]))
        ctx.set(self.dut.full, sum(1 << k for k in (0, 1) if self.memories[k] is not None))


def rtl(config, tiles, seed=0, stall=0.0, one_port=False):
    """Drains the tiles; checks every byte of the ofmaps as each is reported as written.

    one_port: the GLB takes the word of one lane in a cycle, of the first that has one.
    """
    dut = Drain(config)
    # Parameters of tiles in flight lie side by side.
    room = config.glb.filter_words // 8
    for number, tile in enumerate(tiles):
        spare = room - len(tile.param_words)
        tile.fields["param_base"] = number % 8 * room + number % (spare + 1)
    surroundings = Surroundings(dut, config, tiles, np.random.default_rng(seed), stall, one_port)
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(surroundings.run)
    simulator.run()
    return surroundings


CONFIGS = {
    "two lanes": config_of(),
    "one lane": config_of(cols=4, lanes=1, psums=4, depth=32),
    "four lanes, ragged": config_of(cols=7, lanes=4, psums=8),
    "a lane a column": config_of(cols=4, lanes=4, psums=32, depth=128),
    "no tables": config_of(cols=5, lanes=2, tables=False),
}


@pytest.mark.parametrize("stall", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("name", CONFIGS)
def test_random_tiles(name, stall):
    rng = np.random.default_rng([len(name), int(10 * stall)])
    config = CONFIGS[name]
    tiles = [random_tile(rng, config) for _ in range(9)]
    done = rtl(config, tiles, seed=1, stall=stall)
    assert done.reads == expected_reads(tiles)


def expected_reads(tiles):
    """Words of parameters and tables."""
    fields = [tile.fields for tile in tiles]
    return sum(2 * t["wm"] * t["p"] + 32 * t["table"] for t in fields)


def least_draining(config, tile):
    """Cycles for a psum a lane and cycle, and one between two groups of columns."""
    groups = -(-tile.fields["columns"] // config.ppu.lanes)
    return groups * (tile.fields["steps"] * tile.fields["p"] + 1) - 1


@pytest.mark.parametrize(
    ("lanes", "p", "ofmap_lane"), [(1, 8, 0), (1, 8, 5), (2, 8, 5), (4, 8, 0), (4, 16, 0)]
)
def test_a_psum_a_lane_and_cycle(lanes, p, ofmap_lane):
    """Although all lanes share one GLB port, busy in up to half of all cycles."""
    config = config_of(cols=8, lanes=lanes, depth=128)
    rng = np.random.default_rng(lanes)
    given = {"we": 8, "wf": 1, "wm": 1, "p": p, "steps": 128 // p, "ofmap_lane": ofmap_lane}
    given |= {"dialect": 1, "zero_point": 0, "clamp_min": -128, "clamp_max": 127, "table": 0}
    tiles = [random_tile(rng, config, **given) for _ in range(4)]
    done = rtl(config, tiles, one_port=True)
    assert done.draining == sum(least_draining(config, tile) for tile in tiles)
    # Tiles follow each other closely: the last words of one, the parameters of the next are hidden.
    assert done.cycles < done.draining + 150


def test_nothing_valid_writes_nothing():
    config = CONFIGS["two lanes"]
    rng = np.random.default_rng(0)
    nothing = [{"we_valid": 0}, {"f_valid": 0}, {"m_valid": 0}]
    tiles = [random_tile(rng, config, **given) for given in nothing]
    assert rtl(config, tiles).writes == 0


def test_shortest_groups():
    """Three psums a column, so that the walkers have to keep up."""
    config = CONFIGS["four lanes, ragged"]
    rng = np.random.default_rng(3)
    tiles = [random_tile(rng, config, p=3, steps=1, wm=7, we=1, wf=1) for _ in range(8)]
    rtl(config, tiles)
    rtl(config, tiles, stall=0.5)


@pytest.mark.parametrize("preset", ["edge8x8", "eyeriss168"])
def test_verilog_is_clean(preset):
    assert lint(verilog_of(Drain(Config.load(preset)), "drain"), "drain") == []
