"""VECTOR commands for tests: made up at random or like a layer, and what they do in NumPy."""

from dataclasses import dataclass

import numpy as np

from eyas.command import VECTOR_OPEN_WINDOWS, VectorOp
from eyas.config import Config

CONFIG = Config.load("tiny4x4")
WORDS = CONFIG.glb.fmap_words


@dataclass
class Pool:
    """One VECTOR command: `tile` and `window` fields as docs/architecture.md names them."""

    tile: dict[str, int]
    window: dict[str, int]
    glb: np.ndarray  # int8 (WORDS, 8) before the command

    @property
    def shape(self):
        return self.tile["blocks"], self.tile["out_height"], self.tile["out_width"]

    def inputs(self, e, f):
        """Offsets (y - y0, x - x0) of the inputs of ofmap position (e, f) that are inside."""
        tile, window = self.tile, self.window
        for i in range(window["rows"]):
            for t in range(window["taps"]):
                dy, dx = e * window["stride_y"] + i, f * window["stride_x"] + t
                inside_y = 0 <= tile["y0"] + dy < tile["in_height"]
                if inside_y and 0 <= tile["x0"] + dx < tile["in_width"]:
                    yield dy, dx

    def counts(self):
        """Words read with each window, in order: its inputs, but for those that are still known.

        An input is read for its window and those behind it, of which the unit fills
        VECTOR_OPEN_WINDOWS at once. Where more overlap it begins anew when these are complete.
        """
        blocks, height, width = self.shape
        enough = self.window["taps"] <= VECTOR_OPEN_WINDOWS * self.window["stride_x"]
        counts = []
        for e in range(height):
            known = set()
            for f in range(width):
                if f % VECTOR_OPEN_WINDOWS == 0 and not enough:
                    known = set()
                inputs = set(self.inputs(e, f))
                counts.append(len(inputs - known))
                known |= inputs
        return counts * blocks

    def reads(self, block, e, f):
        """GLB addresses of a window's inputs."""
        tile = self.tile
        base = tile["in_base"] + block * tile["in_plane"]
        return [(base + dy * tile["in_pitch"] + dx) % WORDS for dy, dx in self.inputs(e, f)]

    def write(self, block, e, f):
        """GLB address of a window's result."""
        tile = self.tile
        row = tile["out_base"] + block * tile["out_plane"] + e * tile["out_pitch"]
        return (row + f) % WORDS

    def overlaps(self):
        """Whether a result takes an input's place: what is read then depends on the time."""
        windows = list(np.ndindex(self.shape))
        read = {address for window in windows for address in self.reads(*window)}
        return any(self.write(*window) in read for window in windows)


def ref_pool(pool):
    """The GLB after the command."""
    glb = pool.glb.copy()
    for window in np.ndindex(pool.shape):
        reads = pool.reads(*window)
        glb[pool.write(*window)] = pool.glb[reads].max(axis=0) if reads else -128
    return glb


def make_pool(rng, *, window, stride, padding, size, blocks=1, pitches=(0, 0)):
    """A layer-like command over a whole fmap of `size`, its ofmap behind it."""
    (rows, taps), (height, width) = window, size
    top, left, bottom, right = padding
    out_height = (height + top + bottom - rows) // stride[0] + 1
    out_width = (width + left + right - taps) // stride[1] + 1
    in_pitch, out_pitch = width + pitches[0], out_width + pitches[1]
    tile = {
        "in_base": (5 - top * in_pitch - left) % 2**16,
        "out_base": 5 + blocks * height * in_pitch,
        "y0": -top,
        "x0": -left,
        "in_height": height,
        "in_width": width,
        "out_height": out_height,
        "out_width": out_width,
        "blocks": blocks,
        "in_pitch": in_pitch,
        "in_plane": height * in_pitch,
        "out_pitch": out_pitch,
        "out_plane": out_height * out_pitch,
    }
    window = {
        "op": VectorOp.MAX_POOL,
        "rows": rows,
        "taps": taps,
        "stride_y": stride[0],
        "stride_x": stride[1],
        "y_step": stride[0] * in_pitch,
    }
    return Pool(tile, window, random_glb(rng))


def random_glb(rng):
    return np.frombuffer(rng.randbytes(WORDS * 8), np.int8).reshape(WORDS, 8)


def random_pool(rng):
    """Any window, also larger than the fmap or beside it; y0 and x0 anywhere around the buffer."""
    window = rng.randint(1, 5), rng.randint(1, 5)
    size = rng.randint(1, 9), rng.randint(1, 9)
    padding = [rng.randint(0, 4) for _ in range(4)]
    padding[2] += max(0, window[0] - size[0] - padding[0])
    padding[3] += max(0, window[1] - size[1] - padding[1])
    pool = make_pool(
        rng,
        window=window,
        stride=(rng.randint(1, 4), rng.randint(1, 4)),
        padding=padding,
        size=size,
        blocks=rng.randint(1, 3),
        pitches=(rng.randint(0, 2), rng.randint(0, 2)),
    )
    if rng.random() < 0.3:  # a tile in the middle of a fmap, or in nothing but padding
        pool.tile["y0"], pool.tile["x0"] = rng.randint(-8, 8), rng.randint(-8, 8)
    return random_pool(rng) if pool.overlaps() else pool
