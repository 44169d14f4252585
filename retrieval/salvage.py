"""What can still be read of records that SQLite cannot read as a whole, copied row by row into a new file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from data.errors import CatalogDamaged
from retrieval.progress import Progress, silent

__all__ = ["Salvage", "salvage_records"]

_BATCH = 500
_LAST_ID = 2**63 - 1

_WHOLE_AGAIN = (
    # what every catalog has: one row that names the generation, and a newest commit that nothing is younger than
    "INSERT INTO generation SELECT NULL, NULL WHERE NOT EXISTS (SELECT 1 FROM generation)",
    "UPDATE generation SET name = NULL",
    "INSERT INTO commits (seq, time, summary) SELECT newest, unixepoch(), 'recover' FROM (SELECT max("
    "(SELECT coalesce(max(born), 0) FROM items), (SELECT coalesce(max(died), 0) FROM history), "
    "(SELECT coalesce(max(max(born, coalesce(died, 0))), 0) FROM vectors)) AS newest) "
    "WHERE newest > (SELECT coalesce(max(seq), 0) FROM commits)",
)

Row = tuple[object, ...]


@dataclass(slots=True)
class Salvage:
    """How many rows of each table were read, and what was not, in words."""

    saved: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)


def salvage_records(damaged: Path, target: Path, *, progress: Progress = silent) -> Salvage:
    """Copy every row that can be read into new records; the damaged file is not touched.

    A row that cannot be read is stepped over, and so are those that lie in the same damaged page.

    Raises:
        CatalogDamaged: not even the list of tables can be read.
    """
    found = Salvage()
    # where there is no log nobody has the file open, and nothing need be written beside it to read it
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
            raise CatalogDamaged(f"Nothing can be read of the records: {error}. Restore them from a backup.") from error
        written.execute("PRAGMA journal_mode = WAL")
        written.execute("BEGIN")
        written.execute(f"PRAGMA user_version = {version}")
        for _, _, sql in (row for row in schema if row[2] and not row[0].startswith("sqlite_")):
            written.execute(sql)
        for name in (name for name, type_, _ in schema if type_ == "table"):
            _copy_table(read, written, name, found, progress)
        for statement in _WHOLE_AGAIN:
            written.execute(statement)
        written.execute("COMMIT")
    return found


def _copy_table(
    read: sqlite3.Connection, written: sqlite3.Connection, table: str, found: Salvage, progress: Progress
) -> None:
    columns = ", ".join(row[1] for row in written.execute(f"PRAGMA table_info({table})"))
    written.execute(f"DELETE FROM {table}")
    places = ", ".join("?" * (columns.count(",") + 1))
    insert = f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({places})"
    saved = seen = 0
    for rows in _readable(read, table, columns, found.lost):
        saved += max(written.executemany(insert, [row[1:] for row in rows]).rowcount, 0)
        seen += len(rows)
        progress(f"Saving {table}", saved, saved)
    if saved < seen:
        found.lost.append(f"{table}: {seen - saved:,} rows that contradict others or lack what they must have")
    found.saved[table] = saved


def _readable(read: sqlite3.Connection, table: str, columns: str, lost: list[str]) -> Iterator[list[Row]]:
    """Yield the rows that can be read, by rowid, which comes first in each; note the gaps."""
    sql = f"SELECT rowid, {columns} FROM {table} WHERE rowid >= ? ORDER BY rowid LIMIT ?"
    next_id = -_LAST_ID
    size = _BATCH
    while True:
        try:
            rows = read.execute(sql, (next_id, size)).fetchall()
        except sqlite3.DatabaseError:
            if size > 1:
                size = 1  # up to the row that is damaged one by one
                continue
            after = _first_readable_after(read, sql, next_id)
            lost.append(f"{table}: rows from {max(next_id, 1)} " + ("on" if after is None else f"to {after - 1}"))
            if after is None:
                return
            next_id, size = after, _BATCH
            continue
        if not rows:
            return
        yield rows
        next_id = int(rows[-1][0]) + 1


def _first_readable_after(read: sqlite3.Connection, sql: str, bad: int) -> int | None:
    """Find the first rowid behind a damaged one from which reading goes on: by steps that double, then halve."""

    def reads(rowid: int) -> bool | None:
        try:
            return bool(read.execute(sql, (rowid, 1)).fetchall())
        except sqlite3.DatabaseError:
            return None

    bad = max(bad, 0)
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
