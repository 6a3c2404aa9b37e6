"""cocotb bench of the vector unit: VECTORs back to back against NumPy; commands, reads and writes
stall at random; cycles without stalls.

Environment: COUNT (how many random VECTORs).
"""

import os
import random

import cocotb
import numpy as np
from bench_dma import play
from dma_agents import GlbReader, GlbWriter, Source, Stalls, engine_command
from vector_pools import WORDS, make_pool, random_pool, ref_pool

from eyas.command import Command, Engine, Opcode
from eyas.hw.vector_unit import START_CYCLES

STALLS = (0, 0.4, 0.8)


class Words:
    """The GLB's words, as integers, with as many as were read and written."""

    def __init__(self):
        self.array, self.read, self.written = np.zeros(WORDS, np.uint64), 0, 0

    def load(self, glb):
        self.array[:] = np.ascontiguousarray(glb).view(np.uint64)[:, 0]
        self.read = self.written = 0

    def __getitem__(self, address):
        self.read += 1
        return int(self.array[address % WORDS])

    def __setitem__(self, address, word):
        self.written += 1
        self.array[address % WORDS] = word


class NoisyReader(GlbReader):
    """Between its answers there is anything on `data`."""

    def drive(self):
        driven = super().drive()
        if not driven[f"{self.name}__valid"]:
            driven[f"{self.name}__data"] = self.requests.stalls.rng.getrandbits(64)
        return driven


class Runs(Source):
    """Offers one pool's commands after the other and holds what each does against `ref_pool`."""

    def __init__(self, pools, rng, rates):
        super().__init__("command", stalls=Stalls(rng))
        self.pools, self.rng, self.rates = pools, rng, rates
        self.words = Words()
        self.reader = NoisyReader("read", self.words, Stalls(rng))
        self.writer = GlbWriter("write", self.words, Stalls(rng))
        self.began, self.cycles = None, []
        self.samples += ["busy", "done"]
        for pool in pools:
            of_others = Command(Opcode.SET, Engine.STORE, dict.fromkeys(pool.tile, 1), block=0)
            window = Command(Opcode.SET, Engine.STORE, pool.window, block=1)
            vector = Command(Opcode.VECTOR, Engine.STORE, pool.tile)
            self.items.extend(map(engine_command, (window, of_others, vector)))
        self.prepare()

    @property
    def ended(self):
        """Also that the last one has fallen silent."""
        return len(self.cycles) == len(self.pools) and self.cycle > self.silence

    def prepare(self):
        """The next command's GLB, and a mood for every stream."""
        self.silence = self.cycle + 10
        if len(self.cycles) < len(self.pools):
            self.words.load(self.pools[len(self.cycles)].glb)
        for stalls in (self.stalls, self.reader.requests.stalls, self.writer.stalls):
            stalls.probability = self.rng.choice(self.rates)

    def observe(self, seen):
        super().observe(seen)
        assert seen["busy"] == (self.began is not None)
        if seen["done"]:
            assert self.began is not None, "done, and nothing was in progress"
            self.check(self.pools[len(self.cycles)])
            self.cycles.append(self.cycle - self.began)
            self.began = None
            self.prepare()
        elif self.taken[-1:] == [self.cycle] and len(self.taken) % 3 == 0:
            self.began = self.cycle

    def check(self, pool):
        message = f"command {len(self.cycles)}: {pool.tile} {pool.window}"
        glb = self.words.array.view(np.int8).reshape(WORDS, 8)
        np.testing.assert_array_equal(glb, ref_pool(pool), message)
        counts = pool.counts()
        assert (self.words.read, self.words.written) == (sum(counts), len(counts)), message


async def rtl_pool(dut, pools, rng, rates=(0,)):
    """Runs the pools' commands; returns the cycles from each VECTOR's transfer to its `done`."""
    runs = Runs(pools, rng, rates)
    await play(dut, [runs, runs.reader, runs.writer], lambda: runs.ended)
    return runs.cycles


@cocotb.test
async def random_pools(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    await rtl_pool(dut, [random_pool(rng) for _ in range(int(os.environ["COUNT"]))], rng, STALLS)


LAYERS = {
    "2x2-s2": dict(window=(2, 2), stride=(2, 2), padding=(0, 0, 0, 0), size=(8, 8), blocks=2),
    "3x3-s2": dict(window=(3, 3), stride=(2, 2), padding=(0, 0, 1, 1), size=(9, 9), blocks=2),
    "3x3-s2-padded": dict(
        window=(3, 3), stride=(2, 2), padding=(1, 1, 1, 1), size=(11, 10), blocks=2
    ),
    "3x3-s1": dict(window=(3, 3), stride=(1, 1), padding=(0, 0, 0, 0), size=(9, 9), blocks=2),
    "3x3-s1-padded": dict(window=(3, 3), stride=(1, 1), padding=(1, 1, 1, 1), size=(7, 7)),
    "5x5-s2-padded": dict(window=(5, 5), stride=(2, 2), padding=(2, 2, 2, 2), size=(9, 9)),
    "3x2-s4": dict(window=(3, 2), stride=(3, 4), padding=(0, 0, 0, 0), size=(9, 10)),
    "5x5-s1-padded": dict(window=(5, 5), stride=(1, 1), padding=(2, 2, 2, 2), size=(9, 9)),
    "7x7-global": dict(window=(7, 7), stride=(1, 1), padding=(0, 0, 0, 0), size=(7, 7), blocks=3),
}


def ref_cycles(counts):
    """A word a cycle; a result leaves 5 cycles behind its window's last word, and two may wait."""
    ends = [0]
    for count in counts:
        room = ends[-2] + 5 if len(ends) > 2 else 0
        ends.append(max(ends[-1] + max(count, 1), room))
    return ends[-1]


@cocotb.test
async def a_word_a_cycle(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    pools = [make_pool(rng, **layer) for layer in LAYERS.values()]
    cycles = dict(zip(LAYERS, await rtl_pool(dut, pools, rng), strict=True))
    assert cycles == {
        name: START_CYCLES + layer["padding"][0] + ref_cycles(pool.counts())
        for (name, layer), pool in zip(LAYERS.items(), pools, strict=True)
    }


@cocotb.test
async def two_short_windows_take_five_cycles(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    shape = {"stride": (1, 2), "padding": (0, 0, 0, 0), "size": (1, 40)}
    pools = [make_pool(rng, window=(1, taps), **shape) for taps in (1, 2, 3)]
    for pool, cycles in zip(pools, await rtl_pool(dut, pools, rng), strict=True):
        assert cycles <= START_CYCLES + 5 * -(-len(pool.counts()) // 2)


@cocotb.test
async def nothing_to_do_ends(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    pools = [random_pool(rng) for _ in range(7)]
    for pool, size in zip(pools[1::2], ("blocks", "out_height", "out_width"), strict=True):
        pool.tile[size] = 0
    await rtl_pool(dut, pools, rng)
