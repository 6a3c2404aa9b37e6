"""How the simulated memory behaves; sim/memory_model.h is the memory."""

import math
from dataclasses import dataclass

from eyas.config import Config
from eyas.sim.bulk_library import MemorySettings


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

    def settings(self) -> MemorySettings:
        """As the C++ side takes it."""
        limited = math.isfinite(self.bytes_per_cycle)
        return MemorySettings(
            seed=self.seed,
            bytes_per_cycle=self.bytes_per_cycle if limited else 0,
            stall=self.stall,
            read_latency=self.latency_cycles,
            write_latency=self.latency_cycles,
            outstanding=self.outstanding,
            reorder=int(self.reorder),
        )
