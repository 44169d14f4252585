"""Writing ready vectors and changing items, coerced to the fields as each transaction finds them.

The values of a write are coerced before its transaction, to the schema at that moment. Another process may change a
field in between. The records then refuse the write, and its values are coerced again to the current schema.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from lookalike.data.errors import ItemExists
from lookalike.models import Matrix
from lookalike.retrieval.arguments import Columns
from lookalike.retrieval.input_checks import changes, vector_writes, with_fields_of
from lookalike.retrieval.spaces.catalog_file import CatalogFile
from lookalike.retrieval.spaces.space import SpaceName
from lookalike.retrieval.store.commits import FieldsMoved
from lookalike.retrieval.store.records import Records

__all__ = ["by_current_fields", "change_items", "put_vectors"]

Result = TypeVar("Result")


def by_current_fields(write: Callable[[], Result]) -> Result:
    """Call `write`, which reads the schema each time, until no field is changed while it runs; return its result.

    Each repetition means that another writer has committed a change of a field, so this ends.
    """
    while True:
        try:
            return write()
        except FieldsMoved:
            continue


def put_vectors(
    records: Records,
    file: CatalogFile,
    keys: Sequence[str],
    rows: Matrix,
    columns: Columns,
    titles: Sequence[str | None] | None,
    *,
    refuse: bool,
) -> int:
    """Insert or replace items that are ready vectors, float32 [keys, dim], in transactions; return the last commit.

    Raises:
        UsageError: lengths differ, a key or a title is invalid, or a key occurs twice.
        FieldTypeError: a value does not fit its field's type.
        ItemExists: `refuse` is set and an item with one of the keys exists.
    """
    if refuse and (there := records.items_of_keys(keys)):
        raise ItemExists(next(key for key in keys if key in there))
    seq = records.version()[0]
    done = 0

    def write() -> int:
        nonlocal seq, done
        before = records.schema()
        schema = with_fields_of(before, columns, columns.kinds)
        given = schema.only(columns)
        left = columns if not done else {name: values[done:] for name, values in columns.items()}
        for writes in vector_writes(
            keys[done:], rows[done:], left, titles and titles[done:], schema, file.spaces[SpaceName.IMAGE]
        ):
            seq = records.put_vectors(writes, schema=given, before=before, refuse=refuse, stored=file.stored)
            done += len(writes.keys)
            before = schema
        return seq

    return by_current_fields(write)


def change_items(
    records: Records,
    file: CatalogFile,
    keys: Sequence[str],
    columns: Columns,
    titles: Sequence[str | None] | None,
    title_vectors: Matrix | None,
) -> int:
    """Change fields and titles of items in one transaction; return its commit.

    Raises:
        UsageError: lengths differ, a key or a title is invalid, or a key occurs twice.
        FieldTypeError: a value does not fit its field's type.
        ItemNotFound: no item has one of the keys; nothing is written.
    """

    def write() -> int:
        before = records.schema()
        schema = with_fields_of(before, columns, columns.kinds)
        changed = changes(keys, columns, titles, title_vectors, schema)
        return records.update(changed, schema=schema.only(columns), before=before, stored=file.stored)

    return by_current_fields(write)
