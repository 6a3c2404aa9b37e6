"""LOAD, STORE and VECTOR: words between memory and GLB, and pooling within the GLB."""

import numpy as np

from eyas.command import VECTOR_OPEN_WINDOWS, VectorOp
from eyas.config import WORD_BYTES
from eyas.errors import ConfigError
from eyas.sim.addresses import axes, wrap
from eyas.sim.hazards import Actor, Words


def descriptor_words(values: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """(memory words, GLB words) that a descriptor moves between, in order."""
    for name in ("memory_address", "memory_stride1", "memory_stride2"):
        if values[name] % WORD_BYTES:
            raise ConfigError(f"{name} must be a multiple of {WORD_BYTES}, not {values[name]}")
    a2, a1, a0 = axes(values["n2"], values["n1"], values["n0"])
    memory = values["memory_address"] + a0 * WORD_BYTES
    memory = memory + a1 * values["memory_stride1"] + a2 * values["memory_stride2"]
    glb = values["glb_address"] + a0
    glb = wrap(glb + a1 * values["glb_stride1"] + a2 * values["glb_stride2"])
    return (memory & 0xFFFFFFFF).reshape(-1) // WORD_BYTES, glb.reshape(-1)


def load(values: dict[str, int], memory: Words, glb: Words) -> int:
    """Runs a LOAD; returns the number of words."""
    there, here = descriptor_words(values)
    glb.write(Actor.LOAD, "glb_address", here, memory.read(Actor.LOAD, "memory_address", there))
    return len(here)


def store(values: dict[str, int], memory: Words, glb: Words) -> int:
    """Runs a STORE; returns the number of words."""
    there, here = descriptor_words(values)
    lanes = np.flatnonzero([values["byte_enable"] >> lane & 1 for lane in range(WORD_BYTES)])
    data = glb.read(Actor.STORE, "glb_address", here)[:, lanes]
    memory.write(Actor.STORE, "memory_address", there[:, None], data, lanes)
    return len(here)


def vector(values: dict[str, int], fmaps: Words) -> int:
    """Runs a VECTOR, whose fields are those of both register blocks; returns words accessed."""
    if values["op"] not in list(VectorOp):
        raise ConfigError(f"op must be one of {[int(op) for op in VectorOp]}, not {values['op']}")
    for name in ("blocks", "out_height", "out_width", "rows", "taps"):
        if values[name] < 1:
            raise ConfigError(f"{name} must be at least 1, not 0")
    if values["y_step"] != values["stride_y"] * values["in_pitch"] & 0xFFFF:
        raise ConfigError(f"y_step must be stride_y * in_pitch, not {values['y_step']}")
    inputs, inside, outputs = _vector_words(values)
    if np.isin(inputs[:, inside], outputs).any():
        raise ConfigError("out_base must lead to words that the command does not read")
    taken = np.full((*inputs.shape, WORD_BYTES), -128, np.int8)
    taken[:, inside] = fmaps.read(Actor.STORE, "in_base", inputs[:, inside]).view(np.int8)
    maxima = taken.max((2, 4))
    fmaps.write(Actor.STORE, "out_base", outputs, maxima.view(np.uint8))
    return len(inputs) * int((inside & _first_reads(values)).sum()) + outputs.size


def _vector_words(values: dict[str, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Addresses read (block, e, i, f, t), whether they are inside (e, i, f, t), and written."""
    e, i, f, t = axes(values["out_height"], values["rows"], values["out_width"], values["taps"])
    down = e * values["stride_y"] + i
    right = f * values["stride_x"] + t
    y, x = values["y0"] + down, values["x0"] + right
    inside = (y >= 0) & (y < values["in_height"]) & (x >= 0) & (x < values["in_width"])
    block = np.arange(values["blocks"])[:, None, None, None, None]
    inputs = values["in_base"] + block * values["in_plane"] + down * values["in_pitch"] + right
    block, e, f = axes(values["blocks"], values["out_height"], values["out_width"])
    outputs = values["out_base"] + block * values["out_plane"] + e * values["out_pitch"] + f
    return wrap(inputs), inside, wrap(outputs)


def _first_reads(values: dict[str, int]) -> np.ndarray:
    """Whether tap t of window f is read for it (f, t): no open window before it has done so."""
    taps, stride = values["taps"], values["stride_x"]
    f, t = axes(values["out_width"], taps)
    begins = f % VECTOR_OPEN_WINDOWS == 0 if taps > VECTOR_OPEN_WINDOWS * stride else f == 0
    return begins | (t >= taps - stride)
