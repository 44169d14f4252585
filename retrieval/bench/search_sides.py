"""The sides of the search benchmark: a catalog through its public API, and Faiss by itself.

Every function here runs in a process of its own (`speed.fresh`) and leaves what others need in the plan's folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookalike.models import Matrix
from lookalike.retrieval.bench.catalog_build import Built, build
from lookalike.retrieval.bench.memory import Memory
from lookalike.retrieval.bench.speed import Speed, timed, timed_batch
from lookalike.retrieval.bench.synthetic import Synthetic, Workload
from lookalike.retrieval.catalog import Catalog
from lookalike.retrieval.vector_index.baselines import Baseline, BaselineKind, BaselineSetting
from lookalike.retrieval.vector_index.calibration import recall_of_rows

__all__ = [
    "FIELDS",
    "RECALL",
    "K",
    "Measured",
    "NewFilter",
    "Rows",
    "SearchPlan",
    "WorkloadFigures",
    "answer_exactly",
    "build_baseline",
    "build_catalog",
    "measure_baseline",
    "measure_catalog",
    "measure_new_filters",
    "tune_baseline",
]

K = 10
RECALL = 0.95
FIELDS = ("category", "price")

Rows = NDArray[np.int64]

_TRUTH, _COLUMNS = "truth.npz", "columns.npz"
_CHECKED_QUERIES = 5
_COLD_QUERIES = 20
_TUNED_QUERIES = 500
_NEW_FILTERS = 30
_REPEATS = 5
_EXACT_BATCH = 100


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """What is measured, and where: `queries` for each filter, at most about `most_s` seconds each."""

    folder: Path
    made: Synthetic
    queries: int = 1000
    most_s: float = 1.2

    @property
    def catalog(self) -> Path:
        """Where the catalog lies."""
        return self.folder / "catalog"

    def baseline(self, kind: BaselineKind) -> Path:
        """Where an index of Faiss lies."""
        return self.folder / f"{kind}.index"

    def queries_of(self, workload: Workload) -> Matrix:
        """Make the queries of a workload, float32 [queries, dim]."""
        return self.made.queries(workload.queries, self.queries)

    def truth_of(self, workload: Workload) -> list[Rows]:
        """Read the true rows for each query of a workload."""
        with np.load(self.folder / _TRUTH) as file:
            return [rows[rows >= 0] for rows in file[workload.name]]

    def write_truth(self, truth: Mapping[str, Rows]) -> None:
        """Write the true rows of each workload by name, int64 [queries, 10], with -1 where there are fewer."""
        np.savez(self.folder / _TRUTH, allow_pickle=False, **truth)

    def write_columns(self, columns: Mapping[str, NDArray[np.generic]]) -> None:
        """Write the columns of all rows."""
        np.savez(self.folder / _COLUMNS, allow_pickle=False, **columns)

    def columns(self) -> Mapping[str, NDArray[np.generic]]:
        """Read the columns."""
        with np.load(self.folder / _COLUMNS) as file:
            return {name: file[name] for name in file.files}


@dataclass(frozen=True, slots=True)
class WorkloadFigures:
    """One side under one filter.

    `recall` and `batch_recall` are of the exact answer; `ready_per_second` is what the searches a second would be
    without making the bitmap of the filter at each call, which a catalog does not do.
    """

    speed: Speed
    recall: float
    batch_per_second: float
    batch_recall: float
    ready_per_second: float


@dataclass(frozen=True, slots=True)
class Measured:
    """One side in one process: opening it, every filter by name, and what was resident after all searches.

    `cold_ms` is the median of the first searches after opening, without a filter.
    """

    open_ms: float
    cold_ms: float
    memory: Memory
    workloads: Mapping[str, WorkloadFigures]


@dataclass(frozen=True, slots=True)
class NewFilter:
    """Median milliseconds of the first and second search under a filter never seen, and of those when it is known."""

    first_ms: float
    second_ms: float
    known_ms: float


def build_catalog(plan: SearchPlan, index: str) -> Built:
    """Build the catalog, and leave its columns for the other sides."""
    plan.write_columns(plan.made.columns())
    return build(plan.catalog, plan.made, index)


def answer_exactly(plan: SearchPlan) -> float:
    """Find the true rows of every query; give the share of them, for some queries, that NumPy finds in float64."""
    truth = {}
    with Catalog.open(plan.catalog) as catalog:
        for workload in plan.made.workloads:
            queries = plan.queries_of(workload)
            rows = np.full((len(queries), K), -1, dtype=np.int64)
            for start in range(0, len(queries), _EXACT_BATCH):
                some = queries[start : start + _EXACT_BATCH]
                answers = catalog.search_many(some, filter=workload.filter, limit=K, recall="exact", fields=())
                for place, results in enumerate(answers, start=start):
                    assert results.exact
                    rows[place, : len(results)] = list(map(int, results.keys))
            truth[workload.name] = rows
    plan.write_truth(truth)
    return _checked_in_float64(plan)


def measure_catalog(plan: SearchPlan) -> Measured:
    """Open the catalog and ask all queries under every filter: for keys and two fields, the filter as text."""
    asked = _asked(plan)
    before = Memory.now()
    started = time.perf_counter()
    catalog = Catalog.open(plan.catalog, device="cpu")  # where the other sides search
    catalog.count()
    open_ms = (time.perf_counter() - started) * 1000
    with catalog:
        cold_ms = _cold_ms(
            lambda query: catalog.search(vector=query, limit=K, recall=RECALL, fields=FIELDS), asked[0][1]
        )
        figures = {
            workload.name: _catalog_figures(catalog, workload.filter, queries, truth, plan.most_s)
            for workload, queries, truth in asked
        }
        return Measured(round(open_ms, 3), cold_ms, Memory.now() - before, figures)


def measure_new_filters(plan: SearchPlan) -> dict[str, NewFilter]:
    """Ask under filters that differ in every text, and under each again."""
    kinds = {
        "50%": "in_stock == true and price >= {low}",
        "10%": 'category == "c1" and price >= {low}',
        "1%": 'category == "c1" and price >= {above} and price < {below}',
        "0.1%": 'brand == "b{number}"',
        "20 brands": "brand in [{brands}]",
        "price band": "price >= {above} and price < {below}",
        "and, or, not": '(topic == "t1" or brand == "b{number}") and not (price > {above} or in_stock == true)',
    }
    queries = plan.queries_of(plan.made.workloads[0])
    found = {}
    with Catalog.open(plan.catalog) as catalog:
        for query in queries[:_REPEATS]:
            catalog.search(vector=query, limit=K, fields=FIELDS)
        for name, kind in kinds.items():
            took = []
            for number in range(_NEW_FILTERS):
                step = number / 100
                numbers = {"low": 0.01 + step, "above": 20.1 + step, "below": 25.9 + step, "number": 100 + number}
                brands = ", ".join(f'"b{20 * number + other}"' for other in range(20))
                expression = kind.format(brands=brands, **numbers)
                times = []
                for query in np.resize(queries[number:], (2 + _REPEATS, plan.made.dim)):
                    started = time.perf_counter()
                    catalog.search(vector=query, filter=expression, limit=K, recall=RECALL, fields=FIELDS)
                    times.append((time.perf_counter() - started) * 1000)
                took.append((times[0], times[1], float(np.median(times[2:]))))
            found[name] = NewFilter(*(round(float(one), 4) for one in np.median(took, axis=0)))
    return found


def build_baseline(plan: SearchPlan, kind: BaselineKind) -> Built:
    """Build an index of Faiss of the vectors as the catalog has them; the making of the rows is timed apart."""
    making_s = 0.0

    def chunks() -> Iterator[Matrix]:
        nonlocal making_s
        made = plan.made.chunks()
        while True:
            started = time.perf_counter()
            chunk = next(made, None)
            rows = None if chunk is None else chunk.vectors.astype(np.float16).astype(np.float32)
            making_s += time.perf_counter() - started
            if rows is None:
                return
            yield rows

    started = time.perf_counter()
    Baseline.build(kind, chunks(), plan.made.count, plan.made.dim).write(plan.baseline(kind))
    index_s = time.perf_counter() - started - making_s
    return Built(0.0, round(index_s, 3), plan.baseline(kind).stat().st_size)


def tune_baseline(plan: SearchPlan, kind: BaselineKind) -> dict[str, BaselineSetting]:
    """Find the cheapest setting of an index of Faiss for each filter."""
    baseline = Baseline.open(kind, plan.baseline(kind))
    columns = plan.columns()
    return {
        workload.name: baseline.tuned(queries[:_TUNED_QUERIES], truth[:_TUNED_QUERIES], workload.mask(columns), RECALL)
        for workload, queries, truth in _asked(plan)
    }


def measure_baseline(plan: SearchPlan, kind: BaselineKind, settings: Mapping[str, BaselineSetting]) -> Measured:
    """Open an index of Faiss and ask all queries: for row numbers, the filter made a bitmap of columns at each call."""
    asked = _asked(plan)
    before = Memory.now()
    started = time.perf_counter()
    baseline = Baseline.open(kind, plan.baseline(kind))
    columns = plan.columns()
    open_ms = (time.perf_counter() - started) * 1000
    unfiltered = settings[asked[0][0].name]
    cold_ms = _cold_ms(lambda query: baseline.search(query[None], K, None, unfiltered), asked[0][1])
    figures = {
        workload.name: _baseline_figures(
            baseline, partial(workload.mask, columns), settings[workload.name], queries, truth, plan.most_s
        )
        for workload, queries, truth in asked
    }
    return Measured(round(open_ms, 3), cold_ms, Memory.now() - before, figures)


def _cold_ms(search: Callable[[Matrix], object], queries: Matrix) -> float:
    times = []
    for query in queries[:_COLD_QUERIES]:
        started = time.perf_counter()
        search(query)
        times.append((time.perf_counter() - started) * 1000)
    return round(float(np.median(times)), 4)


def _catalog_figures(
    catalog: Catalog, filter: str | None, queries: Matrix, truth: list[Rows], most_s: float
) -> WorkloadFigures:
    def one(query: Matrix) -> list[str]:
        return catalog.search(vector=query, filter=filter, limit=K, recall=RECALL, fields=FIELDS).keys

    def many(queries: Matrix) -> list[list[str]]:
        found = catalog.search_many(queries, filter=filter, limit=K, recall=RECALL, fields=FIELDS)
        return [results.keys for results in found]

    answers, seconds = timed(one, queries, most_s)
    batch, batch_rate = timed_batch(many, queries, most_s)
    speed = Speed.of(seconds)
    recalls = [_recall(map(_rows_of, some), truth) for some in (answers, batch)]
    return WorkloadFigures(speed, recalls[0], round(batch_rate, 2), recalls[1], speed.per_second)


def _baseline_figures(
    baseline: Baseline,
    mask: Callable[[], NDArray[np.bool_] | None],
    setting: BaselineSetting,
    queries: Matrix,
    truth: list[Rows],
    most_s: float,
) -> WorkloadFigures:
    bitmap_s: list[float] = []

    def many(queries: Matrix) -> Rows:
        started = time.perf_counter()
        selector = Baseline.selector(mask())
        bitmap_s.append(time.perf_counter() - started)
        return baseline.search(queries, K, selector, setting)

    answers, seconds = timed(lambda query: many(query[None])[0], queries, most_s)
    ready = Speed.of(seconds - np.array(bitmap_s[-len(seconds) :]))
    batch, batch_rate = timed_batch(many, queries, most_s)
    recalls = [_recall(some, truth) for some in (answers, batch)]
    return WorkloadFigures(Speed.of(seconds), recalls[0], round(batch_rate, 2), recalls[1], ready.per_second)


def _asked(plan: SearchPlan) -> list[tuple[Workload, Matrix, list[Rows]]]:
    return [(one, plan.queries_of(one), plan.truth_of(one)) for one in plan.made.workloads]


def _rows_of(keys: Sequence[str]) -> Rows:
    return np.array(list(map(int, keys)), dtype=np.int64)


def _recall(found: Iterable[Rows], truth: list[Rows]) -> float:
    """Return the recall of as many queries as were answered."""
    answered = list(found)
    return round(recall_of_rows(answered, truth[: len(answered)]), 4)


def _checked_in_float64(plan: SearchPlan) -> float:
    """Compare the true rows of some queries with a scan by NumPy of the vectors as they are stored."""
    workloads = plan.made.workloads
    queries = np.stack([plan.queries_of(one)[:_CHECKED_QUERIES] for one in workloads]).astype(np.float64)
    queries = np.concatenate(list(queries))
    each = len(queries) // len(workloads)
    best = np.full((len(queries), K), -np.inf)
    rows = np.full((len(queries), K), -1, dtype=np.int64)
    for chunk in plan.made.chunks():
        scores = queries @ chunk.vectors.astype(np.float16).astype(np.float64).T
        for number, workload in enumerate(workloads):
            mask = workload.mask(chunk.columns)
            if mask is not None:
                scores[number * each : (number + 1) * each, ~mask] = -np.inf
        numbers = np.broadcast_to(np.arange(chunk.start, chunk.start + len(chunk.vectors)), scores.shape)
        scores, numbers = np.hstack([best, scores]), np.hstack([rows, np.where(np.isinf(scores), -1, numbers)])
        order = np.argsort(-scores, axis=1, kind="stable")[:, :K]
        best, rows = np.take_along_axis(scores, order, axis=1), np.take_along_axis(numbers, order, axis=1)
    truth = [true for workload in workloads for true in plan.truth_of(workload)[:each]]
    return round(recall_of_rows(rows, truth), 4)
