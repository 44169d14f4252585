"""Connections to a SQLite file, for writing or only for reading, and translation of SQLite's errors."""

from __future__ import annotations

import atexit
import ctypes
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from lookalike.data.errors import (
    CatalogBusy,
    CatalogDamaged,
    CatalogReadOnly,
    LookalikeError,
    StorageFailed,
    UsageError,
)
from lookalike.retrieval.files import forks
from lookalike.retrieval.files.catalog_folder import CLOSED, FileId, id_of
from lookalike.retrieval.files.storage import no_room
from lookalike.retrieval.store import file_locks

__all__ = [
    "Connection",
    "Stamp",
    "connect",
    "connect_to_look",
    "connect_to_read",
    "is_writable",
    "make",
    "said",
    "stamp_of",
]

_BUSY_TIMEOUT_S = 30.0
_LAST_WAIT_S = 1.0
_FORKED = "This was begun before the process was forked, and cannot be continued in the child; begin it again there."
_ROWS_AT_ONCE = 1_000
_BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")
_NOT_READ = ("SQLITE_IOERR_READ", "SQLITE_IOERR_SHORT_READ", "SQLITE_IOERR_AUTH", "SQLITE_IOERR_CORRUPTFS")
_NOT_WRITTEN = ("SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")

Stamp = tuple[tuple[int, ...] | None, ...]


class _Cursor(sqlite3.Cursor):
    """A cursor that raises Lookalike's errors in place of SQLite's."""

    connection: Connection

    def execute(self, sql: str, parameters: Any = (), /) -> _Cursor:  # noqa: ANN401  # as the base class
        self.connection.call(super().execute, sql, parameters)
        return self

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> _Cursor:
        self.connection.call(super().executemany, sql, parameters)
        return self

    def fetchone(self) -> Any:  # noqa: ANN401  # as the base class
        return self.connection.call(super().fetchone)

    def fetchmany(self, size: int | None = _ROWS_AT_ONCE) -> list[Any]:
        found: list[Any] = self.connection.call(super().fetchmany, size)
        return found

    def fetchall(self) -> list[Any]:
        found: list[Any] = self.connection.call(super().fetchall)
        return found

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # a batch at a time
        while rows := self.fetchmany():
            yield from rows


class Connection(sqlite3.Connection):
    """A connection that raises Lookalike's errors in place of SQLite's; `path` is its file's path when it was opened.

    `file` is the device and inode of the file, or None for a connection that takes no locks.

    A thread that holds `calls` may wait for `forks.opening`, but never the other way round. A connection that is
    dropped without being closed takes no lock, because it may be garbage-collected at any point of any thread; it is
    closed when the next one is opened or closed.
    """

    path: Path
    file: FileId | None = None
    writing = False
    _refusal: str | None = None
    _is_open = True

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401  # as the base class
        self.calls = forks.ForkSafeLock()
        super().__init__(*arguments, **options)

    def call(self, method: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401  # as the method
        """Call a method that runs SQLite, making forks wait for it."""
        try:
            with self.calls:
                if self._refusal is not None:
                    raise UsageError(self._refusal)
                return method(*arguments)
        except sqlite3.ProgrammingError:
            raise
        except sqlite3.DatabaseError as error:
            raise said(error, self.path) from error

    def cursor(self, factory: Any = _Cursor) -> Any:  # noqa: ANN401  # as the base class
        """Return a cursor that raises Lookalike's errors."""
        try:
            return super().cursor(factory)
        except sqlite3.ProgrammingError as error:
            if self._refusal is None:
                raise
            raise UsageError(self._refusal) from error

    def execute(self, sql: str, parameters: Any = (), /) -> _Cursor:  # noqa: ANN401  # as the base class
        """Execute a statement through this class's cursor, which the base class would bypass."""
        cursor: _Cursor = self.cursor()
        return cursor.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> _Cursor:
        """Execute a statement many times."""
        cursor: _Cursor = self.cursor()
        return cursor.executemany(sql, parameters)

    def one_row(self, sql: str) -> Any:  # noqa: ANN401  # a row
        """Return the one row of a query, with one call instead of those of `execute` and `fetchone`."""
        try:
            with self.calls:
                if self._refusal is not None:
                    raise UsageError(self._refusal)
                return sqlite3.Connection.cursor(self).execute(sql).fetchone()
        except sqlite3.ProgrammingError:
            raise
        except sqlite3.DatabaseError as error:
            raise said(error, self.path) from error

    def backup(self, target: sqlite3.Connection, **options: Any) -> None:  # noqa: ANN401  # as the base class
        """Copy the database, making forks wait for it."""
        with self.calls:
            super().backup(target, **options)

    def close(self) -> None:
        """Close the connection once other threads have finished with it. It may already be closed."""
        with self.calls:
            if self._refusal is None:
                self._refusal = CLOSED
        with forks.opening:
            _close_dropped()
            self.close_now()

    def close_now(self) -> None:
        """Close the connection, which no other thread may be using. Call this with `forks.opening` held."""
        if not self._is_open:
            return
        self._is_open = False
        file, self.file = self.file, None
        if file is not None:
            file_locks.unlock(file)
        super().close()
        if file is not None:
            file_locks.let_go(file)

    def abandon(self, *, close: bool) -> None:
        """Abandon the connection in the child of a fork; see `forks`."""
        self.file, self._is_open, self._refusal, self.writing = None, False, _FORKED, False
        if close:
            super().close()
        else:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))  # otherwise Python would close it at exit

    def __del__(self) -> None:
        if self.file is not None:
            _dropped.append(self)


