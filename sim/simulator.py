"""The whole accelerator in RTL, run in bulk: whole networks, no Python in any cycle.

    Simulator ──ctypes──► libeyas.so: harness ── AXI4-Lite ──► accelerator ── AXI4 ──► memory model
        │                                                       (Verilated)               │
        └──────────────── memory: a NumPy array that both sides see ──────────────────────┘

    simulator = Simulator(Config.load("edge8x8"), verilog)
    simulator.memory[: len(image)] = image
    result = simulator.run(program_address=0, n_commands=120)
    result.cycles, result.counters[Counter.ARRAY_BUSY]

The memory's timing is a MemoryTiming; the default is what the configuration says. See
docs/simulation.md for the cache of compiled simulators, the speed, waves and `eyas diff`.
"""

import ctypes
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eyas.command import Space
from eyas.config import Config
from eyas.errors import LinkError
from eyas.registers import MAGIC, Counter, Fault, Register
from eyas.sim.bulk_library import BANKS, MemorySettings, State, compile_library, load_library
from eyas.sim.generated import accelerator_verilog

RESET_CYCLES = 4
HANG_CYCLES = 2_000_000
"""Cycles without any transfer on AXI4 after which a run counts as hung, unless told otherwise."""
_CHUNK_SECONDS = 0.2
"""How long Python stays away: progress and Ctrl-C wait for it."""
_LIMIT, _INTERRUPT, _VIOLATION = range(3)


@dataclass(frozen=True)
class MemoryTiming:
    """How the simulated memory behaves."""

    latency_cycles: int = 60
    """From a read's address to its first data beat, and from a write's data to its response."""
    bytes_per_cycle: float = math.inf
    """Reads and writes together; inf: as much as the bus takes."""
    outstanding: int = 32
    """Read bursts accepted and not finished; as many write bursts."""
    stall: float = 0.0
    """Probability that a channel pauses in a cycle (valid or ready held back)."""
    reorder: bool = False
    """Whether bursts of different IDs overtake one another."""
    seed: int = 1
    """Of the random numbers behind `stall` and `reorder`."""

    @classmethod
    def of(cls, config: Config) -> "MemoryTiming":
        """The timing that `config` describes: its latency and the width of its bus."""
        memory = config.memory
        return cls(latency_cycles=memory.latency_cycles, bytes_per_cycle=memory.bus_bytes)


@dataclass(frozen=True)
class RunResult:
    """A finished run of a program."""

    cycles: int
    """From the write that started it to the interrupt."""
    counters: dict[Counter, int]
    """Hardware counters; empty where the configuration leaves them out."""
    fault: Fault
    seconds: float
    read_bytes: int
    """That the memory delivered, to hold against MEMORY_READ_BYTES."""
    write_bytes: int
    """In write data beats, whatever their strobes."""
    error_address: int | None = None
    """Of the last access outside of the memory, if there was one; the memory answers it with an
    error."""

    @property
    def cycles_per_second(self) -> float:
        return self.cycles / max(self.seconds, 1e-9)


