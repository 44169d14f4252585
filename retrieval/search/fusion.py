"""Ranking by several weighted parts: like this and that, unlike something else, in one space or in several.

Each part's similarities are first standardised, by their mean and standard deviation over a sample of the catalogue,
because pictures score far higher against pictures than words do. Within a space, the weighted sum of inner products is
the inner product with the weighted sum of the queries, so one search is enough. Across spaces, the threshold algorithm
(Fagin, Lotem and Naor, 2003, doi:10.1016/S0022-0000(03)00026-6) deepens the list of each space until no item outside
the lists can be among the best.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookalike.retrieval.search.allowed import Allowed
from lookalike.retrieval.search.query_parts import Part
from lookalike.retrieval.search.state import Nearest, Scores, State
from lookalike.retrieval.spaces.space import SpaceName
from lookalike.retrieval.stored_rows import Ids
from lookalike.retrieval.vector_index import EXACT, Metric, exactly_followed, followed, stages

__all__ = ["Ranking", "rank", "ranking_of"]

_FIRST_DEPTH = 64
_MAX_DEPTH = 4096
"""Unless an exact recall is asked for, the lists of several spaces are not deepened beyond this."""


class Ranking(NamedTuple):
    """Items by place, best first, with their scores, the similarities to each part by name, and the best image's id."""

    items: Ids
    scores: Scores
    parts: Mapping[str, Scores]
    image_ids: Ids
    exact: bool
    plan: str

    def followed_by(self, rest: Ranking, limit: int) -> Ranking:
        """Return these items followed by the other items of `rest`, at most `limit` in all."""
        others = np.flatnonzero(~np.isin(rest.items, self.items))[: max(limit - len(self.items), 0)]
        return Ranking(
            np.concatenate([self.items, rest.items[others]]),
            np.concatenate([self.scores, rest.scores[others]]),
            {name: np.concatenate([scores, rest.parts[name][others]]) for name, scores in self.parts.items()},
            np.concatenate([self.image_ids, rest.image_ids[others]]),
            rest.exact,
            rest.plan,
        )


def ranking_of(nearest: Nearest, name: str, metric: Metric) -> Ranking:
    """Rank the items nearest to a query of one part, `name`. Their scores are their similarities."""
    items, scores, image_ids, exact, plan = nearest
    scores = metric.shown(scores)
    return Ranking(items, scores, {name: scores}, image_ids, exact, plan)


def rank(state: State, parts: Sequence[Part], allowed: Allowed, limit: int, recall: float) -> Ranking:
    """Rank the best `limit` items for weighted parts, at least one of which has a positive weight."""
    if len(parts) == 1:
        (part,) = parts
        nearest = state.nearest(part.space, part.vector, limit, allowed, recall)
        return ranking_of(nearest, part.name, state.file.spaces[part.space].metric)
    spaces = dict.fromkeys(part.space for part in parts)
    weight = sum(abs(part.weight) for part in parts) or 1.0
    sums = [_Sum.of(state, space, [part for part in parts if part.space == space], weight) for space in spaces]
    scored = _Scored(state, sums, [part.name for part in parts])
    if len(sums) == 1:
        nearest = state.nearest(sums[0].space, sums[0].vector, limit, allowed, recall)
        scored.add(nearest.items)
        return scored.ranking(nearest.items, nearest.scores - np.float32(sums[0].base), nearest.exact, nearest.plan)
    if not allowed.count:
        return scored.ranking(np.empty(0, np.int64), np.empty(0, np.float32), True, "nothing to search")
    return _by_threshold(state, scored, allowed, limit, recall)


@dataclass(frozen=True, slots=True)
class _Sum:
    """All parts of one space as one query: score = vector . x - base, which is 0 for an average item."""

    space: str
    parts: Sequence[Part]
    vector: NDArray[np.float32]
    base: float

    @classmethod
    def of(cls, state: State, space: str, parts: Sequence[Part], weight: float) -> _Sum:
        """Add up the parts of one space; `weight` is the sum of the absolute weights in all spaces."""
        sample = state.sample(space)
        vector = np.zeros(sample.shape[1], dtype=np.float64)
        base = 0.0
        for part in parts if len(sample) else ():
            similarities = sample @ part.vector
            spread = float(similarities.std()) or 1.0
            scale = part.weight / weight / spread
            vector += scale * part.vector
            base += scale * float(similarities.mean())
        return cls(space, parts, vector.astype(np.float32), base)