_dropped: list[Connection] = []
"""Connections that nothing refers to any more and that are still to be closed."""


def _close_dropped() -> None:
    """Close the dropped connections. Call this with `forks.opening` held."""
    while _dropped:
        _dropped.pop().close_now()


def _close_all() -> None:
    """At interpreter exit, fold in the logs as if every catalog had been closed."""
    if forks.opening.acquire(timeout=_LAST_WAIT_S):
        _close_dropped()
        for connection in forks.registered():
            if connection.calls.acquire(timeout=0):
                connection.close_now()


def _start_anew_in_child() -> None:
    while _dropped:
        _dropped.pop().abandon(close=forks.is_safe())
    file_locks.let_go_in_child()


forks.in_child(_start_anew_in_child)
atexit.register(_close_all)


def make(path: Path) -> Connection:
    """Open a new file that no other process knows of yet.

    Raises:
        StorageFailed: the file cannot be created.
    """
    return _connected(path, str(path), locks=False)


def connect(path: Path) -> Connection:
    """Open an existing file for reading and writing.

    Raises:
        CatalogDamaged: it is not a SQLite file.
        StorageFailed: it cannot be opened.
    """
    return _connected(path, f"{path.absolute().as_uri()}?mode=rw")


def connect_to_read(path: Path) -> Connection:
    """Open a file for reading, even in a folder that cannot be written to.

    Raises:
        CatalogReadOnly: its log must be folded in first, which requires writing.
        StorageFailed: it cannot be opened.
    """
    if is_writable(path):
        return connect(path)
    if not _bytes_of_log(path):
        return _connected(path, f"{path.absolute().as_uri()}?immutable=1", locks=False)
    try:
        return connect_to_look(path)
    except (CatalogReadOnly, StorageFailed) as error:
        raise CatalogReadOnly(
            f"{path.parent} cannot be written to, and its last changes are still in a log ({path.name}-wal) that only "
            "a process with write access can fold in.",
            remedy="Open it once as a user who can write there (lookalike info CATALOG), or copy the whole folder to a "
            "place that can be written to.",
        ) from error


def connect_to_look(path: Path) -> Connection:
    """Open a file for reading without folding in its log, which must exist.

    Raises:
        CatalogDamaged: it is not a SQLite file.
        CatalogReadOnly, StorageFailed: it cannot be opened.
    """
    return _connected(path, f"{path.absolute().as_uri()}?mode=ro")


def is_writable(path: Path) -> bool:
    """Return whether a file and the folder of its log can be written to."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def stamp_of(path: Path) -> Stamp:
    """Return a value that changes when another process changes the file or its log; for files read without locks."""
    return tuple(map(_state, (path, _log_of(path))))


def said(error: sqlite3.DatabaseError, path: Path) -> LookalikeError | sqlite3.ProgrammingError:
    """Return Lookalike's error for an error of SQLite in the catalog's file `path`."""
    if isinstance(error, sqlite3.ProgrammingError):
        return error
    name = getattr(error, "sqlite_errorname", "")
    folder = path.parent
    if name.startswith(_BUSY):
        return CatalogBusy("Another process is writing to the catalog.", remedy="Try again when it is done.")
    if name.startswith("SQLITE_FULL"):
        return no_room(folder)
    if name.startswith("SQLITE_READONLY"):
        return CatalogReadOnly(f"{folder} cannot be written to: it can be searched, not changed.")
    if name.startswith(_NOT_READ):
        return StorageFailed(
            f"{path} cannot be read: {error}.", remedy="Check the disk, or restore a backup elsewhere."
        )
    if name.startswith(_NOT_WRITTEN):
        return StorageFailed(
            f"{folder} cannot be read or written to: {error}. What was written before is safe.",
            remedy=f"Check the space on the disk and the permissions of {path.name} and its folder, then run the same "
            "command again.",
        )
    return CatalogDamaged(
        f"The records are damaged: {error}.",
        remedy="Restore a backup (lookalike restore BACKUP NEW), or save what can be read: lookalike repair CATALOG",
    )


def _connected(path: Path, address: str, *, locks: bool = True) -> Connection:
    """Open a connection. With `locks`, it begins to read, so that its log is open as well."""
    with forks.opening:
        _close_dropped()
        if not forks.is_safe():
            raise StorageFailed(
                f"{path.parent} cannot be opened here: this process was forked while its parent was writing to a "
                "catalog. Start it with multiprocessing's spawn method, or fork before the catalog is opened."
            )
        try:
            connection = sqlite3.connect(
                address,
                timeout=_BUSY_TIMEOUT_S,
                isolation_level=None,
                check_same_thread=False,
                uri=True,
                factory=Connection,
            )
        except sqlite3.DatabaseError as error:
            raise said(error, path) from error
        connection.path = path
        if locks:
            try:
                connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
                mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
                file = id_of(path)
                if mode == "wal" and file is not None:
                    file_locks.hold(file, path)
                    connection.file = file
            except BaseException:
                connection.close_now()
                raise
        forks.register(connection)
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
