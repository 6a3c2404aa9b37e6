"""A folder of compiled simulators, each under a hash of everything that went into it.

    ~/.cache/eyas/ or $EYAS_CACHE
      bench/<key>/…      cocotb benches
      bulk/<key>/…       shared libraries of the bulk runner
      verilog/<key>/…    generated Verilog

An entry is built in a temporary folder beside it and then renamed, which is atomic: processes
that build the same thing at the same time do twice the work, but never see half of an entry.
Deleting the folder is always safe. Entries that nothing has used for MONTH_SECONDS go by themselves
when something new is built.
"""

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from eyas.errors import LinkError

MONTH_SECONDS = 30 * 24 * 3600


def cache_folder() -> Path:
    """$EYAS_CACHE, or eyas/ in the user's cache folder. Raises LinkError where make cannot work."""
    chosen = os.environ.get("EYAS_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(chosen) if chosen else Path(home) / "eyas"
    folder = folder.expanduser().absolute()
    if any(c.isspace() for c in str(folder)):
        raise LinkError(
            f"make cannot build in {str(folder)!r}: set EYAS_CACHE to a path without spaces"
        )
    return folder


def content_key(parts: Iterable[str | bytes]) -> str:
    """A hash of the parts and of where each ends, 24 hexadecimal digits."""
    hasher = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        hasher.update(len(content).to_bytes(8, "little") + content)
    return hasher.hexdigest()[:24]


def cached(kind: str, key: str, build: Callable[[Path], None]) -> Path:
    """The cache entry `key` of a kind; `build` fills a new folder for it where there is none."""
    entry = cache_folder() / kind / key
    if entry.is_dir():
        with contextlib.suppress(OSError):  # a cache that can only be read is a good cache
            os.utime(entry)
        return entry
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{key}-", dir=entry.parent))
    except OSError as error:
        raise LinkError(
            f"{entry.parent} cannot be written ({error.strerror}): set EYAS_CACHE to another folder"
        ) from None
    try:
        build(work)
        _publish(work, entry)
        _forget_old(entry.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return entry


def _publish(work: Path, entry: Path) -> None:
    try:
        work.rename(entry)
    except OSError:
        if not entry.is_dir():  # otherwise another process was faster with the same content
            raise


def _forget_old(folder: Path) -> None:
    """Removes entries, and what crashed builds left, that have not been used for a month."""
    for entry in folder.iterdir():
        with contextlib.suppress(OSError):  # another process may remove it at the same time
            if time.time() - entry.stat().st_mtime > MONTH_SECONDS:
                shutil.rmtree(entry, ignore_errors=True)
