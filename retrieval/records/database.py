"""The SQLite file of the records: a connection a thread, transactions, its format.

Write-ahead log with `synchronous=FULL`: what a transaction has returned for survives a killed process and a power cut.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from data.errors import CatalogDamaged, CatalogFormat, CatalogReadOnly, LookalikeError
from retrieval.records import tables
from retrieval.records.connecting import Connection, Stamp, connect, connect_to_read, is_writable, stamp_of
from retrieval.storage import failing

__all__ = ["FORMAT", "Database", "migrate", "prepare"]

FORMAT = 6
"""Of the SQLite file (`PRAGMA user_version`); an older one is migrated when it is opened."""

_MIGRATIONS = {1: "FROM_FORMAT_1", 2: "FROM_FORMAT_2", 3: "FROM_FORMAT_3", 4: "FROM_FORMAT_4", 5: "FROM_FORMAT_5"}
_PAGE_BYTES = 16_384


class Database:
    """The SQLite file of one catalog; one connection a thread, so any thread may call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._connections: dict[threading.Thread, Connection] = {}
        self._lock = threading.Lock()
        self._only_read = False
        self.commits = 0
        """Grows with each transaction of this object that was written."""

    def make(self) -> None:
        """Make a new, empty file; it is whole or absent."""
        connection = self.connection
        prepare(connection)
        with self.immediate():
            for statement in filter(str.strip, tables.TABLES.split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {FORMAT}")

    def check(self) -> None:
        """Bring a file of an older format to this one; processes that open it meanwhile wait.

        Raises:
            CatalogDamaged: it is missing or not such a file.
            CatalogFormat: a newer version wrote it.
            CatalogReadOnly: it cannot be written to, and has to be before it can be read.
            StorageFailed: it cannot be read.
        """
        with failing(self._path, "read"):
            if not self._path.is_file():
                raise CatalogDamaged(f"The catalog has lost its records ({self._path.name}); restore it from a backup.")
            with self._path.open("rb"):
                self._only_read = not is_writable(self._path)
        version = self._version()
        if version in _MIGRATIONS:
            with self.immediate() as connection:
                migrate(connection, self._version())  # it may meanwhile be migrated by another process
        elif version != FORMAT:
            raise CatalogFormat(
                f"The records have format {version}, this version of Lookalike reads 1 to {FORMAT}; "
                "open the catalog with the version that wrote it, or a newer one."
            )

    def close(self) -> None:
        """Close every thread's connection."""
        with self._lock:
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
        """The size of the file and of its log."""
        files = (self._path, self._path.with_name(f"{self._path.name}-wal"))
        return sum(path.stat().st_size for path in files if path.exists())

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Make all reads of this thread within the block see one state."""
        connection = self.connection
        connection.execute("BEGIN")
        try:
            yield
        finally:
            _end(connection)

    @contextmanager
    def immediate(self) -> Iterator[Connection]:
        """Make the block one transaction that writes; an error in it, or in putting it on disk, takes everything back.

        Raises:
            CatalogBusy: another process kept writing for too long.
            CatalogReadOnly: the catalog's folder cannot be written to.
            StorageFailed: there is no room, or the disk fails.
        """
        if self._only_read:
            raise CatalogReadOnly(f"{self._path.parent} cannot be written to: it can be searched, not changed.")
        connection = self.connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
            self.commits += 1
        except BaseException:
            _end(connection)
            raise

    def one_row(self, sql: str) -> Any:  # noqa: ANN401
        """Return the one row of a query; the quickest way there is."""
        return self.connection.execute(sql).fetchone()

    def give_back_space(self, pages: int) -> None:
        """Return unused room to the disk, at most `pages` pages a step, so that writers get their turn between steps.

        A file that was made by format 1 is written anew once, in one step.
        """
        if self._pragma("auto_vacuum") != 2:
            self.connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            self.connection.execute("VACUUM")
        while self._pragma("freelist_count"):
            self.connection.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    @property
    def connection(self) -> Connection:
        """The connection of the calling thread."""
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            return self._connected()
        if self._only_read and self._local.stamp != stamp_of(self._path) and not connection.in_transaction:
            connection.close()  # somebody else can write there, and has
            return self._connected()
        return connection

    def _connected(self) -> Connection:
        stamp: Stamp = stamp_of(self._path) if self._only_read else ()
        connection = connect_to_read(self._path) if self._only_read else connect(self._path)
        if not self._only_read:
            connection.execute("PRAGMA synchronous = FULL")
        self._local.connection, self._local.stamp = connection, stamp
        with self._lock:
            for thread in [thread for thread in self._connections if not thread.is_alive()]:
                self._connections.pop(thread).close()
            self._connections[threading.current_thread()] = connection
        return connection

    def _version(self) -> int:
        return self._pragma("user_version")

    def _pragma(self, name: str) -> int:
        return int(self.connection.execute(f"PRAGMA {name}").fetchone()[0])


def prepare(connection: sqlite3.Connection) -> None:
    """Choose the form of a new, empty file."""
    connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring records of an older format to this one, within a transaction."""
    for older in range(version, FORMAT):
        for statement in getattr(tables, _MIGRATIONS[older]):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {FORMAT}")


def _end(connection: Connection) -> None:
    """Take back what a transaction wrote; SQLite has done so already after some errors, such as a full disk."""
    if connection.in_transaction:
        with suppress(LookalikeError):
            connection.execute("ROLLBACK")
