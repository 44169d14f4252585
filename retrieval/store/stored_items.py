"""Items as the catalog returns them, read from the records: some by key, or all as a stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import orjson

from lookalike.data.errors import ItemNotFound, UsageError
from lookalike.retrieval.store.records import Records
from lookalike.retrieval.stored_rows import Ids, ItemRow, StoredItem

__all__ = ["items_of_keys", "stream"]


def items_of_keys(records: Records, keys: Sequence[str], as_of: int | None) -> list[StoredItem]:
    """Read items by key, in the order of `keys`.

    Raises:
        ItemNotFound: no item has one of the keys.
    """
    with records.snapshot():
        rows = records.items_of_keys(keys, as_of=as_of)
        for key in keys:
            if key not in rows:
                raise ItemNotFound(key)
        items = dict(zip(rows, _stored(records, list(rows.values()), as_of), strict=True))
    return [items[key] for key in keys]


def stream(records: Records, as_of: int, batch: int, ids: Ids | None = None) -> Iterator[StoredItem]:
    """Yield all items as of a commit, or those of `ids`, in the order of their ids, reading `batch` at a time.

    Raises:
        UsageError: the state was purged meanwhile.
    """
    last, place = 0, 0
    while True:
        with records.snapshot():
            if as_of < records.purged_before():
                raise UsageError(f"The state as of commit {as_of} was purged while it was being read.")
            if ids is None:
                rows = records.items_after(last, batch, as_of=as_of)
            else:
                rows = records.items(ids[place : place + batch], as_of=as_of) if place < len(ids) else []
            items = _stored(records, rows, as_of)
        if not rows:
            return
        yield from items
        last, place = rows[-1].id, place + batch


def _stored(records: Records, rows: Sequence[ItemRow], as_of: int | None) -> list[StoredItem]:
    schema = records.schema(as_of=as_of)
    images = records.images(np.array([row.id for row in rows], dtype=np.int64), as_of=as_of)
    items = []
    for row in rows:
        stored = orjson.loads(row.fields)
        fields = {name: schema.restore(name, stored.get(name)) for name in schema}
        items.append(StoredItem(row.key, row.title, fields, tuple(images.get(row.id, ()))))
    return items
