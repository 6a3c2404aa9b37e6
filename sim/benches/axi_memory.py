"""AXI4 memory and AXI4-Lite host for cocotb benches, with random back-pressure.

        bench ── await host.write(…) ──► AxiLiteHost ── s_axi_* ──► DUT ── m_axi_* ──► AxiMemory
                                                                                          │
        bench ── memory.data (bytearray) ─────────────────────────────────────────────────┘

Both sample at the falling edge, when every signal of the cycle has settled, and drive after the
rising edge. Timing is as unkind as AXI4 allows: reads see memory as of their address transfer,
writes land with their response, write data is taken before its address. A breach of AXI4 fails the
test. For whole networks there is the same in C++: sim/memory_model.h.
"""

import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge
from cocotb.types import Logic

OKAY, DECERR = 0, 3
INCR = 1


@dataclass
class Burst:
    """A burst on its way; `due` is the first cycle in which it may be answered."""

    id: int
    address: int
    beats: int
    beat_bytes: int
    due: int = 0
    response: int = OKAY
    data: bytearray = field(default_factory=bytearray)
    strobes: list[bool] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        return self.beats * self.beat_bytes


class Agent:
    """Signals with a prefix, sampled and driven once a cycle by `step`."""

    inputs: tuple[str, ...] = ()
    """What the DUT takes from us; all are zero at first."""

    def __init__(self, dut: Any, prefix: str, stall: float, seed: int):
        self.dut, self.prefix, self.stall = dut, prefix, stall
        self.random = random.Random(seed)
        self.cycle = 0
        self.driven = dict.fromkeys(self.inputs, 0)
        for name in self.inputs:
            self.signal(name).value = 0
        cocotb.start_soon(self._run())

    def signal(self, name: str) -> Any:
        return getattr(self.dut, self.prefix + name)

    def sample(self, name: str) -> int:
        value = self.signal(name).value
        return int(value) if isinstance(value, Logic) else value.to_unsigned()

    def moves(self, channel: str) -> bool:
        """Whether a channel transfers in this cycle."""
        return bool(self.level(f"{channel}valid") and self.level(f"{channel}ready"))

    def level(self, name: str) -> int:
        return self.driven[name] if name in self.driven else self.sample(name)

    def pauses(self) -> bool:
        return self.random.random() < self.stall

    def drive(self, **values: int) -> None:
        """Sets inputs of the DUT for the next cycle."""
        self.driven.update(values)

    async def _run(self) -> None:
        while True:
            await FallingEdge(self.dut.clk)
            if self.dut.rst.value == 0:
                self.step()
            await RisingEdge(self.dut.clk)
            self.cycle += 1
            for name, value in self.driven.items():
                self.signal(name).value = value

    def step(self) -> None:
        raise NotImplementedError


