"""Where a fmap lies in memory: all of a region, or a view's part of its parent's.

parent [block][y][x][lane]     a view of it from channel 11, row 1, column 2 on

block 0   . . . . .            block 1   . . . . .    lane 3 is the view's channel 0
          . . . . .                      . . ■ ■ .
          . . . . .                      . . ■ ■ .

The parent's pitch and plane are the view's; what belongs to a word's other lanes is not its own.
With a batch, the images of a channel block follow each other.
"""

from dataclasses import dataclass, replace

from eyas.compiler.ir import Graph
from eyas.compiler.views import recuts
from eyas.config import WORD_LANES
from eyas.layout import channel_blocks


@dataclass(frozen=True)
class FmapPlace:
    """A fmap of `pitch` words from row to row and `plane` words from channel block to block."""

    start: int
    """Memory address, in words, of the first channel's word at row 0 and column 0."""
    pitch: int
    plane: int
    lane: int = 0
    """Of the first channel."""
    part: bool = False
    """Whether other fmaps have words or lanes of words between its own."""
    image: int = 0
    """Words from image to image of a batch."""

    @classmethod
    def whole(cls, start: int, shape: tuple[int, int, int], batch: int = 1) -> "FmapPlace":
        """Fmaps (C, H, W) of `batch` images, with a region of their own."""
        positions = shape[1] * shape[2]
        return cls(start, shape[2], batch * positions, image=positions)

    @classmethod
    def of(cls, graph: Graph, name: str, start: int = 0) -> "FmapPlace":
        """The place of a tensor; `start` is that of its parent if it is a view."""
        tensor = graph.tensors[name]
        if tensor.view is None:
            return cls.whole(start, tensor.shape, graph.batch)
        parent = graph.tensors[tensor.view.parent]
        whole = cls.whole(start, parent.shape, graph.batch)
        if recuts(tensor, parent):
            return replace(whole, pitch=tensor.shape[2])
        at = tensor.view
        block, lane = divmod(at.c, WORD_LANES)
        word = whole.word(block, at.y, at.x)
        return replace(whole, start=word, lane=lane, part=tensor.shape != parent.shape)

    @property
    def images(self) -> int:
        """Of the batch."""
        return self.plane // self.image

    def word(self, block: int, y: int, x: int, image: int = 0) -> int:
        """Memory address, in words, of a position in a channel block, counted from the first."""
        return self.start + block * self.plane + image * self.image + y * self.pitch + x

    def every(self, rows: int) -> "FmapPlace":
        """The fmap of one row in so many."""
        return replace(self, pitch=rows * self.pitch)

    def stacked(self) -> "FmapPlace":
        """A fmap of one row an image, as one fmap with a row for each image."""
        return replace(self, pitch=self.image)


def lanes_of(first: int, count: int) -> list[tuple[int, int, int]]:
    """(channel block, blocks, byte enable) of runs of blocks in which lanes first … are written."""
    runs: list[tuple[int, int, int]] = []
    for block in range(first // WORD_LANES, channel_blocks(first + count)):
        low = max(first - block * WORD_LANES, 0)
        high = min(first + count - block * WORD_LANES, WORD_LANES)
        lanes = (1 << high) - (1 << low)
        if runs and runs[-1][2] == lanes:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1, lanes)
        else:
            runs.append((block, 1, lanes))
    return runs
