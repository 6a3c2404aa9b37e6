"""Deals the units of each segment onto the rows: unit u goes to row u mod rows.

A unit has three digits: filter row i (fastest), tap chunk s, channel chunk k. The walker steps from
one unit to the next by additions only and hands each row where its unit's ifmaps and filters begin:

    address  of ifmap word (channel block of the unit's first lane, row y, column x)
    y, x     coordinates of that word in the buffer (negative: padding)
    lane     first lane in that word
    filter   address of the unit's first filter word

One unit a cycle at most; a row that cannot take its unit holds the walker back. The last pass of a
segment is filled up with inactive units, so that every row sees every pass.
"""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from eyas.config import WORD_LANES, Config, bits_for
from eyas.hw.tile_slots import COORDINATE_WIDTH, select, slot_layout


def unit_layout(config: Config, *parts: str) -> data.StructLayout:
    """A unit on its way to a row; `parts`: what of it, "ifmap" or "filter", both otherwise."""
    fields = {
        "slot": bits_for(config.noc.tile_slots),
        "active": 1,
        "last": 1,  # of the row's units in this segment
    }
    if "ifmap" in parts or not parts:
        fields |= {
            "address": bits_for(config.glb.fmap_words),
            "y": signed(COORDINATE_WIDTH),
            "x": signed(COORDINATE_WIDTH),
            "lane": bits_for(WORD_LANES),
        }
    if "filter" in parts or not parts:
        fields["filter"] = bits_for(config.glb.filter_words)
    return data.StructLayout(fields)


class UnitWalker(wiring.Component):
    def __init__(self, config: Config):
        self.config = config
        slots = config.noc.tile_slots
        super().__init__(
            {
                "slots": In(slot_layout(config)).array(slots),
                # Slots that hold a segment not yet walked are taken in order, round and round.
                "filled": In(slots),
                "walked": Out(slots),  # pulse: the last unit of this slot has been dealt
                "units": Out(stream.Signature(unit_layout(config))).array(config.array.rows),
            }
        )

    def elaborate(self, platform):
        m = Module()
        self.slot = Signal(range(self.config.noc.tile_slots))
        self.walking = Signal()
        row = Signal(range(self.config.array.rows))
        unit = Signal(unit_layout(self.config))
        taken = Signal()
        with m.Switch(row):
            for number, port in enumerate(self.units):
                m.d.comb += port.payload.eq(unit)
                with m.Case(number):
                    m.d.comb += [port.valid.eq(self.walking), taken.eq(self.walking & port.ready)]
        last_row = row == self.config.array.rows - 1
        with m.If(taken):
            m.d.sync += row.eq(Mux(last_row, 0, row + 1))
        self._walk(m, unit, taken, last_row)
        return m

    def _walk(self, m, unit, taken, last_row):
        names = (
            "ifmap_base", "filter_base", "y0", "x0", "units", "passes", "lane0", "q", "ifmap_plane",
            "row_step", "dilation", "unit_rows", "tap_chunks", "tap_chunk_step", "q_plane",
            "unit_words",
        )  # fmt: skip
        field = {name: select(m, self.slots, self.slot, name) for name in names}
        units_left = Signal(16)
        passes_left = Signal(16)
        self.row_left = Signal(8)
        self.chunk_left = Signal(8)
        # Where the present channel chunk and the present tap chunk begin.
        self.channel_address = Signal.like(unit.address)
        self.chunk_address = Signal.like(unit.address)
        m.d.comb += [
            unit.slot.eq(self.slot),
            unit.active.eq(units_left != 0),
            unit.last.eq(passes_left == 1),
        ]
        position = {
            name: Signal.like(unit[name], name=name)
            for name in ("address", "y", "x", "lane", "filter")
        }
        m.d.comb += [unit[name].eq(register) for name, register in position.items()]
        with m.If(~self.walking):
            with m.If(self.filled.bit_select(self.slot, 1)):
                m.d.sync += self.walking.eq(1)
            m.d.sync += [
                units_left.eq(field["units"]),
                passes_left.eq(field["passes"]),
                self.row_left.eq(field["unit_rows"]),
                self.chunk_left.eq(field["tap_chunks"]),
                self.channel_address.eq(field["ifmap_base"]),
                self.chunk_address.eq(field["ifmap_base"]),
                position["address"].eq(field["ifmap_base"]),
                position["y"].eq(field["y0"]),
                position["x"].eq(field["x0"]),
                position["lane"].eq(field["lane0"]),
                position["filter"].eq(field["filter_base"]),
            ]
        with m.Elif(taken):
            with m.If(units_left != 0):
                m.d.sync += units_left.eq(units_left - 1)
            self._next_unit(m, field, position)
            with m.If(last_row):
                m.d.sync += passes_left.eq(passes_left - 1)
                with m.If(passes_left == 1):
                    m.d.sync += [self.walking.eq(0), self.slot.eq(self.slot + 1)]
                    m.d.comb += self.walked.bit_select(self.slot, 1).eq(1)

    def _next_unit(self, m, field, at):
        chunk_address = Signal.like(self.chunk_address)
        channel_address = Signal.like(self.channel_address)
        lane = Signal(range(2 * WORD_LANES))
        plane = Mux(lane[3], field["ifmap_plane"], 0)
        m.d.comb += [
            chunk_address.eq(self.chunk_address + field["tap_chunk_step"]),
            lane.eq(at["lane"] + field["q"][:3]),
            channel_address.eq(self.channel_address + field["q_plane"] + plane),
        ]
        m.d.sync += at["filter"].eq(at["filter"] + field["unit_words"])
        with m.If(self.row_left != 1):
            m.d.sync += [
                self.row_left.eq(self.row_left - 1),
                at["address"].eq(at["address"] + field["row_step"]),
                at["y"].eq(at["y"] + field["dilation"]),
            ]
        with m.Else():
            m.d.sync += [self.row_left.eq(field["unit_rows"]), at["y"].eq(field["y0"])]
            with m.If(self.chunk_left != 1):
                m.d.sync += [
                    self.chunk_left.eq(self.chunk_left - 1),
                    self.chunk_address.eq(chunk_address),
                    at["address"].eq(chunk_address),
                    at["x"].eq(at["x"] + field["tap_chunk_step"]),
                ]
            with m.Else():
                m.d.sync += [
                    self.chunk_left.eq(field["tap_chunks"]),
                    self.channel_address.eq(channel_address),
                    self.chunk_address.eq(channel_address),
                    at["address"].eq(channel_address),
                    at["x"].eq(field["x0"]),
                    at["lane"].eq(lane[:3]),
                ]
