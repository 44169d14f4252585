"""An index that visits a part of the rows, beside codes of all of them, and the choice between the ways to search."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from data.errors import CatalogDamaged
from retrieval.vector_index.calibration import RECALLS, SHARES, Calibration, cheapest, enough, recall_of_rows
from retrieval.vector_index.codes import Codes
from retrieval.vector_index.exact import Rows, Scores, Vectors, ordered, read_index, use_threads
from retrieval.vector_index.kinds import IndexKind, Metric
from retrieval.vector_index.selection import Selection

__all__ = ["Approximate", "Found", "build_approximate"]

Queries = NDArray[np.float32]

FEWEST_CANDIDATES = 10
"""What is calibrated is recall@10, so at least so many hits are looked for."""

PACKED_ROWS = 262_144
"""Codes of more rows than this are not packed when the index can answer: 10 MB a filter is enough."""

PACKED_AT_ONCE = 32_768
"""Codes of more rows than this are packed for a filter's second search, not for its first, for which it takes long."""

_QUERIES = 256
_TIMED = 24
_TRUTH_ROWS = 512
_ADD_ROWS = 16_384
_TRAINING_ROWS_A_LIST = 39
_GRAPH_LINKS = 32
_REFINED = (4, 6, 8, 12, 20, 32, 64)


class Found(NamedTuple):
    """Scores and rows, [queries, k], best first, row -1 where there are no more.

    `exact` says that no better row can have been passed over, `how` in words how they were found.
    """

    scores: Scores
    rows: Rows
    exact: bool
    how: str


class _Way(Enum):
    EXACT = auto()
    CODES = auto()
    INDEX = auto()


class _Plan(NamedTuple):
    way: _Way
    effort: int
    refined: int
    words: str


