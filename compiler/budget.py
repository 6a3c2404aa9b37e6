"""What a layer may use of the machine around the array: words of the GLB, and memory's time.

GLB, fmap space    ifmap buffers, operands, ofmaps of the layer │ what others keep there
"""

from dataclasses import dataclass

from eyas.config import WORD_BYTES, Config
from eyas.errors import ConfigError


@dataclass(frozen=True)
class Budget:
    """Room for fmaps in the GLB, and the speed of memory that the mapper plans for."""

    fmap_words: int
    bytes_per_cycle: float
    """Reads and writes together."""
    latency_cycles: int

    @classmethod
    def of(
        cls,
        config: Config,
        bytes_per_cycle: float | None = None,
        latency_cycles: int | None = None,
    ) -> "Budget":
        """All of the GLB, and memory as the configuration has it unless said otherwise.

        Raises ConfigError for a memory that moves nothing.
        """
        if bytes_per_cycle is not None and bytes_per_cycle <= 0:
            raise ConfigError(f"memory bytes per cycle must be above 0, not {bytes_per_cycle}")
        memory = config.memory
        return cls(
            config.glb.fmap_words,
            min(bytes_per_cycle or memory.bus_bytes, memory.bus_bytes),
            memory.latency_cycles if latency_cycles is None else latency_cycles,
        )

    @property
    def word_cycles(self) -> float:
        """Cycles that memory takes for a word."""
        return WORD_BYTES / self.bytes_per_cycle
