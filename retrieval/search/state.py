"""The interface of a state of a catalogue to a search, independent of how the state is stored.

Rankings, facets and recall use only `State`. `SegmentedState` is the state of a catalogue on disk. An item's place is
its number within one state; items are passed around by place, as int64 arrays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lookalike.data.item import Value
from lookalike.retrieval.filters import Filter
from lookalike.retrieval.schema import Schema
from lookalike.retrieval.search.allowed import Allowed
from lookalike.retrieval.spaces.catalog_file import CatalogFile
from lookalike.retrieval.stored_rows import Ids

__all__ = ["Compared", "Nearest", "Scores", "State"]

Scores = NDArray[np.float32]


class Nearest(NamedTuple):
    """The best items for one query, best first, each with its score and the id of the image that scored best (0: none).

    `exact` is whether no better item can have been missed; `plan` describes the search in words.
    """

    items: Ids
    scores: Scores
    image_ids: Ids
    exact: bool
    plan: str


class Compared(NamedTuple):
    """Items compared with a query and with some vectors, float32; NaN where an item has no vector in the space.

    `totals` [items] are the scores of each item's best vector for the query, `image_ids` [items] the pictures of those
    vectors (0: none), and `parts` [vectors, items] the best similarity to each of the vectors by itself.
    """

    totals: Scores
    image_ids: Ids
    parts: Scores


class State(Protocol):
    """One state of a catalogue, immutable, after the commit `seq`."""

    @property
    def schema(self) -> Schema:
        """The fields and their types."""
        ...

    @property
    def seq(self) -> int:
        """The number of its newest commit."""
        ...

    @property
    def file(self) -> CatalogFile:
        """The spaces, and the models that made their vectors."""
        ...

    @property
    def has_images(self) -> bool:
        """Whether any vector belongs to a picture."""
        ...

    @property
    def everything(self) -> Allowed:
        """All items."""
        ...

    def allowed(self, filter: Filter | None, without: Ids | None = None) -> Allowed:
        """Return the items that satisfy a filter, except those with the ids `without`.

        Raises:
            FilterError: the filter does not fit the fields.
        """
        ...

    def only(self, ids: Ids, allowed: Allowed) -> Allowed:
        """Return the allowed items that have one of these ids."""
        ...

    def nearest(self, space: str, query: NDArray[np.float32], limit: int, allowed: Allowed, recall: float) -> Nearest:
        """Find the best `limit` items for a query, float32 [dim]. An item's score is that of its best vector."""
        ...

    def compare(self, space: str, query: NDArray[np.float32], vectors: NDArray[np.float32], items: Ids) -> Compared:
        """Compare items with a query, float32 [dim], and with each of `vectors`, float32 [vectors, dim]."""
        ...

    def sample(self, space: str) -> NDArray[np.float32]:
        """Return a few thousand vectors spread over the items, float32 [rows, dim]."""
        ...

    def has_vectors(self, space: str) -> bool:
        """Return whether any item has a vector in the space."""
        ...

    def vectors_of(self, space: str, item_id: int) -> NDArray[np.float32]:
        """Return the vectors of one item by id, float32 [vectors, dim]; no rows where it has none."""
        ...

    def item_ids(self, items: Ids) -> Ids:
        """Return the ids of items."""
        ...

    def first_items(self, allowed: Allowed, start: int, count: int) -> Ids:
        """Return allowed items in the order in which their keys were first added."""
        ...

    def first_images(self, space: str, items: Ids) -> Ids:
        """Return the id of each item's first image, 0 where it has none."""
        ...

    def rows(self, items: Ids, names: Sequence[str] | None = None) -> tuple[list[str], Mapping[str, Sequence[Value]]]:
        """Return the keys of items, and their values of the named fields, by default of all and the title.

        Raises:
            UsageError: there is no such field.
        """
        ...

    def value_counts(self, name: str, allowed: Allowed) -> Counter[str | bool]:
        """Count the values of a field of texts, truth values or lists of texts among the allowed items."""
        ...

    def value_range(self, name: str, allowed: Allowed) -> tuple[Value, Value] | None:
        """Return the least and the greatest value of a field of numbers or times; None if there is no value."""
        ...
