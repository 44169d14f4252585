"""Answers of any length begin alike: hits are found in stages, each ending at a fixed number of hits.

An approximate search for more hits also meets better ones that a shorter search missed, so pages of its answers would
repeat some hits and lose others. Therefore the first 10 hits are always those of a search for 10, the next 90 are those
that a search for 100 finds after the tenth, and so on: a longer answer begins with every shorter one. A hit that one
stage missed is not inserted among later hits; if all rows are asked for, it comes last, after hits that score less.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["FIRST_STAGE", "Stage", "exactly_followed", "followed", "last_stage", "lengthened", "stages"]

Scores = NDArray[np.float32]
Rows = NDArray[np.int64]
Search = Callable[[NDArray[np.float32], int], tuple[Scores, Rows]]
"""Finds a number of rows for each query, float32 [queries, dim]; returns scores and rows, [queries, k], best first."""

FIRST_STAGE = 10
"""The number of hits for which recall is calibrated."""

_STEP = 10
_WIDER = 4


class Stage(NamedTuple):
    """A stage that ends after `end` hits. It searches `depth` rows, since some are hits of earlier stages."""

    end: int
    depth: int


def stages(k: int, count: int) -> list[Stage]:
    """Return the stages that the first `k` hits among `count` rows come from."""
    found = [Stage(min(FIRST_STAGE, count), min(FIRST_STAGE, count))]
    while found[-1].end < k:
        before = FIRST_STAGE * _STEP ** (len(found) - 1)
        found.append(Stage(min(before * _STEP, count), min(before * (_STEP + 1), count)))
    return found


def last_stage(k: int) -> int:
    """Return the number of hits at which the stage of hit number `k` ends."""
    end = FIRST_STAGE
    while end < k:
        end *= _STEP
    return end


def followed(
    scores: Scores, rows: Rows, more_scores: Scores, more_rows: Rows, *, missed: bool = False
) -> tuple[Scores, Rows]:
    """Return the hits of one query, followed by those in `more_rows` that rank below all of them.

    `more_rows` are best first. With `missed`, those that rank higher are appended at the end.
    """
    if not len(rows):
        return more_scores[more_rows >= 0], more_rows[more_rows >= 0]
    least = scores.min()
    last = rows[scores == least].max()
    other = (more_rows >= 0) & ~np.isin(more_rows, rows)
    after = other & ((more_scores < least) | ((more_scores == least) & (more_rows > last)))
    parts = [after, other & ~after] if missed else [after]
    return (
        np.concatenate([scores, *(more_scores[part] for part in parts)]),
        np.concatenate([rows, *(more_rows[part] for part in parts)]),
    )


def lengthened(
    scores: list[float], rows: list[int], more_scores: list[float], more_rows: list[int]
) -> tuple[list[float], list[int]]:
    """Return what `followed` returns, for lists that are best first; for a hundred numbers it is faster than NumPy."""
    known, last = set(rows), (-scores[-1], rows[-1])
    others = [place for place, row in enumerate(more_rows) if row not in known]
    before = 0
    while before < len(others) and (-more_scores[others[before]], more_rows[others[before]]) <= last:
        before += 1
    after = others[before:]
    return [*scores, *(more_scores[place] for place in after)], [*rows, *(more_rows[place] for place in after)]


def exactly_followed(
    search: Search, query: NDArray[np.float32], scores: Scores, rows: Rows, k: int, count: int
) -> tuple[Scores, Rows]:
    """Return the hits of one query, float32 [1, dim], followed by those an exact search finds after them: k in all."""
    depth = min(k + len(rows), count)
    while True:
        more_scores, more_rows = search(query, depth)
        found = followed(scores, rows, more_scores[0], more_rows[0], missed=depth == count)
        if len(found[1]) >= k or depth == count:
            return found[0][:k], found[1][:k]
        depth = min(depth * _WIDER, count)
