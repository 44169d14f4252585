"""Hashes of files of weights. A file is read once, and its hash is cached by path, size and modification time."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from lookalike.data.atomic_write import atomic_write_bytes
from lookalike.data.errors import WeightsUnavailable
from lookalike.data.record_files import is_record_file

__all__ = ["hash_of", "remembered_hash_of"]


def hash_of(path: Path) -> str:
    """Return the SHA-256 hash of a file as 64 hexadecimal digits.

    Raises:
        WeightsUnavailable: the file is part of a catalog's records.
    """
    if is_record_file(path):
        raise WeightsUnavailable(f"{path} is part of a catalog's records; it has no weights.")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remembered_hash_of(path: Path) -> str:
    """Return the SHA-256 hash of a file, from the cache if its size and modification time have not changed.

    The cache lies in the user's cache folder. If that is not writable, the file is read each time.
    """
    file = path.resolve()
    state = file.stat()
    known = _read_cache()
    size, changed, digest = known.get(str(file), (0, 0, ""))
    if digest and (size, changed) == (state.st_size, state.st_mtime_ns):
        return digest
    digest = hash_of(file)
    _write_cache({**_read_cache(), str(file): (state.st_size, state.st_mtime_ns, digest)})
    return digest


def _cache_file() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "lookalike" / "weights.json"


def _read_cache() -> dict[str, tuple[int, int, str]]:
    try:
        facts = json.loads(_cache_file().read_bytes())
        return {str(path): (int(size), int(changed), str(digest)) for path, (size, changed, digest) in facts.items()}
    except (OSError, ValueError, TypeError, AttributeError):  # missing, or not a cache
        return {}


def _write_cache(known: dict[str, tuple[int, int, str]]) -> None:
    path = _cache_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_bytes(path, json.dumps(known).encode(), durable=False)
    except OSError:
        return
