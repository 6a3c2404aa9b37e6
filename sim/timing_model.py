"""What a program takes on a machine: cycles and all hardware counters, without simulating data.

    Program ─► commands in memory ─► model of the machine's control (sim/timing/, C++)
                                      engine by engine, queue by queue, cycle by cycle
                                                       │
    Prediction ◄──────── cycles, counters, profile ◄───┘

The model has every register of the hardware that decides when something happens, and none of its
data, so that it counts what the RTL counts: docs/performance-model.md has how far they agree, and
tests/sim/test_timing_model.py holds one against the other.

    prediction = predict(program, config)
    prediction.cycles, prediction.counters[Counter.ARRAY_BUSY]
"""

import ctypes
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from eyas.compiler.profile import read_profile
from eyas.compiler.program import Program
from eyas.config import Config
from eyas.errors import LinkError
from eyas.registers import Counter
from eyas.sim.memory_timing import MemoryTiming
from eyas.sim.timing_library import TimingConfig, timing_library

_CHUNK_SECONDS = 0.2
"""How long Python stays away: progress and Ctrl-C wait for it."""
_FIRST_CHUNK = 100_000
_REGISTERS_CYCLES = 3
"""Of a run that a host sees beside CYCLES: its write until the start, the interrupt at the end."""
_QUIET_CYCLES = 20_000
"""Without any progress, beside what the memory takes, until a program counts as locked."""
_DESCRIPTION_BYTES = 1000


@dataclass(frozen=True)
class Prediction:
    """What a run of a program takes."""

    cycles: int
    """As RunResult.cycles: from the write that starts the program to the interrupt."""
    counters: dict[Counter, int]
    """All hardware counters at the end, whether or not the machine has them."""
    profile: list[dict[Counter, int]]
    """Each layer's share of the counters, of programs made by compiler.profile.with_profile."""
    seconds: float

    @property
    def cycles_per_second(self) -> float:
        return self.cycles / max(self.seconds, 1e-9)


def predict(
    program: Program,
    config: Config,
    timing: MemoryTiming | None = None,
    *,
    progress: Callable[[int], None] | None = None,
    max_cycles: int | None = None,
) -> Prediction:
    """Runs a program on the model of a machine.

    timing: of the memory, what the configuration says otherwise. With `stall` or `reorder` its
    random numbers are not those of an RTL simulation. progress: called every fraction of a second
    with the cycles so far.
    Raises ModelError for a program of another configuration, and LinkError without a C++ compiler,
    where the program locks the machine or faults, or has not ended after `max_cycles`.
    """
    program.check_config(config)
    library, started = timing_library(), time.perf_counter()
    timing = timing or MemoryTiming.of(config)
    memory = np.zeros(program.memory_bytes, np.uint8)
    commands = np.frombuffer(program.encoded_commands(), np.uint8)
    memory[program.program_address : program.program_address + commands.size] = commands
    handle = library.timing_new(
        ctypes.byref(TimingConfig.of(config)),
        memory.ctypes.data,
        memory.nbytes,
        ctypes.byref(timing.settings()),
        program.program_address,
        len(program.commands),
    )
    try:
        _run(program, library, handle, _quiet_cycles(config, timing), progress, max_cycles)
        totals = library.timing_counters(handle)
        counters = {counter: int(totals[counter]) for counter in Counter}
    finally:
        library.timing_delete(handle)
    return Prediction(
        cycles=counters[Counter.CYCLES] + _REGISTERS_CYCLES,
        counters=counters,
        profile=read_profile(program, memory),
        seconds=time.perf_counter() - started,
    )


def _quiet_cycles(config: Config, timing: MemoryTiming) -> int:
    """The longest time without progress of a program that is not locked."""
    beat = config.memory.bus_bytes / timing.bytes_per_cycle
    return _QUIET_CYCLES + 4 * timing.latency_cycles + math.ceil(4 * beat / (1 - timing.stall))


def _run(
    program: Program,
    library: ctypes.CDLL,
    handle: int,
    quiet_cycles: int,
    progress: Callable[[int], None] | None,
    max_cycles: int | None,
) -> None:
    cycles, chunk, mark = 0, _FIRST_CHUNK, None
    limit = math.inf if max_cycles is None else max_cycles
    while True:
        if cycles >= limit:
            state = _describe(library, handle)
            raise LinkError(f"{program.name}: no end after {max_cycles} cycles: {state}")
        began, step = time.perf_counter(), int(min(max(chunk, quiet_cycles), limit - cycles))
        ended = library.timing_run(handle, step)
        failure = library.timing_failure(handle).decode()
        if failure:
            raise LinkError(f"{program.name}: {failure}")
        cycles = int(library.timing_counters(handle)[Counter.CYCLES])
        if progress:
            progress(cycles)
        if ended:
            return
        previous, mark = mark, library.timing_progress(handle)
        if mark == previous and step >= quiet_cycles:
            state = _describe(library, handle)
            raise LinkError(f"{program.name}: the program locks the machine: {state}")
        speed = step / max(time.perf_counter() - began, 1e-6)
        chunk = int(speed * _CHUNK_SECONDS)


def _describe(library: ctypes.CDLL, handle: int) -> str:
    """What each engine waits for."""
    text = ctypes.create_string_buffer(_DESCRIPTION_BYTES)
    library.timing_describe(handle, text, _DESCRIPTION_BYTES)
    return text.value.decode()
