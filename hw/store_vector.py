"""Hands the commands of the STORE queue to the STORE engine and to the vector unit, in order.

    port.command ─┬─ STORE ───────► store.command ──► StoreEngine ─► store.ended ─┐
                  │                                                               ├─► port.ended
                  └─ VECTOR, SET ─► vector_command ─► VectorUnit ──► vector_done ─┘

A VECTOR begins when every STORE before it has ended, and a STORE when the VECTOR before it has; a
SET waits for the VECTOR before it. STOREs overlap. Combinational; a command that must wait is not
offered.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from eyas.command import Opcode
from eyas.hw.interfaces import EngineCommand, EnginePort


class StoreDispatch(wiring.Component):
    """See the module's text. `vector_done` pulses when the vector unit has ended a VECTOR."""

    port: Out(EnginePort)
    store: In(EnginePort)
    vector_command: Out(stream.Signature(EngineCommand))
    vector_done: In(1)

    def elaborate(self, platform):
        m = Module()
        command, store, vector = self.port.command, self.store.command, self.vector_command
        is_store = command.p.opcode == Opcode.STORE
        is_vector = command.p.opcode == Opcode.VECTOR
        running = Signal()  # a VECTOR
        with m.If(vector.valid & vector.ready & is_vector):
            m.d.sync += running.eq(1)
        with m.Elif(self.vector_done):
            m.d.sync += running.eq(0)
        m.d.comb += [
            store.payload.eq(command.payload),
            store.valid.eq(command.valid & is_store & ~running),
            vector.payload.eq(command.payload),
            vector.valid.eq(command.valid & ~is_store & ~running & ~(is_vector & self.store.busy)),
            command.ready.eq(Mux(is_store, store.valid & store.ready, vector.valid & vector.ready)),
            self.port.ended.eq(self.store.ended | self.vector_done.replicate(2)),
            self.port.busy.eq(self.store.busy | running),
        ]
        return m
