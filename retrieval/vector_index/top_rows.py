"""The best rows for many queries, selected from scores that arrive one block of rows at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["BestOfBlocks"]

Scores = NDArray[np.float32]
Rows = NDArray[np.int64]


class BestOfBlocks:
    """The k best rows so far for each query, from blocks of scores that arrive one after another.

    Few scores of a later block beat the current k-th best, so they are collected and sorted in only once there are
    many.
    """

    def __init__(self, queries: int, k: int) -> None:
        self._k = k
        self._least = np.full((queries, 1), -np.inf, dtype=np.float32)
        self._found: list[tuple[Rows, Scores, Rows]] = []  # query, score, row
        self._waiting = 0

    def offer(self, scores: Scores, first: int) -> None:
        """Add the scores, float32 [queries, rows], of consecutive rows starting at `first`."""
        if not self._found and scores.shape[1] > self._k:
            columns = np.argpartition(scores, -self._k, axis=1)[:, -self._k :]
            places = (columns + np.arange(len(scores))[:, None] * scores.shape[1]).ravel()
        else:
            places = np.flatnonzero(scores > self._least)
        queries, columns = np.divmod(places, scores.shape[1])
        self._found.append((queries, scores.ravel()[places], columns + first))
        self._waiting += len(places)
        if self._waiting >= len(scores) * self._k:
            self._order()

    def rows(self) -> Rows:
        """Return the best rows, int64 [queries, k], best first."""
        self._order()
        return self._found[0][2].reshape(len(self._least), self._k)

    def _order(self) -> None:
        queries, scores, rows = (np.concatenate(parts) for parts in zip(*self._found, strict=True))
        order = np.lexsort((-scores, queries))
        starts = np.searchsorted(queries[order], np.arange(len(self._least)))
        kept = order[np.arange(len(order)) - starts[queries[order]] < self._k]
        self._found, self._waiting = [(queries[kept], scores[kept], rows[kept])], 0
        whole = np.bincount(queries[kept], minlength=len(self._least)) == self._k
        if whole.all():
            self._least = scores[kept].reshape(-1, self._k)[:, -1:]
