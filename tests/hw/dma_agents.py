"""The world around the DMA, one cycle at a time: memory, GLB, streams, with random stalls.

An agent says what it drives in the next cycle (`drive`) and then sees the values of that cycle at
the clock edge (`observe`). Values go by flat port name, as in generated Verilog, so the same agents
play under Amaranth's simulator (`play` below) and under cocotb (bench_dma.py).
"""

import random
from collections import deque

from amaranth.hdl import Value
from amaranth.sim import Simulator

from eyas.hw.axi import PAGE_BYTES, AxiAddress, WriteResponse, read_data, write_data
from eyas.hw.interfaces import GLB_READ_LATENCY, EngineCommand, GlbWriteRequest


class Stalls:
    """Decides whether a handshake may happen; `probability` of a stall in each cycle."""

    def __init__(self, rng=None, probability=0.0):
        self.rng, self.probability = rng or random.Random(0), probability

    def go(self):
        return self.rng.random() >= self.probability


class Source:
    """Offers payloads on a stream, each until it is taken. `taken` has the cycles."""

    def __init__(self, name, items=(), stalls=None):
        self.name, self.items, self.stalls = name, deque(items), stalls or Stalls()
        self.offered, self.taken, self.cycle = False, [], 0
        self.samples = [f"{name}__ready"]

    def drive(self):
        self.offered = self.offered or (bool(self.items) and self.stalls.go())
        payload = self.items[0] if self.offered else 0
        return {f"{self.name}__valid": self.offered, f"{self.name}__payload": payload}

    def observe(self, seen):
        self.cycle += 1
        if self.offered and seen[f"{self.name}__ready"]:
            self.items.popleft()
            self.taken.append(self.cycle)
            self.offered = False


class Sink:
    """Takes payloads of a stream and holds the stream to its rules."""

    def __init__(self, name, stalls=None):
        self.name, self.stalls = name, stalls or Stalls()
        self.ready, self.held, self.items, self.cycle = 0, None, [], 0
        self.samples = [f"{name}__valid", f"{name}__payload"]

    def drive(self):
        self.ready = self.stalls.go()
        return {f"{self.name}__ready": self.ready}

    def observe(self, seen):
        self.cycle += 1
        valid, payload = (seen[name] for name in self.samples)
        if self.held is not None:
            assert valid, f"{self.name} took back what it had offered"
            assert payload == self.held, f"{self.name} changed what it had offered"
        self.held = payload if valid and not self.ready else None
        if valid and self.ready:
            self.items.append(payload)
            self.take(payload)

    def take(self, payload):
        """For those who do something with it."""


class Pulses:
    """The cycles in which a signal was not zero, with its values."""

    def __init__(self, name):
        self.name, self.samples, self.seen, self.cycle = name, [name], [], 0

    def drive(self):
        return {}

    def observe(self, seen):
        self.cycle += 1
        if seen[self.name]:
            self.seen.append((self.cycle, seen[self.name]))


def check_burst(burst, bus_bytes, longest):
    """The rules that every address of ours must keep."""
    size = (burst.len + 1) * bus_bytes
    assert burst.address % bus_bytes == 0
    assert burst.address // PAGE_BYTES == (burst.address + size - 1) // PAGE_BYTES, "4 KiB"
    assert burst.len < longest


class ReadMemory:
    """The read side of an AXI4 memory. Each burst's first beat comes `latency` cycles (and up to
    `jitter` more) after its address, then a beat a cycle; with stalls, IDs interleave."""

    def __init__(self, name, memory, bus_bytes, longest, *, latency, jitter=0, stalls=None):
        self.name, self.memory, self.bus_bytes, self.longest = name, memory, bus_bytes, longest
        self.latency, self.jitter, self.stalls = latency, jitter, stalls or Stalls()
        self.shape = read_data(bus_bytes * 8)
        self.cycle, self.queues, self.offered = 0, {0: deque(), 1: deque()}, None
        self.ar = Sink(f"{name}__ar", self.stalls)
        self.ar.take = self._address
        self.samples = [*self.ar.samples, f"{name}__r__ready"]
        self.bursts, self.beats, self.most_in_flight = [], [], 0
        self.faults = set()  # byte addresses that answer with an error

    def _address(self, payload):
        burst = AxiAddress.from_bits(payload)
        check_burst(burst, self.bus_bytes, self.longest)
        self.bursts.append((self.cycle, burst.id, burst.address, burst.len + 1))
        due = self.cycle - 1 + self.latency + self.stalls.rng.randint(0, self.jitter)
        for n in range(burst.len + 1):
            address = burst.address + n * self.bus_bytes
            content = self.memory[address : address + self.bus_bytes]
            beat = {
                "data": int.from_bytes(content, "little"),
                "id": burst.id,
                "resp": 2 * (address in self.faults),
                "last": n == burst.len,
            }
            self.queues[burst.id].append((due, self.shape.const(beat).as_bits()))
        flying = sum(self.shape.from_bits(b).last for q in self.queues.values() for _, b in q)
        self.most_in_flight = max(self.most_in_flight, flying)

    def drive(self):
        if self.offered is None and self.stalls.go():
            ids = [i for i, q in self.queues.items() if q and q[0][0] <= self.cycle]
            self.offered = self.stalls.rng.choice(ids) if ids else None
        valid = self.offered is not None
        payload = self.queues[self.offered][0][1] if valid else 0
        return {
            **self.ar.drive(),
            f"{self.name}__r__valid": valid,
            f"{self.name}__r__payload": payload,
        }

    def observe(self, seen):
        self.cycle += 1
        self.ar.observe(seen)
        if self.offered is not None and seen[f"{self.name}__r__ready"]:
            self.queues[self.offered].popleft()
            self.beats.append(self.cycle)
            self.offered = None


