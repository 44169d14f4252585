"""Measured recall: approximate answers compared with exact ones, on the queries that are asked here.

recall@k is the share of the k truly best items that are found. An item that scores the same as the last of them counts
as one of them. Filters are random and leave a given share of the items.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lookalike.models import Matrix
from lookalike.retrieval.search.allowed import Allowed
from lookalike.retrieval.search.segmented_state import SegmentedState
from lookalike.retrieval.search.state import Nearest
from lookalike.retrieval.stored_rows import Ids
from lookalike.retrieval.vector_index import EXACT

__all__ = ["QueriesFrom", "RecallFigure", "RecallReport", "RecentQueries", "measure_recall"]

KEPT_QUERIES = 256
"""Number of recent queries remembered for each space, and of rows held out when there are too few."""

FEWEST_LIVE = 20
"""With fewer recent queries a mean says little, so rows are held out instead."""

SHARES = (1.0, 0.5, 0.1, 0.01)
TARGETS = (0.9, 0.95, 0.99)

_SAME_SCORE = 1e-6
_NO_ITEM = -1


class QueriesFrom(StrEnum):
    """Where queries came from: searches of this process, rows left out of their own answers, or the caller."""

    LIVE = "live"
    HELD_OUT = "held out"
    GIVEN = "given"


@dataclass(frozen=True, slots=True)
class RecallFigure:
    """The recall measured where `target` was asked for, among `items` items, which are about `share` of all.

    `exact` is whether every item was compared, and `plan` describes the search.
    """

    share: float
    items: int
    target: float
    recall: float
    exact: bool
    plan: str


@dataclass(frozen=True, slots=True)
class RecallReport:
    """The recall@`limit` of one space, measured with `queries` queries."""

    space: str
    limit: int
    queries: int
    queries_from: QueriesFrom
    figures: tuple[RecallFigure, ...]


class RecentQueries:
    """The last queries searched in this process, by the stored name of their space. Several threads may use it."""

    def __init__(self) -> None:
        self._kept: defaultdict[str, deque[NDArray[np.float32]]] = defaultdict(partial(deque, maxlen=KEPT_QUERIES))

    def remember(self, space: str, queries: Matrix) -> None:
        """Keep copies of the last of these queries, float32 [queries, dim]."""
        self._kept[space].extend(queries[-KEPT_QUERIES:].copy())

    def keep(self, space: str, query: NDArray[np.float32]) -> None:
        """Keep a copy of a query, float32 [dim]."""
        self._kept[space].append(query.copy())

    def of(self, space: str) -> list[NDArray[np.float32]]:
        """Return the queries of a space, oldest first, each float32 [dim]."""
        return list(self._kept.get(space, ()))


def measure_recall(
    state: SegmentedState,
    recent: RecentQueries,
    *,
    given: Mapping[str, Matrix] | None = None,
    limit: int = 10,
) -> list[RecallReport]:
    """Measure every space with vectors, or those in `given`, which maps spaces to queries, float32 [queries, dim]."""
    spaces = state.file.spaces
    names = [name for name in spaces if state.has_vectors(name) and (given is None or name in given)]
    return [
        _of_space(state, name, recent.of(spaces[name].stored), None if given is None else given[name], limit)
        for name in names
    ]


def _of_space(
    state: SegmentedState, space: str, live: Sequence[NDArray[np.float32]], given: Matrix | None, limit: int
) -> RecallReport:
    random = np.random.default_rng(3)
    own: Ids | None = None
    if given is not None:
        queries, kind = given, QueriesFrom.GIVEN
    elif len(live) >= FEWEST_LIVE:
        queries, kind = np.stack(live), QueriesFrom.LIVE
    else:
        (queries, own), kind = _held_out(state, space, random), QueriesFrom.HELD_OUT
    figures = [
        figure
        for share in SHARES
        for figure in _under(state, space, queries, own, share, _random_filter(state, share, random), limit)
    ]
    return RecallReport(space, limit, len(queries), kind, tuple(figures))


def _held_out(state: SegmentedState, space: str, random: np.random.Generator) -> tuple[Matrix, Ids]:
    """Choose items at random; return a vector of each, float32 [queries, dim], and their places in the state."""
    places = state.first_items(state.everything, 0, state.everything.count)
    chosen, vectors = [], []
    for place in random.permutation(places):
        rows = state.vectors_of(space, int(state.item_ids(place[None])[0]))
        if len(rows):
            chosen.append(place)
            vectors.append(rows[0])
        if len(chosen) == KEPT_QUERIES:
            break
    return np.stack(vectors), np.array(chosen, dtype=np.int64)


def _random_filter(state: SegmentedState, share: float, random: np.random.Generator) -> Allowed:
    """Return a filter that each item passes with probability `share`."""
    if share == 1:
        return state.everything
    masks = []
    for segment, there in zip(state.segments, state.everything.masks, strict=True):
        mask = random.random(len(segment.item_ids)) < share
        masks.append(mask if there is None else mask & there)
    return Allowed(tuple(masks), sum(int(np.count_nonzero(mask)) for mask in masks))


def _under(
    state: SegmentedState, space: str, queries: Matrix, own: Ids | None, share: float, allowed: Allowed, limit: int
) -> Iterator[RecallFigure]:
    """Measure every target under one filter. With `own`, the item of each query is left out of its answers."""
    if not allowed.count:
        return
    depth = limit if own is None else limit + 1
    left_out = np.full(len(queries), _NO_ITEM) if own is None else own

    def answers(recall: float) -> list[Nearest]:
        found = state.nearest_many(space, queries, depth, allowed, recall)
        return [_without(one, item, limit) for one, item in zip(found, left_out.tolist(), strict=True)]

    truth = answers(EXACT)
    for target in TARGETS:
        found = answers(target)
        shares = [_share_found(some, true) for some, true in zip(found, truth, strict=True) if len(true.items)]
        recall = float(np.mean(shares)) if shares else 1.0
        yield RecallFigure(
            share, allowed.count, target, round(recall, 4), all(one.exact for one in found), found[0].plan
        )


def _without(found: Nearest, item: int, limit: int) -> Nearest:
    kept = np.flatnonzero(found.items != item)[:limit]
    return found._replace(items=found.items[kept], scores=found.scores[kept], image_ids=found.image_ids[kept])


def _share_found(found: Nearest, truth: Nearest) -> float:
    true = np.isin(found.items, truth.items) | (found.scores >= truth.scores[-1] - _SAME_SCORE)
    return min(int(np.count_nonzero(true)) / len(truth.items), 1.0)
