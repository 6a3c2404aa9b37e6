"""The program interpreter: runs a command stream on a memory image, in program order.

    memory image ─► Interpreter.run ─► decode ─► SET      registers
                                               ├ LOAD     memory → GLB   ┐
                                               ├ COMPUTE  GLB → psums,   ├ checked for range,
                                               │          drain → GLB    │ limits, tokens, races
                                               ├ STORE    GLB → memory   │
                                               └ VECTOR   GLB → GLB      ┘

It does what docs/architecture.md says of every command, without time: commands run whole, one
after the other. That is what the hardware does as well if the program keeps its engines apart by
tokens, so the interpreter checks that: see sim/hazards.py. Whatever breaks a rule raises
ConfigError with the command's number, tag and field.

    interpreter = Interpreter(Config.load("edge8x8"), memory)   # uint8, changed in place
    interpreter.run(program_address, n_commands)
    interpreter.counts[Counter.GLB_READS]                       # those that need no clock
"""

import numpy as np

from eyas.command import BLOCKS, COMMAND_BYTES, Command, Engine, Opcode, Space
from eyas.config import WORD_BYTES, Config
from eyas.errors import ConfigError
from eyas.registers import Counter
from eyas.sim import interpreter_moves as moves
from eyas.sim.hazards import Order, Words
from eyas.sim.interpreter_compute import segment_psums
from eyas.sim.interpreter_counts import drain_counts, segment_counts
from eyas.sim.interpreter_drain import MergeConstants, drain, load_merge
from eyas.sim.interpreter_psums import PsumBanks
from eyas.sim.segment import Segment

PROGRAM_ALIGNMENT = 64
"""Bytes; see Register.PROGRAM_ADDRESS."""