class WriteMemory:
    """The write side. It takes data only after their address, and answers `latency` cycles after a
    burst's last beat."""

    def __init__(self, name, memory, bus_bytes, longest, *, latency, stalls=None):
        self.name, self.memory, self.bus_bytes, self.longest = name, memory, bus_bytes, longest
        self.latency, self.stalls = latency, stalls or Stalls()
        self.shape = write_data(bus_bytes * 8)
        self.cycle, self.open, self.answers, self.answering = 0, deque(), deque(), False
        self.aw, self.w = Sink(f"{name}__aw", self.stalls), Sink(f"{name}__w", self.stalls)
        self.aw.take, self.w.take = self._address, self._data
        self.samples = [*self.aw.samples, *self.w.samples, f"{name}__b__ready"]
        self.bursts, self.beats, self.most_in_flight = [], [], 0
        self.acknowledged = []
        self.faulty = False
        self.quiet_until = 0  # no answer before this cycle

    def _address(self, payload):
        burst = AxiAddress.from_bits(payload)
        check_burst(burst, self.bus_bytes, self.longest)
        self.bursts.append((self.cycle, burst.address, burst.len + 1))
        self.open.append([burst.address, burst.len + 1])
        self.most_in_flight = max(self.most_in_flight, len(self.open) + len(self.answers))

    def _data(self, payload):
        assert self.open, "data before their address"
        beat, burst = self.shape.from_bits(payload), self.open[0]
        content = beat.data.to_bytes(self.bus_bytes, "little")
        for n in range(self.bus_bytes):
            if beat.strb >> n & 1:
                self.memory[burst[0] + n] = content[n]
        self.beats.append(self.cycle)
        burst[0] += self.bus_bytes
        burst[1] -= 1
        assert beat.last == (burst[1] == 0)
        if beat.last:
            self.open.popleft()
            self.answers.append(self.cycle - 1 + self.latency)

    def drive(self):
        due = bool(self.answers) and max(self.answers[0], self.quiet_until) <= self.cycle
        self.answering = self.answering or (due and self.stalls.go())
        response = WriteResponse.const({"id": 0, "resp": 2 * self.faulty}).as_bits()
        return {
            **self.aw.drive(),
            **self.w.drive(),
            f"{self.name}__b__valid": self.answering,
            f"{self.name}__b__payload": response if self.answering else 0,
        }

    def observe(self, seen):
        self.cycle += 1
        self.aw.observe(seen)
        self.w.observe(seen)
        if self.answering and seen[f"{self.name}__b__ready"]:
            self.answers.popleft()
            self.acknowledged.append(self.cycle)
            self.answering = False


class GlbWriter(Sink):
    """Writes what it takes into a list of words."""

    def __init__(self, name, words, stalls=None):
        super().__init__(f"{name}__request", stalls)
        self.words = words

    def take(self, payload):
        request = GlbWriteRequest.from_bits(payload)
        assert request.mask == 0xFF
        self.words[request.address] = request.data


class GlbReader:
    """Answers reads from a list of words, GLB_READ_LATENCY cycles after their request."""

    def __init__(self, name, words, stalls=None):
        self.name, self.words = name, words
        self.requests = Sink(f"{name}__request", stalls)
        self.requests.take = lambda address: self.pipeline.append(address)
        self.pipeline = deque([None] * GLB_READ_LATENCY)
        self.samples = self.requests.samples

    def drive(self):
        # What transferred GLB_READ_LATENCY edges ago; data without `valid` are noise.
        address = self.pipeline[0]
        return {
            **self.requests.drive(),
            f"{self.name}__valid": address is not None,
            f"{self.name}__data": 0xDEAD if address is None else self.words[address],
        }

    def observe(self, seen):
        self.requests.observe(seen)
        if len(self.pipeline) == GLB_READ_LATENCY:
            self.pipeline.append(None)
        self.pipeline.popleft()


def engine_command(command):
    """The EngineCommand payload of an eyas.command.Command, as bits."""
    payload = int.from_bytes(command.encode()[4:], "little")
    fields = {"opcode": command.opcode, "block": command.block, "payload": payload}
    return EngineCommand.const(fields).as_bits()


def port(dut, name):
    """The signal behind a flat port name."""
    for part in name.split("__"):
        dut = getattr(dut, part)
    return Value.cast(dut)


def play(dut, agents, until, limit=20_000):
    """Runs agents on a component until `until()` holds; returns the number of cycles."""
    names = [name for agent in agents for name in agent.samples]
    count = 0

    async def bench(ctx):
        nonlocal count
        signals = [port(dut, name) for name in names]
        while not until():
            assert count < limit, "nothing moves any more"
            for agent in agents:
                for name, value in agent.drive().items():
                    ctx.set(port(dut, name), int(value))
            _, _, *values = await ctx.tick().sample(*signals)
            seen = dict(zip(names, values, strict=True))
            for agent in agents:
                agent.observe(seen)
            count += 1

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return count