class Simulator:
    """One accelerator and its memory.

    config: what the hardware is.
    verilog: its text, top module `eyas`; generated from `config` otherwise.
    memory: uint8 array to use as the memory, or its size in bytes.
    timing: of the memory; MemoryTiming.of(config) otherwise.
    waves: a file to write waves to, .fst or .vcd, or a folder's `name` without an ending.
    status: told in a line what takes time (compiling); nothing is printed otherwise.

    Raises LinkError where tools are missing, compiling fails, or the hardware is another one.
    """

    def __init__(
        self,
        config: Config,
        verilog: str | None = None,
        *,
        memory: np.ndarray | int = 1 << 24,
        timing: MemoryTiming | None = None,
        waves: str | Path | None = None,
        status: Callable[[str], None] = lambda text: None,
    ):
        if verilog is None:
            status("generating Verilog")
            verilog = accelerator_verilog(config)
        self.config = config
        self.memory = np.zeros(memory, np.uint8) if isinstance(memory, int) else memory
        if self.memory.dtype != np.uint8 or not self.memory.flags.c_contiguous:
            raise TypeError("memory must be a contiguous array of uint8")
        self._library = load_library(compile_library(verilog, waves=bool(waves), status=status))
        settings = _settings(timing or MemoryTiming.of(config))
        self._handle = self._library.eyas_new(
            self.memory.ctypes.data, self.memory.nbytes, ctypes.byref(settings)
        )
        if waves:
            self._open_waves(Path(waves))
        self.reset()
        if self.read_register(Register.MAGIC) != MAGIC:
            raise LinkError("the simulated hardware is no Eyas: its MAGIC register is wrong")

    def close(self) -> None:
        """Finishes the wave file and frees the model. The simulator is of no use afterwards."""
        if getattr(self, "_handle", None):
            self._library.eyas_delete(self._handle)
            self._handle = None

    def __enter__(self) -> "Simulator":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def set_timing(self, timing: MemoryTiming) -> None:
        """Changes how the memory behaves from now on."""
        self._library.eyas_configure(self._handle, ctypes.byref(_settings(timing)))

    def reset(self) -> None:
        """Resets the hardware and what is in flight; memory and GLB keep their contents."""
        self._library.eyas_reset(self._handle, RESET_CYCLES)

    @property
    def state(self) -> State:
        """Cycles, transfers and bytes since the simulator was made."""
        state = State()
        self._library.eyas_state(self._handle, ctypes.byref(state))
        return state

    # --- registers ---

    def write_register(self, register: int, value: int) -> None:
        """Writes 32 bits at a byte address, through AXI4-Lite."""
        answer = self._library.eyas_write_register(self._handle, register, value)
        self._check_answer("write to", register, answer)

    def read_register(self, register: int) -> int:
        """Reads 32 bits at a byte address, through AXI4-Lite."""
        value = ctypes.c_uint32()
        answer = self._library.eyas_read_register(self._handle, register, ctypes.byref(value))
        self._check_answer("read of", register, answer)
        return value.value

    @staticmethod
    def _check_answer(what: str, register: int, answer: int) -> None:
        if answer < 0:
            raise LinkError(f"the accelerator does not answer a {what} register 0x{register:x}")
        if answer:
            raise LinkError(f"a {what} register 0x{register:x} was answered with error {answer}")

    def read_counters(self) -> dict[Counter, int]:
        """All hardware counters; empty where the configuration leaves them out."""
        if not self.config.control.counter_width:
            return {}
        values = {}
        for counter in Counter:
            address = Register.COUNTERS + 8 * counter
            values[counter] = self.read_register(address) | self.read_register(address + 4) << 32
        return values

    # --- runs ---

    def run(
        self,
        program_address: int,
        n_commands: int,
        *,
        clear_counters: bool = True,
        max_cycles: int | None = None,
        hang_cycles: int = HANG_CYCLES,
        progress: Callable[[int], None] | None = None,
    ) -> RunResult:
        """Runs a program in memory to its end.

        program_address: of its first command, in bytes. n_commands: how many it has.
        progress: called every fraction of a second with the cycles so far.
        Raises LinkError when the hardware hangs (nothing moves for `hang_cycles`), has not ended
        after `max_cycles`, or breaks AXI4. A fault that the hardware reports is in the result.
        """
        before, started = self.state, time.perf_counter()
        self._library.eyas_forget_interrupt(self._handle)
        self.write_register(Register.PROGRAM_ADDRESS, program_address)
        self.write_register(Register.PROGRAM_LENGTH, n_commands)
        start_cycle = self.state.cycle
        self.write_register(Register.CONTROL, 1 | int(clear_counters) << 1)
        self._run_to_interrupt(start_cycle, max_cycles, hang_cycles, progress)
        after, seconds = self.state, time.perf_counter() - started
        status = self.read_register(Register.STATUS)
        return RunResult(
            cycles=after.finished - start_cycle,
            counters=self.read_counters(),
            fault=Fault(status >> 8 & 0xF),
            seconds=seconds,
            read_bytes=after.read_bytes - before.read_bytes,
            write_bytes=after.write_bytes - before.write_bytes,
            error_address=after.error_address if after.errors > before.errors else None,
        )

    def _run_to_interrupt(
        self,
        start_cycle: int,
        max_cycles: int | None,
        hang_cycles: int,
        progress: Callable[[int], None] | None,
    ) -> None:
        chunk, counters = 1000, None
        while True:
            cycle = self.state.cycle
            left = math.inf if max_cycles is None else start_cycle + max_cycles - cycle
            if left <= 0:
                raise LinkError(f"no end after {max_cycles} cycles: {self._describe(counters)}")
            began = time.perf_counter()
            outcome = self._library.eyas_run(self._handle, int(min(chunk, left)))
            if progress:
                progress(self.state.cycle - start_cycle)
            if outcome == _VIOLATION:
                text = self._library.eyas_violation(self._handle).decode()
                raise LinkError(f"the accelerator broke AXI4 in cycle {self.state.cycle}: {text}")
            if outcome == _INTERRUPT:
                return
            speed = chunk / max(time.perf_counter() - began, 1e-6)
            chunk = max(1000, min(hang_cycles // 4, int(speed * _CHUNK_SECONDS)))
            counters = self._check_alive(hang_cycles, start_cycle, counters)

    def _check_alive(
        self, hang_cycles: int, start_cycle: int, counters: dict[Counter, int] | None
    ) -> dict[Counter, int] | None:
        """Raises where nothing moves. Returns counters to compare with while it is quiet."""
        state = self.state
        quiet = state.cycle - max(state.last_transfer, start_cycle)
        if quiet < hang_cycles / 2:
            return None
        if counters is None:
            return self.read_counters()
        if quiet >= hang_cycles:
            raise LinkError(f"the accelerator hangs: {self._describe(counters)}")
        return counters

    def _describe(self, counters: dict[Counter, int] | None) -> str:
        """The state of a run that does not end, in words."""
        state, status = self.state, self.read_register(Register.STATUS)
        text = f"cycle {state.cycle}, last memory transfer in cycle {state.last_transfer}, "
        text += f"status 0x{status:03x} (busy {status & 1}, done {status >> 1 & 1})"
        if counters:
            now = self.read_counters()
            moved = [counter.name for counter in Counter if now[counter] != counters[counter]]
            text += f", counters that still move: {', '.join(moved) or 'none'}"
        return text

    # --- the global buffer ---

    def _bank(self, name: str) -> np.ndarray:
        """The words of a GLB memory, as a view into the model."""
        depth = ctypes.c_uint64()
        index = BANKS.index(name)
        words = self._library.eyas_bank(self._handle, index, ctypes.byref(depth))
        if not words:
            raise LinkError(f"the simulated hardware has no GLB memory {name}")
        kind = ctypes.POINTER(ctypes.c_uint64)
        return np.ctypeslib.as_array(ctypes.cast(words, kind), (depth.value,))

    def _banks(self, space: Space) -> list[np.ndarray]:
        """Memories of a space; word a is entry a // n of memory a % n."""
        if space == Space.FILTER:
            return [self._bank("filters")]
        if space == Space.FMAP:
            return [self._bank(f"fmap{n}") for n in range(self.config.glb.ifmap_ports)]
        raise ValueError(f"{space!r} is no memory of the GLB")

    def read_glb(self, space: Space) -> np.ndarray:
        """A copy of all words of the GLB's fmaps or filters, uint64, lane 0 in the lowest byte."""
        return np.stack(self._banks(space), axis=1).reshape(-1)

    def write_glb(self, space: Space, words: np.ndarray, address: int = 0) -> None:
        """Overwrites words of the GLB from word `address` on."""
        banks = self._banks(space)
        everything = self.read_glb(space)
        everything[address : address + len(words)] = words
        for n, bank in enumerate(banks):
            bank[:] = everything[n :: len(banks)]

    def _open_waves(self, path: Path) -> None:
        from eyas.sim.verilator import find_verilator

        kind = find_verilator().wave_format()
        if path.suffix not in ("", f".{kind}"):
            raise LinkError(
                f"{path}: waves can only be written as .{kind} here; .fst needs the headers of lz4 "
                f"and zlib (Debian: apt install liblz4-dev zlib1g-dev)"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        if not self._library.eyas_open_waves(self._handle, str(path).encode()):
            raise LinkError(f"{path}: cannot be written")


def _settings(timing: MemoryTiming) -> MemorySettings:
    limited = math.isfinite(timing.bytes_per_cycle)
    return MemorySettings(
        seed=timing.seed,
        bytes_per_cycle=timing.bytes_per_cycle if limited else 0,
        stall=timing.stall,
        read_latency=timing.latency_cycles,
        write_latency=timing.latency_cycles,
        outstanding=timing.outstanding,
        reorder=int(timing.reorder),
    )
