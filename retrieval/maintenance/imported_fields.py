"""The fields of a table that is being imported, beside those of the catalog."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from lookalike.retrieval.schema import Schema
from lookalike.retrieval.store.commits import FieldsMoved
from lookalike.retrieval.store.ledger import Notes
from lookalike.retrieval.store.records import Records
from lookalike.retrieval.stored_rows import ItemWrite

__all__ = ["ImportedFields"]


class ImportedFields:
    """The catalog's fields with those of the rows so far; only the table's own fields are ever written.

    `names` are the table's fields, and `declared` their types according to an exported file.
    """

    def __init__(self, records: Records, names: Collection[str], declared: Schema | None, *, summary: str) -> None:
        self._records = records
        self._names = frozenset(names)
        self._declared = declared
        self._summary = summary
        self._read()

    def _read(self) -> None:
        self._before = self._schema = self._records.schema()
        if self._declared is not None:
            self._schema = _merged(self._before, self._declared)

    def taking(self, extended: Callable[[Schema], Schema]) -> Schema:
        """Return the fields after `extended` has extended them."""
        self._schema = extended(self._schema)
        return self._schema

    def put(self, writes: Sequence[ItemWrite], notes: Notes, stored: Mapping[str, str]) -> None:
        """Write items in one transaction.

        Raises:
            FieldsMoved: a field of the table was changed meanwhile; the fields have been read again.
        """
        schema = self._schema.only(self._names)
        try:
            self._records.upsert(
                writes, schema=schema, before=self._before, summary=self._summary, notes=notes, stored=stored
            )
        except FieldsMoved:
            self._read()
            raise
        self._before = self._schema

    def declare(self) -> None:
        """Declare the table's fields that the catalog does not have."""
        missing = self._schema.only(self._names - self._records.schema().keys())
        if missing:
            self._records.add_fields(missing, summary=self._summary)


def _merged(schema: Schema, more: Schema) -> Schema:
    for name, type_ in more.items():
        schema = schema.widened(name, type_) if name in schema else schema.extended({name: type_})
    return schema