class Interpreter:
    """Memory, GLB, registers and counters of a machine, and the means to run programs on them.

    memory: uint8, the memory image itself; glb: words, uint8 (words, 8), of each Space; registers:
    field values of each engine's register blocks; counts: counters that do not depend on time;
    warnings: lines about the last run that are no errors. Memory, GLB, registers and counts stay
    from run to run.
    """

    def __init__(self, config: Config, memory: np.ndarray):
        if memory.dtype != np.uint8 or memory.ndim != 1 or len(memory) % WORD_BYTES:
            raise ConfigError(f"memory must be uint8 in whole words of {WORD_BYTES} bytes")
        self.config = config
        self.memory = memory
        self.glb = {
            Space.FMAP: np.zeros((config.glb.fmap_words, WORD_BYTES), np.uint8),
            Space.FILTER: np.zeros((config.glb.filter_words, WORD_BYTES), np.uint8),
        }
        self.registers = {
            engine: [dict.fromkeys(block, 0) for block in blocks]
            for engine, blocks in BLOCKS.items()
        }
        self.counts: dict[Counter, int] = dict.fromkeys(UNTIMED, 0)
        self.warnings: list[str] = []
        self.number = 0  # of the next command
        self.ended = False
        self._order = Order()
        self._memory = Words("memory", memory.reshape(-1, WORD_BYTES), self._order)
        self._fmaps = Words("the GLB's fmaps", self.glb[Space.FMAP], self._order)
        self._filters = Words("the GLB's filters", self.glb[Space.FILTER], self._order)
        self._program = range(0)  # words of memory that hold the running program
        self._psum_banks = PsumBanks()
        self._merge: MergeConstants | None = None  # of the program's last merge_load

    @property
    def tokens(self) -> dict[tuple[Engine, Engine], int]:
        """Outstanding tokens by (giver, taker)."""
        return {pair: len(queue) for pair, queue in self._order.tokens.items()}

    def run(self, program_address: int, n_commands: int) -> None:
        """Runs the program in memory up to its END, as a doorbell would."""
        if program_address % PROGRAM_ALIGNMENT:
            raise ConfigError(
                f"program_address must be a multiple of {PROGRAM_ALIGNMENT}, not {program_address}"
            )
        end = program_address + n_commands * COMMAND_BYTES
        if not 0 <= program_address <= end <= len(self.memory):
            raise ConfigError(f"the program must lie in the {len(self.memory)} bytes of memory")
        self.restart()
        self._program = range(program_address // WORD_BYTES, end // WORD_BYTES)
        for address in range(program_address, end, COMMAND_BYTES):
            self.step(self._decode(self.memory[address : address + COMMAND_BYTES].tobytes()))
            self.counts[Counter.MEMORY_READ_BYTES] += COMMAND_BYTES
            if self.ended:
                return
        raise ConfigError(f"the program has no END among its {n_commands} commands")

    def restart(self) -> None:
        """Makes ready for a program: the machine is idle, and everything before it is over."""
        self.number, self.ended, self.warnings = 0, False, []
        self._psum_banks, self._merge = PsumBanks(), None
        self._order.restart()
        for words in (self._memory, self._fmaps, self._filters):
            words.restart()

    def step(self, command: Command) -> None:
        """Runs one command; fields that are not named are zero. Raises ConfigError if it breaks a
        rule."""
        try:
            self._step(command)
        except ConfigError as error:
            what = f"command {self.number} ({command.opcode.name}, tag {command.tag})"
            raise ConfigError(f"{what}: {error}") from None
        self.number += 1

    def _decode(self, data: bytes) -> Command:
        try:
            return Command.decode(data)
        except ValueError as error:
            raise ConfigError(f"command {self.number}: {error}") from None

    def _step(self, command: Command) -> None:
        values = dict.fromkeys(command.fields, 0) | command.values
        if command.opcode in (Opcode.SET, Opcode.END):
            if command.wait or command.give:
                raise ConfigError("wait and give must be 0")
            if command.opcode == Opcode.END:
                self._end()
            else:
                self.registers[command.engine][command.block] = values
            return
        run = {
            Opcode.LOAD: self._load,
            Opcode.COMPUTE: self._compute,
            Opcode.STORE: self._store,
            Opcode.VECTOR: self._vector,
        }[command.opcode]
        self._order.begin(command.engine, command.wait, self.number)
        run(values)
        self._order.end(command.engine, command.give)

    def _end(self) -> None:
        self._psum_banks.check_empty()
        self.warnings = self._order.left_over()
        self.ended = True

    def _load(self, values: dict[str, int]) -> None:
        spaces = {Space.FMAP: self._fmaps, Space.FILTER: self._filters}
        if values["space"] not in spaces:
            raise ConfigError(f"space must be FMAP (0) or FILTER (1), not {values['space']}")
        words = moves.load(values, self._memory, spaces[Space(values["space"])])
        self._count({Counter.GLB_DMA_WORDS: words, Counter.MEMORY_READ_BYTES: words * WORD_BYTES})

    def _store(self, values: dict[str, int]) -> None:
        there, _ = moves.descriptor_words(values)
        if ((there >= self._program.start) & (there < self._program.stop)).any():
            raise ConfigError("memory_address must keep away from the program that is running")
        if values["space"] == Space.COUNTERS:
            words = moves.store(values, self._memory, self._counter_words())
        elif values["space"] == Space.FMAP:
            words = moves.store(values, self._memory, self._fmaps)
            self._count({Counter.GLB_DMA_WORDS: words})
        else:
            raise ConfigError(f"space must be FMAP (0) or COUNTERS (2), not {values['space']}")
        self._count({Counter.MEMORY_WRITE_BYTES: words * WORD_BYTES})

    def _counter_words(self) -> Words:
        """Counters as a STORE sees them: in their width. Those that need a clock are zero here."""
        limit = 1 << self.config.control.counter_width
        values = [self.counts.get(counter, 0) % limit for counter in Counter]
        data = np.array(values, "<u8").view(np.uint8).reshape(-1, WORD_BYTES)
        return Words("the counters", data, self._order)

    def _vector(self, values: dict[str, int]) -> None:
        self.registers[Engine.STORE][0] = values
        words = moves.vector(values | self.registers[Engine.STORE][1], self._fmaps)
        self._count({Counter.GLB_VECTOR_WORDS: words})

    def _compute(self, values: dict[str, int]) -> None:
        blocks = self.registers[Engine.COMPUTE]
        blocks[0] = values
        segment = Segment(blocks)
        segment.check(self.config)
        self._psum_banks.check(segment)
        if segment.fence:
            self._order.fence()
        psums = segment_psums(segment, self._fmaps, self._filters)
        psums = self._psum_banks.accumulate(segment, psums)
        self._count(segment_counts(segment))
        if segment.last:
            self._order.drain(self.number)
            if segment.merge_load:
                self._merge = load_merge(segment, self._filters)
            drain(segment, psums, self._merge, self._fmaps, self._filters)
            self._count(drain_counts(segment))

    def _count(self, counts: dict[Counter, int]) -> None:
        for counter, value in counts.items():
            self.counts[counter] += value


UNTIMED = (
    Counter.USEFUL_MACS,
    Counter.ACTIVE_MACS,
    Counter.SPAD_WRITES,
    Counter.GLB_READS,
    Counter.GLB_WRITES,
    Counter.GLB_DMA_WORDS,
    Counter.GLB_VECTOR_WORDS,
    Counter.NOC_IFMAP_BEATS,
    Counter.NOC_FILTER_VALUES,
    Counter.NOC_PSUMS,
    Counter.MEMORY_READ_BYTES,
    Counter.MEMORY_WRITE_BYTES,
)
"""Counters that do not depend on timing."""
