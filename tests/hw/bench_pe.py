"""cocotb bench of the PE: random steps with random bubbles against a few lines of Python."""

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

RING_BEATS, PSUMS = 16, 16
A0, A1, A2, A3, A4 = range(5)


def sign(value, bits):
    return value - (1 << bits) if value >> (bits - 1) else value


class Model:
    """What a PE holds, and a step of it, one micro-cycle after the other."""

    def __init__(self, rng):
        self.ring = [rng.randrange(256) for _ in range(4 * RING_BEATS)]
        self.psums = [0] * PSUMS

    def micro_cycle(self, lane, weight, psum, first, active, chain_in):
        out = self.psums[psum]
        product = sign(self.ring[lane], 8) * sign(weight, 8) if active else 0
        self.psums[psum] = (chain_in if first else out) + product
        return out


async def start(dut):
    Clock(dut.clk, 10, unit="ns").start()
    dut.rst.value = 1
    for name in (
        "ifmap_write_enable", "ifmap_write_address", "ifmap_write_data", "ifmap_address", "lane",
        "filter", "active", "psum_read_address", "first", "psum_write_address",
        "psum_write_enable", "chain_in",
    ):  # fmt: skip
        getattr(dut, name).value = 0
    await RisingEdge(dut.clk)
    await RisingEdge(dut.clk)
    dut.rst.value = 0


def steps(rng, count):
    """Micro-cycles of `count` steps, bubbles (None) in between."""
    for _ in range(count):
        p, lanes = rng.randint(3, 8), rng.randint(1, 9)
        active = rng.random() < 0.8
        base = rng.randrange(64)
        for lane in range(lanes):
            for psum in range(p):
                while rng.random() < 0.2:
                    yield None
                yield {
                    "lane": (base + lane) % 64,
                    "weight": rng.choice([0, 127, 128, 255, rng.randrange(256)]),
                    "psum": psum,
                    "first": int(lane == 0),
                    "active": int(active),
                    "chain_in": rng.randrange(-(1 << 20), 1 << 20),
                }
        for _ in range(rng.choice([0, 0, 5])):
            yield None


@cocotb.test()
async def follows_the_model(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    model = Model(rng)
    await start(dut)
    for beat in range(RING_BEATS):
        lanes = model.ring[4 * beat : 4 * beat + 4]
        dut.ifmap_write_enable.value = 1
        dut.ifmap_write_address.value = beat
        dut.ifmap_write_data.value = int.from_bytes(bytes(lanes), "little")
        await RisingEdge(dut.clk)
    dut.ifmap_write_enable.value = 0
    pipe = [None] * 5
    written = set()
    checked = 0
    micro_cycles = [*steps(rng, 200), None, None, None, None, None]
    for item in micro_cycles:
        pipe = [item, *pipe[:4]]
        drive(dut, pipe)
        await RisingEdge(dut.clk)
        if pipe[A3]:
            # chain_out belongs to the cycle that this edge ends.
            m = pipe[A3]
            want = model.micro_cycle(
                m["lane"], m["weight"], m["psum"], m["first"], m["active"], m["chain_in"]
            )
            if m["psum"] in written:
                assert dut.chain_out.value.to_signed() == want
                checked += 1
            written.add(m["psum"])
    assert checked > 1000


def drive(dut, pipe):
    """Each port at its own stage."""
    idle = {"lane": 0, "weight": 0, "psum": 0, "first": 0, "active": 0, "chain_in": 0}
    at = [item or idle for item in pipe]
    dut.ifmap_address.value = at[A0]["lane"] // 4
    dut.lane.value = at[A1]["lane"] % 4
    dut.filter.value = sign(at[A1]["weight"], 8)
    dut.active.value = at[A1]["active"]
    dut.psum_read_address.value = at[A2]["psum"]
    dut.first.value = at[A3]["first"]
    dut.chain_in.value = at[A3]["chain_in"]
    dut.psum_write_address.value = at[A4]["psum"]
    dut.psum_write_enable.value = int(pipe[A4] is not None)
