"""Measuring an index that was just built, for its calibration.

The queries are rows of the index, each left out of its own answer, and the filters are random. Codes are measured among
all rows: a filter may leave just the rows around a query, and these rivals are nearer to each other than rows from a
random part of the catalog.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookalike.retrieval.vector_index.approximate import Approximate
from lookalike.retrieval.vector_index.calibration import (
    RECALLS,
    SHARES,
    Calibration,
    Setting,
    Training,
    cheapest,
    enough,
    recall_of_rows,
)
from lookalike.retrieval.vector_index.code_recall import Ranking, RankingAmong
from lookalike.retrieval.vector_index.kinds import IndexKind
from lookalike.retrieval.vector_index.selection import Selection
from lookalike.retrieval.vector_index.vectors import Vectors

__all__ = ["Sample", "held_out", "measured", "serves"]

Queries = NDArray[np.float32]
Rows = NDArray[np.int64]

_MOST_LOST = 0.03
"""Greatest loss of recall at which training on other rows still serves."""

_TYPICAL_RECALL = 0.95
_QUERIES = 320
_TIMED = 32
_TRUTH_ROWS = 256
_CODED_ROWS = 1_000_000
_REFINED = (2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 40)
_MORE_REFINED = (64, 128)
_EFFORTS = (
    *(1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 36, 40, 48, 56, 64, 72, 80, 96, 112, 128, 144, 160, 192),
    *(224, 256, 320, 384, 448, 512, 640, 768, 1024, 1536, 2048),
)
_GRAPH_EFFORTS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 2048)


class Sample(NamedTuple):
    """Rows used as queries, float32 [queries, dim], and the other rows nearest to each of them, best first."""

    queries: Queries
    nearest: list[Rows]


def held_out(vectors: Vectors, random: np.random.Generator, among: Rows | None = None, most: int = _QUERIES) -> Sample:
    """Draw `most` rows at random, from all rows or from `among`, and find the nearest other rows of each by a scan."""
    places = np.arange(vectors.count) if among is None else among
    chosen = np.sort(places[random.permutation(len(places))[:most]])
    queries = vectors.rows(chosen)
    nearest = vectors.nearest(queries, min(_TRUTH_ROWS, vectors.count))
    return Sample(queries, [near[near != row] for row, near in zip(chosen, nearest, strict=True)])


def measured(
    built: Approximate, sample: Sample, random: np.random.Generator, before: Calibration | None = None
) -> Calibration:
    """Measure which setting reaches which recall, and the cost of each way to search.

    If the calibration of the index `before`, which had the same training, is given, its settings are tried first.
    Otherwise the calibration records the recall reached with this training.
    """
    vectors = built.vectors
    by_code, code_cost = _codes(built, sample)
    few, more = (_some(random, vectors.count, count) for count in (200, 2_000))
    vector_cost = _cost_of_a_scan(
        sample.queries, few, more, lambda query, selection: vectors.search(query, 10, selection)
    )
    settings = _settings(built, sample, random, before)
    needed = {recall: setting.refined for recall, setting in by_code.items()}
    if before is not None:
        return Calibration(settings, needed, vector_cost, code_cost, before.training)
    index = {} if built.kind.is_graph else settings[1.0]
    training = Training(time.time(), vectors.count, _typical(index), _typical(by_code))
    return Calibration(settings, needed, vector_cost, code_cost, training)


def _typical(settings: Mapping[float, Setting]) -> Setting | None:
    return settings.get(_TYPICAL_RECALL) or settings.get(min(RECALLS))


def serves(built: Approximate, training: Training, sample: Sample) -> bool:
    """Return whether an index trained on other rows still reaches about its recall with the settings of that time."""
    index, codes = training.index, training.codes
    if codes is None or (index is None and not built.kind.is_graph):
        return False
    by_codes = _reached_by_codes(built, [codes.refined], sample)[codes.refined]
    by_index = 1.0 if index is None else _recall_by_index(built, index, sample)
    return by_codes >= codes.recall - _MOST_LOST and (index is None or by_index >= index.recall - _MOST_LOST)


def _recall_by_index(built: Approximate, setting: Setting, sample: Sample) -> float:
    """Measure recall@10 of the index among all rows."""
    found = built.visit(sample.queries, 11, setting.effort, setting.refined, None)[1]
    return recall_of_rows(found, [near[:10] for near in sample.nearest])


def _reached_by_codes(built: Approximate, refined: Sequence[int], sample: Sample) -> dict[int, float]:
    """Measure recall@10 when each hit is refined from each number of code-level candidates in `refined`.

    Very large indexes are measured on a random sample of rows. The true vectors always pick the best of the candidates,
    so the recall is the share of the best rows that are among the first candidates.
    """
    count = built.vectors.count
    among = Selection(np.random.default_rng(4).random(count) < _CODED_ROWS / count)
    truth = [near[among.has(near)][:10] for near in sample.nearest]
    found = built.codes.candidates(sample.queries, min(11 * max(refined), among.count), among)
    return {number: recall_of_rows(found[:, : 11 * number], truth) for number in refined}


def _settings(
    built: Approximate, sample: Sample, random: np.random.Generator, before: Calibration | None
) -> dict[float, dict[float, Setting]]:
    """Find the cheapest settings of the index for each share of the rows and each recall."""
    queries, others = sample
    efforts: tuple[int, ...] = _GRAPH_EFFORTS
    if not built.kind.is_graph:
        efforts = (*(effort for effort in _EFFORTS if effort < built.lists), built.lists)
    refined = _REFINED[1:] if built.refines else (1,)
    ranking = Ranking(built, queries) if built.kind.has_codes else None
    settings = {}
    for share in SHARES:
        mask = random.random(built.vectors.count) < share
        # costs are measured as for a filter that is used again and again
        selection = None if share == 1 else Selection(mask, uses=len(mask))
        truth, hits = [near[mask[near]][:10] for near in others] if share < 1 else [near[:10] for near in others], 10
        if built.kind is IndexKind.NSG:  # it takes no filter, so finding more hits is measured instead
            selection, hits = None, round(10 / share)
            truth = [near[:hits] for near in others]

        if ranking is None:
            measure = _recalls(built, queries, selection, truth, 11 * refined[-1], hits)
        else:
            measure = _counted(ranking.among(None if share == 1 else mask, truth))
        known = None if before is None else before.index.get(share)
        settings[share] = cheapest(efforts, refined, measure, _cost(built, queries, selection, hits), known)
    return settings


def _counted(ranking: RankingAmong) -> Callable[[int, int], float]:
    return lambda effort, refined: ranking.recall(effort, 11 * refined)


def _cost(built: Approximate, queries: Queries, selection: Selection | None, hits: int) -> Callable[[int, int], float]:
    """Return a function from an effort and a number of candidates for each hit to the microseconds of a search."""
    return cache(
        lambda effort, refined: _timed(queries, lambda one: built.visit(one, hits, effort, refined, selection))
    )


def _recalls(
    built: Approximate, queries: Queries, selection: Selection | None, truth: Sequence[Rows], most: int, hits: int
) -> Callable[[int, int], float]:
    """Return a function from an effort and a number of candidates for each hit to recall; `most` is their total limit.

    An index that refines is searched once for each effort: with fewer candidates it finds the first of the same ones.
    """
    if not built.refines:
        return lambda effort, _: recall_of_rows(built.visit(queries, hits + 1, effort, 1, selection)[1], truth)
    candidates = cache(lambda effort: built.candidates(queries, most, effort, selection))
    return lambda effort, refined: recall_of_rows(candidates(effort)[:, : 11 * refined], truth)


def _codes(built: Approximate, sample: Sample) -> tuple[dict[float, Setting], tuple[float, float]]:
    """Measure how many candidates by code reach each recall, and the cost of a scan of codes."""
    queries, count = sample.queries, built.vectors.count
    needed: dict[float, Setting] = {}
    for some in (_REFINED, _MORE_REFINED):
        for refined, reached in _reached_by_codes(built, some, sample).items():
            for recall in RECALLS:
                if enough(reached, recall):
                    needed.setdefault(recall, Setting(0, refined, round(reached, 4)))
        if len(needed) == len(RECALLS):
            break
    typical = 10 * (needed[0.95].refined if 0.95 in needed else 16)
    random = np.random.default_rng(6)
    few, more = (_some(random, count, some) for some in (2_000, 100_000))  # more than the first-level cache holds
    cost = _cost_of_a_scan(queries, few, more, lambda query, among: built.codes.search(query, 10, typical, among))
    return needed, cost


def _some(random: np.random.Generator, rows: int, count: int) -> Selection:
    mask = np.zeros(rows, dtype=np.bool_)
    mask[random.permutation(rows)[:count]] = True
    return Selection(mask)


def _timed(queries: Queries, search: Callable[[Queries], object]) -> float:
    """Return the median time of a search in microseconds, one query at a time."""
    times = []
    for place in range(min(_TIMED, len(queries))):
        one = queries[place : place + 1]
        started = time.perf_counter()
        search(one)
        times.append(time.perf_counter() - started)
    return float(np.median(times)) * 1e6


def _cost_of_a_scan(
    queries: Queries, few: Selection, many: Selection, search: Callable[[Queries, Selection], object]
) -> tuple[float, float]:
    """Return the fixed cost and the cost of each row, in microseconds, of a line through two measured points."""
    cheap = _timed(queries, lambda query: search(query, few))
    dear = _timed(queries, lambda query: search(query, many))
    each = max((dear - cheap) / max(many.count - few.count, 1), 1e-4)
    return max(cheap - each * few.count, 1.0), each
