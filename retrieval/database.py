"""The SQLite file of the records: connections, transactions, errors, its format. Only here is sqlite3 imported.

Write-ahead log with `synchronous=FULL`: what a transaction has returned for survives a killed process and a power cut.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data.errors import CatalogBusy, CatalogDamaged, CatalogFormat
from retrieval import record_sql

__all__ = ["FORMAT", "Database", "migrate", "prepare"]

FORMAT = 2
"""Of the SQLite file (`PRAGMA user_version`); format 1 is migrated when it is opened."""

_BUSY_TIMEOUT_S = 30.0
_PAGE_BYTES = 16_384


class Database:
    """The SQLite file of one catalog; one connection a thread, so any thread may call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._connections: dict[threading.Thread, sqlite3.Connection] = {}
        self._lock = threading.Lock()

    def make(self) -> None:
        """Make a new, empty file; it is whole or absent."""
        connection = self.connection
        with self.translated():
            prepare(connection)
            connection.executescript(f"BEGIN;{record_sql.TABLES}PRAGMA user_version = {FORMAT};COMMIT;")

    def check(self) -> None:
        """Bring a file of an older format to this one; processes that open it meanwhile wait.

        Raises:
            CatalogDamaged: it is missing or not such a file.
            CatalogFormat: a newer version wrote it.
        """
        if not self._path.is_file():
            raise CatalogDamaged(f"The catalog has lost its records ({self._path.name}); restore it from a backup.")
        if self._version() == FORMAT:
            return
        if self._version() == 1:
            with self.immediate() as connection:
                migrate(connection, self._version())  # it may meanwhile be migrated by another process
            return
        raise CatalogFormat(
            f"The records have format {self._version()}, this version of Lookalike reads 1 to {FORMAT}; "
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
    def bytes_on_disk(self) -> int:
        """The size of the file and of its log."""
        files = (self._path, self._path.with_name(f"{self._path.name}-wal"))
        return sum(path.stat().st_size for path in files if path.exists())

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Make all reads of this thread within the block see one state."""
        with self.translated():
            self.connection.execute("BEGIN")
            try:
                yield
            finally:
                self.connection.execute("COMMIT")

    @contextmanager
    def immediate(self) -> Iterator[sqlite3.Connection]:
        """Make the block one transaction that writes; an error in it takes everything back.

        Raises:
            CatalogBusy: another process kept writing for too long.
        """
        connection = self.connection
        with self.translated():
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn SQLite's errors into ours."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "busy" in str(error):
                raise CatalogBusy("Another process is writing to the catalog; try again when it is done.") from error
            raise CatalogDamaged(f"The records cannot be used: {error}.") from error
        except sqlite3.DatabaseError as error:
            raise CatalogDamaged(f"The records are damaged: {error}. Restore them from a backup.") from error

    def one_row(self, sql: str) -> Any:  # noqa: ANN401
        """Return the one row of a query; the quickest way there is."""
        try:
            return self.connection.execute(sql).fetchone()
        except sqlite3.DatabaseError:
            with self.translated():
                raise

    def give_back_space(self, pages: int) -> None:
        """Return unused room to the disk, at most `pages` pages a step, so that writers get their turn between steps.

        A file that was made by format 1 is written anew once, in one step.
        """
        with self.translated():
            if self._pragma("auto_vacuum") != 2:
                self.connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                self.connection.execute("VACUUM")
            while self._pragma("freelist_count"):
                self.connection.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection of the calling thread."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA synchronous = FULL")
            self._local.connection = connection
            with self._lock:
                for thread in [thread for thread in self._connections if not thread.is_alive()]:
                    self._connections.pop(thread).close()
                self._connections[threading.current_thread()] = connection
        return connection

    def _version(self) -> int:
        return self._pragma("user_version")

    def _pragma(self, name: str) -> int:
        with self.translated():
            return int(self.connection.execute(f"PRAGMA {name}").fetchone()[0])


def prepare(connection: sqlite3.Connection) -> None:
    """Choose the form of a new, empty file."""
    connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring records of an older format to this one, within a transaction."""
    if version == 1:
        for statement in record_sql.FROM_FORMAT_1:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {FORMAT}")
