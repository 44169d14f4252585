"""A set of items frozen at one commit: their columns, and their vectors by space, with the item of each vector.

The newest generation is one segment, read from disk; items committed since are in further segments, in memory. An item
that a later segment has, or that was deleted, is masked in the earlier ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from polars.exceptions import PolarsError

from lookalike.data.counted import counted
from lookalike.data.errors import CatalogDamaged
from lookalike.retrieval.generations.columns import Columns
from lookalike.retrieval.schema import Schema
from lookalike.retrieval.spaces.space import Space
from lookalike.retrieval.store.records import Records
from lookalike.retrieval.stored_rows import Ids
from lookalike.retrieval.vector_index import EXACT, Approximate, Found, Selection, Vectors

__all__ = ["Segment", "SpaceRows", "load_columns", "load_segment"]

_ITEMS_AT_ONCE = 16_384


@dataclass(frozen=True, slots=True)
class SpaceRows:
    """The vectors of one space in a segment, in the order of their items.

    `vector_ids`, `image_ids` (0: none) and `items` (positions of items in the segment) are int64 [vectors.count].
    `most_per_item` is the largest number of vectors of one item; with `one_each`, row i belongs to item i.
    """

    vectors: Vectors
    vector_ids: Ids
    image_ids: Ids
    items: Ids
    approximate: Approximate | None = None
    most_per_item: int = field(init=False)
    one_each: bool = field(init=False)
    has_images: bool = field(init=False)

    def __post_init__(self) -> None:
        most = int(np.bincount(self.items).max()) if len(self.items) else 1
        object.__setattr__(self, "most_per_item", most)
        one_each = most == 1 and (not len(self.items) or int(self.items[-1]) == len(self.items) - 1)
        object.__setattr__(self, "one_each", one_each)
        object.__setattr__(self, "has_images", bool(self.image_ids.any()))

    def search(self, queries: NDArray[np.float32], k: int, recall: float, selection: Selection | None) -> Found:
        """Find the k best rows for each query, float32 [queries, dim], among those selected."""
        if self.approximate is not None and recall < EXACT:
            return self.approximate.search(queries, k, recall, selection)
        scores, rows = self.vectors.search(queries, k, selection)
        count = self.vectors.count if selection is None else selection.count
        return Found(scores, rows, True, f"exact scan of {counted(count, 'vector')}")

    def rows_of(self, items: Ids) -> tuple[Ids, Ids]:
        """Return the rows of some items, and for each row the place in `items` of the item it belongs to."""
        starts = np.searchsorted(self.items, items, side="left")
        counts = np.searchsorted(self.items, items, side="right") - starts
        places = np.repeat(np.arange(len(items)), counts)
        offsets = np.arange(len(places)) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(starts, counts) + offsets, places


@dataclass(frozen=True, slots=True)
class Segment:
    """Items by ascending id, int64 [items], with `columns` in the same order."""

    seq: int
    item_ids: Ids
    columns: Columns
    spaces: Mapping[str, SpaceRows]

    def positions_of(self, ids: Ids) -> Ids:
        """Return the positions of the items with these ids, leaving out ids that are not in the segment."""
        places = np.searchsorted(self.item_ids, ids)
        places[places == len(self.item_ids)] = 0
        return places[self.item_ids[places] == ids] if len(self.item_ids) else places[:0]


def load_segment(
    records: Records,
    schema: Schema,
    spaces: Mapping[str, Space],
    seq: int,
    ids: Ids | None = None,
    *,
    as_of: int | None = None,
) -> Segment:
    """Read the state of all items, or of `ids`, from the records, now or as of a commit. Call this within one snapshot.

    Raises:
        CatalogDamaged: the stored data is not as it was written.
    """
    item_ids, columns = load_columns(records, schema, ids, as_of=as_of)
    rows = {}
    for name, space in spaces.items():
        read = records.vectors(space.stored, space.dim, ids, as_of=as_of)
        items = np.searchsorted(item_ids, read.item_ids)
        rows[name] = SpaceRows(Vectors.of(read.vectors, space.metric), read.ids, read.image_ids, items)
    return Segment(seq, item_ids, columns, rows)


def load_columns(
    records: Records,
    schema: Schema,
    ids: Ids | None = None,
    *,
    as_of: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[Ids, Columns]:
    """Read the ids, ascending, and the columns of all items or of `ids`, ending early once `stopped` returns True.

    Items are read in batches, since they take far less memory as columns.

    Raises:
        CatalogDamaged: the stored data is not as it was written.
    """
    item_ids: list[NDArray[np.int64]] = []

    def batches() -> Iterator[tuple[list[str], list[str | None], list[str]]]:
        last = 0
        while not stopped():
            if ids is not None:
                items = records.items(ids, as_of=as_of) if not item_ids else []
            else:
                items = records.items_after(last, _ITEMS_AT_ONCE, as_of=as_of)
            if not items:
                return
            item_ids.append(np.fromiter((item.id for item in items), dtype=np.int64, count=len(items)))
            last = items[-1].id
            yield [item.key for item in items], [item.title for item in items], [item.fields for item in items]

    try:
        columns = Columns.from_batches(schema, batches())
    except (ValueError, TypeError, AttributeError, PolarsError) as error:
        raise CatalogDamaged(
            f"The items in the records are not as they were written ({error}). For details: lookalike verify CATALOG"
        ) from error
    return np.concatenate(item_ids) if item_ids else np.empty(0, np.int64), columns
