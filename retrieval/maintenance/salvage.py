"""The readable part of records that SQLite cannot read as a whole, copied row by row into a new file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from lookalike.data.counted import counted
from lookalike.data.errors import CatalogDamaged
from lookalike.retrieval.progress import Progress, silent
from lookalike.retrieval.store.connection import said
from lookalike.retrieval.store.database import migrate, prepare

__all__ = ["Salvage", "salvage_records"]

_BATCH = 500
_LAST_ID = 2**63 - 1

_WHOLE_AGAIN = (
    # every catalog has one row that names the generation, and one with the oldest state that is kept
    "DELETE FROM generation",
    "INSERT INTO generation SELECT NULL, NULL",
    "DELETE FROM spaces WHERE rowid > (SELECT min(rowid) FROM spaces)",
    "INSERT INTO spaces SELECT 0, NULL WHERE NOT EXISTS (SELECT 1 FROM spaces)",
    "DELETE FROM purged WHERE rowid > (SELECT min(rowid) FROM purged)",
    # the newest commit must be as new as every row
    "INSERT INTO commits (seq, time, summary) SELECT newest, max(unixepoch(), latest), 'recover' FROM (SELECT max("
    "(SELECT coalesce(max(born), 0) FROM items), (SELECT coalesce(max(max(born, died)), 0) FROM history), "
    "(SELECT coalesce(max(max(born, coalesce(died, 0))), 0) FROM images), "
    "(SELECT coalesce(max(died), 0) FROM image_history), (SELECT coalesce(max(before), 0) FROM purged), "
    "(SELECT coalesce(max(seq), 0) FROM ledger), "
    "(SELECT coalesce(max(max(born, coalesce(died, 0))), 0) FROM vectors)) AS newest, "
    "(SELECT coalesce(max(time), 0) FROM commits) AS latest) "
    "WHERE newest > (SELECT coalesce(max(seq), 0) FROM commits)",
    # if the oldest kept state is unknown, only the newest can be trusted
    "INSERT INTO purged SELECT coalesce(max(seq), 0) FROM commits WHERE NOT EXISTS (SELECT 1 FROM purged)",
    # no number is given twice, not even a deleted row's
    "DELETE FROM sqlite_sequence",
    "INSERT INTO sqlite_sequence (name, seq) SELECT 'commits', coalesce(max(seq), 0) FROM commits",
    "INSERT INTO sqlite_sequence (name, seq) SELECT 'items', max((SELECT coalesce(max(id), 0) FROM items), "
    "(SELECT coalesce(max(item_id), 0) FROM history), (SELECT coalesce(max(item_id), 0) FROM vectors), "
    "(SELECT coalesce(max(item), 0) FROM ledger), :items)",
    "INSERT INTO sqlite_sequence (name, seq) "
    "SELECT 'images', max((SELECT coalesce(max(id), 0) FROM images), :images) UNION ALL "
    "SELECT 'vectors', max((SELECT coalesce(max(id), 0) FROM vectors), :vectors) UNION ALL "
    "SELECT 'runs', max((SELECT coalesce(max(id), 0) FROM runs), "
    "(SELECT coalesce(max(last_run), 0) FROM ledger), :runs)",
)

Row = tuple[object, ...]


@dataclass(slots=True)
class Salvage:
    """The number of rows read from each table, and descriptions of the lost ones."""

    saved: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)


def salvage_records(damaged: Path, target: Path, *, progress: Progress = silent) -> Salvage:
    """Copy every row that can be read into new records; the damaged file is not touched.

    A row that cannot be read is skipped, together with the rows in the same damaged page.

    Raises:
        CatalogDamaged: not even the list of tables can be read.
        StorageFailed: the new records cannot be written.
    """
    found = Salvage()
    try:
        _salvage(damaged, target, found, progress)
    except sqlite3.DatabaseError as error:  # errors of reading are caught where they occur
        raise said(error, target) from error
    return found


def _salvage(damaged: Path, target: Path, found: Salvage, progress: Progress) -> None:
    # Without a log, no process has the file open, and it can be read without writing anything beside it. An immutable
    # connection takes no locks, but closing it drops those of other connections of this process, so not with a log.
    mode = "mode=ro" if damaged.with_name(f"{damaged.name}-wal").exists() else "immutable=1"
    with (
        closing(sqlite3.connect(f"{damaged.absolute().as_uri()}?{mode}", uri=True)) as read,
        closing(sqlite3.connect(target, isolation_level=None)) as written,
    ):
        read.text_factory = lambda text: text.decode("utf-8", "replace")
        try:
            (version,) = read.execute("PRAGMA user_version").fetchone()
            schema = list(read.execute("SELECT name, type, sql FROM sqlite_schema ORDER BY rowid"))
        except sqlite3.DatabaseError as error:
            raise CatalogDamaged(
                f"Nothing in the records can be read: {error}.", remedy="Restore them from a backup."
            ) from error
        last_ids = _last_ids(read)
        prepare(written)
        written.execute("BEGIN")
        written.execute(f"PRAGMA user_version = {version}")
        for _, _, sql in (row for row in schema if row[2] and not row[0].startswith("sqlite_")):
            written.execute(sql)
        for name in (name for name, type_, _ in schema if type_ == "table" and not name.startswith("sqlite_")):
            _copy_table(read, written, name, last_ids.get(name, _LAST_ID), found, progress)
        migrate(written, version)
        for statement in _WHOLE_AGAIN:
            written.execute(statement, {name: last_ids.get(name, 0) for name in ("items", "images", "vectors", "runs")})
        written.execute("COMMIT")


def _last_ids(read: sqlite3.Connection) -> dict[str, int]:
    """Return the greatest id ever given in each table with counted ids, or nothing if that cannot be read."""
    try:
        return {name: int(seq) for name, seq in read.execute("SELECT name, seq FROM sqlite_sequence")}
    except (sqlite3.DatabaseError, TypeError, ValueError):
        return {}


def _copy_table(
    read: sqlite3.Connection,
    written: sqlite3.Connection,
    table: str,
    last_id: int,
    found: Salvage,
    progress: Progress,
) -> None:
    columns = ", ".join(row[1] for row in written.execute(f"PRAGMA table_info({table})"))
    places = ", ".join("?" * (columns.count(",") + 1))
    insert = f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({places})"
    saved = seen = 0
    for rows in _readable(read, table, columns, last_id, found.lost):
        saved += max(written.executemany(insert, [row[1:] for row in rows]).rowcount, 0)
        seen += len(rows)
        progress(f"Saving {table}", saved, saved)
    if saved < seen:
        lost = counted(seen - saved, "row")
        found.lost.append(f"{table}: {lost} in contradiction to others, or without a value that every row must have")
    found.saved[table] = saved


def _readable(read: sqlite3.Connection, table: str, columns: str, last_id: int, lost: list[str]) -> Iterator[list[Row]]:
    """Yield the rows that can be read, each beginning with its rowid, in batches; record the gaps in `lost`.

    One cursor steps from row to row, because a search for a rowid passes over the damaged ones unnoticed.
    """
    sql = f"SELECT rowid, {columns} FROM {table} WHERE rowid >= ? ORDER BY rowid"
    next_id = 1
    bad_from: int | None = None
    while True:
        rows: list[Row] = []
        try:
            for row in read.execute(sql, (next_id,)):
                if not isinstance(row[0], int) or not next_id <= row[0] <= last_id:
                    bad_from = next_id if bad_from is None else bad_from
                    continue
                if bad_from is not None:
                    _note_gap(lost, table, bad_from, row[0])
                    bad_from = None
                rows.append(row)
                next_id = row[0] + 1
                if len(rows) == _BATCH:
                    yield rows
                    rows = []
        except sqlite3.DatabaseError:
            yield rows
            bad_from = next_id if bad_from is None else bad_from
            after = _first_readable_after(read, f"{sql} LIMIT 1", next_id)
            if after is not None:
                next_id = after
                continue
        else:
            yield rows
        if bad_from is not None:
            lost.append(f"{table}: rows from {bad_from} on")
        return


def _note_gap(lost: list[str], table: str, start: int, stop: int) -> None:
    lost.append(f"{table}: a row after {start - 1}" if stop == start else f"{table}: rows from {start} to {stop - 1}")


def _first_readable_after(read: sqlite3.Connection, sql: str, bad: int) -> int | None:
    """Return the first rowid after a damaged one at which reading works again, by doubling steps and then bisection."""

    def reads(rowid: int) -> bool | None:
        try:
            return bool(read.execute(sql, (rowid,)).fetchall())
        except sqlite3.DatabaseError:
            return None

    step = 1
    while (known := reads(bad + step)) is None:
        step *= 2
        if bad + step > _LAST_ID:
            return None
    if known is False:
        return None
    low, high = bad + step // 2, bad + step
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (middle, high) if reads(middle) is None else (low, middle)
    return high
