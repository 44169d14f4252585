"""Several parts into one ranking: like this and that, less like the other, in one space or in two.

A part's similarities are first put on one footing: minus their mean and divided by their standard deviation over a
sample of the catalog, because pictures score against pictures far above words against pictures. Within a space the
weighted sum of inner products is the inner product with the weighted sum of the queries, so one search does; across
spaces the threshold algorithm (Fagin, Lotem and Naor, 2003, doi:10.1016/S0022-0000(03)00026-6) deepens the lists of
each space until no item outside them can belong among the best.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookalike.retrieval.generations.segment import Ids
from lookalike.retrieval.query import EXACT, Part
from lookalike.retrieval.search.state import Allowed, Nearest, View
from lookalike.retrieval.vector_index import Metric, exactly_followed, followed, stages

__all__ = ["Ranking", "rank", "ranking_of"]

_FIRST_DEPTH = 64
_MAX_DEPTH = 4096
"""Below an exact recall the lists of two spaces are not deepened further than this."""


class Ranking(NamedTuple):
    """Items by place in the view, best first, with their scores, each part's own similarities, and the best image."""

    items: Ids
    scores: NDArray[np.float32]
    parts: Mapping[str, NDArray[np.float32]]
    image_ids: Ids
    exact: bool
    plan: str

    def followed_by(self, rest: Ranking, limit: int) -> Ranking:
        """Return these items, then those of `rest` that are not among them, `limit` in all."""
        others = np.flatnonzero(~np.isin(rest.items, self.items))[: max(limit - len(self.items), 0)]
        return Ranking(
            np.concatenate([self.items, rest.items[others]]),
            np.concatenate([self.scores, rest.scores[others]]),
            {name: np.concatenate([scores, rest.parts[name][others]]) for name, scores in self.parts.items()},
            np.concatenate([self.image_ids, rest.image_ids[others]]),
            rest.exact,
            rest.plan,
        )


def ranking_of(nearest: Nearest, name: str, metric: Metric, exact: bool, plan: str) -> Ranking:
    """Rank the items nearest to a query that is one part of this name: they score their own similarity."""
    scores = metric.shown(nearest.scores)
    return Ranking(nearest.items, scores, {name: scores}, nearest.image_ids, exact, plan)


@dataclass(frozen=True, slots=True)
class _Sum:
    """All parts of one space as one query: score = vector . x - base, an average item having 0."""

    vector: NDArray[np.float32]
    base: float


def rank(view: View, parts: Sequence[Part], allowed: Allowed, limit: int, recall: float) -> Ranking:
    """Rank the best `limit` items for the weighted parts, of which at least one weighs more than 0."""
    spaces = dict.fromkeys(part.space for part in parts)
    if len(parts) == 1:
        (part,) = parts
        (nearest,), exact, plan = view.nearest(part.space, part.vector[None], limit, allowed, recall)
        return ranking_of(nearest, part.name, view.file.spaces[part.space].metric, exact, plan)
    sums = {space: _sum(view, [part for part in parts if part.space == space], parts) for space in spaces}
    if len(sums) == 1:
        ((space, total),) = sums.items()
        (nearest,), exact, plan = view.nearest(space, total.vector[None], limit, allowed, recall)
        items, scores = nearest.items, nearest.scores - np.float32(total.base)
    elif not allowed.count:
        items, scores, exact, plan = np.empty(0, np.int64), np.empty(0, np.float32), True, "nothing to search"
    else:
        items, scores, exact, plan = _threshold(view, sums, allowed, limit, recall)
    return Ranking(items, scores, _part_scores(view, parts, items), _images(view, sums, items), exact, plan)


