"""Ties for the last place of an answer: among rows with equal scores, the lowest row numbers win."""

from __future__ import annotations

from typing import TYPE_CHECKING

import faiss
import numpy as np
from numpy.typing import NDArray

from lookalike.retrieval.vector_index.float32_vectors import float64_scores
from lookalike.retrieval.vector_index.kinds import Metric
from lookalike.retrieval.vector_index.selection import Selection
from lookalike.retrieval.vector_index.stages import Rows, Scores, Search

if TYPE_CHECKING:
    from lookalike.retrieval.vector_index.vectors import Vectors

__all__ = ["closed", "lowest_tied"]

_WIDER = 4
_FIRST_SHARE = 8
_ROWS_AT_ONCE = 8_192


def closed(
    search: Search, vectors: Vectors, queries: NDArray[np.float32], depth: int, selection: Selection | None
) -> tuple[Scores, Rows]:
    """Find the `depth` best rows for each query, ordering equal scores by row, including ties for the last place.

    `search` is first asked for one row more than `depth`. If that row ties with the last one, `search` is asked for
    four times `depth`. If all of those tie as well, the vectors are scanned for the lowest rows with that score.
    """
    count = vectors.count if selection is None else selection.count
    scores, rows = search(queries, min(depth + 1, count))
    if scores.shape[1] <= depth:
        return scores, rows
    tied = np.flatnonzero((scores[:, depth] == scores[:, depth - 1]) & (rows[:, depth] >= 0))
    scores, rows = scores[:, :depth], rows[:, :depth]
    if not len(tied):
        return scores, rows
    deeper, places = search(queries[tied], min(depth * _WIDER, count))
    scores[tied], rows[tied] = deeper[:, :depth], places[:, :depth]
    if deeper.shape[1] == count:
        return scores, rows
    for place in tied[(deeper[:, -1] == deeper[:, depth - 1]) & (places[:, -1] >= 0)]:
        line = scores[place]
        first = int(np.count_nonzero(line > line[-1]))
        found = lowest_tied(vectors, queries[place], line[-1], rows[place, :first], depth - first, selection)
        rows[place, first:] = np.union1d(found, rows[place, first:])[: depth - first]
    return scores, rows


def lowest_tied(
    vectors: Vectors,
    query: NDArray[np.float32],
    score: np.floating,
    better: Rows,
    wanted: int,
    selection: Selection | None,
) -> Rows:
    """Return the first `wanted` rows, in ascending order, that score exactly `score` for `query`, float32 [dim].

    `better` are rows known to score more. The first eighth of the vectors is searched first, which is enough where many
    rows tie.
    """
    if vectors.wide:
        return _lowest_tied_wide(vectors, query, score, wanted, selection)
    mask = np.ones(vectors.count, np.bool_) if selection is None else selection.mask.copy()
    mask[better] = False
    found = np.empty(0, np.int64)
    for stop in (vectors.count // _FIRST_SHARE, vectors.count):
        some = mask.copy()
        some[stop:] = False
        found = _first_of_best(vectors, query, score, wanted, some)
        if len(found) >= wanted:
            break
    return found


def _first_of_best(
    vectors: Vectors, query: NDArray[np.float32], score: np.floating, wanted: int, mask: NDArray[np.bool_]
) -> Rows:
    """Return up to `wanted` rows of `mask` with exactly this score, lowest rows first.

    Faiss scans rows in order and replaces a row only with a better one, so among rows that tie it keeps the first,
    unless a better row comes later. Better rows are therefore masked out and the search is repeated.
    """
    asked = wanted
    while True:
        selector = faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
        scores, rows = vectors.index.search(query[None], asked, params=faiss.SearchParameters(sel=selector))
        if vectors.metric is Metric.L2:
            scores = -scores
        above = rows[(scores > score) & (rows >= 0)]
        if not len(above):
            return np.sort(rows[(scores == score) & (rows >= 0)])[:wanted]
        mask[above] = False
        asked = min(asked * _WIDER, vectors.count)


def _lowest_tied_wide(
    vectors: Vectors, query: NDArray[np.float32], score: np.floating, wanted: int, selection: Selection | None
) -> Rows:
    rows = np.arange(vectors.count) if selection is None else selection.rows
    found: list[Rows] = []
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        some = rows[start : start + _ROWS_AT_ONCE]
        found.append(some[float64_scores(vectors, query, some) == score])
        if sum(map(len, found)) >= wanted:
            break
    return np.concatenate([np.empty(0, np.int64), *found])[:wanted]
