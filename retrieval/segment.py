"""A set of items frozen at one commit: their columns, and their vectors by space, each row knowing its item.

The newest generation is one segment, read from disk; what was committed since is more of them, in memory. An item that
a later segment has, or that was deleted, is masked in the earlier ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from polars.exceptions import PolarsError

from data.errors import CatalogDamaged
from retrieval.columns import Columns
from retrieval.query import EXACT
from retrieval.records import Records
from retrieval.rows import VectorRows
from retrieval.schema import Schema
from retrieval.vector_index import Approximate, Found, Metric, Selection, Vectors

__all__ = ["Segment", "Space", "SpaceRows", "load_segment"]

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Space:
    """A named set of vectors of one kind: all of one dimension, compared by one metric."""

    name: str
    dim: int
    metric: Metric


@dataclass(frozen=True, slots=True)
class SpaceRows:
    """The vectors of one space in a segment, in the order of their items.

    `vector_ids`, `image_ids` (0: none) and `items` (positions of items in the segment) are int64 [vectors.count];
    `most_per_item` is the number of vectors of the item that has most.
    """

    vectors: Vectors
    vector_ids: Ids
    image_ids: Ids
    items: Ids
    approximate: Approximate | None = None
    most_per_item: int = field(init=False)

    def __post_init__(self) -> None:
        most = int(np.bincount(self.items).max()) if len(self.items) else 1
        object.__setattr__(self, "most_per_item", most)

    def search(self, queries: NDArray[np.float32], k: int, recall: float, selection: Selection | None) -> Found:
        """Find the k best rows for each query, float32 [queries, dim], among those selected."""
        if self.approximate is not None and recall < EXACT:
            return self.approximate.search(queries, k, recall, selection)
        scores, rows = self.vectors.search(queries, k, selection)
        count = self.vectors.count if selection is None else selection.count
        return Found(scores, rows, True, f"exact scan of {count:,} vectors")

    def rows_of(self, items: Ids) -> tuple[Ids, Ids]:
        """Return the rows of some items, and for each row which of `items` (by place) it belongs to."""
        starts = np.searchsorted(self.items, items, side="left")
        counts = np.searchsorted(self.items, items, side="right") - starts
        places = np.repeat(np.arange(len(items)), counts)
        offsets = np.arange(len(places)) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(starts, counts) + offsets, places


@dataclass(frozen=True, slots=True)
class Segment:
    """Items by ascending id, int64 [items], with `columns` row for row."""

    seq: int
    item_ids: Ids
    columns: Columns
    spaces: Mapping[str, SpaceRows]

    def positions_of(self, ids: Ids) -> Ids:
        """Return where items of these ids are, leaving out those that are not here."""
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
    """Read the state of all items, or of some, from the records, now or as of a commit; call within one snapshot.

    Raises:
        CatalogDamaged: what is there is not what was written.
    """
    items = records.items(ids, as_of=as_of)
    try:
        item_ids = np.fromiter((item.id for item in items), dtype=np.int64, count=len(items))
        columns = Columns.from_json(
            schema, [item.key for item in items], [item.title for item in items], [item.fields for item in items]
        )
    except (ValueError, TypeError, AttributeError, PolarsError) as error:
        raise CatalogDamaged(
            f"The items in the records are not as they were written ({error}). See more with: lookalike verify CATALOG"
        ) from error
    rows = {
        name: _space_rows(records.vectors(name, space.dim, ids, as_of=as_of), item_ids, space.metric)
        for name, space in spaces.items()
    }
    return Segment(seq, item_ids, columns, rows)


def _space_rows(rows: VectorRows, item_ids: Ids, metric: Metric) -> SpaceRows:
    items = np.searchsorted(item_ids, rows.item_ids)
    return SpaceRows(Vectors.of(rows.vectors, metric), rows.ids, rows.image_ids, items)
