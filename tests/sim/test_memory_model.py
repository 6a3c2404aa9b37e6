"""The memory model of the bulk runner, held against AXI4 and its own settings, cycle by cycle."""

import ctypes
import itertools
import random
from pathlib import Path

import numpy as np
import pytest

import eyas.sim
from eyas.sim.bulk_library import MemorySettings
from eyas.sim.verilator import find_verilator, run_tool

OKAY, DECERR = 0, 3


class Manager(ctypes.Structure):
    _fields_ = (
        *((n, ctypes.c_bool) for n in "arvalid rready awvalid wvalid wlast bready".split()),
        *(
            (name, ctypes.c_uint8)
            for name in "arid arlen arsize arburst awid awlen awsize awburst wstrb".split()
        ),
        *((n, ctypes.c_uint32) for n in ("araddr", "awaddr")),
        ("wdata", ctypes.c_uint64),
    )


class Subordinate(ctypes.Structure):
    _fields_ = (
        *((n, ctypes.c_bool) for n in "arready rvalid rlast awready wready bvalid".split()),
        *((n, ctypes.c_uint8) for n in "rid rresp bid bresp".split()),
        ("rdata", ctypes.c_uint64),
    )


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("memory") / "memory.so"
    include = f"-I{Path(eyas.sim.__file__).parent}"
    source = str(Path(__file__).parent / "memory_model_shim.cpp")
    flags = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    run_tool([find_verilator().compiler, *flags, include, "-o", str(path), source])
    library = ctypes.CDLL(str(path))
    library.model_new.restype = ctypes.c_void_p
    library.model_violation.restype = ctypes.c_char_p
    library.model_count.restype = ctypes.c_uint64
    return library


class Bus:
    """A manager that keeps every channel as busy as it can, and notes each transfer's cycle."""

    def __init__(self, library, memory, bus_bytes=8, **settings):
        defaults = {"seed": 1, "read_latency": 10, "write_latency": 10, "outstanding": 8}
        self.settings = MemorySettings(**{**defaults, **settings})
        self.library, self.memory = library, memory
        self.model = ctypes.c_void_p(
            library.model_new(
                memory.ctypes.data_as(ctypes.c_void_p),
                ctypes.c_uint64(memory.nbytes),
                bus_bytes,
                ctypes.byref(self.settings),
            )
        )
        self.size = bus_bytes.bit_length() - 1
        self.cycle = 0
        self.out = Subordinate()
        self.reads, self.writes, self.data = [], [], []  # what to send, oldest first
        self.sent, self.beats, self.responses = [], [], []  # (cycle, …)

    def read(self, address, beats, id=0):
        self.reads.append((address, beats, id))

    def write(self, address, words, id=0, strobes=None):
        self.writes.append((address, len(words), id))
        for n, word in enumerate(words):
            self.data.append((word, 0xFF if strobes is None else strobes[n], n + 1 == len(words)))

    def step(self, rready=True, bready=True, **override):
        driven = Manager(rready=rready, bready=bready, arburst=1, awburst=1)
        driven.arsize = driven.awsize = self.size
        if self.reads:
            driven.araddr, beats, driven.arid = self.reads[0]
            driven.arvalid, driven.arlen = True, beats - 1
        if self.writes:
            driven.awaddr, beats, driven.awid = self.writes[0]
            driven.awvalid, driven.awlen = True, beats - 1
        if self.data:
            driven.wdata, driven.wstrb, driven.wlast = self.data[0]
            driven.wvalid = True
        for name, value in override.items():
            setattr(driven, name, value)
        seen = Subordinate.from_buffer_copy(self.out)
        self.library.model_step(self.model, ctypes.byref(driven), ctypes.byref(self.out))
        self._note(driven, seen)
        self.cycle += 1

    def _note(self, driven, seen):
        if driven.arvalid and seen.arready:
            self.sent.append(self.cycle)
            self.reads.pop(0)
        if driven.awvalid and seen.awready:
            self.writes.pop(0)
        if driven.wvalid and seen.wready:
            self.data.pop(0)
        if seen.rvalid and driven.rready:
            self.beats.append((self.cycle, seen.rid, seen.rdata, seen.rresp, seen.rlast))
        if seen.bvalid and driven.bready:
            self.responses.append((self.cycle, seen.bid, seen.bresp))

    def run(self, cycles, **kwargs):
        for _ in range(cycles):
            self.step(**kwargs)

    @property
    def violation(self):
        return self.library.model_violation(self.model).decode()

    def count(self, name):
        names = ["read_bytes", "write_bytes", "strobed_bytes", "errors", "error_address"]
        return self.library.model_count(self.model, names.index(name))