@dataclass(frozen=True, slots=True)
class Approximate:
    """An index of some kind over `vectors`, the codes of all rows, and what was measured of both.

    `stored` is what its file holds, without the vectors.
    """

    kind: IndexKind
    vectors: Vectors
    codes: Codes
    stored: Any
    calibration: Calibration
    _index: Any = field(init=False)
    _parameters: dict[tuple[int, float], Any] = field(default_factory=dict, init=False)
    _plans: dict[tuple[float, bool], _Plan] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", _over(self.stored, self.kind, self.vectors, self.codes))

    @property
    def lists(self) -> int:
        """How many lists an IVF index has."""
        return int(self.stored.nlist)

    def search(self, queries: Queries, k: int, recall: float, selection: Selection | None = None) -> Found:
        """Find about the k best rows for each query, float32 [queries, dim], among those selected.

        Goes the way that costs least by what was measured: a scan of the selected vectors, a scan of their codes, or
        the index with the selection inside. Whoever has not found k rows in the index is answered by a scan.
        """
        count = self.vectors.count if selection is None else selection.count
        k = min(k, count)
        plan = self._plan(recall, selection)
        if plan.way is _Way.CODES and selection is not None:
            scores, found = self.codes.search(queries, k, max(k, FEWEST_CANDIDATES) * plan.refined, selection)
            return Found(scores, found, False, plan.words)
        if plan.way is _Way.INDEX:
            scores, found = self.visit(queries, k, plan.effort, plan.refined, selection)
            if not (found[:, -1] < 0).any():
                return Found(scores, found, False, plan.words)
        scores, found = self.vectors.search(queries, k, selection)
        return Found(scores, found, True, f"exact scan of {count:,} vectors")

    def _plan(self, recall: float, selection: Selection | None) -> _Plan:
        """Choose the cheapest way by what was measured; a selection's second search may go another than its first."""
        plans = self._plans if selection is None else selection.plans
        known = (recall, selection is None or selection.uses > 0)
        plan = plans.get(known)
        if plan is None:
            plan = plans[known] = self._chosen(recall, selection)
        if selection is not None:
            selection.uses += 1
        return plan

    def _chosen(self, recall: float, selection: Selection | None) -> _Plan:
        rows, calibration = self.vectors.count, self.calibration
        count = rows if selection is None else selection.count
        among = f"{count:,} of {rows:,}" if count < rows else f"{rows:,}"
        blind = self.kind is IndexKind.NSG and selection is not None
        setting = None if blind else calibration.setting(count / rows, recall)
        refined = calibration.refined(recall)
        cost, plan = calibration.vector_cost[0] + calibration.vector_cost[1] * count, _Plan(_Way.EXACT, 0, 0, "")
        if setting is not None and setting.microseconds < cost:
            words = f"{self.kind} search of {among} vectors, recall {recall:g}"
            cost, plan = setting.microseconds, _Plan(_Way.INDEX, setting.effort, setting.refined, words)
        if selection is not None and refined is not None and (count <= PACKED_ROWS or setting is None):
            scan = calibration.code_cost[0] + calibration.code_cost[1] * count
            if scan < cost and (count <= PACKED_AT_ONCE or selection.uses or setting is None):
                plan = _Plan(_Way.CODES, 0, refined, f"scan of the codes of {among} vectors, recall {recall:g}")
        return plan

    def visit(
        self, queries: Queries, k: int, effort: int, refined: int, selection: Selection | None
    ) -> tuple[Scores, Rows]:
        """Search the index with these settings."""
        use_threads(len(queries), self.vectors.count)
        wide = max(k, FEWEST_CANDIDATES)
        factor = wide * refined / k
        cache = self._parameters if selection is None else selection.packed.setdefault("parameters", {})
        if self.kind is IndexKind.NSG:  # Faiss keeps the effort in the index and takes no filter
            with self._lock:
                self.stored.nsg.search_L = max(effort, wide)
                scores, rows = self._index.search(np.ascontiguousarray(queries), k)
            return ordered(-scores if self.vectors.metric is Metric.L2 else scores, rows, k)
        parameters = cache.get((effort, factor))
        if parameters is None:
            parameters = cache[effort, factor] = self._parameters_of(max(effort, 1), wide, factor, selection)
        scores, rows = self._index.search(np.ascontiguousarray(queries), k, params=parameters)
        return ordered(-scores if self.vectors.metric is Metric.L2 else scores, rows, k)

    def _parameters_of(self, effort: int, wide: int, factor: float, selection: Selection | None) -> Any:  # noqa: ANN401
        selector = None if selection is None else selection.selector
        if self.kind is IndexKind.HNSW:
            return faiss.SearchParametersHNSW(efSearch=max(effort, wide), sel=selector)
        lists = faiss.SearchParametersIVF(nprobe=min(effort, self.lists), sel=selector)
        if self.kind is IndexKind.IVF_FLAT:
            return lists
        base = lists if self.kind is IndexKind.IVF_SQ8 else faiss.SearchParametersPreTransform(index_params=lists)
        return faiss.IndexRefineSearchParameters(k_factor=factor, base_index_params=base)

    def write(self, index: Path, codes: Path, calibration: Path) -> None:
        """Write the index without the vectors, the codes, and the calibration, each to its file."""
        faiss.write_index(self.stored, str(index), faiss.IO_FLAG_SKIP_STORAGE if self.kind.is_graph else 0)
        self.codes.write(codes)
        calibration.write_bytes(self.calibration.to_json())

    @classmethod
    def open(cls, kind: IndexKind, vectors: Vectors, index: Path, codes: Path, calibration: Path) -> Approximate:
        """Open the files that `write` made, over the vectors they were built on.

        Raises:
            CatalogDamaged: a file cannot be read, or is of other vectors.
        """
        stored = read_index(index)
        if stored.ntotal != vectors.count:
            raise CatalogDamaged(f"{index.name} has {stored.ntotal} rows for {vectors.count} vectors.")
        if kind is IndexKind.DISK:
            vectors.leave_on_disk()
        opened = Codes.open(codes, vectors)
        measured = Calibration.from_json(calibration.read_bytes())
        return cls(kind, vectors, opened, stored, measured)


def build_approximate(vectors: Vectors, kind: IndexKind) -> Approximate:
    """Build an index over vectors, and codes of them, and measure both; the index is the same for the same vectors."""
    codes = Codes.build(vectors)
    unmeasured = Calibration({}, {}, (0.0, 0.0), (0.0, 0.0))
    built = Approximate(kind, vectors, codes, _filled(kind, vectors, codes), unmeasured)
    return replace(built, calibration=_calibrated(built))


def _filled(kind: IndexKind, vectors: Vectors, codes: Codes) -> Any:  # noqa: ANN401
    """Build what is kept in the index's file."""
    count, dim, metric = vectors.count, vectors.dim, vectors.metric.faiss
    use_threads(count, dim)
    half = faiss.ScalarQuantizer.QT_fp16
    if kind.is_graph:
        index: Any = faiss.IndexHNSWSQ(dim, half, _GRAPH_LINKS, metric)
        if kind is IndexKind.NSG:
            index = faiss.IndexNSGSQ(dim, half, _GRAPH_LINKS, metric)
        else:
            index.hnsw.efConstruction = 100
        index.is_trained = index.storage.is_trained = True
        if kind is IndexKind.NSG:  # its graph is made of all rows at once
            index.add(vectors.rows(np.arange(count)))
            return index
        for start in range(0, count, _ADD_ROWS):
            index.add(vectors.rows(np.arange(start, min(start + _ADD_ROWS, count))))
        return index
    lists = _lists_for(count)
    chosen = np.sort(np.random.default_rng(1).permutation(count)[: _TRAINING_ROWS_A_LIST * lists])
    projected = kind in (IndexKind.IVF_PQ, IndexKind.DISK)
    width = codes.width if projected else dim
    quantizer = faiss.IndexFlat(width, metric)
    if projected:
        index = faiss.IndexIVFPQFastScan(quantizer, width, lists, codes.quantizer.M, 4, metric)
        index.by_residual, index.pq = False, codes.quantizer
        training = codes.transform.apply(vectors.rows(chosen))
        index.train_q1(len(training), faiss.swig_ptr(training), False, metric)
        index.is_trained = True
    else:
        numbers = half if kind is IndexKind.IVF_FLAT else faiss.ScalarQuantizer.QT_8bit
        index = faiss.IndexIVFScalarQuantizer(quantizer, dim, lists, numbers, metric, False)
        index.train(vectors.rows(chosen))
    index.cp.min_points_per_centroid = 1
    quantizer.this.disown()
    index.own_fields = True
    for start in range(0, count, _ADD_ROWS):
        rows = vectors.rows(np.arange(start, min(start + _ADD_ROWS, count)))
        index.add(codes.transform.apply(rows) if projected else rows)
    return index


