"""Batches of a program and batches of its user: N images in runs of a fixed number of them.

    user's images      0 1 2 3 4 5 6
    runs of three      0 1 2 │ 3 4 5 │ 6 · ·       images that are missing are zero

An array for a run is (C, H, W) where a run computes one image, else (images, C, H, W).
"""

from collections.abc import Iterator

import numpy as np


def runs(values: np.ndarray, batch: int) -> Iterator[np.ndarray]:
    """What each run is about, from values (N, C, H, W); the last one may have fewer images."""
    for first in range(0, len(values), batch):
        yield values[first] if batch == 1 else values[first : first + batch]


def filled(values: np.ndarray, batch: int) -> np.ndarray:
    """A run's values with zeros for the images that it lacks."""
    if batch == 1 or len(values) == batch:
        return values
    missing = np.zeros((batch - len(values), *values.shape[1:]), values.dtype)
    return np.concatenate([values, missing])
