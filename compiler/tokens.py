"""From what commands read and write to the tokens that keep the engines apart.

Commands are added in program order, each with the areas of memory and GLB that it reads and writes.
For each word the tracker knows the last command that wrote it, and for each engine the last one
that has read it since. A command must wait for

    the last writer of what it reads                                 (read after write)
    the last readers of what it writes, or its writer if none        (write after read, after write)

of every other engine. Per ordered pair of engines the latest of these counts, and only if no
earlier wait covered it: then that command gives a token and this one takes it. So the n-th wait of
a pair meets the n-th give, and each give stands before its wait. Where the latest is more than
WINDOW commands of its engine ago, a more recent one stands in for it, so that few tokens are ever
outstanding; it has ended as well by the time that anybody looks.

A COMPUTE's token to LOAD says that it has read, to STORE that it has written too. A LOAD that
overwrites ofmaps therefore waits for the STORE that has read them; a COMPUTE that reads ofmaps of
an earlier one sets `fence`. A COMPUTE's own drain comes after all that it and earlier ones read.

What the drain reads, the operands of a merge, has been read when the ofmaps are written. A LOAD
that overwrites it has no token of its own to wait for, nor has one that overwrites ofmaps which
nobody read. They wait for the first that has waited for the drain, a STORE or a COMPUTE's fence:

    LOAD ─► COMPUTE, its drain ─► STORE ─────────────► LOAD into the same words
                          └─────► COMPUTE with fence ──┘
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from eyas.command import RUNS, TOKEN_LIMIT, Command, Engine, Opcode, Space
from eyas.errors import ConfigError

ENGINES: tuple[Engine, ...] = (Engine.LOAD, Engine.COMPUTE, Engine.STORE)
DRAIN = 3
"""Stands behind the engines where it matters whether a COMPUTE's reads are those of its drain."""
WINDOW = 24
"""Commands of an engine: more than its queue, and what loads run ahead, usually hold."""


class Place(IntEnum):
    """What areas lie in."""

    FMAP = Space.FMAP
    FILTER = Space.FILTER
    MEMORY = 3


@dataclass(frozen=True)
class Area:
    """counts[0] x counts[1] runs of counts[2] words from word `start` on, `strides` words apart."""

    place: Place
    start: int
    counts: tuple[int, int, int]
    strides: tuple[int, int] = (0, 0)

    @classmethod
    def run(cls, place: Place, start: int, words: int) -> "Area":
        return cls(place, start, (1, 1, words))

    @property
    def end(self) -> int:
        """One beyond the last word."""
        last = sum((n - 1) * stride for n, stride in zip(self.counts, self.strides, strict=False))
        return self.start + last + self.counts[2]


@dataclass
class _Words:
    """Who last wrote and read each word of a place: command indices, -1 for nobody."""

    size: int
    writer: np.ndarray = field(init=False)
    readers: np.ndarray = field(init=False)  # by engine, then DRAIN

    def __post_init__(self) -> None:
        self.writer = np.full(self.size, -1, np.int32)
        self.readers = np.full((len(ENGINES) + 1, self.size), -1, np.int32)


def words_of(words: np.ndarray, area: Area) -> np.ndarray:
    """The words of `area`, as a view of an array whose last axis is the area's place."""
    if area.start < 0 or area.end > words.shape[-1]:
        raise ConfigError(f"{area} is not within the {words.shape[-1]} words of {area.place.name}")
    step = words.strides[-1]
    strides = tuple(step * stride for stride in (*area.strides, 1))
    return np.lib.stride_tricks.as_strided(
        words[..., area.start :],
        (*words.shape[:-1], *area.counts),
        (*words.strides[:-1], *strides),
    )


