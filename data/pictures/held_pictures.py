"""Pictures that a feed has in hand before anyone asks for them: in memory up to a bound, beyond it in nameless files.

Rows of a table and members of a compressed archive come with their bytes, and an indexer looks some hundred rows ahead.
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
"""What all pictures in hand take of memory together, at most."""


class _Memory:
    """Counts what is in hand."""

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
    """Keep a picture until it is read; its memory is free again when nothing refers to what is returned."""
    if not _memory.take(len(content)):
        with contextlib.suppress(OSError):  # no room on the disk either: into memory, then
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
        self._file = cast(IO[bytes], tempfile.TemporaryFile())  # noqa: SIM115  # it lives as long as this object
        weakref.finalize(self, self._file.close)
        self._file.write(content)

    def read(self, *, max_bytes: int) -> bytes:
        check_size(self._size, max_bytes)
        try:
            self._file.seek(0)
            return self._file.read()
        except OSError as error:
            raise NotAPicture(f"The picture cannot be read again: {error.strerror or error}.") from error