@pytest.fixture
def make(library):
    buses = []

    def build(size=1 << 16, **settings):
        memory = np.random.default_rng(1).integers(0, 256, size, np.uint8)
        buses.append(Bus(library, memory, **settings))
        return buses[-1]

    yield build
    for bus in buses:
        library.model_delete(bus.model)


def words(bus, address, count):
    return bus.memory[address : address + 8 * count].view(np.uint64).tolist()


@pytest.mark.parametrize("latency", [1, 2, 60])
def test_read_data_follows_its_address_by_the_latency_a_beat_a_cycle(make, latency):
    bus = make(read_latency=latency)
    bus.read(0x100, 4)
    bus.run(latency + 10)
    first = bus.sent[0] + latency
    assert [beat[0] for beat in bus.beats] == [first, first + 1, first + 2, first + 3]
    assert [beat[2] for beat in bus.beats] == words(bus, 0x100, 4)
    assert [beat[4] for beat in bus.beats] == [False, False, False, True]
    assert bus.count("read_bytes") == 32


def test_outstanding_bursts_hide_the_latency(make):
    bus = make(read_latency=30, outstanding=8)
    for n in range(16):
        bus.read(64 * n, 8)
    bus.run(30 + 16 * 8 + 5)
    assert len(bus.beats) == 128
    assert bus.beats[-1][0] - bus.beats[0][0] == 127


def test_no_more_bursts_than_outstanding(make):
    bus = make(read_latency=1000, outstanding=3)
    for n in range(10):
        bus.read(64 * n, 8)
    bus.run(100)
    assert len(bus.sent) == 3


@pytest.mark.parametrize("rate", [0.5, 2.4, 8.0])
def test_reads_and_writes_share_the_bytes_per_cycle(make, rate):
    bus = make(bytes_per_cycle=rate, outstanding=16)
    for n in range(100):
        bus.read(0x1000 + 64 * n, 8)
        bus.write(0x8000 + 64 * n, [n] * 8)
    bus.run(2000)
    moved = bus.count("read_bytes") + bus.count("write_bytes")
    possible = min(2000 * rate, 2 * 100 * 64)
    assert 0.95 * possible <= moved <= possible + 24
    if moved < 2 * 100 * 64:  # fair: neither of the two starves
        assert abs(bus.count("read_bytes") - bus.count("write_bytes")) <= 64


def test_reads_alone_get_all_of_the_bandwidth(make):
    bus = make(bytes_per_cycle=2.4, outstanding=16)
    for n in range(1000):
        bus.read(64 * (n % 512), 8)
    bus.run(5000)
    assert 2.39 <= bus.count("read_bytes") / 5000 <= 2.41


def test_response_follows_the_last_data_by_the_latency(make):
    bus = make(write_latency=25)
    bus.write(0x40, [1, 2, 3])
    while bus.data:
        bus.step()
    last = bus.cycle - 1
    bus.run(40)
    assert bus.responses == [(last + 25, 0, OKAY)]


def test_strobes_choose_the_bytes(make):
    bus = make()
    before = bus.memory.copy()
    bus.write(0x40, [0x1122334455667788, 0xFFFFFFFFFFFFFFFF], strobes=[0b10100000, 0])
    bus.run(40)
    before[0x45], before[0x47] = 0x33, 0x11
    assert np.array_equal(bus.memory, before)
    assert bus.count("strobed_bytes") == 2
    assert bus.count("write_bytes") == 16


def test_a_write_lands_no_earlier_than_its_response(make):
    bus = make(write_latency=20)
    bus.memory[:8] = 0
    bus.write(0, [0xAA])
    while not bus.responses:
        assert not bus.memory[:8].any() or bus.out.bvalid
        bus.step()
    assert words(bus, 0, 1) == [0xAA]


def test_a_read_sees_memory_as_of_its_address(make):
    bus = make(read_latency=50)
    bus.memory[:8] = 0
    bus.read(0, 1)
    bus.run(5)
    bus.memory[:8] = 1
    bus.run(60)
    assert bus.beats[0][2] == 0


