"""Chooses the fmaps that stay in the GLB, from the layer that makes them to the last reader.

    layer 1      buffers │ fmap 1                    0 … fmap_words, left to right
    layer 2      fmap 2 │ buffers │ fmap 1           reads fmap 1 in place, makes fmap 2
    layer 3      fmap 2 │ buffers │ fmap 3

A fmap that stays has its rows as in memory, costs no LOADs and no STOREs, and takes room from the
buffers of the layers in its lifetime. It stays if the mapper finds that worth it: fmaps are tried
from the last to the first, each at the lowest and the highest place that is free.

Convolutions only read and make fmaps that stay: max pools, inputs and outputs of the network are in
memory. Drains find a merge's operand at a fixed distance from the ofmap, so both stay or neither;
and nobody knows that a drain has read its operand before the ofmap is read (tokens.py), so until
then the operand's place is taken.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from eyas.compiler.conv_shape import ConvShape
from eyas.compiler.fmap_place import FmapPlace
from eyas.compiler.ir import Convolution, Graph
from eyas.compiler.room import Room
from eyas.compiler.views import root
from eyas.errors import ConfigError
from eyas.layout import fmap_words

LARGEST_SHARE = 0.6
"""Of the fmap space: a larger fmap leaves too little for everything else."""
MOST_TOGETHER = 3
"""Fmaps that are only of use together; each has two places to try."""

Score = Callable[[int, Room, "Kept"], float]
"""What a layer, by number, costs in a room with fmaps kept; ConfigError if it does not fit."""


@dataclass(frozen=True)
class Kept:
    """Where fmaps of a layer lie in the GLB, of those that stay there."""

    ifmap: FmapPlace | None = None
    ofmap: FmapPlace | None = None
    operand: FmapPlace | None = None
    stored: bool = False
    """Whether the ofmap goes to memory as well."""

    def seen_by(self, shape: ConvShape) -> "Kept":
        """As a layer sees them that leaves rows out, or takes the images of a batch for one."""
        ofmap, operand = self.ofmap, self.operand
        if shape.stacked:
            ofmap, operand = ofmap and ofmap.stacked(), operand and operand.stacked()
        ifmap = self.ifmap and self.ifmap.every(shape.row_step)
        return replace(self, ifmap=ifmap, ofmap=ofmap, operand=operand)

    def unplaced(self) -> "Kept":
        """The same wherever they lie: what a mapping depends on."""
        return replace(
            self,
            ifmap=self.ifmap and replace(self.ifmap, start=0),
            ofmap=self.ofmap and replace(self.ofmap, start=0),
            operand=None,
        )


@dataclass(frozen=True)
class _Lifetime:
    name: str
    words: int
    first: int
    last: int


class Keeper:
    """The choice for a graph. rooms: of each layer, where nothing stays."""

    def __init__(self, graph: Graph, rooms: list[Room], score: Score):
        self.graph, self.rooms, self._score = graph, rooms, score
        self.starts: dict[str, int] = {}
        """First word in the GLB of each fmap that stays; of views, that of their parent."""
        self._lifetimes: dict[str, _Lifetime] = {}
        self._scores: dict[tuple[int, Room, Kept], float] = {}
        for name in self._candidates():
            self._try(name)

    def room(self, number: int) -> Room:
        """The largest gap between the fmaps that stay while a layer runs."""
        whole = self.rooms[number]
        taken = sorted(
            (start, start + self._lifetimes[name].words)
            for name, start in self.starts.items()
            if self._lifetimes[name].first <= number <= self._lifetimes[name].last
        )
        best, begin = (0, whole.start), whole.start
        for start, end in (*taken, (whole.end, whole.end)):
            best = max(best, (min(start, whole.end) - begin, begin), key=lambda gap: gap[0])
            begin = max(begin, end)
        return replace(whole, start=best[1], budget=replace(whole.budget, fmap_words=best[0]))

    def kept(self, number: int, stored: bool) -> Kept:
        """Of a layer. stored: whether fmaps that stay go to memory as well."""
        layer = self.graph.layers[number]
        ifmap, ofmap, *operands = (
            self._place(name) for name in (layer.input, layer.output, *layer.inputs[1:])
        )
        operand = operands[0] if operands else None
        return Kept(ifmap, ofmap, operand if ofmap else None, stored and ofmap is not None)

    def _place(self, name: str) -> FmapPlace | None:
        whole = root(self.graph, name)
        return FmapPlace.of(self.graph, name, self.starts[whole]) if whole in self.starts else None

    def _candidates(self) -> list[str]:
        """Fmaps that could stay, the last first."""
        whole = partial(root, self.graph)
        made: dict[str, list[int]] = {}
        read: dict[str, list[int]] = {}
        barred = {
            whole(n) for n in (*self.graph.inputs, *self.graph.outputs, *self.graph.constants)
        }
        for number, layer in enumerate(self.graph.layers):
            made.setdefault(whole(layer.output), []).append(number)
            for name in layer.inputs:
                read.setdefault(whole(name), []).append(number)
            if not isinstance(layer, Convolution) or self.rooms[number].beside:
                barred |= {whole(layer.output), *map(whole, layer.inputs)}
        for number, layer in enumerate(self.graph.layers):
            readers = [n for n in read.get(whole(layer.output), []) if n > number]
            for name in layer.inputs[1:] if readers else ():
                alone = whole(layer.output) == layer.output
                read[whole(name)].append(min(readers) if alone else max(readers))
        found = []
        for name in reversed(made):
            words = fmap_words(self.graph.tensors[name].shape) * self.graph.batch
            first, last = min(made[name]), max(read.get(name, [-1]))
            smallest = min(
                room.budget.fmap_words for room in self.rooms[first : last + 1] or self.rooms
            )
            if name not in barred and name in read and words <= LARGEST_SHARE * smallest:
                self._lifetimes[name] = _Lifetime(name, words, first, last)
                found.append(name)
        return found

    def _try(self, name: str) -> None:
        """Keeps a fmap, and operands that must stay with it, where that makes layers cheaper."""
        together = self._together(name)
        if name in self.starts or together is None:
            return
        layers = range(
            min(self._lifetimes[n].first for n in together),
            max(self._lifetimes[n].last for n in together) + 1,
        )
        before = self._total(layers)
        best, chosen = before, dict(self.starts)
        for starts in list(self._placements(together)):
            self.starts = starts
            total = self._total(layers)
            if total < best:
                best, chosen = total, starts
        self.starts = chosen

    def _together(self, name: str) -> list[str] | None:
        """The fmap, and operands of the merges that make it, that are not kept yet; None if they
        cannot stay, or if a merge reads the fmap whose ofmap does not stay."""
        whole = partial(root, self.graph)
        names, found = [name], []
        while names:
            each = names.pop()
            if each in found or each in self.starts:
                continue
            if each not in self._lifetimes or len(found) == MOST_TOGETHER:
                return None
            found.append(each)
            for layer in self.graph.layers:
                if whole(layer.output) == each:
                    names += map(whole, layer.inputs[1:])
        for layer in self.graph.layers:
            operands = {whole(operand) for operand in layer.inputs[1:]}
            if operands & set(found) and whole(layer.output) not in (*found, *self.starts):
                return None
        return found

    def _placements(self, names: list[str]) -> Iterator[dict[str, int]]:
        """All ways to place fmaps at the lowest and the highest places that are free."""
        if not names:
            yield dict(self.starts)
            return
        name, *rest = names
        for start in self._free(self._lifetimes[name]):
            self.starts[name] = start
            yield from self._placements(rest)
            del self.starts[name]

    def _free(self, lifetime: _Lifetime) -> list[int]:
        """The lowest and the highest place of a fmap where none is in its lifetime."""
        rooms = self.rooms[lifetime.first : lifetime.last + 1]
        low, high = max(room.start for room in rooms), min(room.end for room in rooms)
        taken = sorted(
            (start, start + other.words)
            for other, start in ((self._lifetimes[n], s) for n, s in self.starts.items())
            if other.first <= lifetime.last and lifetime.first <= other.last
        )
        free, begin = [], low
        for start, end in (*taken, (high, high)):
            if start - begin >= lifetime.words:
                free += [begin, start - lifetime.words]
            begin = max(begin, end)
        return sorted({min(free), max(free)}) if free else []

    def _total(self, layers: range) -> float:
        total = 0.0
        for number in layers:
            key = number, replace(self.room(number), start=0), self.kept(number, False).unplaced()
            if key not in self._scores:
                try:
                    self._scores[key] = self._score(*key)
                except ConfigError:
                    self._scores[key] = float("inf")
            total += self._scores[key]
        return total
