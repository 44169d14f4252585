"""The records as a file: online copies, reading one state of it, SQLite's own check, and reading damaged files.

This is separate from `records` because it works without a catalog that can be opened.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from lookalike.data.errors import CatalogDamaged, StorageFailed
from lookalike.retrieval.files.storage import no_room
from lookalike.retrieval.progress import Progress, silent
from lookalike.retrieval.store.connection import (
    Connection,
    connect,
    connect_to_look,
    connect_to_read,
    is_writable,
    make,
)

__all__ = ["RecordsState", "copy_records", "damage_of"]

_PAGES_AT_ONCE = 2_000
_MOST_COMPLAINTS = 100
_NOT_WRITTEN = ("SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")


class RecordsState:
    """One state of the records, read while others write. It never changes them. Use it from one thread at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    def open(cls, path: Path) -> RecordsState:
        """Open the newest state.

        Raises:
            CatalogDamaged: the file is missing or SQLite cannot read it.
        """
        if not path.is_file():
            raise CatalogDamaged(f"The catalog has lost its records ({path.name}).", remedy="Restore it from a backup.")
        if not is_writable(path):
            connection = connect_to_read(path)
        elif path.with_name(f"{path.name}-wal").exists():
            connection = connect_to_look(path)  # leaves the log as it is
        else:
            connection = connect(path)  # this creates a log, which only a full connection removes
        try:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except BaseException:
            connection.close()
            raise
        return cls(connection)

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query.

        Raises:
            CatalogDamaged: SQLite cannot read them.
        """
        yield from self._connection.execute(sql, parameters)

    def value(self, sql: str, parameters: Sequence[object] = ()) -> Any:  # noqa: ANN401  # whatever the query returns
        """Return the one value of a query.

        Raises:
            CatalogDamaged: SQLite cannot read it.
        """
        return next(self.rows(sql, parameters))[0]

    def space_facts(self) -> tuple[int, str | None]:
        """Return how often the sets of spaces have changed, and the sets as JSON text; see `StoredSpaces.facts`."""
        if not self.value("SELECT count(*) FROM sqlite_schema WHERE name = 'spaces'"):
            return 0, None  # an older format, migrated when it is next opened
        found: tuple[int, str | None] = next(self.rows("SELECT version, facts FROM spaces"))
        return found

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> RecordsState:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def copy_records(source: Path, target: Path, progress: Progress = silent) -> tuple[int, int]:
    """Copy one state of the records to a new file while others write; return its commit number and number of items.

    Pages keep their places, so two copies differ only where the records do. The copy names no generation.

    Raises:
        CatalogDamaged: the source cannot be read, or the copy does not pass SQLite's check.
        StorageFailed: the target cannot be written.
    """
    with _translated(target), closing(connect_to_read(source)) as reader, closing(make(target)) as writer:
        reader.execute("BEGIN")  # held until the last page, so that all pages are of one state
        seq = reader.execute("SELECT coalesce(max(seq), 0) FROM commits").fetchone()[0]
        items = reader.execute("SELECT count(*) FROM items").fetchone()[0]
        writer.execute("PRAGMA synchronous = OFF")  # an interrupted copy is discarded
        reader.backup(
            writer,
            pages=_PAGES_AT_ONCE,
            progress=lambda _, remaining, total: progress("Copying the records", total - remaining, total),
        )
        writer.execute("PRAGMA synchronous = OFF")
        writer.execute("UPDATE generation SET name = NULL")
    complaints = damage_of(target)
    if complaints:
        raise _not_backed_up(complaints[0])
    return seq, items


def damage_of(path: Path) -> list[str]:
    """Return the problems that SQLite's own check finds in a file; an empty list if it is sound."""
    try:
        with RecordsState.open(path) as state:
            found = [str(row[0]) for row in state.rows(f"PRAGMA integrity_check({_MOST_COMPLAINTS})")]
    except CatalogDamaged as error:
        return [str(error)]
    return [] if found == ["ok"] else found


@contextmanager
def _translated(written: Path) -> Iterator[None]:
    """Translate SQLite's errors while copying. Errors of a full or failing disk concern the `written` file."""
    try:
        yield
    except CatalogDamaged as error:
        raise _not_backed_up(str(error.__cause__ or error)) from error
    except sqlite3.DatabaseError as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith("SQLITE_FULL"):
            raise no_room(written.parent) from error
        if name.startswith(_NOT_WRITTEN) and not name.startswith("SQLITE_IOERR_READ"):
            raise StorageFailed(
                f"{written.parent} cannot be written to: {error}.",
                remedy="Check the space on the disk, then run the same command again.",
            ) from error
        raise _not_backed_up(str(error)) from error


def _not_backed_up(why: str) -> CatalogDamaged:
    return CatalogDamaged(
        f"The records are damaged ({why}) and were not backed up.", remedy="For details: lookalike verify CATALOG"
    )
