"""Exact search among vectors that are kept in float32 because float16 cannot hold them.

With values far from the origin, very large or very small, float32 arithmetic hardly tells rows apart. So Faiss only
finds candidates, which are scored again in float64. The rounding error of float32 has a known bound, so an answer is
either proven correct or searched for again, among more candidates and finally among all rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import faiss
import numpy as np
from numpy.typing import NDArray

from lookalike.retrieval.vector_index.kinds import Metric
from lookalike.retrieval.vector_index.selection import Selection

if TYPE_CHECKING:
    from lookalike.retrieval.vector_index.vectors import Vectors

__all__ = ["float64_scores", "search_wide"]

Rows = NDArray[np.int64]

_MORE_CANDIDATES = 16
_WIDER = 8
_FLOAT32_STEP = 2.0**-24
_ROWS_AT_ONCE = 8_192


def float64_scores(vectors: Vectors, query: NDArray[np.float32], rows: Rows) -> NDArray[np.float64]:
    """Score some rows for one query, float32 [dim]; equal vectors get equal scores to the last bit."""
    scores = np.empty(len(rows), dtype=np.float64)
    wide = query.astype(np.float64)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        some = slice(start, start + _ROWS_AT_ONCE)
        held = vectors.rows(rows[some]).astype(np.float64)
        if vectors.metric is Metric.L2:
            held -= wide
            scores[some] = -np.einsum("ij,ij->i", held, held)
        else:
            scores[some] = np.einsum("ij,j->i", held, wide)
    return scores


def search_wide(
    vectors: Vectors, queries: NDArray[np.float32], k: int, selection: Selection | None
) -> tuple[NDArray[np.float64], Rows]:
    """Find the k best rows for each query, float32 [queries, dim], among those selected; at least k must be selected.

    Return scores, float64, and rows, both [queries, k], best first, with equal scores ordered by row.
    """
    count = vectors.count if selection is None else selection.count
    scores, rows = np.empty((len(queries), k), np.float64), np.empty((len(queries), k), np.int64)
    parameters: Any = None if selection is None else faiss.SearchParameters(sel=selection.selector)
    undecided = np.arange(len(queries))
    depth = max(2 * k, k + _MORE_CANDIDATES)
    while len(undecided):
        if _WIDER * depth >= count:
            everything = np.arange(vectors.count) if selection is None else selection.rows
            for place in undecided:
                scores[place], rows[place] = _best(vectors, queries[place], everything, k)
            break
        near, candidates = vectors.index.search(queries[undecided], depth, params=parameters)
        left = []
        for place, line, some in zip(undecided, near, candidates, strict=True):
            there = some[some >= 0]
            scores[place], rows[place] = _best(vectors, queries[place], there, k)
            least = -float(line[-1]) if vectors.metric is Metric.L2 else float(line[-1])
            if not scores[place, -1] > least + _rounded(vectors, queries[place]):
                left.append(place)
        undecided = np.array(left, dtype=np.int64)
        depth *= _WIDER
    return scores, rows


def _best(vectors: Vectors, query: NDArray[np.float32], rows: Rows, k: int) -> tuple[NDArray[np.float64], Rows]:
    scores = float64_scores(vectors, query, rows)
    if len(rows) > 4 * k:  # rows that are certainly behind the first k are not sorted
        kept = np.flatnonzero(scores >= np.partition(scores, len(scores) - k)[len(scores) - k])
        scores, rows = scores[kept], rows[kept]
    order = np.lexsort((rows, -scores))[:k]
    return scores[order], rows[order]


def _rounded(vectors: Vectors, query: NDArray[np.float32]) -> float:
    """Return a bound on the float32 rounding error of a score, whatever the order of the summation.

    See Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, section 3.1. A distance may have been
    computed as the difference of squares and products.
    """
    length = float(np.linalg.norm(query.astype(np.float64)))
    reach = (length + vectors.longest) ** 2 if vectors.metric is Metric.L2 else length * vectors.longest
    return 2 * reach * (vectors.dim + 8) * _FLOAT32_STEP
