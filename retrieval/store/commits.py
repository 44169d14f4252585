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

__all__ = ["Change", "Committing", "FieldsMoved"]


class FieldsMoved(Exception):
    """A field was changed after the values of a write were coerced to its type; nothing is written.

    The caller reads the schema again, coerces the values to it and repeats the write.
    """


@dataclass(slots=True)
class Change:
    """The commit being written, and the number of items it changes."""

    seq: int
    added: int = 0
    updated: int = 0
    deleted: int = 0


class Committing(RecordReader):
    """Records in which commits can be made."""

    @contextmanager
    def _commit(self, summary: str) -> Iterator[Change]:
        """Run the block as one commit, whose time is never before the previous commit's."""
        with self._database.immediate() as connection:
            cursor = connection.execute(statements.INSERT_COMMIT, (round(time.time(), 6), summary))
            commit = Change(int(cursor.lastrowid or 0))
            yield commit
            connection.execute(
                "UPDATE commits SET added = ?, updated = ?, deleted = ? WHERE seq = ?",
                (commit.added, commit.updated, commit.deleted, commit.seq),
            )

    def _put_schema(self, schema: Schema | None, before: Schema | None = None) -> None:
        """Add the fields of a write, or widen them. The write has values of no other fields.

        `before` is the schema from which the types of `schema` were derived. Without it, a field whose type differs
        must have a type that can hold both.

        Raises:
            FieldsMoved: a field now has neither its type in `before` nor its new type.
        """
        if schema is None:
            return
        current = self.schema()
        merged = current
        for name, type_ in schema.items():
            if before is not None and current.get(name) not in (before.get(name), type_):
                raise FieldsMoved(name)
            merged = merged.widened(name, type_) if name in merged else merged.extended({name: type_})
        if merged != current:
            rows = [(name, type_.value) for name, type_ in merged.items()]
            self._database.connection.executemany(
                "INSERT INTO fields VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET type = excluded.type", rows
            )

    def _to_history(self, ids: Iterable[int], seq: int) -> None:
        """Copy the current states of items, which end with commit `seq`, to the history."""
        self._database.connection.execute(statements.TO_HISTORY, (seq, json_ids(ids)))

    def _known(self, keys: Sequence[str]) -> dict[str, int]:
        """Return the ids of the items with one of `keys`, by key."""
        connection = self._database.connection
        if connection.execute("SELECT 1 FROM items LIMIT 1").fetchone() is None:
            return {}
        sql = "SELECT i.key, i.id FROM json_each(?) AS k JOIN items AS i ON i.key = k.value"
        return dict(connection.execute(sql, (orjson.dumps(list(keys)).decode(),)))

    def _next_id(self, table: str) -> int:
        sql = "SELECT seq FROM sqlite_sequence WHERE name = ?"
        row = self._database.connection.execute(sql, (table,)).fetchone()
        return int(row[0]) + 1 if row else 1
