"""Pictures whose bytes a feed has read before they are needed: kept in memory up to a limit, then in unnamed files.

Rows of a table and members of a compressed archive come with their bytes, and indexing reads some hundred rows ahead.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
import weakref
from typing import IO, cast

from lookalike.data.errors import NotAPicture
from lookalike.data.pictures.picture_sources import Stored, check_size

__all__ = ["hold"]

MAX_HELD_BYTES = 256 * 1024 * 1024
"""Memory in bytes for all kept pictures together."""


class _Memory:
    """Counts the bytes kept in memory."""

    def __init__(self) -> None:
        self.taken = 0
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        with self._lock:
            fits = self.taken + size <= MAX_HELD_BYTES
            self.taken += size if fits else 0
            return fits

    def give_back(self, size: int) -> None:
        with self._lock:
            self.taken -= size


_memory = _Memory()


def hold(content: bytes) -> Stored:
    """Keep the bytes of a picture until the returned object is no longer referenced."""
    if not _memory.take(len(content)):
        with contextlib.suppress(OSError):  # the disk is full, too: fall back to memory
            return _InFile(content)
        return _InMemory(content, counted=0)
    return _InMemory(content, counted=len(content))


class _InMemory:
    def __init__(self, content: bytes, counted: int) -> None:
        self._content = content
        weakref.finalize(self, _memory.give_back, counted)

    def read(self, *, max_bytes: int) -> bytes:
        check_size(len(self._content), max_bytes)
        return self._content


class _InFile:
    def __init__(self, content: bytes) -> None:
        self._size = len(content)
        self._file = cast(IO[bytes], tempfile.TemporaryFile())  # noqa: SIM115  # closed with this object
        weakref.finalize(self, self._file.close)
        self._file.write(content)

    def read(self, *, max_bytes: int) -> bytes:
        check_size(self._size, max_bytes)
        try:
            self._file.seek(0)
            return self._file.read()
        except OSError as error:
            raise NotAPicture(f"The picture cannot be read again: {error.strerror or error}.") from error
