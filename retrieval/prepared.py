"""A search by one vector like one that was answered before: all that does not depend on the vector is made ready.

On a large catalog a search takes some 100 microseconds, and as much again goes into Python finding its way to it
through memory that the search has just pushed out of the processor's caches; so the way is kept short.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.columns import Columns
from retrieval.query import Page, Results

__all__ = ["Prepared"]


class Prepared:
    """Searches rows that are items, in one segment without images.

    `search` takes float32 [1, dim] and gives scores and rows, [1, k], best first; `names` are the fields of hits.
    """

    __slots__ = ("_columns", "_exact", "_how", "_names", "_search", "_total")

    def __init__(
        self,
        search: Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.int64]]],
        columns: Columns,
        names: Sequence[str] | None,
        like: Results,
    ) -> None:
        self._search = search
        self._columns = columns
        self._names = names
        self._total, self._exact, self._how = like.total, like.exact, like.plan

    def results(self, query: NDArray[np.float32]) -> Results | None:
        """Answer one query, float32 [1, dim]; None where it takes the long way: too little was found."""
        started = time.perf_counter()
        scores, rows = self._search(query)
        places = rows[0]
        if not len(places) or places[-1] < 0:
            return None
        line = scores[0].tolist()
        page = Page(self._columns.keys(places), line, {"vector": line}, None, self._columns.rows(places, self._names))
        return Results(page, self._total, self._exact, self._how, (time.perf_counter() - started) * 1000)