class _Scored:
    """Items and their scores for every part. Each item is compared once, however often it is added."""

    def __init__(self, state: State, sums: Sequence[_Sum], names: Iterable[str]) -> None:
        self.sums = sums
        self._names = dict.fromkeys(names)
        self._state = state
        self._items: Ids = np.empty(0, np.int64)
        self._totals: Scores = np.empty(0, np.float32)
        self._parts: Scores = np.empty((sum(len(one.parts) for one in sums), 0), np.float32)
        self._images = np.empty((len(sums), 0), np.int64)

    def add(self, items: Ids) -> None:
        """Compare the items, int64 in any order, that have not been compared before."""
        new = np.setdiff1d(items, self._items)
        if not len(new):
            return
        compared = [
            self._state.compare(one.space, one.vector, np.stack([part.vector for part in one.parts]), new)
            for one in self.sums
        ]
        totals = np.zeros(len(new), dtype=np.float32)
        for one, found in zip(self.sums, compared, strict=True):  # an item without a vector is average there
            totals += np.nan_to_num(found.totals - np.float32(one.base), nan=0.0)
        joined = np.concatenate([self._items, new])
        order = np.argsort(joined, kind="stable")
        self._items = joined[order]
        self._totals = np.concatenate([self._totals, totals])[order]
        parts = np.concatenate([found.parts for found in compared])
        self._parts = np.concatenate([self._parts, parts], axis=1)[:, order]
        self._images = np.concatenate([self._images, [found.image_ids for found in compared]], axis=1)[:, order]

    def totals(self, items: Ids) -> Scores:
        """Return the sums over all spaces for items that were added."""
        totals: Scores = self._totals[np.searchsorted(self._items, items)]
        return totals

    def ranking(self, items: Ids, scores: Scores, exact: bool, plan: str) -> Ranking:
        """Return items that were added, in this order, as a ranking. Parts with the same name are averaged."""
        places = np.searchsorted(self._items, items)
        metrics = self._state.file.spaces
        named: dict[str, list[Scores]] = {name: [] for name in self._names}
        every = [part for one in self.sums for part in one.parts]
        for part, line in zip(every, self._parts, strict=True):
            named[part.name].append(metrics[part.space].metric.shown(line[places]))
        parts = {name: np.stack(lines).mean(axis=0, dtype=np.float32) for name, lines in named.items()}
        spaces = [one.space for one in self.sums]
        of_pictures = next((one for one in (SpaceName.APPEARANCE, SpaceName.IMAGE) if one in spaces), spaces[0])
        return Ranking(items, scores, parts, self._images[spaces.index(of_pictures)][places], exact, plan)


def _by_threshold(state: State, scored: _Scored, allowed: Allowed, limit: int, recall: float) -> Ranking:
    """Find the best items by the sum over all spaces, in stages, so that longer answers begin with shorter ones."""
    if recall >= EXACT:
        return scored.ranking(*_to_depth(state, scored, allowed, limit, recall))
    places: dict[int, int] = {}  # places of the items, by id

    def to_depth(depth: int, wanted: float) -> tuple[Ids, Scores, bool, str]:
        found, scores, certain, how = _to_depth(state, scored, allowed, depth, wanted)
        ids = state.item_ids(found)
        places.update(zip(ids.tolist(), found.tolist(), strict=True))
        return ids, scores, certain, how

    def all_exactly(_: NDArray[np.float32], depth: int) -> tuple[Scores, Ids]:
        ids, scores, _certain, _how = to_depth(depth, EXACT)
        return scores[None], ids[None]

    first, *others = stages(min(limit, allowed.count), allowed.count)
    ids, totals, exact, plan = to_depth(first.depth, recall)
    for stage in others:
        more, scores, certain, plan = to_depth(stage.depth, recall)
        if exact and certain:
            ids, totals = more, scores
            continue
        exact, so_far = False, (totals, ids)
        totals, ids = followed(*so_far, scores, more)
        if len(ids) < stage.end:
            plan = f"{plan}, then all exactly"
            query = np.empty((1, 0), np.float32)  # unused: the query is in `scored`
            totals, ids = exactly_followed(all_exactly, query, *so_far, stage.end, allowed.count)
        totals, ids = totals[: stage.end], ids[: stage.end]
    items = np.array([places[id_] for id_ in ids[:limit].tolist()], dtype=np.int64)
    return scored.ranking(items, totals[:limit], exact, plan)


def _to_depth(
    state: State, scored: _Scored, allowed: Allowed, limit: int, recall: float
) -> tuple[Ids, Scores, bool, str]:
    depth = max(_FIRST_DEPTH, 4 * limit)
    while True:
        union, bound, exact, plans, all_seen = np.empty(0, dtype=np.int64), 0.0, True, [], True
        for one in scored.sums:
            nearest = state.nearest(one.space, one.vector, depth, allowed, recall)
            union = np.union1d(union, nearest.items)
            exact, seen = exact and nearest.exact, len(nearest.items) < depth
            all_seen = all_seen and seen
            plans.append(f"{one.space}: {nearest.plan}")
            # The most that an item outside this list can score here; an item without a vector scores 0.
            bound += 0.0 if seen else max(float(nearest.scores[-1]) - one.base, 0.0)
        scored.add(union)
        totals = scored.totals(union)
        order = np.lexsort((state.item_ids(union), -totals))
        least = float(totals[order[limit - 1]]) if len(order) >= limit else -np.inf
        order = order[:limit]
        proven = all_seen or least > bound
        if proven or (depth >= _MAX_DEPTH and recall < EXACT):
            return union[order], totals[order], exact and proven, " + ".join(plans)
        depth *= 4
