"""Comparison of items about to be written with the records, to find those that differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import orjson

from lookalike.retrieval.spaces.space import Space
from lookalike.retrieval.store.records import Records
from lookalike.retrieval.stored_rows import ItemWrite
from lookalike.retrieval.vector_blobs import to_blob

__all__ = ["changed_items"]


def changed_items(
    records: Records, spaces: Mapping[str, Space], writes: Sequence[ItemWrite]
) -> tuple[list[ItemWrite], list[ItemWrite], dict[str, int]]:
    """Return the writes of new items, the writes of items that differ, and the ids of the unchanged items by key.

    Keys must be unique, and the writes must have all vectors of their items.
    """
    known = records.items_of_keys([write.key for write in writes])
    ids = np.array(sorted(row.id for row in known.values()), dtype=np.int64)
    images = records.images(ids.tolist())
    held: dict[str, dict[int, list[bytes]]] = {}
    for name, space in spaces.items():
        rows = records.vectors(space.stored, space.dim, ids)
        by_item: dict[int, list[bytes]] = held.setdefault(name, {})
        for item_id, vector in zip(rows.item_ids.tolist(), rows.vectors, strict=True):
            by_item.setdefault(item_id, []).append(to_blob(vector))
    new: list[ItemWrite] = []
    changed: list[ItemWrite] = []
    unchanged: dict[str, int] = {}
    for write in writes:
        row = known.get(write.key)
        if row is None:
            new.append(write)
            continue
        pictures = write.images or ()
        vectors = [write.bare_vector] if write.bare_vector else [image.vector for image in pictures]
        titles = [write.title_vector] if isinstance(write.title_vector, bytes) else []
        same = (
            row.title == write.title
            and _present(row.fields) == _present(write.fields)
            and [(one.source, one.sha256, one.width, one.height) for one in images.get(row.id, ())]
            == [(one.source, one.sha256, one.width, one.height) for one in pictures]
            and held["image"].get(row.id, []) == vectors
            and held.get("looks", {}).get(row.id, []) == [one.looks for one in pictures if one.looks is not None]
            and held.get("title", {}).get(row.id, []) == titles
        )
        if same:
            unchanged[row.key] = row.id
        else:
            changed.append(write)
    return new, changed, unchanged


def _present(fields: str) -> dict[str, object]:
    return {name: value for name, value in orjson.loads(fields).items() if value is not None}
