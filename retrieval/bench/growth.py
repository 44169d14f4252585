"""How a catalog of some size behaves: opened again, searched, and how much memory it has then.

Every function here runs in a process of its own (`speed.fresh`): nothing is warmed or filled by another.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from lookalike.models import Matrix
from lookalike.retrieval.bench.memory import Memory
from lookalike.retrieval.bench.speed import Speed, timed
from lookalike.retrieval.bench.synthetic import Synthetic
from lookalike.retrieval.catalog import Catalog

__all__ = ["Opened", "open_and_search", "open_once"]

_FILTERS = ("none", "10%")
_FIELDS = ("category", "price")
_SEARCHES = 1_000
_MOST_S = 20.0


@dataclass(frozen=True, slots=True)
class Opened:
    """A catalog opened again: milliseconds until it could answer, searches without a filter and at a tenth, memory.

    `memory` is what came on top of a process that has not opened the catalog, after all searches.
    """

    open_ms: float
    first_search_ms: float
    speeds: Sequence[Speed]
    memory: Memory


def open_once(folder: Path) -> float:
    """Open a catalog until it can answer; return the milliseconds."""
    started = time.perf_counter()
    with Catalog.open(folder) as catalog:
        catalog.count()
        return round((time.perf_counter() - started) * 1000, 3)


def open_and_search(folder: Path, made: Synthetic) -> Opened:
    """Open a catalog and ask a thousand queries, half of them without a filter and half under one, each twice."""
    workloads = [workload for workload in made.workloads if workload.name in _FILTERS]
    queries = made.queries(workloads[0].queries, _SEARCHES)
    before = Memory.now()
    started = time.perf_counter()
    with Catalog.open(folder) as catalog:
        catalog.count()
        opened = time.perf_counter()
        catalog.search(vector=queries[0], fields=_FIELDS)
        searched = time.perf_counter()
        speeds = []
        for some, workload in zip(np.array_split(queries, len(workloads)), workloads, strict=True):
            _, seconds = timed(partial(_keys, catalog, workload.filter), some, _MOST_S)
            speeds.append(Speed.of(seconds))
        memory = Memory.now() - before
    return Opened(round((opened - started) * 1000, 3), round((searched - opened) * 1000, 3), tuple(speeds), memory)


def _keys(catalog: Catalog, filter: str | None, query: Matrix) -> list[str]:
    return catalog.search(vector=query, filter=filter, fields=_FIELDS).keys
