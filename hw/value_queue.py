"""Queue behind the lanes, for one value of each, with credits for what is still on its way.

    credit ─► psum read ┄ lanes ┄► push ─► memory ─► o

`reserve` takes room for a value at the moment when its psum is read, so that nothing has to stop in
the lanes. Latency: 2 cycles. Throughput: an element a cycle.
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from eyas.hw.memories import SpadMemory


class ValueQueue(wiring.Component):
    def __init__(self, width: int, depth: int):
        if depth & (depth - 1):
            raise ValueError(f"a queue's depth must be a power of two, not {depth}")
        self.width, self.depth = width, depth
        super().__init__(
            {
                "credit": Out(1),  # there is room for one more
                "reserve": In(1),
                "empty": Out(1),  # nothing is reserved or stored
                "push": In(1),
                "data": In(width),
                "o": Out(stream.Signature(width)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = SpadMemory(self.depth, self.width, style="block")
        head, tail = Signal(range(self.depth)), Signal(range(self.depth))
        taken = Signal(range(self.depth + 1))
        stored = Signal(range(self.depth + 1))  # one cycle late: what a read can see
        pop, next_head = Signal(), Signal.like(head)
        m.d.comb += [
            pop.eq(self.o.valid & self.o.ready),
            next_head.eq(head + pop),
            memory.write_enable.eq(self.push),
            memory.write_address.eq(tail),
            memory.write_data.eq(self.data),
            memory.read_address.eq(next_head),
            self.o.payload.eq(memory.read_data),
            self.credit.eq(~taken[-1]),
            self.empty.eq(taken == 0),
        ]
        m.d.sync += [
            head.eq(next_head),
            tail.eq(tail + self.push),
            taken.eq(taken + self.reserve - pop),
            stored.eq(stored + self.push - pop),
            self.o.valid.eq(stored != pop),
        ]
        return m
