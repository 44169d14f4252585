"""Pictures that were fetched, kept on disk, with what their servers said of them: a folder that may always be deleted.

    about/ab/<sha256 of the address>.json       what an address last answered with, to ask whether it still does
    pictures/ab/<sha256 of the picture>         the bytes; those not used for longest go when there are too many

A file is whole or absent, whichever process writes it.
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

__all__ = ["About", "FetchCache"]

_ABANDONED_S = 3600.0
_FORGOTTEN_S = 90 * 86400.0
_SWEEPS_A_CACHE = 8


@dataclass(frozen=True, slots=True)
class About:
    """What an address answered with: `checked` is when (seconds since 1970), `url` what answered after redirects."""

    url: str
    sha256: str
    etag: str | None
    last_modified: str | None
    checked: float


class FetchCache:
    """The folder. Pictures are removed, those not used for longest first, so that no more than `max_bytes` stay.

    A picture that was handed out stays until it is let go.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._in_use: Counter[str] = Counter()
        self._unswept_bytes = 0

    def about(self, url: str) -> About | None:
        """Return what an address answered with; None when it is not known, or its file is damaged."""
        try:
            facts = orjson.loads(self._about_path(url).read_bytes())
            about = About(**facts)
            texts = about.url, about.sha256, about.etag or "", about.last_modified or ""
            sound = all(isinstance(text, str) and text.isascii() for text in texts) and len(about.sha256) == 64
            return about if sound and bytes.fromhex(about.sha256) and about.checked >= 0 else None
        except (OSError, ValueError, TypeError):
            return None

    def note(self, url: str, about: About) -> None:
        """Keep what an address answered with."""
        path = self._about_path(url)
        with self._building(path) as file:
            file.write(orjson.dumps(about))

    def use(self, sha256: str) -> Path | None:
        """Hand out a picture; None where it is not kept. It stays until `let_go`."""
        path = self.path(sha256)
        with self._lock:
            try:
                os.utime(path)
            except OSError:
                return None
            self._in_use[sha256] += 1
        return path

    def let_go(self, sha256: str) -> None:
        """Say that a picture handed out has been read."""
        with self._lock:
            self._in_use[sha256] -= 1
            if self._in_use[sha256] <= 0:
                del self._in_use[sha256]

    @contextmanager
    def receiving(self) -> Iterator[tuple[BinaryIO, Path]]:
        """Open a file to write a picture to, for `keep`; it is gone afterwards if it was not kept."""
        path = self._folder / "pictures" / f".{uuid.uuid4().hex}"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("wb") as file:
                yield file, path
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def path(self, sha256: str) -> Path:
        """Return where a picture is kept, if it is."""
        return self._folder / "pictures" / sha256[:2] / sha256

    def keep(self, received: Path, sha256: str) -> None:
        """Keep a picture that was received whole, and hand it out."""
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
        """Remove pictures beyond the allowed bytes, and what processes that were killed have left."""
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
        """Remove what is known of addresses that have not been asked for long."""
        now = time.time()
        for path in self._folder.glob("about/*/*"):
            _remove(path, older_than=now - (_ABANDONED_S if path.name.startswith(".") else _FORGOTTEN_S))

    @contextmanager
    def _building(self, path: Path) -> Iterator[BinaryIO]:
        building = path.with_name(f".{uuid.uuid4().hex}")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with building.open("wb") as file:
                yield file
            building.replace(path)
        except BaseException:
            with suppress(OSError):
                building.unlink(missing_ok=True)
            raise

    def _about_path(self, url: str) -> Path:
        name = hashlib.sha256(url.encode("utf-8", "backslashreplace")).hexdigest()
        return self._folder / "about" / name[:2] / f"{name}.json"


def _remove(path: Path, *, older_than: float | None = None) -> None:
    """Remove a file, unless it is younger; one that is gone or cannot be removed is left."""
    with suppress(OSError):
        if older_than is None or path.stat().st_mtime < older_than:
            path.unlink()
