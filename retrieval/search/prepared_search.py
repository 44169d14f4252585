"""A search by one vector like one that was answered before: all that does not depend on the vector is made ready.

On a large catalog a search takes some 100 microseconds, and as much again goes into Python finding its way to it
through memory that the search has just pushed out of the processor's caches; so the way is kept short.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from lookalike.retrieval.generations.columns import Columns
from lookalike.retrieval.query import Page, Results
from lookalike.retrieval.vector_index import FoundOne, Metric

__all__ = ["Prepared"]


class Prepared:
    """Searches rows that are items, in one segment without images.

    `search` takes float32 [1, dim]; `names` are the fields of hits, `total` the items that satisfy the filter.
    """

    __slots__ = ("_columns", "_metric", "_names", "_search", "_total")

    def __init__(
        self,
        search: Callable[[NDArray[np.float32]], FoundOne],
        columns: Columns,
        names: Sequence[str] | None,
        total: int,
        metric: Metric,
    ) -> None:
        self._search = search
        self._columns = columns
        self._names = names
        self._total = total
        self._metric = metric

    def results(self, query: NDArray[np.float32]) -> Results:
        """Answer one query, float32 [1, dim]."""
        started = time.perf_counter()
        found = self._search(query)
        places, line = found.rows, self._metric.shown_line(found.scores)
        page = Page(self._columns.keys(places), line, {"vector": line}, None, self._columns.rows(places, self._names))
        return Results(page, self._total, found.exact, found.how, (time.perf_counter() - started) * 1000)
