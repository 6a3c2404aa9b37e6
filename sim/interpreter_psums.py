"""The psum banks as the interpreter has them: two memories, each with the psums of a tile or empty.

    COMPUTE                         A 0   B 0   A 1   B 1   C 0 …
    swap (s) or last (l)             s     s     l     l
    memory that accumulates          0     1     0     1     0
    memory that drains                           0     1

A memory drains at once here. In the machine the next tile waits until it is empty.
"""

import numpy as np

from eyas.errors import ConfigError
from eyas.sim.segment import Segment


class PsumBanks:
    """Empty, as they are when a program starts."""

    def __init__(self) -> None:
        self._tiles: list[tuple[int, ...] | None] = [None, None]
        """Segment.shape of the tile in each memory."""
        self._psums = [np.zeros((0, 0), np.int32) for _ in self._tiles]
        self._accumulates = 0
        self._drains = 0  # tiles drain from one memory and the other in turn

    def check(self, segment: Segment) -> None:
        """Raises ConfigError, naming the field, unless a segment may come next."""
        tile = self._tiles[self._accumulates]
        if segment.first != (tile is None):
            state = "a tile is in progress" if tile else "no tile is started"
            raise ConfigError(f"first must be {1 - segment.first}: {state}")
        if tile not in (None, segment.shape):
            names = "we, wf, wm, steps, psums, depthwise"
            raise ConfigError(f"{names} must be {tile} in all of a tile, not {segment.shape}")
        if segment.last and segment.swap:
            raise ConfigError("swap must be 0 where last is 1: the psum memory changes anyway")
        if segment.last and self._accumulates != self._drains:
            raise ConfigError("last must be 0: of two tiles that take turns the first ends first")

    def accumulate(self, segment: Segment, psums: np.ndarray) -> np.ndarray:
        """Adds a segment's psums, int64 (columns, steps * psums), to those of its tile.

        Returns the tile's, int32 of the same shape. Behind `last` they are no longer here.
        """
        memory = self._accumulates
        old = 0 if segment.first else self._psums[memory]
        self._psums[memory] = total = (old + psums).astype(np.int32)  # keeps the low 32 bits
        self._tiles[memory] = None if segment.last else segment.shape
        if segment.last:
            self._drains ^= 1
        if segment.last or segment.swap:
            self._accumulates ^= 1
        return total

    def check_empty(self) -> None:
        """Raises ConfigError if a tile has not drained."""
        if any(tile is not None for tile in self._tiles):
            raise ConfigError("the last COMPUTE must have last = 1")
