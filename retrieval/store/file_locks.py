"""A lock on every open SQLite file that no other code of this process can drop.

SQLite guards its files with POSIX locks. Those belong to the process: when any code in it closes any descriptor of the
file, for example `shutil.copytree` or a library that looked at the first bytes, the system drops all of them (see "How
To Corrupt An SQLite Database File", section 2.2). Another process that closes the file then believes that it is the
last one and deletes the write-ahead log, and later commits of this process are lost.

No code of this project opens the file except through SQLite. As protection from other code, each file is also held by
an open file description lock (`F_OFD_SETLK` in fcntl(2)), which belongs to one descriptor. It covers the bytes of
SQLite's shared lock, so no process can take the exclusive lock that deleting the log requires. The descriptor is closed
after the last connection of this process, never before. Where the system has no open file description locks, the POSIX
locks alone protect the file.

The locks on the shared memory file (`-shm`) order writers and readers from moment to moment and cannot be doubled in
this way: a process must not copy the folder of a catalog that it has open, other than by `Catalog.backup`.
"""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path

from lookalike.data import record_files
from lookalike.retrieval.files.catalog_folder import FileId

__all__ = ["hold", "let_go", "let_go_in_child", "unlock"]

_SHARED_FIRST, _SHARED_SIZE = 0x40000002, 510
_SET_LOCK = getattr(fcntl, "F_OFD_SETLK", None)

_noted: dict[FileId, list[list[FileId]]] = {}
"""For each file, the results of `record_files` for each connection. `forks.opening` guards it, too."""

_held: dict[FileId, tuple[int, int]] = {}
"""For each file, the descriptor and the number of connections that need it. `forks.opening` guards it."""


def hold(file: FileId, path: Path) -> None:
    """Count one more connection of a file, and lock the file if it is the first. The file must be in WAL mode."""
    descriptor, count = _held.get(file, (-1, 0))
    if count == 0 and _SET_LOCK is not None:
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            _lock(descriptor, fcntl.F_RDLCK)
    _held[file] = descriptor, count + 1
    _noted.setdefault(file, []).append(record_files.open_files_of(path))


def unlock(file: FileId) -> None:
    """Before the last connection of a file is closed, let SQLite take the locks that it needs for removing the log."""
    descriptor, count = _held[file]
    if count == 1 and descriptor >= 0:
        with suppress(OSError):
            _lock(descriptor, fcntl.F_UNLCK)


def let_go(file: FileId) -> None:
    """Count one connection less, which must be closed by now; close the descriptor after the last one."""
    descriptor, count = _held.pop(file)
    noted = _noted[file]
    record_files.let_go(noted.pop())
    if not noted:
        del _noted[file]
    if count > 1:
        _held[file] = descriptor, count - 1
    elif descriptor >= 0:
        os.close(descriptor)


def let_go_in_child() -> None:
    """After a fork, forget the parent's holds. The locks stay with the parent."""
    for descriptor, _ in _held.values():
        if descriptor >= 0:
            os.close(descriptor)
    _held.clear()
    _noted.clear()
    record_files.forget_all()


def _lock(descriptor: int, kind: int) -> None:
    assert _SET_LOCK is not None  # without it no descriptor is opened
    request = struct.pack("hhqqi4x", kind, os.SEEK_SET, _SHARED_FIRST, _SHARED_SIZE, 0)
    fcntl.fcntl(descriptor, _SET_LOCK, request)
