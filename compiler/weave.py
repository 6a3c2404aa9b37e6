"""Puts the items of all layers into one order, in which max pools run beside convolutions.

    array         conv1 conv1 conv1 conv1 conv1 conv2 conv2 …
    vector unit             pool1 pool1 pool1 pool1            its tiles as their ifmaps are made

Items of convolutions keep their order, and so do those of pools beside them. A pool's item comes as
soon as what it reads will have been stored, unless the vector unit is behind with earlier ones, and
no later than the first item that reads what it writes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from eyas.compiler.schedule import Item
from eyas.compiler.tokens import Area, Place, words_of

STORE_CYCLES = 500
"""From the end of a tile until its ofmaps are in memory, beside its drain."""

_MAIN, _BESIDE = 0, 1


@dataclass
class _Stream:
    items: list[Item] = field(default_factory=list)
    needs: list[int] = field(default_factory=list)
    """For each item, the last one of the other stream that must come before it; -1 for none."""


class Weaver:
    """Collects the items of all layers, in the order in which they could run one by one.

    sizes: words of each place, as the tracker has them.
    """

    def __init__(self, sizes: Mapping[Place, int]):
        self._streams = _Stream(), _Stream()
        self._touched = {
            stream: {place: np.full((2, size), -1, np.int32) for place, size in sizes.items()}
            for stream in (_MAIN, _BESIDE)
        }
        """For each word, the last items that wrote (0) and read (1) it."""

    def made(self, area: Area) -> int:
        """The last item beside which no pool runs that writes an area; its number there."""
        return int(words_of(self._touched[_MAIN][area.place][0], area).max(initial=-1))

    def add(self, items: Iterator[Item], beside: bool) -> None:
        """The items of the next layer. beside: whether they may run beside others."""
        this, other = (_BESIDE, _MAIN) if beside else (_MAIN, _BESIDE)
        stream = self._streams[this]
        for item in items:
            loads = [step for _, piece in item.pieces for step in piece.loads]
            steps = (*loads, item.run, *item.stores)
            reads = [area for step in steps for area in (*step.reads, *step.drain_reads)]
            writes = [area for step in steps for area in step.writes]
            theirs, ours = self._touched[other], self._touched[this]
            last = [words_of(theirs[a.place][0], a).max(initial=-1) for a in reads]
            last += [words_of(theirs[a.place], a).max(initial=-1) for a in writes]
            number = len(stream.items)
            for area in reads:
                words_of(ours[area.place][1], area)[...] = number
            for area in writes:
                words_of(ours[area.place][0], area)[...] = number
            stream.items.append(item)
            stream.needs.append(int(max(last, default=-1)))

    def order(self) -> list[Item]:
        """All items, woven."""
        main, beside = self._streams
        if not beside.items:
            return main.items
        ready = self._ready(main.items)
        out: list[Item] = []
        now, vector, done = 0.0, 0.0, 0
        for number, item in enumerate(main.items):
            while done < len(beside.items):
                needed = done <= main.needs[number]
                made = beside.needs[done]
                if not needed and (made >= number or max(vector, ready[made]) > now):
                    break
                vector = max(vector, ready[made] if made >= 0 else 0.0)
                vector += beside.items[done].cycles * item.slows
                out.append(beside.items[done])
                done += 1
            out.append(item)
            now += item.cycles
        return [*out, *beside.items[done:]]

    def _ready(self, items: list[Item]) -> list[float]:
        """For each item, the array's time at which its ofmaps are in memory; 0 behind the last."""
        ends: list[float] = []
        now, tile, place = 0.0, 0.0, None
        for item in items:
            tile = item.cycles + (tile if item.place[:3] == place else 0.0)
            place = item.place[:3]
            now += item.cycles
            ends.append(now + tile + STORE_CYCLES)
        return [*ends, 0.0]
