"""Digits in a terminal: two pixels a character, with half blocks."""

import numpy as np

BLOCKS = " ▄▀█"
"""By (upper pixel set) * 2 + (lower pixel set)."""
SHRINK = 2
"""Pixels of an image on a side that make one here: 28 become 14 columns of 7 lines."""
THRESHOLD = 70
GAP = "  "


def draw(image: np.ndarray) -> list[str]:
    """The lines of an image, uint8 (H, W)."""
    height, width = (size // (2 * SHRINK) * 2 for size in image.shape)
    cropped = image[: height * SHRINK, : width * SHRINK].astype(float)
    small = cropped.reshape(height, SHRINK, width, SHRINK).mean(axis=(1, 3)) > THRESHOLD
    return ["".join(BLOCKS[2 * a + b] for a, b in zip(*small[n : n + 2], strict=True))
            for n in range(0, height, 2)]  # fmt: skip


def sheet(images: np.ndarray, captions: list[str], columns: int) -> str:
    """Images side by side, `columns` in a row, each above its caption."""
    lines = []
    for first in range(0, len(images), columns):
        drawn = [draw(image) for image in images[first : first + columns]]
        width = len(drawn[0][0])
        lines += [GAP.join(parts) for parts in zip(*drawn, strict=True)]
        lines += [GAP.join(f"{c:^{width}}" for c in captions[first : first + columns]), ""]
    return "\n".join(line.rstrip() for line in lines)
