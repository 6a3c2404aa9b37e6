"""The GLB against a model: random requests on every port, exact latency, priorities."""

import random
from dataclasses import dataclass, replace

import pytest
from amaranth.sim import Simulator

from eyas.config import Config
from eyas.config import Glb as GlbConfig
from eyas.hw.glb import Glb
from eyas.hw.interfaces import GLB_READ_LATENCY

CYCLES = 600
BASE = Config.load("tiny4x4")


@dataclass
class Access:
    """A request that a client keeps up until it transfers."""

    address: int
    data: int = 0
    mask: int = 0


class Client:
    """Asks at random, at its own rate; addresses come from a small pool, so that clients meet."""

    def __init__(self, port, rng, pool, *, writes):
        self.port, self.rng, self.pool, self.writes = port, rng, pool, writes
        self.rate = rng.choice((0.1, 0.5, 0.9, 1.0))
        self.pending = None
        self.expected = {}  # cycle in which `valid` is due: the word, or None for undefined

    def drive(self, ctx):
        if self.pending is None and self.rng.random() < self.rate:
            self.pending = Access(
                self.rng.choice(self.pool), self.rng.getrandbits(64), self.rng.getrandbits(8)
            )
        request = self.port.request
        ctx.set(request.valid, self.pending is not None)
        if self.pending is None:
            return
        if self.writes:
            ctx.set(request.payload.address, self.pending.address)
            ctx.set(request.payload.data, self.pending.data)
            ctx.set(request.payload.mask, self.pending.mask)
        else:
            ctx.set(request.payload, self.pending.address)

    def check_response(self, ctx, cycle):
        due = cycle in self.expected
        assert ctx.get(self.port.valid) == due, f"cycle {cycle}"
        if due:
            word = self.expected.pop(cycle)
            assert word is None or ctx.get(self.port.data) == word, f"cycle {cycle}"


class Space:
    """The clients of the fmaps or of the filters, in front of a model of their memory."""

    def __init__(self, reads, writes, rng, *, words, banks):
        pool = [rng.randrange(words) for _ in range(12)]
        pool += [0, words - 1]
        self.reads = [Client(port, rng, pool, writes=False) for port in reads]
        self.writes = [Client(port, rng, pool, writes=True) for port in writes]
        self.memory, self.banks = {}, banks
        self.transfers = [0] * (len(self.reads) + len(self.writes))

    def transfer(self, ctx, clients):
        """The accesses that transfer in this cycle; checks that they are the first of each bank."""
        taken, done = set(), []
        for client in clients:
            bank = None if client.pending is None else client.pending.address % self.banks
            granted = client.pending is not None and bank not in taken
            taken.add(bank)
            if client.pending is not None:
                assert ctx.get(client.port.request.ready) == granted
            if granted:
                done.append((client, client.pending))
                client.pending = None
        return done

    def step(self, ctx, cycle):
        for client in self.reads:
            client.check_response(ctx, cycle)
        written = self.transfer(ctx, self.writes)
        meeting = {access.address for _, access in written if access.mask}
        for client, access in self.transfer(ctx, self.reads):
            word = None if access.address in meeting else self.memory.get(access.address, 0)
            client.expected[cycle + GLB_READ_LATENCY] = word
            self.transfers[self.reads.index(client)] += 1
        for client, access in written:
            lanes = sum(0xFF << 8 * lane for lane in range(8) if access.mask >> lane & 1)
            old = self.memory.get(access.address, 0)
            self.memory[access.address] = (old & ~lanes) | (access.data & lanes)
            self.transfers[len(self.reads) + self.writes.index(client)] += 1


def glb_cases():
    return [
        pytest.param(1, 1, 1, 1, 2, id="1-bank-smallest"),
        pytest.param(1, 6, 3, 5, 4, id="1-bank"),
        pytest.param(2, 6, 3, 5, 4, id="2-banks"),
        pytest.param(2, 3, 2, 2, 3, id="2-banks-depth-no-power-of-two"),
    ]


@pytest.mark.parametrize(("ports", "readers", "writers", "filter_readers", "kib"), glb_cases())
@pytest.mark.parametrize("run", range(3))
def test_random_requests(ports, readers, writers, filter_readers, kib, run, seed):
    config = replace(BASE, glb=GlbConfig(fmap_kib=kib, filter_kib=1, ifmap_ports=ports))
    dut = Glb(config, fmap_readers=readers, fmap_writers=writers, filter_readers=filter_readers)
    rng = random.Random(100 * seed + run)
    spaces = [
        Space(dut.fmap_read, dut.fmap_write, rng, words=config.glb.fmap_words, banks=ports),
        Space(dut.filter_read, [dut.filter_write], rng, words=config.glb.filter_words, banks=1),
    ]

    async def bench(ctx):
        for cycle in range(CYCLES):
            for space in spaces:
                for client in space.reads + space.writes:
                    client.drive(ctx)
            for space in spaces:
                space.step(ctx, cycle)
            await ctx.tick()

    simulate(dut, bench)
    for space in spaces:
        assert space.transfers[0] > CYCLES // 20
        assert any(count > CYCLES // 20 for count in space.transfers[len(space.reads) :])


def test_two_banks_move_two_words_a_cycle():
    config = replace(BASE, glb=GlbConfig(fmap_kib=2, filter_kib=1, ifmap_ports=2))
    dut = Glb(config, fmap_readers=2, fmap_writers=2, filter_readers=1)

    async def bench(ctx):
        for address in range(20):
            for lane, port in enumerate(dut.fmap_write):
                ctx.set(port.request.valid, 1)
                payload = {"address": 2 * address + lane, "data": address, "mask": 0xFF}
                ctx.set(port.request.payload, payload)
                assert ctx.get(port.request.ready)
            await ctx.tick()
        for address in range(20):
            for port, parity in zip(dut.fmap_read, (1, 0), strict=True):
                ctx.set(port.request.valid, 1)
                ctx.set(port.request.payload, 2 * address + parity)
                assert ctx.get(port.request.ready)
                if address >= GLB_READ_LATENCY:
                    assert ctx.get(port.valid)
                    assert ctx.get(port.data) == address - GLB_READ_LATENCY
            await ctx.tick()

    simulate(dut, bench)


def simulate(dut, bench):
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
