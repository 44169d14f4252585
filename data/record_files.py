"""The SQLite files of a catalog, which only SQLite may open.

When a process closes any descriptor of a file, the operating system drops every POSIX lock that the process holds on
it, including those of SQLite. So no path from outside (a picture, a feed, an archive, a backup, weights) may lead to
one of these files: neither by its name nor, since a file can have several names, by the device and inode of a file
that this process has open.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from lookalike.data.catalog_layout import RECORDS

__all__ = ["forget_all", "is_held", "is_record_file", "let_go", "open_files_of"]

FileId = tuple[int, int]
"""The device and inode of a file."""

_held: Counter[FileId] = Counter()
"""The files of the records that this process has open, by how often; the module that opens them keeps it."""


def open_files_of(path: Path) -> list[FileId]:
    """Note that the records at a path are open, with their log and shared memory; return what to `let_go` of later."""
    found = []
    for suffix in ("", "-wal", "-shm"):
        file = _id_of(f"{path}{suffix}")
        if file is not None:
            found.append(file)
    _held.update(found)
    return found


def let_go(files: list[FileId]) -> None:
    """Note that the files, which `open_files_of` returned, are closed."""
    _held.subtract(files)
    for file in files:
        if _held[file] <= 0:
            del _held[file]


def forget_all() -> None:
    """Forget the files of the parent, in the child of a fork."""
    _held.clear()


def is_held(path: str | Path) -> bool:
    """Return whether a path leads to a file of records that this process has open, whatever its name."""
    return bool(_held) and _id_of(path) in _held


def is_record_file(path: Path) -> bool:
    """Return whether a path leads to a catalog's database, its write-ahead log or its shared memory."""
    if os.path.basename(os.path.realpath(path)).startswith(RECORDS):  # noqa: PTH119  # a fifth of the time
        return True
    return is_held(path)


def _id_of(path: str | Path) -> FileId | None:
    try:
        status = os.stat(path)  # noqa: PTH116  # a third of the time of `Path.stat`
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
