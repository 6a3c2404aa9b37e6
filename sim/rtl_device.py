"""A Verilated accelerator as a device: memory, registers, GLB, waves.

sim/simulator.py runs programs on it.
"""

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eyas.command import Space
from eyas.config import Config
from eyas.errors import LinkError
from eyas.registers import MAGIC, Counter, Register
from eyas.sim.bulk_library import BANKS, State, compile_library, load_library
from eyas.sim.generated import accelerator_verilog
from eyas.sim.memory_timing import MemoryTiming
from eyas.sim.verilator import find_verilator

if TYPE_CHECKING:
    from typing_extensions import Self

RESET_CYCLES = 4


class RtlDevice:
    """One accelerator and its memory, without a notion of programs: see Simulator.

    config: what the hardware is.
    verilog: its text, top module `eyas`; generated from `config` otherwise.
    memory: uint8 array to use as the memory, or its size in bytes.
    timing: of the memory; MemoryTiming.of(config) otherwise.
    waves: a file to write waves to, .fst or .vcd.
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
        if waves:
            _check_wave_format(Path(waves))
        if verilog is None:
            status("generating Verilog")
            verilog = accelerator_verilog(config)
        self.config = config
        self.memory = np.zeros(memory, np.uint8) if isinstance(memory, int) else memory
        if self.memory.dtype != np.uint8 or not self.memory.flags.c_contiguous:
            raise TypeError("memory must be a contiguous array of uint8")
        self._library = load_library(compile_library(verilog, waves=bool(waves), status=status))
        settings = (timing or MemoryTiming.of(config)).settings()
        self._handle = self._library.eyas_new(
            self.memory.ctypes.data, self.memory.nbytes, ctypes.byref(settings)
        )
        if waves:
            self._open_waves(Path(waves))
        self.reset()
        if self.read_register(Register.MAGIC) != MAGIC:
            raise LinkError("the simulated hardware is no Eyas: its MAGIC register is wrong")
        found = self.read_register(Register.CONFIG_HASH)
        if found != config.hash:
            raise LinkError(
                f"the simulated hardware is of configuration {found:08x}, "
                f"not {config.name} ({config.hash:08x})"
            )

    def close(self) -> None:
        """Finishes the wave file and frees the model. The simulator is of no use afterwards."""
        if getattr(self, "_handle", None):
            self._library.eyas_delete(self._handle)
            self._handle = None

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def set_timing(self, timing: MemoryTiming) -> None:
        """Changes how the memory behaves from now on."""
        self._library.eyas_configure(self._handle, ctypes.byref(timing.settings()))

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
            return [self._bank(name) for name in self.config.glb.filter_banks]
        if space == Space.FMAP:
            return [self._bank(name) for name in self.config.glb.fmap_banks]
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
        path.parent.mkdir(parents=True, exist_ok=True)
        if not self._library.eyas_open_waves(self._handle, str(path).encode()):
            raise LinkError(f"{path}: cannot be written")


def _check_wave_format(path: Path) -> None:
    kind = find_verilator().wave_format()
    if path.suffix not in ("", f".{kind}"):
        raise LinkError(
            f"{path}: waves can only be written as .{kind} here; .fst needs the headers of lz4 "
            f"and zlib (Debian: apt install liblz4-dev zlib1g-dev)"
        )
