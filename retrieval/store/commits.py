"""Commits: transactions with a number and a time, and the rows that every kind of commit writes or looks up."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import orjson

from lookalike.retrieval.schema import Schema
from lookalike.retrieval.store import statements
from lookalike.retrieval.store.reader import RecordReader, json_ids

__all__ = ["Change", "Committing"]


@dataclass(slots=True)
class Change:
    """The commit being written, and how many items it changes."""

    seq: int
    added: int = 0
    updated: int = 0
    deleted: int = 0


class Committing(RecordReader):
    """Records in which commits can be made."""

    @contextmanager
    def _commit(self, summary: str) -> Iterator[Change]:
        """Make the block one commit; its time is never before that of the commit before it."""
        with self._database.immediate() as connection:
            cursor = connection.execute(statements.INSERT_COMMIT, (round(time.time(), 6), summary))
            commit = Change(int(cursor.lastrowid or 0))
            yield commit
            connection.execute(
                "UPDATE commits SET added = ?, updated = ?, deleted = ? WHERE seq = ?",
                (commit.added, commit.updated, commit.deleted, commit.seq),
            )

    def _put_schema(self, schema: Schema | None) -> None:
        """Add fields; one that another process has just added must be of a type that can hold both."""
        if schema is None:
            return
        current = self.schema()
        merged = current
        for name, type_ in schema.items():
            merged = merged.widened(name, type_) if name in merged else merged.extended({name: type_})
        if merged != current:
            rows = [(name, type_.value) for name, type_ in merged.items()]
            self._database.connection.executemany(
                "INSERT INTO fields VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET type = excluded.type", rows
            )

    def _to_history(self, ids: Iterable[int], seq: int) -> None:
        """Keep the states that end with a commit."""
        self._database.connection.execute(statements.TO_HISTORY, (seq, json_ids(ids)))

    def _known(self, keys: Sequence[str]) -> dict[str, int]:
        """Return the ids of those of `keys` that are there, by key."""
        connection = self._database.connection
        if connection.execute("SELECT 1 FROM items LIMIT 1").fetchone() is None:
            return {}
        sql = "SELECT i.key, i.id FROM json_each(?) AS k JOIN items AS i ON i.key = k.value"
        return dict(connection.execute(sql, (orjson.dumps(list(keys)).decode(),)))

    def _next_id(self, table: str) -> int:
        sql = "SELECT seq FROM sqlite_sequence WHERE name = ?"
        row = self._database.connection.execute(sql, (table,)).fetchone()
        return int(row[0]) + 1 if row else 1