def _lists_for(count: int) -> int:
    """Choose the number of lists: a power of 2, about four times the root of the number of rows."""
    return 1 << round(float(np.log2(max(min(4.5 * count**0.5, count / 64), 1))))


def _over(stored: Any, kind: IndexKind, vectors: Vectors, codes: Codes) -> Any:  # noqa: ANN401
    """Put together what answers from what is stored and the one array of vectors."""
    if kind.is_graph:
        stored.storage, stored.own_fields = vectors.index, False
        return stored
    if kind is IndexKind.IVF_FLAT:
        return stored
    return codes.refined(stored if kind is IndexKind.IVF_SQ8 else codes.projected(stored))


def _calibrated(built: Approximate) -> Calibration:
    vectors = built.vectors
    random = np.random.default_rng(2)
    chosen = np.sort(random.permutation(vectors.count)[:_QUERIES])
    queries = vectors.rows(chosen)
    _, nearest = vectors.search(queries, min(_TRUTH_ROWS, vectors.count))
    nearest_others = [near[near != row] for row, near in zip(chosen, nearest, strict=True)]
    efforts = _efforts(built)
    refined = _REFINED if built.kind not in (IndexKind.IVF_FLAT, IndexKind.HNSW, IndexKind.NSG) else (1,)
    costs: dict[tuple[int, int], float] = {}

    def cost(effort: int, candidates: int) -> float:
        if (effort, candidates) not in costs:
            costs[effort, candidates] = _timed(queries, lambda one: built.visit(one, 10, effort, candidates, None))
        return costs[effort, candidates]

    settings = {}
    for share in SHARES[:1] if built.kind is IndexKind.NSG else SHARES:
        mask = random.random(vectors.count) < share
        selection = None if share == 1 else Selection(mask)
        truth = [near[:10] if selection is None else near[mask[near]][:10] for near in nearest_others]

        def measure(effort: int, candidates: int, selection: Any = selection, truth: Any = truth) -> float:  # noqa: ANN401
            return recall_of_rows(built.visit(queries, 11, effort, candidates, selection)[1], truth)

        settings[share] = cheapest(efforts, refined, measure, cost)
    codes, code_cost = _codes_measured(built, queries, nearest_others, random)
    few = Selection(random.random(vectors.count) < min(500 / vectors.count, 1))
    more = Selection(random.random(vectors.count) < min(4000 / vectors.count, 1))
    vector_cost = _cost_of_a_scan(queries, few, more, lambda query, selection: vectors.search(query, 10, selection))
    return Calibration(settings, codes, vector_cost, code_cost)


def _codes_measured(
    built: Approximate, queries: Queries, nearest: list[Rows], random: np.random.Generator
) -> tuple[dict[float, int], tuple[float, float]]:
    """Measure how many candidates by code give each recall among a tenth of the rows, and what a scan costs."""
    vectors = built.vectors
    mask = random.random(vectors.count) < 0.1
    many = Selection(mask)
    few = Selection(mask & (random.random(vectors.count) < 0.1))
    truth = [near[mask[near]][:10] for near in nearest]
    needed: dict[float, int] = {}
    for refined in (2, *_REFINED, 128):
        found = built.codes.search(queries, min(11, many.count), 11 * refined, many)[1]
        for recall in RECALLS:
            if enough(recall_of_rows(found, truth), recall):
                needed.setdefault(recall, refined)
    typical = needed.get(0.95, 16)
    return needed, _cost_of_a_scan(
        queries, few, many, lambda query, selection: built.codes.search(query, 10, 10 * typical, selection)
    )


def _efforts(built: Approximate) -> list[int]:
    if built.kind.is_graph:
        return [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 2048]
    steps = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 384, 512, 768, 1024, 2048, 4096]
    lists = built.lists
    return [*(step for step in steps if step < lists), lists]


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
