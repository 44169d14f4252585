"""Connections to a SQLite file, to write or only to read, and SQLite's errors in our words."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from data.errors import CatalogBusy, CatalogDamaged, CatalogReadOnly, LookalikeError, StorageFailed
from retrieval.storage import no_room

__all__ = ["Connection", "Stamp", "connect", "connect_to_read", "is_writable", "said", "stamp_of"]

_BUSY_TIMEOUT_S = 30.0
_ROWS_AT_ONCE = 1_000
_BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")
_NOT_READ = ("SQLITE_IOERR_READ", "SQLITE_IOERR_SHORT_READ", "SQLITE_IOERR_AUTH", "SQLITE_IOERR_CORRUPTFS")
_NOT_WRITTEN = ("SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")

Stamp = tuple[tuple[int, ...] | None, ...]


class _Cursor(sqlite3.Cursor):
    """A cursor whose errors are ours."""

    connection: Connection

    def execute(self, sql: str, parameters: Any = (), /) -> _Cursor:  # noqa: ANN401  # as the base class
        try:
            super().execute(sql, parameters)
        except sqlite3.DatabaseError as error:
            raise said(error, self.connection.path) from error
        return self

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> _Cursor:
        try:
            super().executemany(sql, parameters)
        except sqlite3.DatabaseError as error:
            raise said(error, self.connection.path) from error
        return self

    def fetchone(self) -> Any:  # noqa: ANN401  # as the base class
        try:
            return super().fetchone()
        except sqlite3.DatabaseError as error:
            raise said(error, self.connection.path) from error

    def fetchmany(self, size: int | None = _ROWS_AT_ONCE) -> list[Any]:
        try:
            return super().fetchmany(size)
        except sqlite3.DatabaseError as error:
            raise said(error, self.connection.path) from error

    def fetchall(self) -> list[Any]:
        try:
            return super().fetchall()
        except sqlite3.DatabaseError as error:
            raise said(error, self.connection.path) from error

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # a batch at a time
        while rows := self.fetchmany():
            yield from rows


class Connection(sqlite3.Connection):
    """A connection whose errors are ours; `path` is that of its file."""

    path: Path

    def cursor(self, factory: Any = _Cursor) -> Any:  # noqa: ANN401  # as the base class
        """Return a cursor whose errors are ours."""
        return super().cursor(factory)

    def execute(self, sql: str, parameters: Any = (), /) -> _Cursor:  # noqa: ANN401  # as the base class
        """Execute a statement; the base class would do so past our cursor."""
        cursor: _Cursor = self.cursor()
        return cursor.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> _Cursor:
        """Execute a statement many times."""
        cursor: _Cursor = self.cursor()
        return cursor.executemany(sql, parameters)


def connect(path: Path) -> Connection:
    """Open a file to read and write, making it where there is none.

    Raises:
        StorageFailed: it cannot be opened.
    """
    return _connected(path, str(path))


def connect_to_read(path: Path) -> Connection:
    """Open a file to read where it may lie in a folder that cannot be written to.

    Raises:
        CatalogReadOnly: it has a log that has to be folded in first, which takes writing.
        StorageFailed: it cannot be opened.
    """
    if is_writable(path):
        return connect(path)
    if not _bytes_of_log(path):
        return _connected(path, f"{path.absolute().as_uri()}?immutable=1", uri=True)
    connection = _connected(path, f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except (CatalogReadOnly, StorageFailed) as error:
        connection.close()
        raise CatalogReadOnly(
            f"{path.parent} cannot be written to, and its last changes are still in a log ({path.name}-wal) that only "
            "a process that can write there folds in. Open it once as a user who may (lookalike info CATALOG), or "
            "copy the whole folder to a place that can be written to."
        ) from error
    return connection


def is_writable(path: Path) -> bool:
    """Say whether a file and the folder of its log can be written to."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def stamp_of(path: Path) -> Stamp:
    """Return what tells whether a file that is read without locks, or its log, was changed by somebody who can."""
    return tuple(map(_state, (path, _log_of(path))))


def said(error: sqlite3.DatabaseError, path: Path) -> LookalikeError | sqlite3.ProgrammingError:
    """Return the error of ours that says what SQLite's means for the catalog that a file is of."""
    if isinstance(error, sqlite3.ProgrammingError):
        return error
    name = getattr(error, "sqlite_errorname", "")
    folder = path.parent
    if name.startswith(_BUSY):
        return CatalogBusy("Another process is writing to the catalog; try again when it is done.")
    if name.startswith("SQLITE_FULL"):
        return StorageFailed(no_room(folder))
    if name.startswith("SQLITE_READONLY"):
        return CatalogReadOnly(f"{folder} cannot be written to: it can be searched, not changed.")
    if name.startswith(_NOT_READ):
        return StorageFailed(f"{path} cannot be read: {error}. Look at the disk, or restore a backup elsewhere.")
    if name.startswith(_NOT_WRITTEN):
        return StorageFailed(
            f"{folder} cannot be read or written to: {error}. Look at the room on the disk and at the permissions of "
            f"{path.name} and its folder; what was written before is safe. Then run the same command again."
        )
    return CatalogDamaged(
        f"The records are damaged: {error}. Restore a backup (lookalike restore BACKUP NEW), or save what can be read: "
        "lookalike repair CATALOG"
    )


def _connected(path: Path, database: str, *, uri: bool = False) -> Connection:
    try:
        connection = sqlite3.connect(
            database,
            timeout=_BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
            uri=uri,
            factory=Connection,
        )
    except sqlite3.DatabaseError as error:
        raise said(error, path) from error
    connection.path = path
    return connection


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _bytes_of_log(path: Path) -> int:
    state = _state(_log_of(path))
    return state[0] if state else 0


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_ino, status.st_mtime_ns
