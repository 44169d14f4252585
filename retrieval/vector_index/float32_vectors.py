"""Exact search among vectors that are kept in float32, because float16 does not hold them.

Values far from the origin, very large or very small ones leave float32 arithmetic little to tell rows apart by: so
Faiss only finds candidates, which are scored anew in float64. What it may have rounded away is known, so the answer is
either seen to be the true one, or looked for again among more candidates and at last among all rows.
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
    """Compare one query, float32 [dim], with some rows; of equal vectors equal to the last bit."""
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
    """Find the k best rows for each query, float32 [queries, dim], among those selected, k of which there are.

    Returns scores, float64, and rows, both [queries, k], best first, equal scores in the order of the rows.
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
    if len(rows) > 4 * k:  # what is certainly behind the first k needs no order
        kept = np.flatnonzero(scores >= np.partition(scores, len(scores) - k)[len(scores) - k])
        scores, rows = scores[kept], rows[kept]
    order = np.lexsort((rows, -scores))[:k]
    return scores[order], rows[order]


def _rounded(vectors: Vectors, query: NDArray[np.float32]) -> float:
    """Return the most that float32 can have rounded away from a score, whatever the order of its sum.

    Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, section 3.1; a distance may have been computed
    as the difference of squares and products.
    """
    length = float(np.linalg.norm(query.astype(np.float64)))
    reach = (length + vectors.longest) ** 2 if vectors.metric is Metric.L2 else length * vectors.longest
    return 2 * reach * (vectors.dim + 8) * _FLOAT32_STEP
