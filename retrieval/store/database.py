"""The SQLite file of the records: one connection for each thread, transactions, and the file's format.

It uses a write-ahead log with `synchronous=FULL`, so a returned transaction survives a killed process and a power cut.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from lookalike.data.errors import (
    CatalogDamaged,
    CatalogFormat,
    CatalogGone,
    CatalogReadOnly,
    LookalikeError,
    UsageError,
)
from lookalike.retrieval.files import forks
from lookalike.retrieval.files.catalog_folder import CLOSED, CatalogFolder, id_of
from lookalike.retrieval.files.file_system import check_file_system
from lookalike.retrieval.files.storage import failing
from lookalike.retrieval.store import tables
from lookalike.retrieval.store.connection import (
    Connection,
    Stamp,
    connect,
    connect_to_read,
    is_writable,
    make,
    stamp_of,
)

__all__ = ["FORMAT", "Database", "migrate", "prepare"]

FORMAT = 7
"""Format of the SQLite file (`PRAGMA user_version`). Older files are migrated when they are opened."""

_MIGRATIONS = {version: f"FROM_FORMAT_{version}" for version in range(1, FORMAT)}
_PAGE_BYTES = 16_384


class Database:
    """The SQLite file of one catalog. Each thread gets its own connection, so any thread may call.

    The file is identified by its device and inode: each use checks that the path still leads to it. Connections are not
    inherited across a fork; the child opens its own.
    """

    def __init__(self, path: Path, folder: CatalogFolder) -> None:
        self.folder = folder
        self._name = path.name
        self._path = path
        self._file = id_of(path)
        self._local = threading.local()
        self._connections: dict[threading.Thread, Connection] = {}
        self._lock = forks.ForkSafeLock()
        self._only_read = False
        self._closed = False
        self.commits = 0
        """Number of transactions written by this object."""

    @classmethod
    def make(cls, path: Path) -> None:
        """Create a new, empty file, which is either complete or absent.

        Raises:
            StorageFailed: the file cannot be written.
        """
        with closing(make(path)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            prepare(connection)
            connection.execute("BEGIN IMMEDIATE")
            for statement in filter(str.strip, tables.TABLES.split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            connection.execute("COMMIT")

    def check(self) -> None:
        """Check the file, and migrate an older format to this one; processes that open it meanwhile wait.

        Raises:
            CatalogDamaged: the file is missing or is not a file of records.
            CatalogFormat: a newer version wrote it.
            CatalogReadOnly: it cannot be written to, but must be before it can be read.
            StorageFailed: it cannot be read, or the locks of its file system do not work.
        """
        if self._file is None or not self._path.is_file():
            raise CatalogDamaged(
                f"The catalog has lost its records ({self._name}).", remedy="Restore it from a backup."
            )
        with failing(self._path, "read"):
            if not os.access(self._path, os.R_OK):  # opening and closing the file would drop SQLite's locks
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        self._only_read = not is_writable(self._path)
        if not self._only_read:
            check_file_system(self._path.parent)
        version = self._version()
        if version in _MIGRATIONS:
            with self.immediate() as connection:
                migrate(connection, self._version())  # another process may have migrated it meanwhile
        elif version != FORMAT:
            raise CatalogFormat(
                f"The records have format {version}, this version of Lookalike reads 1 to {FORMAT}; "
                "open the catalog with the version that wrote it, or a newer one."
            )

    def close(self) -> None:
        """Close every thread's connection. The file cannot be used through this object afterwards."""
        with self._lock:
            self._closed = True
            for connection in self._connections.values():
                connection.close()
            self._connections.clear()
        self._local = threading.local()

    @property
    def only_read(self) -> bool:
        """Whether the file, or the folder of its log, cannot be written to."""
        return self._only_read

    @property
    def bytes_on_disk(self) -> int:
        """The size of the file and its log, in bytes."""
        path = self._path_now()
        files = (path, path.with_name(f"{path.name}-wal"))
        return sum(path.stat().st_size for path in files if path.exists())

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Run the block so that all reads of this thread in it see one state."""
        connection = self.connection
        connection.execute("BEGIN")
        try:
            yield
        finally:
            _end(connection)

    @contextmanager
    def immediate(self) -> Iterator[Connection]:
        """Run the block as one writing transaction; an error in the block or while committing rolls it back.

        Raises:
            CatalogBusy: another process kept writing for too long.
            CatalogReadOnly: the catalog's folder cannot be written to.
            StorageFailed: there is no room, or the disk fails.
        """
        if self._only_read:
            raise CatalogReadOnly(f"{self._path.parent} cannot be written to: it can be searched, not changed.")
        connection = self.connection
        self._refuse_second_name()
        with connection.calls:
            connection.execute("BEGIN IMMEDIATE")
            connection.writing = True
            try:
                yield connection
                self._path_now()  # commits must go to the file that other processes find
                self._refuse_second_name()
                connection.execute("COMMIT")
                self.commits += 1
            except BaseException:
                _end(connection)
                raise
            finally:
                connection.writing = False

    def one_row(self, sql: str) -> Any:  # noqa: ANN401
        """Return the one row of a query, by the quickest path."""
        return self.connection.one_row(sql)

    def give_back_space(self, pages: int) -> None:
        """Return unused space to the disk, at most `pages` pages a step, so that other writers can run between steps.

        A file created by format 1 is rewritten once, in one step.
        """
        if self._pragma("auto_vacuum") != 2:
            self.connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            self.connection.execute("VACUUM")
        while self._pragma("freelist_count"):
            self.connection.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    @property
    def connection(self) -> Connection:
        """The connection of the calling thread.

        Raises:
            UsageError: the catalog was closed.
            CatalogGone: the catalog's folder was deleted or replaced.
        """
        local = self._local
        connection: Connection | None = getattr(local, "connection", None)
        if connection is not None and connection.writing:
            return connection  # `immediate` checks the path when it begins and before it commits
        path = self._path_now()
        if connection is None or local.depth != forks.depth():
            return self._connected(path)
        if self._only_read and local.stamp != stamp_of(path) and not connection.in_transaction:
            connection.close()  # another user, who can write there, has done so
            return self._connected(path)
        return connection

    def _path_now(self) -> Path:
        """Return the current path of the file."""
        if self._closed:
            raise UsageError(CLOSED)
        if id_of(self._path) != self._file:
            path = self.folder.path / self._name
            if id_of(path) != self._file:
                raise CatalogGone(
                    f"{path} is not the file that was opened: it was deleted or replaced. Open the catalog again."
                )
            self._path = path
        return self._path

    def _refuse_second_name(self) -> None:
        """Refuse to write a file that has a second name.

        The names of the log and the shared memory derive from the file's name. A process that opens the file by another
        name sees neither, and each process overwrites what the other has written.

        Raises:
            CatalogReadOnly: the file has hard links.
        """
        try:
            names = self._path.stat().st_nlink
        except FileNotFoundError:  # `_path_now` reports this
            return
        if names > 1:
            raise CatalogReadOnly(
                f"{self._path} has a second name (a hard link), so changes made through one name are lost through the "
                "other. It can be searched, not changed.",
                remedy="Replace the hard-linked copy of the folder with a real one (cp -a, or lookalike backup), or "
                "delete it.",
            )

    def _connected(self, path: Path) -> Connection:
        stamp: Stamp = stamp_of(path) if self._only_read else ()
        connection = connect_to_read(path) if self._only_read else connect(path)
        try:
            self._path_now()  # the path may have led elsewhere when the file was opened
            if not self._only_read:
                connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        local = self._local
        with self._lock:
            for thread in [thread for thread in self._connections if not thread.is_alive()]:
                self._connections.pop(thread).close()
            if self._closed:
                connection.close()
                self._path_now()
            self._connections[threading.current_thread()] = connection
        local.connection, local.stamp, local.depth = connection, stamp, forks.depth()
        return connection

    def _version(self) -> int:
        return self._pragma("user_version")

    def _pragma(self, name: str) -> int:
        return int(self.connection.execute(f"PRAGMA {name}").fetchone()[0])


def prepare(connection: sqlite3.Connection) -> None:
    """Set the page size, vacuum mode and journal mode of a new, empty file."""
    connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Migrate records of an older format to this one, within a transaction."""
    for older in range(version, FORMAT):
        for statement in getattr(tables, _MIGRATIONS[older]):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {FORMAT}")


def _end(connection: Connection) -> None:
    """Roll back a transaction. SQLite has done so already after some errors, such as a full disk."""
    with suppress(LookalikeError, sqlite3.ProgrammingError):  # the latter if another thread has closed it
        if connection.in_transaction:
            connection.execute("ROLLBACK")
