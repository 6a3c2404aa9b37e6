"""cocotb bench of a row controller: random units, a GLB that is often busy, steps at random times.

The X-bus writes go into models of the PEs' spads. At the begin of every step that the row says it
is ready for, ring and filter bank must hold what the unit's definition says, for every column.
"""

import json
import os
import random
from collections import deque

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from segments import make_segment, random_choices

from eyas.config import Config
from eyas.hw.array_layouts import row_step_layout, x_bus_layout
from eyas.hw.tile_slots import slot_layout
from eyas.hw.unit_walker import unit_layout

CONFIG = Config.from_dict(json.loads(os.environ["CONFIG"]))
COLS, LANES, FILTERS = CONFIG.array.cols, CONFIG.spad.ifmap_lanes, CONFIG.spad.filters
SLOT, UNIT = slot_layout(CONFIG), unit_layout(CONFIG)
MASK16 = 0xFFFF


def fields(value, layout):
    """A flat port's value as a dictionary."""
    raw = value.to_unsigned()
    return {
        name: raw >> f.offset & ((1 << f.width) - 1)
        for name, f in ((n, layout[n]) for n in layout.members)
    }


class Bench:
    def __init__(self, dut, seed):
        self.dut, self.rng = dut, random.Random(seed)
        numbers = np.random.default_rng(seed)
        self.fmaps = numbers.integers(-128, 128, (CONFIG.glb.fmap_words, 8)).astype(np.int8)
        self.filters = numbers.integers(-128, 128, (CONFIG.glb.filter_words, 8)).astype(np.int8)
        self.numbers = numbers
        self.rings = np.zeros((COLS, LANES), np.int64)
        self.spads = np.zeros((COLS, 2 * FILTERS), np.int64)
        self.steps_checked = 0

    async def serve(self, name, words):
        """A GLB port: ready at random, data two cycles later."""
        data = words.view(np.uint64)[:, 0]
        port = {
            part: getattr(self.dut, f"{name}__{part}")
            for part in ("request__valid", "request__ready", "request__payload", "valid", "data")
        }
        pipe = deque([None])
        while True:
            ready = int(self.rng.random() < 0.6)
            port["request__ready"].value = ready
            await RisingEdge(self.dut.clk)
            asked = ready and port["request__valid"].value
            address = port["request__payload"].value.to_unsigned() if asked else None
            pipe.append(address)
            answer = pipe.popleft()
            port["valid"].value = int(answer is not None)
            port["data"].value = int(data[answer]) if answer is not None else 0

    async def follow_bus(self):
        """Writes what the X-bus carries into the spads, as the PEs would."""
        layout = x_bus_layout(CONFIG)
        while True:
            await RisingEdge(self.dut.clk)
            bus = fields(self.dut.x_bus.value, layout)
            for col in range(COLS):
                if bus["ifmap_mask"] >> col & 1:
                    beat = np.frombuffer(bus["ifmap_data"].to_bytes(4, "little"), np.int8)
                    at = 4 * bus["ifmap_address"]
                    self.rings[col, at : at + 4] = beat
                if bus["filter_mask"] >> col & 1:
                    value = np.uint8(bus["filter_data"]).astype(np.int8)
                    self.spads[col, bus["filter_address"]] = value

    async def run_segment(self, segment):
        units = [self.unit(segment, u) for u in range(segment["units"])]
        units.insert(self.rng.randrange(len(units) + 1), None)  # an inactive pass
        packed = {n: v for n, v in segment.items() if n in SLOT.members}
        limit = {n: (1 << SLOT[n].width) - 1 for n in packed}
        packed = {n: v & limit[n] if v >= 0 else v for n, v in packed.items()}
        self.dut.slots__0.value = SLOT.const(packed).as_bits()
        feeding = cocotb.start_soon(self.feed(units))
        for number, unit in enumerate(units):
            for step in range(segment["steps"]):
                last = step == segment["steps"] - 1
                await self.step(segment, unit, step, last, number)
        await feeding

    def unit(self, f, u):
        """The unit's digits, as the walker would hand them over."""
        i = u % f["unit_rows"]
        s = u // f["unit_rows"] % f["tap_chunks"]
        k = u // (f["unit_rows"] * f["tap_chunks"])
        pitch = f["row_step"] // f["dilation"]
        y = f["y0"] + i * f["dilation"]
        x = f["x0"] + s * f["tap_chunk_step"]
        lane = f["lane0"] + k * f["q"]
        base = f["ifmap_base"] - f["y0"] * pitch - f["x0"]
        address = base + lane // 8 * f["ifmap_plane"] + y * pitch + x
        filters = f["filter_base"] + u * f["unit_words"]
        return {"y": y, "x": x, "lane": lane % 8, "address": address, "filter": filters}

    async def feed(self, units):
        for number, unit in enumerate(units):
            values = dict(unit or {}, active=int(unit is not None), last=int(unit is units[-1]))
            values = {n: v & ((1 << UNIT[n].width) - 1) for n, v in values.items()}
            for name in ("y", "x"):
                values[name] = (unit or {}).get(name, 0)
            while self.rng.random() < 0.3:
                await RisingEdge(self.dut.clk)
            self.dut.unit__payload.value = UNIT.const(values).as_bits()
            self.dut.unit__valid.value = 1
            await RisingEdge(self.dut.clk)
            while not self.dut.unit__ready.value:
                await RisingEdge(self.dut.clk)
            self.dut.unit__valid.value = 0
            assert number < len(units)

    async def step(self, f, unit, step, last, number):
        """Waits until the row is ready, checks the spads, ends the step some cycles later."""
        dut = self.dut
        dut.valid.value, dut.last_step.value = 1, int(last)
        await RisingEdge(dut.clk)
        for _ in range(3000):
            if dut.ifmaps_ready.value and dut.filters_ready.value:
                break
            await RisingEdge(dut.clk)
        else:
            raise AssertionError(f"unit {number}, step {step}: the row never gets ready")
        present = fields(dut.step.value, row_step_layout(CONFIG))
        assert present["active"] == (unit is not None)
        await RisingEdge(dut.clk)  # the last beat is written in this cycle
        if unit:
            self.check(f, unit, step, present)
            self.steps_checked += 1
        for _ in range(self.rng.choice([0, 1, 20])):
            await RisingEdge(dut.clk)
        dut.step_end.value = 1
        await RisingEdge(dut.clk)
        dut.step_end.value, dut.valid.value = 0, 0

    def check(self, f, unit, step, present):
        group = f["we"] * f["wf"]
        pitch = f["row_step"] // f["dilation"]
        stride_x = f["advance"] + f["position_gap"]
        for col in range(f["columns"]):
            filter_set, place = divmod(col, group)
            a, b = divmod(place, f["wf"])
            start = (unit["filter"] + filter_set * f["filter_words"]) * 8
            want = self.filters.reshape(-1)[start : start + f["filters"]]
            at = present["filter_bank"] * FILTERS
            assert (self.spads[col, at : at + f["filters"]] == want).all(), f"filters, column {col}"
            for tap in range(f["taps"]):
                dy = a * f["stride_y"]
                dx = tap * f["dilation"] + (b * f["steps"] + step) * stride_x
                y, x = unit["y"] + dy, unit["x"] + dx
                for lane in range(f["q"]):
                    value = f["pad_value"]
                    if 0 <= y < f["ifmap_height"] and 0 <= x < f["ifmap_width"]:
                        at = unit["lane"] + lane
                        word = unit["address"] + dy * pitch + dx + at // 8 * f["ifmap_plane"]
                        value = self.fmaps[word & MASK16, at % 8]
                    ring = (present["ring_base"] + tap * f["tap_pitch"] + lane) % LANES
                    assert self.rings[col, ring] == value, f"column {col}, tap {tap}, lane {lane}"


@cocotb.test()
async def spads_hold_what_the_step_needs(dut):
    bench = Bench(dut, cocotb.RANDOM_SEED)
    Clock(dut.clk, 10, unit="ns").start()
    dut.rst.value = 1
    for name in ("unit__valid", "unit__payload", "valid", "last_step", "step_end"):
        getattr(dut, name).value = 0
    for slot in range(CONFIG.noc.tile_slots):
        getattr(dut, f"slots__{slot}").value = 0
    for _ in range(3):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    cocotb.start_soon(bench.serve("ifmap_glb", bench.fmaps))
    cocotb.start_soon(bench.serve("filter_glb", bench.filters))
    cocotb.start_soon(bench.follow_bus())
    for _ in range(12):
        await bench.run_segment(make_segment(CONFIG, **random_choices(CONFIG, bench.numbers)))
    assert bench.steps_checked > 100
