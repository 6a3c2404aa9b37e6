"""cocotb bench of GLBs: random requests on every port against a model, exact latency, priorities.

Environment: GLBS (JSON: by the name that a GLB's ports begin with, `config` and `ports`:
how many read fmaps, write fmaps and read filters).
"""

import json
import os
import random
from dataclasses import dataclass

import cocotb
from bench_dma import play

from eyas.config import Config
from eyas.hw.interfaces import GLB_READ_LATENCY, GlbWriteRequest

GLBS = json.loads(os.environ["GLBS"])
CYCLES, MOODS = 600, 3


@dataclass
class Access:
    """A request that a client keeps up until it transfers."""

    address: int
    data: int = 0
    mask: int = 0


class Client:
    """Asks at random, at its own rate; addresses come from a small pool, so that clients meet."""

    def __init__(self, name, rng, *, writes):
        self.name, self.rng, self.writes = name, rng, writes
        self.samples = [f"{name}__request__ready"]
        if not writes:
            self.samples += [f"{name}__valid", f"{name}__data"]
        self.pending = None
        self.expected = {}  # cycle in which `valid` is due: the word, or None for undefined

    def change_mood(self, pool):
        self.rate, self.pool, self.transfers = self.rng.choice((0.1, 0.5, 0.9, 1.0)), pool, 0

    def drive(self):
        rng, request = self.rng, f"{self.name}__request"
        if self.pending is None:
            if rng.random() >= self.rate:
                return {f"{request}__valid": 0}
            self.pending = Access(rng.choice(self.pool), rng.getrandbits(64), rng.getrandbits(8))
        payload = self.pending.address
        if self.writes:
            payload = GlbWriteRequest.const(vars(self.pending)).as_bits()
        return {f"{request}__valid": 1, f"{request}__payload": payload}

    def check_response(self, seen, cycle):
        valid, data = (seen[name] for name in self.samples[1:])
        due = cycle in self.expected
        assert valid == due, f"{self.name}, cycle {cycle}"
        if due:
            word = self.expected.pop(cycle)
            assert word is None or data == word, f"{self.name}, cycle {cycle}"


class Space:
    """The clients of the fmaps or of the filters, in front of a model of their memory."""

    def __init__(self, reads, writes, rng, *, words, banks):
        self.rng, self.words, self.banks = rng, words, banks
        self.reads = [Client(name, rng, writes=False) for name in reads]
        self.writes = [Client(name, rng, writes=True) for name in writes]
        self.clients = [*self.reads, *self.writes]
        self.samples = [name for client in self.clients for name in client.samples]
        self.memory, self.cycle = {}, 0

    def change_moods(self):
        pool = [self.rng.randrange(self.words) for _ in range(12)] + [0, self.words - 1]
        for client in self.clients:
            client.change_mood(pool)

    def drive(self):
        if self.cycle % CYCLES == 0:
            self.change_moods()
        return {name: value for client in self.clients for name, value in client.drive().items()}

    def transfer(self, seen, clients):
        """The accesses that transfer in this cycle; checks that they are the first of each bank."""
        taken, done = set(), []
        for client in clients:
            if client.pending is None:
                continue
            bank = client.pending.address % self.banks
            granted = bank not in taken
            taken.add(bank)
            assert seen[client.samples[0]] == granted, f"{client.name}, cycle {self.cycle}"
            if granted:
                done.append((client, client.pending))
                client.pending = None
                client.transfers += 1
        return done

    def observe(self, seen):
        for client in self.reads:
            client.check_response(seen, self.cycle)
        written = self.transfer(seen, self.writes)
        meeting = {access.address for _, access in written if access.mask}
        for client, access in self.transfer(seen, self.reads):
            word = None if access.address in meeting else self.memory.get(access.address, 0)
            client.expected[self.cycle + GLB_READ_LATENCY] = word
        for _, access in written:
            lanes = sum(0xFF << 8 * lane for lane in range(8) if access.mask >> lane & 1)
            old = self.memory.get(access.address, 0)
            self.memory[access.address] = (old & ~lanes) | (access.data & lanes)
        self.cycle += 1
        if self.cycle % CYCLES == 0:  # the mood's end: the first is never refused
            assert self.reads[0].transfers > CYCLES // 20
            assert any(client.transfers > CYCLES // 20 for client in self.writes)


@cocotb.test()
@cocotb.parametrize(name=list(GLBS))
async def random_requests(dut, name):
    rng = random.Random(f"{cocotb.RANDOM_SEED} {name}")
    glb = Config.from_dict(GLBS[name]["config"]).glb
    fmap_reads, fmap_writes, filter_reads = (
        [f"{name}__{kind}__{n}" for n in range(count)]
        for kind, count in zip(
            ("fmap_read", "fmap_write", "filter_read"), GLBS[name]["ports"], strict=True
        )
    )
    filter_writes = [f"{name}__filter_write"]
    spaces = [
        Space(fmap_reads, fmap_writes, rng, words=glb.fmap_words, banks=glb.ifmap_ports),
        Space(filter_reads, filter_writes, rng, words=glb.filter_words, banks=glb.filter_ports),
    ]
    await play(dut, spaces, lambda: spaces[0].cycle == MOODS * CYCLES)


class AllBanksEveryCycle:
    """As many clients as banks read words of different banks, in every cycle.

    The clients of the fmaps have written them before, likewise; those of the filters find zeros.
    """

    def __init__(self, name, space, banks, count):
        self.count, self.banks, self.cycle = count, banks, 0
        self.filters = space == "filter"
        self.reads = [f"{name}__{space}_read__{n}" for n in range(banks)]
        self.writes = [f"{name}__{space}_write__{n}" for n in range(banks)]
        if self.filters:
            self.writes = []
        self.names = [*self.writes, *self.reads]
        self.answers = [f"{name}__{part}" for name in self.reads for part in ("valid", "data")]
        self.samples = [f"{name}__request__ready" for name in self.names] + self.answers

    @property
    def asking(self):
        return self.writes if self.cycle < self.count else self.reads

    def drive(self):
        group = self.cycle % self.count
        driven = {f"{name}__request__valid": 0 for name in self.names}
        for lane, name in enumerate(self.asking):
            # Each reads what another wrote: the lanes turn by one from group to group.
            payload = self.banks * group + (lane + group) % self.banks
            if name in self.writes:
                access = Access(self.banks * group + lane, group, 0xFF)
                payload = GlbWriteRequest.const(vars(access)).as_bits()
            driven |= {f"{name}__request__valid": 1, f"{name}__request__payload": payload}
        return driven

    def observe(self, seen):
        for name in self.asking:
            assert seen[f"{name}__request__ready"], f"{name}, cycle {self.cycle}"
        group = self.cycle - self.count - GLB_READ_LATENCY
        if group >= 0:
            valid, data = ([seen[n] for n in self.answers[part::2]] for part in (0, 1))
            assert valid == [1] * self.banks
            assert self.filters or data == [group] * self.banks
        self.cycle += 1


# After random_requests, whose model begins with the memory's zeros.
@cocotb.test
@cocotb.parametrize(
    which=[("two_banks", "fmap", 2), ("four_banks", "fmap", 4), ("four_banks", "filter", 4)]
)
async def every_bank_moves_a_word_a_cycle(dut, which):
    agent = AllBanksEveryCycle(*which, count=20)
    await play(dut, [agent], lambda: agent.cycle == 2 * agent.count)
