"""Inputs from files, for the command line.

.npy   an array for the model's only input
.npz   arrays by the names of the inputs
.png   an image for the model's only input, (1, C, H, W) or, channels last, (1, H, W, C), grey or
       RGB as its C says: 0…1 for a float32 input, 0…255 for uint8, -128…127 for int8
"""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eyas.compiler.ir import Port
from eyas.errors import ModelError
from eyas.host.conversion import UNSIGNED_SHIFT

Feed = dict[str, np.ndarray]


def load_feed(paths: Sequence[str | Path], ports: Sequence[Port]) -> Feed:
    """Arrays by the names of the inputs; files for one input follow each other in the batch.

    Raises ModelError that names the file for one that cannot be read or does not fit, and for
    inputs that no file gives.
    """
    parts: dict[str, list[np.ndarray]] = {port.name: [] for port in ports}
    for path in map(Path, paths):
        for name, array in _read(path, ports).items():
            if name not in parts:
                raise ModelError(f"{path}: no input {name!r} (inputs: {', '.join(parts)})")
            parts[name].append(array)
    missing = [name for name, arrays in parts.items() if not arrays]
    if missing:
        raise ModelError(f"no file gives input {', '.join(missing)}")
    try:
        return {name: np.concatenate(arrays) for name, arrays in parts.items()}
    except ValueError:
        raise ModelError("the files for one input differ in their shapes") from None


def random_feed(ports: Sequence[Port], seed: int = 0, batch: int = 1) -> Feed:
    """Made-up inputs that use the whole int8 range."""
    rng = np.random.default_rng(seed)
    feed = {}
    for port in ports:
        values = rng.integers(-128, 128, (batch, *port.shape[1:]), np.int8)  # type: ignore[arg-type]
        if port.dtype == "uint8":
            values = (values.astype(np.int16) + UNSIGNED_SHIFT).astype(np.uint8)
        elif port.dtype == "float32":
            values = (values.astype(np.float32) - port.zero_point) * np.float32(port.scale)
        feed[port.name] = values
    return feed


def _read(path: Path, ports: Sequence[Port]) -> Feed:
    kind = path.suffix.lower()
    if kind not in (".npy", ".npz", ".png"):
        raise ModelError(f"{path}: inputs must be .npy, .npz or .png files")
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    if kind == ".npz":
        return _read_npz(path)
    if len(ports) != 1:
        names = ", ".join(port.name for port in ports)
        raise ModelError(f"{path}: the model has several inputs: give a .npz file with {names}")
    port = ports[0]
    return {port.name: _read_png(path, port) if kind == ".png" else _read_npy(path)}


def _read_npy(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError):
        raise ModelError(f"{path}: no .npy file of numbers, or damaged") from None


def _read_npz(path: Path) -> Feed:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, TypeError):
        raise ModelError(f"{path}: no .npz file of numbers, or damaged") from None


def _read_png(path: Path, port: Port) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    channels, height, width = _image_shape(path, port)
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    except (UnidentifiedImageError, OSError):
        raise ModelError(f"{path}: no PNG image, or damaged") from None
    if pixels.shape[:2] != (height, width):
        raise ModelError(
            f"{path}: the image must be {width} × {height} pixels, "
            f"not {pixels.shape[1]} × {pixels.shape[0]}"
        )
    pixels = np.atleast_3d(pixels)[None]
    if not port.channels_last:
        pixels = pixels.transpose(0, 3, 1, 2)
    if port.dtype == "float32":
        return pixels.astype(np.float32) / np.float32(255)
    if port.dtype == "int8":
        return (pixels.astype(np.int16) - UNSIGNED_SHIFT).astype(np.int8)
    return pixels


def _image_shape(path: Path, port: Port) -> tuple[int, int, int]:
    """(C, H, W) of an input that takes images. Raises ModelError for any other."""
    if len(port.shape) == 4:
        first, second, third = (int(n) for n in port.shape[1:])
        shape = (third, first, second) if port.channels_last else (first, second, third)
        if shape[0] in (1, 3):
            return shape
    raise ModelError(f"{path}: input {port.name} is no image: its shape is {port.shape}")
