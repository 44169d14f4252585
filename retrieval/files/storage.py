"""Durable writes, locks between processes, and the operating system's errors in sentences."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from lookalike.data.errors import CatalogBusy, CatalogReadOnly, StorageFailed

__all__ = ["failing", "locked", "no_room"]

_NO_ROOM = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})
_NUMBER = re.compile(r"\(os error ([0-9]+)\)")
_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


def no_room(folder: Path) -> StorageFailed:
    """Return the error of a full disk."""
    return StorageFailed(
        f"{folder} cannot be written to: there is no room left. What was written before is safe.",
        remedy="Make room there, then run the same command again.",
    )


@contextmanager
def failing(path: Path, doing: str) -> Iterator[None]:
    """Turn the operating system's errors into a sentence: `path` cannot be `doing` ("read", "written to").

    Raises:
        StorageFailed: the operating system raised an error in the block.
    """
    try:
        yield
    except OSError as error:
        if _is_no_room(error):
            raise no_room(path) from error
        raise StorageFailed(f"{path} cannot be {doing}: {error.strerror or error}.") from error


def _is_no_room(error: OSError) -> bool:
    """Return whether the disk is full, even where NumPy only reports a short write or Polars has the number in text."""
    if error.errno is not None:
        return error.errno in _NO_ROOM
    number = _NUMBER.search(str(error))
    return " written" in str(error) or (number is not None and int(number[1]) in _NO_ROOM)


@contextmanager
def locked(path: Path, doing: str) -> Iterator[None]:
    """Hold the lock for an action that one process may be `doing` ("indexing into") at a time, or fail at once.

    The operating system releases it when the process ends, however it ends.

    Raises:
        CatalogBusy: another process has it.
        CatalogReadOnly: the catalog's folder cannot be written to.
        StorageFailed: there is no room for it.
    """
    lock = FileLock(path, timeout=0)
    try:
        with failing(path.parent, "written to"):
            try:
                lock.acquire()
            except Timeout as error:
                raise CatalogBusy(
                    f"Another process is {doing} the catalog.", remedy="Try again when it is done."
                ) from error
    except StorageFailed as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in _READ_ONLY:
            raise CatalogReadOnly(f"{path.parent} cannot be written to: it can be searched, not changed.") from error
        raise
    try:
        yield
    finally:
        lock.release()
