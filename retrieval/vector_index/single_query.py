"""Searches by one query, by the shortest path through Python to Faiss.

A search evicts most of Python from the processor's caches, so each call along the way takes several times as long as it
would in a tight loop.
"""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from lookalike.retrieval.vector_index.vectors import Rows, Scores, ordered

__all__ = ["FoundOne", "OneQuery"]


class FoundOne(NamedTuple):
    """The rows that one query found, int64 [k], best first, and their scores, [k]; `exact` and `how` as in `Found`."""

    scores: Scores
    rows: Rows
    exact: bool
    how: str


class OneQuery:
    """Searches a Faiss index for the k best rows by one query; with `distances`, scores are negated distances."""

    __slots__ = ("_distances", "_k", "_parameters", "_search")

    def __init__(self, index: Any, k: int, parameters: Any, *, distances: bool) -> None:  # noqa: ANN401
        self._search = index.search_c
        self._k = k
        self._parameters = parameters
        self._distances = distances

    def __call__(self, query: NDArray[np.float32]) -> tuple[Scores, Rows]:
        """Return scores and rows, best first, row -1 for no more; `query` is contiguous float32 [1, dim]."""
        k = self._k
        scores, rows = np.empty(k, dtype=np.float32), np.empty(k, dtype=np.int64)
        pointer = faiss.swig_ptr
        self._search(1, pointer(query), k, pointer(scores), pointer(rows), self._parameters)
        if self._distances:
            np.negative(scores, out=scores)
        line = scores.tolist()
        if all(map(operator.gt, line, line[1:])):
            return scores, rows
        in_order = ordered(scores[None], rows[None], k)
        return in_order[0][0], in_order[1][0]