def test_four_byte_bus(make):
    bus = make(bus_bytes=4)
    bus.read(0x104, 3)
    bus.write(0x200, [0x01020304, 0x05060708], strobes=[0xF, 0xC])
    bus.memory[0x204:0x208] = 9
    expected = bus.memory[0x104:0x110].view(np.uint32).tolist()
    bus.run(50)
    assert [beat[2] for beat in bus.beats] == expected
    assert bus.memory[0x200:0x208].tolist() == [4, 3, 2, 1, 9, 9, 6, 5]


def test_outside_of_the_memory_is_an_error(make):
    bus = make(size=0x1000)
    bus.read(0x2000, 2)
    bus.read(0x0FF8, 1)
    bus.write(0x1000, [1, 2])
    bus.run(60)
    assert [beat[3] for beat in bus.beats] == [DECERR, DECERR, OKAY]
    assert [response[2] for response in bus.responses] == [DECERR]
    assert bus.count("errors") == 2
    assert bus.count("error_address") == 0x1000  # the last; both addresses go at the same time
    assert bus.violation == ""


def test_base_address(make):
    bus = make(size=0x1000, base=0x8000_0000)
    bus.read(0x8000_0010, 1)
    bus.read(0x10, 1)
    bus.run(40)
    assert [beat[3] for beat in bus.beats] == [OKAY, DECERR]
    assert bus.beats[0][2] == words(bus, 0x10, 1)[0]


@pytest.mark.parametrize("reorder", [0, 1])
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_random_traffic(make, seed, reorder, stall):
    """Everything arrives, in order within each ID; the manager pauses at random too."""
    bus = make(stall=stall, reorder=reorder, seed=seed)
    rng = random.Random(seed)
    expected, written = {0: [], 1: []}, {}
    for n in range(100):
        id, beats, address = rng.randrange(2), rng.randint(1, 16), 8 * rng.randrange(2000)
        address -= max(0, address % 4096 + 8 * beats - 4096)
        bus.read(address, beats, id)
        expected[id] += words(bus, address, beats)
        values = [rng.getrandbits(64) for _ in range(beats)]
        target = 0x8000 + 128 * n
        bus.write(target, values, id)
        written[target] = values
    while len(bus.beats) < sum(map(len, expected.values())) or len(bus.responses) < 100:
        bus.step(rready=rng.random() < 0.7, bready=rng.random() < 0.7)
        assert bus.cycle < 50_000
    assert bus.violation == ""
    for id in (0, 1):
        assert [beat[2] for beat in bus.beats if beat[1] == id] == expected[id]
    for address, values in written.items():
        assert words(bus, address, len(values)) == values
    order = [beat[1] for beat in bus.beats]
    switches = sum(a != b for a, b in itertools.pairwise(order))
    assert (switches > 300) == bool(reorder)  # interleaved beat by beat, or whole bursts


def test_seeds_differ_and_repeat(make):
    def beats(seed):
        bus = make(stall=0.5, seed=seed)
        bus.read(0, 16)
        bus.run(200)
        return [beat[0] for beat in bus.beats]

    assert beats(1) == beats(1)
    assert beats(1) != beats(2)


@pytest.mark.parametrize(
    ("address", "beats", "override", "message"),
    [
        (0xFF8, 2, {}, "crosses a 4 KiB boundary"),
        (0x101, 1, {}, "not aligned"),
        (0x100, 2, {"arburst": 0}, "not INCR"),
        (0x100, 1, {"arsize": 4}, "beats of 16 bytes"),
    ],
)
def test_illegal_bursts_are_reported(make, address, beats, override, message):
    bus = make()
    bus.read(address, beats)
    bus.run(5, **override)
    assert message in bus.violation


def test_dropped_valid_is_reported(make):
    bus = make(outstanding=1, read_latency=100)
    bus.read(0, 1)
    bus.read(8, 1)
    bus.run(5)
    assert bus.violation == ""
    bus.step(arvalid=False)
    assert "arvalid or its payload changed while it waited (0x8)" in bus.violation


def test_changed_write_data_is_reported(make):
    bus = make(bytes_per_cycle=0.01)
    bus.write(0, [1, 2, 3])
    bus.run(5)
    assert bus.violation == ""
    bus.step(wdata=77)
    assert "wvalid" in bus.violation


def test_wrong_wlast_is_reported(make):
    bus = make()
    bus.write(0, [1, 2, 3])
    bus.run(10, wlast=True)
    assert "wlast is wrong in beat 1 of a burst of 3" in bus.violation
