"""Hashes of files of weights: read once, remembered by path, size and time of change."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path

__all__ = ["hash_of", "remembered_hash_of"]


def hash_of(path: Path) -> str:
    """Read a file through and give its SHA-256, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remembered_hash_of(path: Path) -> str:
    """Give the SHA-256 of a file, without reading it again if size and time are as when it was last read.

    What is remembered lies in the user's cache folder; where that cannot be written to, the file is read each time.
    """
    file = path.resolve()
    state = file.stat()
    known = _remembered()
    size, changed, digest = known.get(str(file), (0, 0, ""))
    if digest and (size, changed) == (state.st_size, state.st_mtime_ns):
        return digest
    digest = hash_of(file)
    _remember({**_remembered(), str(file): (state.st_size, state.st_mtime_ns, digest)})
    return digest


def _memory() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "lookalike" / "weights.json"


def _remembered() -> dict[str, tuple[int, int, str]]:
    try:
        facts = json.loads(_memory().read_bytes())
        return {str(path): (int(size), int(changed), str(digest)) for path, (size, changed, digest) in facts.items()}
    except (OSError, ValueError, TypeError, AttributeError):  # nothing yet, or not what was written
        return {}


def _remember(known: dict[str, tuple[int, int, str]]) -> None:
    place = _memory()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, building = tempfile.mkstemp(dir=place.parent, prefix=place.name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(known, file)
        Path(building).replace(place)
    except OSError:
        return
