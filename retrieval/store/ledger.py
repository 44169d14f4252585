"""The ledger: the outcome of every row of every feed, with its reason, the number of attempts, and when it was seen.

A row is identified by its feed and key, or without a key of its own, by its feed and number. If an item was taken
without one of its pictures, that picture has an entry beside the row's. Entries are written in the transaction of the
items they are about, so a killed run leaves the entries of the rows it had committed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson

from lookalike.data.errors import UsageError
from lookalike.data.feeds.feed import FeedOptions, FeedSource
from lookalike.data.item import CellWarning, Rejected
from lookalike.data.shown_value import shown
from lookalike.retrieval.arguments import whole
from lookalike.retrieval.store import statements
from lookalike.retrieval.store.database import Database

__all__ = ["Brought", "FeedRun", "Ledger", "LedgerEntry", "Note", "Notes", "Rename", "State"]

_IDS_AT_ONCE = 20_000

_FIRST_WARNING = 1 << 20
"""Part of the first warning about a row; the parts below it are pictures."""


class State(StrEnum):
    """The outcome of a row: written by the last run that saw it, unchanged, rejected, or no longer in its feed."""

    INDEXED = "indexed"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"
    WARNING = "warning"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One row of a feed, or one rejected picture of a row.

    `row` is its number in the last run that saw it, and `source` the picture that it was rejected for. `attempts` is
    the number of runs that wrote or rejected it. `first_seen` and `last_seen` are when the runs `first_run` and
    `last_run` began. `commit` is the last commit that wrote or removed its item, or None.
    """

    feed: str
    row: int
    key: str | None
    source: str | None
    state: State
    reason: str | None
    attempts: int
    first_seen: datetime
    last_seen: datetime
    first_run: int
    last_run: int
    commit: int | None


@dataclass(frozen=True, slots=True)
class Note:
    """The entry to write for one row: `part` is 0 for the row itself, and counts its pictures from 1.

    A negative part is the number of a row that is identified by number. `item` is the id of an unchanged item; the id
    of a written item is found by its key.
    """

    row: int
    key: str | None
    state: State
    part: int = 0
    reason: str | None = None
    source: str | None = None
    item: int | None = None

    @classmethod
    def of(cls, one: Rejected, part: int = 0) -> Note:
        """Build the note of a rejected row or picture."""
        own = bool(one.key) and not one.repeated
        return cls(one.row, one.key, State.REJECTED, part if own else -one.row, one.reason, one.source)

    @classmethod
    def of_warning(cls, row: int, key: str, place: int, one: CellWarning) -> Note:
        """Build the note of a value that could not be used; `place` counts the warnings of the row from 0."""
        return cls(row, key, State.WARNING, _FIRST_WARNING + place, one.sentence, one.column)


@dataclass(slots=True)
class FeedRun:
    """One run over a feed: its number, and flags that save it lookups.

    `partial` is whether it covers single rows only, so that their numbers do not concern other rows.
    """

    id: int
    feed: str
    had_parts: bool
    partial: bool = False
    rejected_keys: bool = False


@dataclass(frozen=True, slots=True)
class Rename:
    """A file that was moved: the item of the old key is removed in the commit that adds the one of the new key."""

    item: int
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Notes:
    """The entries that a run writes for a number of rows."""

    run: FeedRun
    entries: Sequence[Note]
    renames: Sequence[Rename] = ()


@dataclass(frozen=True, slots=True)
class Brought:
    """An item that a feed has brought and the catalog still has; `alone` is whether no other feed has it."""

    entry: int
    key: str
    item: int
    last_run: int
    alone: bool


