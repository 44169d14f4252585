"""Building, tuning and measuring one side of the comparison.

Every function here runs in a process of its own (`speed.fresh`). Each side has a folder named after it in the plan's
folder; the true rows and the columns lie beside them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.models import Matrix
from lookalike.retrieval.bench.memory import Memory
from lookalike.retrieval.bench.peers.peer import Peer, PeerRows, Setting
from lookalike.retrieval.bench.peers.registry import peer_of
from lookalike.retrieval.bench.search_sides import RECALL, K, Rows, SearchPlan
from lookalike.retrieval.bench.speed import timed
from lookalike.retrieval.bench.synthetic import Synthetic
from lookalike.retrieval.vector_index.calibration import recall_of_rows

__all__ = ["FilterFigures", "PeerBuilt", "PeerMeasured", "answer_by_numpy", "build_peer", "measure_peer", "tune_peer"]

_TUNED_QUERIES = 200
_TUNE_S = 15.0
_BLOCK = 512
"""Unit of `st_blocks`, in bytes."""


@dataclass(frozen=True, slots=True)
class PeerBuilt:
    """Seconds until a side could be searched, without the time of making the rows, and bytes on disk."""

    seconds: float
    bytes_on_disk: int


@dataclass(frozen=True, slots=True)
class FilterFigures:
    """One side under one filter: number of searches, and the microseconds that half and 90% of them are within.

    `recall` is the share of the true 10 nearest that were found; `wrong` counts rows that do not pass the filter.
    """

    searches: int
    recall: float
    p50_us: float
    p90_us: float
    wrong: int


@dataclass(frozen=True, slots=True)
class PeerMeasured:
    """One side in one round: opening it, every filter by name, and memory gained after all searches."""

    open_ms: float
    memory: Memory
    filters: Mapping[str, FilterFigures]


def answer_by_numpy(plan: SearchPlan) -> None:
    """Write the true rows of every query, found by scanning all vectors with NumPy, and the columns of all rows."""
    queries = [plan.queries_of(workload) for workload in plan.made.workloads]
    scores = [np.full((plan.queries, K), -np.inf, dtype=np.float32) for _ in queries]
    rows = [np.full((plan.queries, K), -1, dtype=np.int64) for _ in queries]
    columns = []
    for some in _rows_of(plan.made):
        columns.append(some.columns)
        numbers = np.array(some.numbers)
        for place, workload in enumerate(plan.made.workloads):
            mask = workload.mask(some.columns)
            passing = slice(None) if mask is None else mask
            found = queries[place] @ some.vectors[passing].T
            joined = np.hstack([scores[place], found])
            of = np.hstack([rows[place], np.broadcast_to(numbers[passing], found.shape)])
            best = np.argpartition(-joined, K - 1, axis=1)[:, :K]
            scores[place], rows[place] = np.take_along_axis(joined, best, 1), np.take_along_axis(of, best, 1)
    plan.write_truth({workload.name: found for workload, found in zip(plan.made.workloads, rows, strict=True)})
    plan.write_columns({name: np.concatenate([part[name] for part in columns]) for name in columns[0]})


def build_peer(plan: SearchPlan, name: str, index: str = "auto") -> PeerBuilt:
    """Build a side; `index` is the kind of index of a catalog."""
    making_s = 0.0

    def rows() -> Iterator[PeerRows]:
        nonlocal making_s
        made = _rows_of(plan.made)
        while True:
            started = time.perf_counter()
            some = next(made, None)
            making_s += time.perf_counter() - started
            if some is None:
                return
            yield some

    folder = plan.folder / name
    folder.mkdir()
    started = time.perf_counter()
    peer = peer_of(name, index)
    peer.build(folder, rows(), plan.made.count, plan.made.dim)
    seconds = time.perf_counter() - started - making_s
    return PeerBuilt(round(seconds, 3), _bytes_in(folder))


def tune_peer(plan: SearchPlan, name: str) -> dict[str, Setting]:
    """Find the quickest setting of a side that reaches the recall, for each filter.

    Of each ladder the first setting that reaches it takes part, and the quickest of these is taken. Where none reaches
    it within the time for tuning, the setting with the best recall is taken.
    """
    peer = peer_of(name)
    peer.open(plan.folder / name)
    try:
        found = {}
        for workload in plan.made.workloads:
            queries = plan.queries_of(workload)[:_TUNED_QUERIES]
            found[workload.name] = _tuned(peer, peer.filter_of(workload), queries, plan.truth_of(workload), plan.most_s)
        return found
    finally:
        peer.close()


def measure_peer(plan: SearchPlan, name: str, settings: Mapping[str, Setting]) -> PeerMeasured:
    """Open a side and ask all queries under every filter, one by one."""
    asked = [(one, plan.queries_of(one), plan.truth_of(one)) for one in plan.made.workloads]
    columns = plan.columns()
    peer = peer_of(name)
    before = Memory.now()
    started = time.perf_counter()
    peer.open(plan.folder / name)
    open_ms = (time.perf_counter() - started) * 1000
    try:
        figures = {}
        for workload, queries, truth in asked:
            answers, seconds = _ask(peer, peer.filter_of(workload), queries, settings[workload.name], plan.most_s)
            mask = workload.mask(columns)
            wrong = 0 if mask is None else sum(int(np.count_nonzero(~mask[rows])) for rows in answers)
            p50, p90 = (float(one) * 1e6 for one in np.percentile(seconds, [50, 90]))
            recall = round(recall_of_rows(answers, truth[: len(answers)]), 4)
            figures[workload.name] = FilterFigures(len(answers), recall, round(p50, 1), round(p90, 1), wrong)
        return PeerMeasured(round(open_ms, 3), Memory.now() - before, figures)
    finally:
        peer.close()


def _tuned(
    peer: Peer[Any],
    filter: Any,  # noqa: ANN401  # each peer has a form of its own
    queries: Matrix,
    truth: Sequence[Rows],
    most_s: float,
) -> Setting:
    ladders = peer.ladders()
    if sum(map(len, ladders)) == 1:
        return ladders[0][0]
    enough: list[tuple[float, Setting]] = []
    best: tuple[float, Setting] = (-1.0, ladders[0][0])
    started = time.perf_counter()
    for ladder in ladders:
        for setting in ladder:
            answers, seconds = _ask(peer, filter, queries, setting, most_s)
            recall = recall_of_rows(answers, truth[: len(answers)])
            best = max(best, (recall, setting), key=lambda one: one[0])
            if recall >= RECALL:
                enough.append((float(np.median(seconds)), setting))
                break
            if time.perf_counter() - started > _TUNE_S:
                break
        if time.perf_counter() - started > _TUNE_S:
            break
    return min(enough, key=lambda one: one[0])[1] if enough else best[1]


def _ask(
    peer: Peer[Any],
    filter: Any,  # noqa: ANN401
    queries: Matrix,
    setting: Setting,
    most_s: float,
) -> tuple[list[Rows], Any]:
    answers, seconds = timed(lambda query: peer.search(query, K, filter, setting), queries, most_s)
    return [np.array(rows, dtype=np.int64) for rows in answers], seconds


def _rows_of(made: Synthetic) -> Iterator[PeerRows]:
    for chunk in made.chunks():
        yield PeerRows(chunk.start, chunk.vectors, chunk.columns, chunk.fields)


def _bytes_in(folder: Path) -> int:
    """Return the bytes that files take on the disk; some databases reserve more for their logs than they write."""
    return sum(path.stat().st_blocks * _BLOCK for path in folder.rglob("*") if path.is_file())
