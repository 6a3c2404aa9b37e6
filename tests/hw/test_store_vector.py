"""STORE and VECTOR share a queue: each waits for the other kind, whatever the units do."""

import random
from collections import deque

import pytest
from dma_agents import Pulses, Source, Stalls, engine_command, play

from eyas.command import Command, Engine, Opcode
from eyas.hw.store_vector import StoreDispatch


class Unit:
    """Takes commands and ends them a while later; `busy` until then, a STORE while offered too.

    `log` gets ("begin" or "end", opcode, number of the command) in time's order.
    """

    def __init__(self, command, done, busy, log, stalls, ended, overlap):
        self.command, self.done, self.busy, self.log = command, done, busy, log
        self.stalls, self.ended, self.overlap = stalls, ended, overlap
        self.samples = [f"{command}__valid", f"{command}__payload"]
        self.running, self.cycle, self.ready, self.ending = deque(), 0, False, False

    def drive(self):
        self.ready = self.stalls.go() and (self.overlap or not self.running)
        self.ending = bool(self.running) and self.running[0][0] <= self.cycle and self.stalls.go()
        driven = {f"{self.command}__ready": self.ready, self.done: self.ending * self.ended}
        return driven | ({self.busy: bool(self.running)} if self.busy else {})

    def observe(self, seen):
        valid, payload = (seen[name] for name in self.samples)
        if self.ending:
            self.log.append(("end", *self.running.popleft()[1:]))
        if valid and self.ready:
            opcode, number = payload & 0xF, payload >> 8
            if opcode == Opcode.SET:
                self.log.append(("set", opcode, number))
            else:
                self.log.append(("begin", opcode, number))
                due = self.cycle + 1 + self.stalls.rng.randint(0, 12)
                self.running.append((due, opcode, number))
        self.cycle += 1


@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_kinds_wait_for_each_other(stall, seed):
    rng = random.Random(seed)
    commands = []
    for number in range(120):
        opcode = rng.choice([Opcode.STORE, Opcode.STORE, Opcode.VECTOR, Opcode.SET])
        name = {Opcode.STORE: "memory_address", Opcode.VECTOR: "in_base", Opcode.SET: "in_base"}
        commands.append(Command(opcode, Engine.STORE, {name[opcode]: number}))
    log = []
    source = Source("port__command", map(engine_command, commands), Stalls(rng, stall))
    store = Unit("store__command", "store__ended", "store__busy", log, Stalls(rng, stall), 3, True)
    vector = Unit("vector_command", "vector_done", None, log, Stalls(rng, stall), 1, False)
    ended = Pulses("port__ended")
    runs = [c for c in commands if c.opcode != Opcode.SET]
    play(
        StoreDispatch(),
        [source, store, vector, ended],
        lambda: len(ended.seen) == len(runs) and not source.items,
    )
    begun = [entry[1:] for entry in log if entry[0] != "end"]
    assert begun == [(c.opcode, n) for n, c in enumerate(commands)]
    assert [n for what, _, n in log if what == "end"] == [n for o, n in begun if o != Opcode.SET]
    assert all(value == 3 for _, value in ended.seen)
    running, overlapped = [], False
    for what, opcode, number in log:
        if what == "end":
            running.remove((opcode, number))
            continue
        assert all(other != Opcode.VECTOR for other, _ in running), "a VECTOR was still running"
        if opcode == Opcode.VECTOR:
            assert not running, "a STORE was still running"
        if what == "begin":
            overlapped |= bool(running)
            running.append((opcode, number))
    assert overlapped


def test_busy_while_a_vector_runs():
    """From the cycle after it is taken until it is done."""
    log = []
    source = Source("port__command", [engine_command(Command(Opcode.VECTOR, Engine.STORE, {}))])
    vector = Unit("vector_command", "vector_done", None, log, Stalls(), 1, False)
    busy, ended = Pulses("port__busy"), Pulses("port__ended")
    play(StoreDispatch(), [source, vector, busy, ended], lambda: ended.seen)
    cycles = [cycle for cycle, _ in busy.seen]
    assert cycles == [*range(source.taken[0] + 1, ended.seen[0][0] + 1)]
