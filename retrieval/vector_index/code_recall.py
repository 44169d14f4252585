"""The recall of an index of codes for any number of lists and candidates and any filter, computed from one full scan.

A search that visits some of the lists sees the rows in them in the same order by code as a full scan does. So the first
thousands of rows by code are ranked once, together with each row's list and the point at which the query would visit
it; the recall of any setting is then counted from that. Searching anew for each setting took ten times as long.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lookalike.retrieval.vector_index.approximate import Approximate

__all__ = ["Ranking"]

Rows = NDArray[np.int64]

_RANKED = 8_192
"""Number of rows ranked for each query. A true neighbour beyond that, which is very rare, counts as not found."""


class Ranking:
    """The first rows by code for each query, float32 [queries, dim], and the number of lists that reaches each row."""

    def __init__(self, built: Approximate, queries: NDArray[np.float32]) -> None:
        self._rows = built.candidates(queries, min(_RANKED, built.vectors.count), built.lists, None)
        nearest = built.nearest_lists(queries, built.lists)
        needed = np.empty(nearest.shape, dtype=np.int32)
        np.put_along_axis(needed, nearest, np.arange(1, built.lists + 1, dtype=np.int32)[None], axis=1)
        self._needed = np.take_along_axis(needed, built.list_of(self._rows), axis=1)
        self._needed[self._rows < 0] = built.lists + 1

    def among(self, mask: NDArray[np.bool_] | None, truth: Sequence[Rows]) -> RankingAmong:
        """Restrict the ranking to the rows of `mask` (None: all), among which `truth` are the best for each query."""
        needed = self._needed if mask is None else np.where(mask[self._rows], self._needed, np.iinfo(np.int32).max)
        best = np.zeros(self._rows.shape, dtype=np.bool_)
        for line, rows, wanted in zip(best, self._rows, truth, strict=True):
            line[:] = np.isin(rows, wanted)
        return RankingAmong(needed, best, np.array([len(wanted) for wanted in truth]))


class RankingAmong:
    """For each ranked row, the number of lists to visit to reach it and whether it is among the best for its query."""

    def __init__(self, needed: NDArray[np.int32], best: NDArray[np.bool_], wanted: NDArray[np.int64]) -> None:
        self._best = np.nonzero(best)
        self._needed = needed[:, : int(self._best[1].max(initial=0)) + 1]
        self._wanted = wanted
        self._of_lists: dict[int, NDArray[np.uint16]] = {}

    def recall(self, lists: int, candidates: int) -> float:
        """Return the share of the best rows in the first `candidates` rows of `lists` lists, averaged over queries."""
        if lists not in self._of_lists:
            self._of_lists[lists] = self._ranks(lists)
        found = self._best[0][self._of_lists[lists] <= candidates]
        hits = np.bincount(found, minlength=len(self._wanted))
        asked = self._wanted > 0
        return float(np.mean(hits[asked] / self._wanted[asked])) if asked.any() else 1.0

    def _ranks(self, lists: int) -> NDArray[np.uint16]:
        """Return each true neighbour's rank, from 1, within `lists` lists; the uint16 maximum if it is not there."""
        seen = self._needed <= lists
        ranks = np.cumsum(seen, axis=1, dtype=np.uint16)[self._best]
        ranks[~seen[self._best]] = np.iinfo(np.uint16).max
        return ranks
