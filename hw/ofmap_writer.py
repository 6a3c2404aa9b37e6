"""Puts requantised values together to ofmap words and writes them into the GLB, tile after tile.

    values of all lanes ─┬─► OfmapAssembler ─► GLB write     lanes in lockstep: where one is
                         ├─► OfmapAssembler ─► GLB write     blocked, all wait
                         ┆

Throughput: a value a lane and cycle, but one cycle for each group of columns and, at the end of a
tile, until the GLB has taken the last word (`written`).
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from eyas.config import Config
from eyas.hw.drain_columns import OfmapColumns
from eyas.hw.drain_descriptor import DrainOrder, drain_descriptor_layout
from eyas.hw.interfaces import GlbWrite
from eyas.hw.ofmap_assembler import OfmapAssembler, drain_step_layout


class OfmapWriter(wiring.Component):
    def __init__(self, config: Config):
        self.config = config
        lanes = config.ppu.lanes
        super().__init__(
            {
                "tile": In(stream.Signature(drain_descriptor_layout(config))),
                "values": In(stream.Signature(8 * lanes)),  # in the order of DrainOrder
                "write": Out(GlbWrite).array(lanes),
                "written": Out(1),  # pulse: the tile's last word has been transferred
            }
        )

    def elaborate(self, platform):
        m = Module()
        tile = self.tile.payload
        m.submodules.order = order = DrainOrder(self.config)
        m.submodules.columns = columns = OfmapColumns(self.config)
        step = Signal(drain_step_layout(self.config))
        blocked, idle = self._assemblers(m, step, columns)
        taking = Signal()
        m.d.comb += [
            order.tile.eq(tile),
            columns.tile.eq(tile),
            order.advance.eq(step.take),
            columns.take.eq(step.load),
            self.values.ready.eq(taking & ~blocked),
            step.take.eq(self.values.valid & self.values.ready),
            step.next_channel.eq(order.next_channel),
            step.next_position.eq(order.next_position),
            step.last_channel.eq(order.last_channel),
            step.distance.eq(Mux(order.last_channel, 1, tile.ofmap_plane)),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [order.restart.eq(1), columns.start.eq(self.tile.valid)]
                with m.If(self.tile.valid):
                    m.next = "NEXT GROUP"
            with m.State("NEXT GROUP"):
                m.d.comb += step.load.eq(columns.ready)
                with m.If(columns.ready):
                    m.next = "TAKE"
            with m.State("TAKE"):
                m.d.comb += taking.eq(1)
                with m.If(step.take & order.last):
                    m.next = "FINISH"
                with m.Elif(step.take & order.last_of_group):
                    m.next = "NEXT GROUP"
            with m.State("FINISH"), m.If(idle):
                m.d.comb += [self.written.eq(1), self.tile.ready.eq(1)]
                m.next = "IDLE"
        return m

    def _assemblers(self, m, step, columns):
        blocked, idle = [], []
        for lane, write in enumerate(self.write):
            assembler = OfmapAssembler(self.config)
            m.submodules[f"assembler{lane}"] = assembler
            wiring.connect(m, assembler.write, wiring.flipped(write))
            m.d.comb += [
                assembler.step.eq(step),
                assembler.column.eq(columns.lanes[lane]),
                assembler.value.eq(self.values.payload.word_select(lane, 8)),
            ]
            blocked.append(assembler.blocked)
            idle.append(assembler.idle)
        return Cat(blocked).any(), Cat(idle).all()
