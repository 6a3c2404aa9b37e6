"""Puts the work of all layers into program order: loads ahead, stores behind.

    item n-1:  … COMPUTE n-1   STOREs n-1
               LOADs of items n+1 … n+LOOKAHEAD, as far as their place in the GLB is free
    item n:    SETs, COMPUTE n   STOREs n

An item is a COMPUTE or VECTOR with what it needs. A piece is what LOADs bring into the GLB for one
or more items; its place is free again behind the last of them. The items that LOADs run ahead to
may be another layer's: its ifmaps come in as soon as the STOREs of what they hold are issued.
Queues are in order, so a LOAD that is issued too early would only block those behind it, and the
commands behind a full queue: two of its places stay free.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import NamedTuple

from eyas.command import Command, Engine, Opcode
from eyas.compiler.tokens import Area, Place, Tracker
from eyas.compiler.upcoming_uses import UpcomingUses

LOOKAHEAD = 4
"""Items that LOADs run ahead of their COMPUTE; VECTORs between them do not count."""
KINDS = ("filters", "ifmaps", "operands", "inputs")
"""Of pieces, in the order in which those of an item are loaded; a VECTOR has inputs only."""


class Step(NamedTuple):
    """A command and the areas that it reads and writes."""

    command: Command
    reads: Sequence[Area] = ()
    writes: Sequence[Area] = ()
    drain_reads: Sequence[Area] = ()
    """What its drain reads; see compiler/tokens.py."""


@dataclass(eq=False)
class Piece:
    """Words that stay together in the GLB, from (place, start) to (place, end)."""

    loads: Sequence[Step]
    place: int
    start: int
    end: int
    last_item: int = -1
    """Number of the last item that needs it."""
    loaded: bool = False

    def overlaps(self, other: "Piece") -> bool:
        return self.place == other.place and self.start < other.end and other.start < self.end


@dataclass(eq=False)
class Item:
    """A COMPUTE or VECTOR: what must be loaded first, what it runs with, what it leaves behind."""

    run: Step
    sets: Sequence[Command] = ()
    ifmaps: Sequence[Piece] = ()
    filters: Sequence[Piece] = ()
    operands: Sequence[Piece] = ()
    inputs: Sequence[Piece] = ()
    kept: Sequence[Area] = ()
    """What it reads of fmaps that stay in the GLB: no piece stands for them."""
    stores: Sequence[Step] = ()
    place: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Layer, tile, filter group, segment; for people and tools."""
    cycles: float = 0.0
    """That it takes the array at least, or the vector unit."""
    slows: float = 1.0
    """How many times as long a VECTOR takes beside it, as it reads from the same banks."""
    number: int = -1

    @property
    def pieces(self) -> Iterator[tuple[str, Piece]]:
        """All pieces that it needs, with their kinds."""
        for kind in KINDS:
            for piece in getattr(self, kind):
                yield kind, piece

    @property
    def vector(self) -> bool:
        """Whether it is the vector unit's."""
        return self.run.command.opcode == Opcode.VECTOR


class Ring:
    """Hands out a range of the GLB, first in, first out; each allocation is contiguous."""

    def __init__(self, start: int, end: int):
        self.start, self.end, self.next = start, end, start

    def take(self, words: int) -> int:
        """The address of `words` words; those handed out there before are then overwritten."""
        if self.next + words > self.end:
            self.next = self.start
        address = self.next
        self.next += words
        return address

    def make_room(self, words: int) -> None:
        """The next allocations, `words` words in all, will follow each other without a gap."""
        if self.next + words > self.end:
            self.next = self.start


@dataclass
class Schedule:
    """Runs through the items of all layers and hands their commands to the tracker."""

    tracker: Tracker
    queue_depth: int
    places: list[tuple[int, int, int, int]] = field(default_factory=list)
    """For each command, the place of the item that it belongs to."""

    def __post_init__(self) -> None:
        self._ahead: deque[Item] = deque()
        self._pending: dict[str, deque[tuple[Item, Piece]]] = {kind: deque() for kind in KINDS}
        self._live: list[Piece] = []
        self._coming = UpcomingUses(self.tracker.sizes)
        self._registers: dict[tuple[int, int], dict[str, int]] = {}
        self._waiting_loads: deque[int] = deque()

    def run(self, items: Sequence[Item]) -> None:
        """Issues everything, in this order but for the LOADs."""
        seen: set[int] = set()
        for number, item in enumerate(items):
            item.number = number
            for kind, piece in item.pieces:
                piece.last_item = number
                if id(piece) not in seen:
                    seen.add(id(piece))
                    self._pending[kind].append((item, piece))
        coming = iter(items)
        self._fill(coming)
        while self._ahead:
            item = self._ahead.popleft()
            self._fill(coming)
            self._load_ahead(item)
            self._issue(item)

    def _fill(self, coming: Iterator[Item]) -> None:
        while sum(not item.vector for item in self._ahead) < LOOKAHEAD:
            item = next(coming, None)
            if item is None:
                return
            self._ahead.append(item)
            for step in (item.run, *item.stores):
                self._coming.note(step.writes, item.number)
            self._coming.note(item.kept, item.number)

    def _load_ahead(self, item: Item) -> None:
        """Issues what `item` needs, then what the items behind it need if there is room for it."""
        while self._waiting_loads and self._waiting_loads[0] <= item.number:
            self._waiting_loads.popleft()
        self._live = [piece for piece in self._live if piece.last_item >= item.number]
        last = self._ahead[-1].number if self._ahead else item.number
        blocked: set[str] = set()
        for number in range(item.number, last + 1):
            for kind in KINDS:
                pending = self._pending[kind]
                while kind not in blocked and pending and pending[0][0].number <= number:
                    if not self._load(item, *pending[0], kind):
                        blocked.add(kind)
                        break
                    pending.popleft()

    def _load(self, item: Item, user: Item, piece: Piece, kind: str) -> bool:
        needed_now = user.number == item.number
        if not needed_now:
            if len(self._waiting_loads) + len(piece.loads) > max(2, self.queue_depth - 2):
                return False
            if kind != "filters" and self._too_early(user, item, piece):
                return False
        if any(piece.overlaps(live) for live in self._live):
            if needed_now:
                raise AssertionError(f"item {user.place} overwrites what is still needed")
            return False
        for step in piece.loads:
            self._add(user, step)
            self._waiting_loads.append(user.number)
        self._live.append(piece)
        return True

    def _too_early(self, user: Item, item: Item, piece: Piece) -> bool:
        """Whether what comes before `user` is yet to make what its piece reads, or to use what it
        overwrites, or to wait until a drain has."""
        for pending in self._pending.values():
            for earlier, other in takewhile(lambda entry: entry[0].number < user.number, pending):
                if earlier is not user and other is not piece and piece.overlaps(other):
                    return True
        if not all(self.tracker.may_load(area) for step in piece.loads for area in step.writes):
            return True
        areas = [Area.run(Place(piece.place), piece.start, piece.end - piece.start)]
        areas += [area for step in piece.loads for area in step.reads]
        return self._coming.last(areas) >= item.number

    def _issue(self, item: Item) -> None:
        for command in item.sets:
            key = (command.engine, command.block)
            if self._registers.get(key) != command.values:
                self._registers[key] = command.values
                self._add(item, Step(command))
        self._add(item, item.run)
        for step in item.stores:
            self._add(item, step)

    def _add(self, item: Item, step: Step) -> None:
        step.command.tag = item.place[0]
        self.tracker.add(*step)
        self.places.append(item.place)


def end_command() -> Command:
    """The command that ends every program."""
    return Command(Opcode.END, Engine.NONE, {})
