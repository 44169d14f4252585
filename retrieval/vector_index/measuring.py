"""Measuring an index that was just built, for its calibration.

The queries are rows of the index, each left out of its own answer, and the filters random ones. Codes are measured
among all rows: a filter may leave just the rows around a query, and there rivals are nearer to each other than in a
random part of the catalog.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.vector_index.approximate import Approximate
from retrieval.vector_index.calibration import RECALLS, SHARES, Calibration, cheapest, enough, recall_of_rows
from retrieval.vector_index.kinds import IndexKind
from retrieval.vector_index.selection import Selection

__all__ = ["measured"]

Queries = NDArray[np.float32]
Rows = NDArray[np.int64]

_QUERIES = 384
_TIMED = 32
_TRUTH_ROWS = 256
_CODED_ROWS = 1_000_000
_REFINED = (2, 4, 6, 8, 12, 16, 24, 40)
_EFFORTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 384, 512, 768, 1024, 2048)
_GRAPH_EFFORTS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 2048)


def measured(built: Approximate) -> Calibration:
    """Find out which setting reaches which recall, and what each way to search costs."""
    vectors = built.vectors
    random = np.random.default_rng(2)
    chosen = np.sort(random.permutation(vectors.count)[:_QUERIES])
    queries = vectors.rows(chosen)
    _, nearest = vectors.search(queries, min(_TRUTH_ROWS, vectors.count))
    others = [near[near != row] for row, near in zip(chosen, nearest, strict=True)]
    needed, code_cost = _codes(built, queries, others, random)
    few, more = (_some(random, vectors.count, count) for count in (200, 2_000))
    vector_cost = _cost_of_a_scan(queries, few, more, lambda query, selection: vectors.search(query, 10, selection))
    return Calibration(_settings(built, queries, others, random), needed, vector_cost, code_cost)


def _settings(built: Approximate, queries: Queries, others: list[Rows], random: np.random.Generator) -> Any:  # noqa: ANN401
    """Find the cheapest settings of the index for each share of the rows and each recall."""
    efforts: tuple[int, ...] = _GRAPH_EFFORTS
    if not built.kind.is_graph:
        efforts = (*(effort for effort in _EFFORTS if effort < built.lists), built.lists)
    refined = _REFINED[1:] if built.refines else (1,)
    costs: dict[tuple[int, int], float] = {}

    def cost(effort: int, candidates: int) -> float:
        if (effort, candidates) not in costs:
            costs[effort, candidates] = _timed(queries, lambda one: built.visit(one, 10, effort, candidates, None))
        return costs[effort, candidates]

    settings = {}
    for share in SHARES[:1] if built.kind is IndexKind.NSG else SHARES:
        mask = random.random(built.vectors.count) < share
        selection = None if share == 1 else Selection(mask)
        truth = [near[mask[near]][:10] for near in others] if share < 1 else [near[:10] for near in others]

        def measure(effort: int, candidates: int, selection: Any = selection, truth: Any = truth) -> float:  # noqa: ANN401
            return recall_of_rows(built.visit(queries, 11, effort, candidates, selection)[1], truth)

        settings[share] = cheapest(efforts, refined, measure, cost)
    return settings


def _codes(
    built: Approximate, queries: Queries, others: list[Rows], random: np.random.Generator
) -> tuple[dict[float, int], tuple[float, float]]:
    """Measure how many candidates by code give each recall, and what a scan of codes costs."""
    count = built.vectors.count
    many = Selection(random.random(count) < _CODED_ROWS / count)
    truth = [near[many.has(near)][:10] for near in others]
    needed: dict[float, int] = {}
    for refined in (*_REFINED, 64, 128):
        reached = recall_of_rows(built.codes.search(queries, min(11, many.count), 11 * refined, many)[1], truth)
        for recall in RECALLS:
            if enough(reached, recall):
                needed.setdefault(recall, refined)
        if len(needed) == len(RECALLS):
            break
    typical = 10 * needed.get(0.95, 16)
    few, more = (_some(random, count, some) for some in (2_000, 100_000))  # more than the nearest cache holds
    cost = _cost_of_a_scan(queries, few, more, lambda query, among: built.codes.search(query, 10, typical, among))
    return needed, cost


def _some(random: np.random.Generator, rows: int, count: int) -> Selection:
    mask = np.zeros(rows, dtype=np.bool_)
    mask[random.permutation(rows)[:count]] = True
    return Selection(mask)


def _timed(queries: Queries, search: Callable[[Queries], object]) -> float:
    """Return the median microseconds of one search, queries one at a time."""
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
