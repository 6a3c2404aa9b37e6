"""What items that are not issued yet will use: no LOAD may go ahead of that.

The tracker (tokens.py) knows the commands that are issued, and orders what comes behind them. A
LOAD that goes ahead of its layer must not go ahead of the STOREs that write what it reads, nor of
the COMPUTEs that write ofmaps, or read fmaps that stay in the GLB, where it writes.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from eyas.compiler.tokens import Area, Place, words_of


class UpcomingUses:
    """For each word, the number of the last item known that uses it.

    sizes: words of each place.
    """

    def __init__(self, sizes: Mapping[Place, int]):
        self._numbers = {place: np.full(size, -1, np.int32) for place, size in sizes.items()}

    def note(self, areas: Iterable[Area], item: int) -> None:
        """`item`, which is younger than all before, uses `areas`."""
        for area in areas:
            words_of(self._numbers[area.place], area)[...] = item

    def last(self, areas: Iterable[Area]) -> int:
        """The last item that uses any word of `areas`, -1 if none does."""
        numbers = (words_of(self._numbers[area.place], area) for area in areas)
        return max((int(each.max(initial=-1)) for each in numbers), default=-1)