class Ledger:
    """The ledger of one catalog's records. Call the methods that write within a transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- reading ---------------------------------------------------------------------------------------------------

    def entries(
        self,
        *,
        state: State | str | None = None,
        feed: str | None = None,
        limit: int | None = None,
    ) -> Iterator[LedgerEntry]:
        """Yield the entries by feed and row, filtered by `state` and `feed`.

        Raises:
            UsageError: the state or the feed does not exist, or the limit is not positive.
        """
        if feed is not None and feed not in (feeds := self.feeds()):
            raise UsageError(f"The ledger has no feed {feed!r}; it has {', '.join(map(repr, feeds)) or 'none yet'}.")
        if state is not None and state not in list(State):
            raise UsageError(f"The state is {shown(state)}; it can be {', '.join(State)}.")
        if limit is not None:
            limit = whole(limit, "limit")
        wanted = {"l.state": state, "l.feed": feed}
        terms = [f"{column} = ?" for column, value in wanted.items() if value is not None]
        if state in (State.REJECTED, State.WARNING, State.MISSING):
            terms.append("l.reason IS NOT NULL")  # these are indexed
        return self._entries(terms, [*filter(None, wanted.values()), -1 if limit is None else limit])

    def rejects_of(self, run: int) -> Iterator[LedgerEntry]:
        """Yield the rejections of a run, which must be the last over its feed."""
        return self._entries(["l.reason IS NOT NULL", "l.state = 'rejected'", "l.last_run = ?"], [run, -1])

    def _entries(self, terms: Sequence[str], parameters: Sequence[object]) -> Iterator[LedgerEntry]:
        sql = statements.LEDGER.format(where=" AND ".join(terms) or "true")
        return map(_entry, self._database.connection.execute(sql, parameters))

    def counts(self, feed: str | None = None) -> dict[State, int]:
        """Count the entries of a feed, or of all, by state. Entries of pictures count as rejected."""
        sql = "SELECT state, count(*) FROM ledger WHERE ?1 IS NULL OR feed = ?1 GROUP BY state"
        found = dict(self._database.connection.execute(sql, (feed,)).fetchall())
        return {state: found.get(state.value, 0) for state in State}

    def count_rejected(self, feed: str | None = None) -> int:
        """Count the rejected rows and pictures of a feed, or of all feeds."""
        sql = (
            "SELECT count(*) FROM ledger WHERE reason IS NOT NULL AND state = 'rejected' AND (?1 IS NULL OR feed = ?1)"
        )
        return int(self._database.connection.execute(sql, (feed,)).fetchone()[0])

    def count_missing(self, feed: str) -> int:
        """Count the items of the catalog that a feed brought and no longer has."""
        return int(self._database.connection.execute(statements.COUNT_MISSING, (feed,)).fetchone()[0])

    def count_to_retry(self, feed: str) -> int:
        """Count the rows of a feed with a rejection of the row or of a picture."""
        sql = "SELECT count(DISTINCT row) FROM ledger WHERE reason IS NOT NULL AND state = 'rejected' AND feed = ?"
        return int(self._database.connection.execute(sql, (feed,)).fetchone()[0])

    def feeds(self) -> list[str]:
        """Return the names of the feeds, in the order of their first runs."""
        sql = "SELECT feed FROM runs GROUP BY feed ORDER BY min(id)"
        return [name for (name,) in self._database.connection.execute(sql)]

    def rejected_among(self, feed: str, keys: Sequence[str], rows: Sequence[int]) -> tuple[set[str], set[int]]:
        """Return which of the keys, and which of the rows identified by number, are rejected."""
        connection = self._database.connection
        by_key = connection.execute(statements.REJECTED_KEYS, (_json(keys), feed))
        by_row = connection.execute(statements.REJECTED_ROWS, (_json(rows), feed))
        return {key for (key,) in by_key}, {-part for (part,) in by_row}

    def brought(self, feed: str, keys: Sequence[str] | None = None) -> Iterator[Brought]:
        """Yield the items that a feed has brought and the catalog still has, all or those with one of `keys`."""
        if keys is None:
            rows = self._database.connection.execute(statements.BROUGHT, (feed,))
        else:
            rows = self._database.connection.execute(statements.BROUGHT_OF_KEYS, (feed, _json(keys)))
        return (Brought(entry, key, item, last_run, bool(alone)) for entry, key, item, last_run, alone in rows)

    def entries_of(self, feed: str, keys: Sequence[str]) -> list[int]:
        """Return the entries of these keys in a feed, numbered as in `Brought.entry`."""
        sql = (
            "SELECT rowid FROM ledger WHERE key IN (SELECT value FROM json_each(?)) AND feed = ? "
            "AND part = 0 AND part >= 0"
        )
        return [entry for (entry,) in self._database.connection.execute(sql, (_json(keys), feed))]

    def all_below(self, feed: str, prefix: str) -> bool:
        """Return whether a feed has keys and all of them begin with `prefix`, which ends with a slash."""
        sql = (
            "SELECT count(*), coalesce(sum(key >= ?2 AND key < ?3), 0) FROM ledger "
            "WHERE feed = ?1 AND part = 0 AND key IS NOT NULL"
        )
        keys, below = self._database.connection.execute(sql, (feed, prefix, f"{prefix[:-1]}0")).fetchone()
        return bool(keys) and keys == below

    def size(self) -> int:
        """Return a number above every entry's."""
        return int(self._database.connection.execute("SELECT coalesce(max(rowid), 0) + 1 FROM ledger").fetchone()[0])

    def files(self, items: Sequence[int]) -> Iterator[tuple[int, str, bytes]]:
        """Yield id, key and sha256 of those items that are single files: one picture, whose source is the key."""
        for start in range(0, len(items), _IDS_AT_ONCE):
            ids = _json(items[start : start + _IDS_AT_ONCE])
            yield from self._database.connection.execute(statements.FILES, (ids,))

    def sources(self) -> dict[str, FeedSource]:
        """Return where each feed was last read from, if known, in the order of their first runs."""
        rows = self._database.connection.execute(statements.SOURCES)
        return {
            feed: FeedSource(path, FeedOptions(**{name: value for name, value in named.items() if value}))  # type: ignore[typeddict-item]
            for feed, path, named in (
                (feed, path, {"key": key, "image": image, "title": title, **orjson.loads(options or "{}")})
                for feed, path, key, image, title, options in rows
            )
        }

    # --- writing ---------------------------------------------------------------------------------------------------

    def begin(self, feed: str, *, partial: bool, source: FeedSource | None = None) -> FeedRun:
        """Begin a run over a feed, and record where it is read from."""
        connection = self._database.connection
        if source is not None:
            options = dict(source.options)
            columns = [options.pop(name, None) for name in ("key", "image", "title")]
            row = (feed, source.path, *columns, orjson.dumps(options).decode() if options else None)
            connection.execute("INSERT OR REPLACE INTO sources VALUES (?, ?, ?, ?, ?, ?)", row)
        cursor = connection.execute("INSERT INTO runs (feed, time) VALUES (?, ?)", (feed, round(time.time(), 6)))
        had_parts = connection.execute(statements.HAS_PARTS, (feed,)).fetchone()[0]
        return FeedRun(int(cursor.lastrowid or 0), feed, bool(had_parts), partial)

    def write(self, notes: Notes, seq: int | None = None, items: Mapping[str, int] | None = None) -> None:
        """Write the entries of a run; `seq` is the commit that wrote `items`, which maps keys to ids."""
        run, connection = notes.run, self._database.connection
        unchanged = [note for note in notes.entries if note.state is State.UNCHANGED]
        rejected = [note for note in notes.entries if note.state in (State.REJECTED, State.WARNING)]
        indexed = [note for note in notes.entries if note.state is State.INDEXED]
        for sql, chosen in (
            (statements.NOTE_BY_ROW, [note for note in rejected if note.part < 0]),
            (statements.NOTE_BY_KEY, [note for note in rejected if note.part >= 0]),
        ):
            connection.executemany(sql, [_row(note, run, 1, note.item, None) for note in chosen])
        run.rejected_keys |= any(note.part == 0 for note in rejected)
        if run.rejected_keys:
            taken = _json([note.key for note in (*unchanged, *indexed)])
            connection.execute(statements.SECOND_OF_A_KEY, (taken, run.feed, run.id))
        known = items or {}
        rows_written = [_row(note, run, 1, known.get(note.key or "", note.item), seq) for note in indexed]
        connection.executemany(statements.NOTE_BY_KEY, rows_written)
        same = [(note.row, run.id, note.item, note.key, run.feed) for note in unchanged]
        if same and connection.executemany(statements.NOTE_UNCHANGED, same).rowcount != len(same):
            connection.executemany(statements.NOTE_BY_KEY, [_row(note, run, 0, note.item, None) for note in unchanged])
        if run.had_parts:
            keys = _json([note.key for note in notes.entries if note.part >= 0])
            connection.execute(statements.FORGET_MENDED_PICTURES, (keys, run.feed, run.id))
            rows = _json([] if run.partial else [note.row for note in notes.entries])
            connection.execute(statements.FORGET_MENDED_ROWS, (rows, run.feed, run.id))
        moved = [(f"It is {one.new!r} now.", seq, run.feed, one.old) for one in notes.renames]
        connection.executemany(statements.NOTE_RENAMED, moved)

    def finish(self, run: FeedRun) -> None:
        """Record that a run has read its feed to the end: rows that it did not see are missing from the feed."""
        connection = self._database.connection
        connection.execute(statements.FORGET_PARTS, (run.feed, run.id))
        connection.execute(statements.MARK_MISSING, (run.feed, run.id))
        connection.execute("UPDATE runs SET complete = 1 WHERE id = ?", (run.id,))

    def remove(self, feed: str, keys: Sequence[str], seq: int | None) -> None:
        """Record that items missing from a feed have been removed, by commit `seq` if there were any."""
        connection = self._database.connection
        connection.execute(statements.NOTE_REMOVED, (seq, _json(keys), feed))
        connection.execute(statements.FORGET_PICTURES, (_json(keys), feed))


def _row(note: Note, run: FeedRun, attempts: int, item: int | None, seq: int | None) -> tuple[object, ...]:
    head = (note.key, run.feed, note.part, note.row, note.state.value, note.reason, note.source)
    return (*head, attempts, run.id, item, seq)


def _entry(row: Any) -> LedgerEntry:  # noqa: ANN401  # a row of the records
    feed, number, key, source, state, reason, attempts, *seen, first_run, last_run, seq = row
    first, last = (datetime.fromtimestamp(seconds, UTC) for seconds in seen)
    return LedgerEntry(
        feed, number, key, source, State(state), reason, attempts, first, last, first_run, last_run, seq
    )  # fmt: skip


def _json(values: Sequence[str] | Sequence[int] | Sequence[str | None]) -> str:
    return orjson.dumps(list(values)).decode()
