"""Index arithmetic that the interpreter's parts share."""

from functools import lru_cache

import numpy as np


def wrap(addresses: np.ndarray) -> np.ndarray:
    """GLB addresses have 16 bits."""
    return addresses & 0xFFFF


@lru_cache(maxsize=256)
def axes(*sizes: int) -> tuple[np.ndarray, ...]:
    """The counters of a loop nest, as arrays that broadcast: np.ogrid, remembered."""
    grid = tuple(
        np.arange(size).reshape([size if n == axis else 1 for n in range(len(sizes))])
        for axis, size in enumerate(sizes)
    )
    for counter in grid:
        counter.setflags(write=False)
    return grid
