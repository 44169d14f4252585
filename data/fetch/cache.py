"""On-disk cache of fetched pictures and of their servers' validators. The folder may be deleted at any time.

    about/ab/<sha256 of the address>.json       the last response of an address, for asking whether it has changed
    pictures/ab/<sha256 of the picture>         the bytes; the least recently used are removed when there are too many

Files are written atomically, by any number of processes.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import orjson

from lookalike.data.atomic_write import atomic_write_bytes

__all__ = ["CacheEntry", "FetchCache"]

_ABANDONED_S = 3600.0
_ENTRY_LIFETIME_S = 90 * 86400.0
_SWEEPS_A_CACHE = 8


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """The last response of an address: `url` is the address after redirects, `checked` its time in Unix seconds."""

    url: str
    sha256: str
    etag: str | None
    last_modified: str | None
    checked: float


class FetchCache:
    """The cache folder. The least recently used pictures are removed so that no more than `max_bytes` remain.

    A picture that was acquired stays until it is released.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._in_use: Counter[str] = Counter()
        self._unswept_bytes = 0

    def entry(self, url: str) -> CacheEntry | None:
        """Return what an address answered with, or None if that is unknown or its file is damaged."""
        try:
            facts = orjson.loads(self._entry_path(url).read_bytes())
            entry = CacheEntry(**facts)
            texts = entry.url, entry.sha256, entry.etag or "", entry.last_modified or ""
            sound = all(isinstance(text, str) and text.isascii() for text in texts) and len(entry.sha256) == 64
            return entry if sound and bytes.fromhex(entry.sha256) and entry.checked >= 0 else None
        except (OSError, ValueError, TypeError):
            return None

    def record(self, url: str, entry: CacheEntry) -> None:
        """Store what an address answered with."""
        path = self._entry_path(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_bytes(path, orjson.dumps(entry), durable=False)

    def acquire(self, sha256: str) -> Path | None:
        """Return the path of a picture, or None if it is not cached. It stays until `release`."""
        path = self.path(sha256)
        with self._lock:
            try:
                os.utime(path)
            except OSError:
                return None
            self._in_use[sha256] += 1
        return path

    def release(self, sha256: str) -> None:
        """Allow a picture that was acquired to be removed."""
        with self._lock:
            self._in_use[sha256] -= 1
            if self._in_use[sha256] <= 0:
                del self._in_use[sha256]

    @contextmanager
    def receiving(self) -> Iterator[tuple[BinaryIO, Path]]:
        """Yield a new file for a picture, and its path; the file is deleted afterwards unless `keep` took it."""
        path = self._folder / "pictures" / f".{uuid.uuid4().hex}"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("wb") as file:
                yield file, path
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def path(self, sha256: str) -> Path:
        """Return the path of a picture, whether or not it is cached."""
        return self._folder / "pictures" / sha256[:2] / sha256

    def keep(self, received: Path, sha256: str) -> None:
        """Store a picture that was received completely, and acquire it."""
        path = self.path(sha256)
        path.parent.mkdir(exist_ok=True)
        with self._lock:
            self._unswept_bytes += received.stat().st_size
            received.replace(path)
            self._in_use[sha256] += 1
            due = self._unswept_bytes > self._max_bytes / _SWEEPS_A_CACHE
        if due:
            self.sweep()

    def sweep(self) -> None:
        """Remove pictures in excess of the limit, and partial files left by killed processes."""
        now = time.time()
        with self._lock:
            self._unswept_bytes = 0
            pictures = []
            for path in (self._folder / "pictures").glob("*/*"):
                with suppress(OSError):  # another process may remove it first
                    facts = path.stat()
                    pictures.append((facts.st_mtime, facts.st_size, path))
            excess = sum(size for _, size, _ in pictures) - self._max_bytes
            for _, size, path in sorted(pictures):
                if excess <= 0:
                    break
                if path.name not in self._in_use:
                    _remove(path)
                    excess -= size
        for path in self._folder.glob("pictures/.*"):
            _remove(path, older_than=now - _ABANDONED_S)

    def forget(self) -> None:
        """Remove entries of addresses that have not been fetched for a long time."""
        now = time.time()
        for path in self._folder.glob("about/*/*"):
            _remove(path, older_than=now - (_ABANDONED_S if path.name.startswith(".") else _ENTRY_LIFETIME_S))

    def _entry_path(self, url: str) -> Path:
        name = hashlib.sha256(url.encode("utf-8", "backslashreplace")).hexdigest()
        return self._folder / "about" / name[:2] / f"{name}.json"


def _remove(path: Path, *, older_than: float | None = None) -> None:
    """Remove a file unless it is younger than `older_than` (Unix seconds); ignore a file that cannot be removed."""
    with suppress(OSError):
        if older_than is None or path.stat().st_mtime < older_than:
            path.unlink()
