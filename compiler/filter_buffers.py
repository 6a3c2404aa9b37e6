"""Places the constants of convolutions in the GLB's filter space, piece by piece.

    a ring that goes on from layer to layer:   … │ merge │ filters, parameters │ filters, … │ …

What stays for a layer or a filter group is contiguous. Segments' filters take places of one size,
so that each lies over one that came before. Addresses follow from the order of use alone; when a
piece may be loaded is the schedule's business. Memory addresses are in words.
"""

from eyas.command import MERGE_WORDS, Space
from eyas.compiler.descriptors import Transfer
from eyas.compiler.filters import FilterImage
from eyas.compiler.mapping import Sizes
from eyas.compiler.schedule import Piece, Ring, Step
from eyas.compiler.tiling import FilterGroup, Segment, segments
from eyas.compiler.tokens import Place

RUN_WORDS = 256
"""Filters that stay are loaded in runs of at least this many words: a short LOAD is all latency."""

Words = tuple[int, int]
"""First word in the image, and how many."""


class FilterBuffers:
    """Makes the pieces of a layer in the order in which its segments come to need them."""

    def __init__(self, sizes: Sizes, image: FilterImage, memory: int, ring: Ring):
        self.sizes, self.image, self.memory, self.ring = sizes, image, memory, ring
        self.segments = len(segments(sizes))
        self.merge: Piece | None = None
        """The constants of a merge, from the first filters on that can be in the GLB with them."""
        self._kept: dict[Words, tuple[Piece, int]] = {}

    def keep_layer(self) -> None:
        """All filters of the layer are to stay in the GLB."""
        self._keep(self.image.places)

    def keep_group(self, group: FilterGroup) -> None:
        """Those of a filter group are to stay until those of another one do."""
        first = group.number * self.segments
        self._keep(self.image.places[first : first + self.segments])

    def find(self, group: FilterGroup, segment: Segment) -> tuple[Piece, int]:
        """The piece with a segment's filters, and their address."""
        words = self.image.places[group.number * self.segments + segment.number]
        if words not in self._kept:
            self._keep([words], last=segment.number == self.segments - 1)
        return self._kept[words]

    def _keep(self, places: list[Words], last: bool = True) -> None:
        """Makes pieces of segments' filters; `last` if a tile drains that uses them."""
        wanted = list(dict.fromkeys(places))
        if all(words in self._kept for words in wanted):
            return
        self._kept.clear()
        room = sum(count for _, count in wanted)
        alone = len(wanted) == 1 and self.sizes.mapping.filters == "segment"
        if alone:
            room = self.sizes.segment_words
        if last and self.image.merge is not None and self.merge is None:
            self.ring.make_room(MERGE_WORDS + room)
            self.merge = self._piece(self.image.merge, MERGE_WORDS, MERGE_WORDS)
        else:
            self.ring.make_room(room)
        for run in _runs(wanted):
            begin = run[0][0]
            words = sum(run[-1]) - begin
            piece = self._piece(begin, words, room if alone else words)
            for place in run:
                self._kept[place] = piece, piece.start + place[0] - begin

    def _piece(self, offset: int, words: int, room: int) -> Piece:
        base = self.ring.take(room)
        transfer = Transfer(self.memory + offset, base, (1, 1, words), space=Space.FILTER)
        load = transfer.load()  # constants: nobody writes what it reads
        return Piece([Step(load.command, (), load.writes)], Place.FILTER, base, base + words)


def _runs(places: list[Words]) -> list[list[Words]]:
    """Places that follow each other, in runs of not much more than RUN_WORDS."""
    runs: list[list[Words]] = []
    for words in places:
        short = runs and words[0] - runs[-1][0][0] < RUN_WORDS
        if short and words[0] == sum(runs[-1][-1]):
            runs[-1].append(words)
        else:
            runs.append([words])
    return runs