class Tracker:
    """Collects commands and sets their `wait`, `give` and `fence`."""

    def __init__(self, fmap_words: int, filter_words: int, memory_words: int):
        self.commands: list[Command] = []
        self.sizes = {
            Place.FMAP: fmap_words,
            Place.FILTER: filter_words,
            Place.MEMORY: memory_words,
        }
        self._words = {place: _Words(size) for place, size in self.sizes.items()}
        self._synchronised: dict[tuple[Engine, Engine], int] = {}
        self._recent = {engine: deque(maxlen=WINDOW) for engine in ENGINES}
        self._drained: tuple[list[int], list[int]] = [], []
        """COMPUTEs whose drain the STORE beside them has waited for, both ascending."""
        self._fences: list[int] = []
        """COMPUTEs that wait until every earlier tile has drained."""

    def add(
        self,
        command: Command,
        reads: Sequence[Area] = (),
        writes: Sequence[Area] = (),
        drain_reads: Sequence[Area] = (),
    ) -> None:
        """Appends a command; it touches nothing but these areas.

        drain_reads: what a COMPUTE reads in its drain, and nobody writes there but LOAD.
        """
        index = len(self.commands)
        needs: dict[Engine, int] = dict.fromkeys(ENGINES, -1)
        for area in (*reads, *drain_reads):
            writers = self._words[area.place]
            self._need(needs, int(words_of(writers.writer, area).max(initial=-1)))
        if command.opcode == Opcode.COMPUTE:
            last = self._fences[-1] if self._fences else 0
            command.values["fence"] = int(needs[Engine.COMPUTE] >= last)
            if command.values["fence"]:
                self._fences.append(index)
        for area in writes:
            self._need_writable(needs, command, area)
        self.commands.append(command)
        for engine, needed in needs.items():
            if engine != command.engine and needed >= 0:
                self._synchronise(engine, needed, command)
        if command.opcode in RUNS:
            self._recent[command.engine].append(index)
        for actor, areas in ((command.engine, reads), (DRAIN, drain_reads)):
            for area in areas:
                words = self._words[area.place]
                words_of(words.readers[actor], area)[...] = index
        for area in writes:
            words = self._words[area.place]
            words_of(words.writer, area)[...] = index
            words_of(words.readers, area)[...] = -1

    def _need(self, needs: dict[Engine, int], index: int) -> None:
        if index >= 0:
            engine = self.commands[index].engine
            needs[engine] = max(needs[engine], index)

    def _need_writable(self, needs: dict[Engine, int], command: Command, area: Area) -> None:
        words = self._words[area.place]
        readers = words_of(words.readers, area)
        for engine in ENGINES:
            needs[engine] = max(needs[engine], int(readers[engine].max(initial=-1)))
        drained = int(readers[DRAIN].max(initial=-1))
        if command.engine == Engine.LOAD and drained >= 0:
            self._need(needs, self._behind(drained, "operands"))
        else:
            self._need(needs, drained)
        unread = readers.max(axis=0) < 0
        writers = words_of(words.writer, area)[unread]
        for index in np.unique(writers):
            writer = self.commands[index] if index >= 0 else None
            if writer and (writer.opcode, command.engine) == (Opcode.COMPUTE, Engine.LOAD):
                self._need(needs, self._behind(int(index), "ofmaps"))
            else:
                self._need(needs, int(index))

    def may_load(self, area: Area) -> bool:
        """Whether a LOAD that writes an area has somebody to wait for, for all that it must."""
        words = self._words[area.place]
        readers = words_of(words.readers, area)
        writers = words_of(words.writer, area)[readers.max(axis=0) < 0]
        late = [n for n in np.unique(writers) if n >= 0 and not self._first_behind(int(n))]
        if any(self.commands[index].opcode == Opcode.COMPUTE for index in late):
            return False
        drained = int(readers[DRAIN].max(initial=-1))
        return drained < 0 or bool(self._first_behind(drained))

    def _behind(self, compute: int, what: str) -> int:
        """The first command that has waited until a COMPUTE, by index, has drained."""
        found = self._first_behind(compute)
        if not found:
            tag = self.commands[compute].tag
            raise ConfigError(f"{what} of layer {tag} are overwritten before they are read")
        return min(found)

    def _first_behind(self, compute: int) -> list[int]:
        """The first STORE and the first COMPUTE that have waited for it, as far as there are."""
        computes, stores = self._drained
        return [
            *stores[(place := bisect_left(computes, compute)) : place + 1],
            *self._fences[(place := bisect_right(self._fences, compute)) : place + 1],
        ]

    def _synchronise(self, engine: Engine, needed: int, command: Command) -> None:
        pair = (engine, command.engine)
        if needed > self._synchronised.get(pair, -1):
            needed = max(needed, self._recent[engine][0])
            self._synchronised[pair] = needed
            self.commands[needed].give |= 1 << command.engine
            command.wait |= 1 << engine
            if pair == (Engine.COMPUTE, Engine.STORE):
                self._drained[0].append(needed)
                self._drained[1].append(len(self.commands) - 1)


def check_tokens(commands: Sequence[Command]) -> None:
    """Raises ConfigError unless each wait has its give before it, and no counter overflows."""
    counters: dict[tuple[int, int], int] = {}
    for index, command in enumerate(commands):
        for engine in ENGINES:
            if command.wait >> engine & 1:
                pair = (engine, command.engine)
                counters[pair] = counters.get(pair, 0) - 1
                if counters[pair] < 0:
                    raise ConfigError(f"command {index} waits for a token that nobody gives before")
            if command.give >> engine & 1:
                pair = (command.engine, engine)
                counters[pair] = counters.get(pair, 0) + 1
                if counters[pair] > TOKEN_LIMIT:
                    raise ConfigError(f"command {index} gives more than {TOKEN_LIMIT} tokens")