def _sum(view: View, mine: Sequence[Part], parts: Sequence[Part]) -> _Sum:
    weight = sum(abs(part.weight) for part in parts) or 1.0
    sample = view.sample(mine[0].space)
    vector = np.zeros(sample.shape[1], dtype=np.float64)
    base = 0.0
    for part in mine if len(sample) else ():
        similarities = sample @ part.vector
        spread = float(similarities.std()) or 1.0
        scale = part.weight / weight / spread
        vector += scale * part.vector
        base += scale * float(similarities.mean())
    return _Sum(vector.astype(np.float32), base)


def _threshold(
    view: View, sums: Mapping[str, _Sum], allowed: Allowed, limit: int, recall: float
) -> tuple[Ids, NDArray[np.float32], bool, str]:
    """Find the best items of the sum of all spaces, in stages, so that longer answers begin with shorter ones."""
    if recall >= EXACT:
        return _to_depth(view, sums, allowed, limit, recall)
    places: dict[int, int] = {}  # of the items, by id

    def to_depth(depth: int, wanted: float) -> tuple[Ids, NDArray[np.float32], bool, str]:
        found, scores, certain, how = _to_depth(view, sums, allowed, depth, wanted)
        ids = view.item_ids(found)
        places.update(zip(ids.tolist(), found.tolist(), strict=True))
        return ids, scores, certain, how

    def all_exactly(_: NDArray[np.float32], depth: int) -> tuple[NDArray[np.float32], Ids]:
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
            query = np.empty((1, 0), np.float32)  # it is in `sums`
            totals, ids = exactly_followed(all_exactly, query, *so_far, stage.end, allowed.count)
        totals, ids = totals[: stage.end], ids[: stage.end]
    items = np.array([places[id_] for id_ in ids[:limit].tolist()], dtype=np.int64)
    return items, totals[:limit], exact, plan


def _to_depth(
    view: View, sums: Mapping[str, _Sum], allowed: Allowed, limit: int, recall: float
) -> tuple[Ids, NDArray[np.float32], bool, str]:
    depth = max(_FIRST_DEPTH, 4 * limit)
    while True:
        union, bound, exact, plans, all_seen = np.empty(0, dtype=np.int64), 0.0, True, [], True
        for space, total in sums.items():
            (nearest,), certain, plan = view.nearest(space, total.vector[None], depth, allowed, recall)
            union = np.union1d(union, nearest.items)
            exact, seen = exact and certain, len(nearest.items) < depth
            all_seen = all_seen and seen
            plans.append(f"{space}: {plan}")
            # The most that an item outside this list can have here: an item without a vector has 0.
            bound += 0.0 if seen else max(float(nearest.scores[-1]) - total.base, 0.0)
        totals = np.zeros(len(union), dtype=np.float32)
        for space, total in sums.items():
            scores, _ = view.scores(space, total.vector, union)
            totals += np.nan_to_num(scores - np.float32(total.base), nan=0.0)
        order = np.lexsort((view.item_ids(union), -totals))
        least = float(totals[order[limit - 1]]) if len(order) >= limit else -np.inf
        order = order[:limit]
        proven = all_seen or least > bound
        if proven or (depth >= _MAX_DEPTH and recall < EXACT):
            return union[order], totals[order], exact and proven, " + ".join(plans)
        depth *= 4


def _part_scores(view: View, parts: Sequence[Part], items: Ids) -> dict[str, NDArray[np.float32]]:
    """Compute each part's own similarity to the items; parts of one name count as their mean."""
    scores: dict[str, NDArray[np.float32]] = {}
    for name in dict.fromkeys(part.name for part in parts):
        named = [
            view.file.spaces[part.space].metric.shown(view.scores(part.space, part.vector, items)[0])
            for part in parts
            if part.name == name
        ]
        scores[name] = np.mean(named, axis=0, dtype=np.float32)
    return scores


def _images(view: View, sums: Mapping[str, _Sum], items: Ids) -> Ids:
    """Find the image of each item that the parts about pictures like best."""
    space = next((space for space in ("looks", "image") if space in sums), next(iter(sums)))
    return view.scores(space, sums[space].vector, items)[1]
