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

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from eyas.errors import LinkError
from eyas.registers import Counter, Fault, Register
from eyas.sim.memory_timing import MemoryTiming
from eyas.sim.rtl_device import RtlDevice

__all__ = ["HANG_CYCLES", "MemoryTiming", "RunResult", "Simulator"]

HANG_CYCLES = 2_000_000
"""Cycles without any transfer on AXI4 after which a run counts as hung, unless told otherwise."""
_CHUNK_SECONDS = 0.2
"""How long Python stays away: progress and Ctrl-C wait for it."""
_LIMIT, _INTERRUPT, _VIOLATION = range(3)


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


class Simulator(RtlDevice):
    """An accelerator and its memory, to run programs on; made as RtlDevice says."""

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