class AxiMemory(Agent):
    """An AXI4 memory.

    data: its contents, from address 0 on; anything beyond is answered with DECERR.
    latency: cycles from a read's address to its first beat, and from a write's end to its response.
    stall: probability that a channel pauses in a cycle.
    """

    inputs = (
        *("arready", "rid", "rdata", "rresp", "rlast", "rvalid"),
        *("awready", "wready", "bid", "bresp", "bvalid"),
    )

    def __init__(
        self,
        dut: Any,
        data: bytearray,
        *,
        prefix: str = "m_axi_",
        latency: int = 4,
        stall: float = 0.0,
        outstanding: int = 8,
        seed: int = 1,
    ):
        self.data, self.latency, self.outstanding = data, latency, outstanding
        self.bus_bytes = len(getattr(dut, prefix + "wstrb"))
        self.reads: deque[Burst] = deque()
        self.writes: deque[Burst] = deque()
        self.beats: deque[tuple[int, int, int]] = deque()  # data, strobes, last: not yet in a burst
        self.errors = 0
        self.read_bytes = self.write_bytes = 0
        super().__init__(dut, prefix, stall, seed)

    def step(self) -> None:
        if self.moves("ar"):
            self._accept_read()
        if self.moves("aw"):
            self.writes.append(self._burst("aw"))
        if self.moves("w"):
            self.beats.append((self.sample("wdata"), self.sample("wstrb"), self.sample("wlast")))
            self.write_bytes += self.bus_bytes
        self._join()
        self._read_data()
        self._respond()
        ready = {"ar": len(self.reads), "aw": len(self.writes), "w": len(self.beats)}
        for channel, waiting in ready.items():
            self.drive(**{f"{channel}ready": waiting < self.outstanding and not self.pauses()})

    def _burst(self, channel: str) -> Burst:
        id, address, beats, size = (
            self.sample(channel + name) for name in ("id", "addr", "len", "size")
        )
        burst = Burst(id, address, beats + 1, 1 << size, self.cycle + self.latency)
        where = f"burst at 0x{address:x}"
        assert self.sample(channel + "burst") == INCR, f"{where} is not INCR"
        assert burst.beat_bytes <= self.bus_bytes, f"{where} has beats of {burst.beat_bytes} bytes"
        assert address % burst.beat_bytes == 0, f"{where} is not aligned"
        last = address + burst.nbytes - 1
        assert address // 4096 == last // 4096, f"{where} crosses a 4 KiB boundary"
        if last >= len(self.data):
            burst.response = DECERR
            self.errors += 1
        return burst

    def _accept_read(self) -> None:
        burst = self._burst("ar")
        burst.data = bytearray(self.data[burst.address : burst.address + burst.nbytes])
        burst.data.extend(bytes(burst.nbytes - len(burst.data)))
        self.reads.append(burst)

    def _read_data(self) -> None:
        if self.moves("r"):
            burst = self.reads[0]
            del burst.data[: burst.beat_bytes]
            burst.address += burst.beat_bytes
            self.read_bytes += burst.beat_bytes
            if not burst.data:
                self.reads.popleft()
            self.drive(rvalid=0)
        if not self.driven["rvalid"] and self.reads and not self.pauses():
            burst = self.reads[0]
            if self.cycle + 1 >= burst.due:
                value = int.from_bytes(burst.data[: burst.beat_bytes], "little")
                value <<= 8 * (burst.address % self.bus_bytes)
                last = int(len(burst.data) == burst.beat_bytes)
                self.drive(rvalid=1, rid=burst.id, rdata=value, rresp=burst.response, rlast=last)

    def _join(self) -> None:
        """Gives data beats to the oldest burst that misses some."""
        for burst in self.writes:
            while len(burst.data) < burst.nbytes and self.beats:
                data, strobes, last = self.beats.popleft()
                lane = (burst.address + len(burst.data)) % self.bus_bytes
                for n in range(lane, lane + burst.beat_bytes):
                    burst.data.append(data >> 8 * n & 0xFF)
                    burst.strobes.append(bool(strobes >> n & 1))
                ends = len(burst.data) == burst.nbytes
                assert last == ends, f"wlast is wrong in the burst at 0x{burst.address:x}"
                burst.due = self.cycle + self.latency

    def _respond(self) -> None:
        if self.moves("b"):
            self.drive(bvalid=0)
        if self.driven["bvalid"] or not self.writes or self.pauses():
            return
        burst = self.writes[0]
        if len(burst.data) < burst.nbytes or self.cycle + 1 < burst.due:
            return
        self.writes.popleft()
        if burst.response == OKAY:
            for n, (value, enabled) in enumerate(zip(burst.data, burst.strobes, strict=True)):
                if enabled:
                    self.data[burst.address + n] = value
        self.drive(bvalid=1, bid=burst.id, bresp=burst.response)


class AxiLiteHost(Agent):
    """An AXI4-Lite host: one access at a time, its channels in random order with `stall`."""

    inputs = (
        "awaddr",
        "awvalid",
        "wdata",
        "wstrb",
        "wvalid",
        "bready",
        "araddr",
        "arvalid",
        "rready",
    )
    TIMEOUT = 10_000
    """Cycles until an access counts as hung."""

    def __init__(self, dut: Any, *, prefix: str = "s_axi_", stall: float = 0.0, seed: int = 1):
        self.waiting: set[str] = set()  # channels that have not transferred yet
        self.answer = (0, 0)
        super().__init__(dut, prefix, stall, seed)

    async def write(self, address: int, value: int) -> int:
        """Writes 32 bits; returns the response."""
        self.drive(awaddr=address, wdata=value, wstrb=0xF)
        return (await self._access({"aw", "w", "b"}))[0]

    async def read(self, address: int) -> int:
        """Reads 32 bits. Fails the test for a response other than OKAY."""
        self.drive(araddr=address)
        response, value = await self._access({"ar", "r"})
        assert response == OKAY, f"read of register 0x{address:x} answered with {response}"
        return value

    async def _access(self, channels: set[str]) -> tuple[int, int]:
        self.waiting = set(channels)
        for _ in range(self.TIMEOUT):
            await RisingEdge(self.dut.clk)
            if not self.waiting:
                return self.answer
        raise AssertionError(f"no transfer on {self.prefix}{sorted(self.waiting)}")

    def step(self) -> None:
        for channel, mine in (("aw", "valid"), ("w", "valid"), ("ar", "valid")):
            self._advance(channel, channel + mine, keep=True)
        for channel in ("b", "r"):
            self._advance(channel, channel + "ready", keep=False)

    def _advance(self, channel: str, name: str, keep: bool) -> None:
        """A valid stays up until its transfer; a ready may come and go."""
        if channel not in self.waiting:
            self.drive(**{name: 0})
        elif self.driven[name] and self.moves(channel):
            if not keep:
                value = self.sample("rdata") if channel == "r" else 0
                self.answer = self.sample(f"{channel}resp"), value
            self.waiting.discard(channel)
            self.drive(**{name: 0})
        elif not (keep and self.driven[name]):
            self.drive(**{name: int(not self.pauses())})
