"""An index that visits a part of the rows, beside codes of all of them, and the choice between the ways to search."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from data.errors import CatalogDamaged
from retrieval.vector_index.calibration import Calibration
from retrieval.vector_index.coded_lists import CodedLists
from retrieval.vector_index.codes import Codes
from retrieval.vector_index.exact import (
    GATHERED_ROWS,
    Rows,
    Scores,
    Vectors,
    lend,
    ordered,
    read_index,
    read_near,
    use_threads,
)
from retrieval.vector_index.kinds import IndexKind, Metric
from retrieval.vector_index.one_query import FoundOne, OneQuery
from retrieval.vector_index.plans import PACKED_ROWS, Around, Plan, Planner, Way
from retrieval.vector_index.quantizer import centroids
from retrieval.vector_index.selection import Selection
from retrieval.vector_index.spread import NEAREST_LISTS, Lists

__all__ = ["Approximate", "Found"]

Queries = NDArray[np.float32]

FEWEST_CANDIDATES = 10
"""What is calibrated is recall@10, so at least so many hits are looked for."""

_MANY_QUERIES = 16
"""So many are compared with the centroids together."""

_PACKED_IN_LISTS = 0.6
"""Microseconds to pack a row's code in its list,"""

_SAVED = 150.0
"""and those that each query takes less from then on: it is done when that would have paid for it."""


class Found(NamedTuple):
    """Scores and rows, [queries, k], best first, row -1 where there are no more.

    `exact` says that no better row can have been passed over, `how` in words how they were found.
    """

    scores: Scores
    rows: Rows
    exact: bool
    how: str


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
    _base: Any = field(init=False)
    _index: Any = field(init=False)
    _coded: CodedLists | None = field(init=False)
    _lists: Lists = field(init=False)
    _planner: Planner = field(init=False)
    _parameters: dict[tuple[int, float], Any] = field(default_factory=dict, init=False)
    _plans: dict[tuple[float, int], Plan] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        if self.kind is IndexKind.DISK:
            self.vectors.leave_on_disk()
        coded = CodedLists(self.codes, self.stored) if self.kind.has_codes else None
        if self.kind.is_graph:
            lend(self.vectors.index, self.stored)
        base = coded.by_code if coded else self.stored
        object.__setattr__(self, "_base", base)
        whole = coded.one if coded else self.codes.refined(base) if self.refines else base
        object.__setattr__(self, "_index", whole)
        object.__setattr__(self, "_coded", coded)
        lists = Lists(self.stored, self.vectors.count)
        object.__setattr__(self, "_lists", lists)
        object.__setattr__(self, "_planner", Planner(self.kind, self.vectors.count, self.calibration, lists))

    @property
    def refines(self) -> bool:
        """Whether candidates are compared by their true vectors afterwards; the others keep these already."""
        return self.kind in (IndexKind.IVF_PQ, IndexKind.IVF_SQ8, IndexKind.DISK)

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
        plan = self._plan(recall, selection, len(queries))
        if plan.around is not None:
            return self._found_around(plan, plan.around, queries, min(k, count), recall, selection)
        return self._found(plan, queries, min(k, count), selection)

    def bound_one(self, k: int, recall: float, selection: Selection | None) -> Callable[[Queries], FoundOne]:
        """Decide all but the query of a search by one, contiguous and float32 [1, dim], and give what searches."""
        count = self.vectors.count if selection is None else selection.count
        k = min(k, count)
        plan = self._plan(recall, selection, 1)

        def by_arrays(query: Queries) -> FoundOne:
            found = self.search(query, k, recall, selection)
            return FoundOne(found.scores[0].tolist(), found.rows[0], found.exact, found.how)

        if plan.way is Way.EXACT and selection is not None and selection.count <= GATHERED_ROWS:
            return self._bound_few(k, selection, by_arrays)
        if plan.way is Way.EXACT or plan.around or self.vectors.on_disk or self.kind is IndexKind.NSG:
            return by_arrays
        if plan.way is Way.CODES:
            assert selection is not None
            wide = max(k, FEWEST_CANDIDATES) * plan.refined
            index, parameters = self.codes.packed(selection), self.codes.parameters(k, wide, selection)
            one = OneQuery(index, k, parameters, distances=self.vectors.metric is Metric.L2)
        else:
            one = self._bound_index(plan, k, selection)
        to_be_packed = selection if plan.way is Way.INDEX and self._coded is not None else None

        def found(query: Queries) -> FoundOne:
            nonlocal one, to_be_packed
            if to_be_packed is not None:
                to_be_packed.uses += 1
                if self._worth_packing(to_be_packed, 1):
                    one, to_be_packed = self._bound_index(plan, k, to_be_packed), None
            use_threads(1, count)
            scores, rows = one(query)
            return by_arrays(query) if rows[-1] < 0 else FoundOne(scores, rows, False, plan.words)

        return found

    def _bound_index(self, plan: Plan, k: int, selection: Selection | None) -> OneQuery:
        index, parameters = self._with_settings(k, plan.effort, plan.refined, selection, 1)
        return OneQuery(index, k, parameters, distances=self.vectors.metric is Metric.L2)

    def _bound_few(
        self, k: int, selection: Selection, by_arrays: Callable[[Queries], FoundOne]
    ) -> Callable[[Queries], FoundOne]:
        """Give what compares a query with few vectors; of equal scores at the end it leaves the choice `by_arrays`."""
        rows = selection.rows
        one = OneQuery(
            self.vectors.few(selection), min(k + 1, len(rows)), None, distances=self.vectors.metric is Metric.L2
        )
        words = _of_a_scan(len(rows))

        def found(query: Queries) -> FoundOne:
            use_threads(1, len(rows))
            scores, places = one(query)
            if len(scores) > k and scores[k] == scores[k - 1]:
                return by_arrays(query)
            return FoundOne(scores[:k], rows[places[:k]], True, words)

        return found

    def _found(self, plan: Plan, queries: Queries, k: int, selection: Selection | None) -> Found:
        """Search as planned."""
        if plan.way is Way.CODES:
            assert selection is not None
            candidates = max(k, FEWEST_CANDIDATES) * plan.refined
            return Found(*self.codes.search(queries, k, candidates, selection), False, plan.words)
        if plan.way is Way.INDEX:
            scores, rows = self.visit(queries, k, plan.effort, plan.refined, selection)
            short = rows[:, -1] < 0
            if not short.any():
                return Found(scores, rows, False, plan.words)
            if not short.all():
                scores[short], rows[short] = self.vectors.search(queries[short], k, selection)
                return Found(scores, rows, False, plan.words)
        count = self.vectors.count if selection is None else selection.count
        return Found(*self.vectors.search(queries, k, selection), True, _of_a_scan(count))

    def _found_around(
        self, plan: Plan, around: Around, queries: Queries, k: int, recall: float, selection: Selection | None
    ) -> Found:
        """Search for each query as what the filter leaves around it demands, or else as planned.

        As long as more of the hits come from the last half of the lists than may be missed twice over, there are more
        to be found: then twice as many lists are visited.
        """
        nearest = self.nearest_lists(queries, min(NEAREST_LISTS, self.lists))
        chosen = around.first(nearest)
        scores, rows = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
        exact, ways = True, []
        for number, one in enumerate(around.plans):
            here = np.flatnonzero(chosen == number)
            if not len(here):
                continue
            scores[here], rows[here] = self.visit(queries[here], k, one.effort, one.refined, selection)
            half = one.effort // 2
            first = nearest[here, :half] if half <= nearest.shape[1] else self.nearest_lists(queries[here], half)
            late = (rows[here] < 0) | ~self._lists.among(rows[here], first)
            more = np.count_nonzero(late, axis=1) > 2 * (1 - recall) * k
            chosen[here[more]] = around.next[number]
            if not more.all():
                exact = False
                ways.append(one.words)
        here = np.flatnonzero(chosen == len(around.plans))
        if len(here):
            found = self._found(plan, queries[here], k, selection)
            scores[here], rows[here] = found.scores, found.rows
            exact = exact and found.exact
            ways.append(found.how)
        return Found(scores, rows, exact, " or ".join(dict.fromkeys(ways)))

    def _plan(self, recall: float, selection: Selection | None, queries: int) -> Plan:
        """Choose the cheapest way by what was measured; a selection's second search may go another than its first."""
        plans = self._plans if selection is None else selection.plans
        packed_for = queries if selection is not None and not selection.uses else 0
        plan = plans.get((recall, packed_for))
        if plan is None:
            plan = plans[recall, packed_for] = self._planner.choose(recall, selection, packed_for)
        if selection is not None:
            selection.uses += 1
        return plan

    def visit(
        self, queries: Queries, k: int, effort: int, refined: int, selection: Selection | None
    ) -> tuple[Scores, Rows]:
        """Search the index with these settings."""
        use_threads(len(queries), self.vectors.count)
        if self.kind is IndexKind.NSG:  # Faiss keeps the effort in the index and takes no filter
            with self._lock:
                self.stored.nsg.search_L = max(effort, k, FEWEST_CANDIDATES)
                scores, rows = self._index.search(np.ascontiguousarray(queries), k)
            return ordered(-scores if self.vectors.metric is Metric.L2 else scores, rows, k)
        index, parameters = self._with_settings(k, effort, refined, selection, len(queries))
        scores, rows = index.search(np.ascontiguousarray(queries), k, params=parameters)
        return ordered(-scores if self.vectors.metric is Metric.L2 else scores, rows, k)

    def _with_settings(
        self, k: int, effort: int, refined: int, selection: Selection | None, queries: int
    ) -> tuple[Any, Any]:
        """Give what Faiss searches for so many queries, and its words for the settings.

        The rows of a selection that is searched often enough are packed by themselves.
        """
        coded = self._coded
        if coded is not None and selection is not None and self._worth_packing(selection, queries):
            coded = CodedLists.of_selected(self.codes, self.stored, self._lists, selection)
            selection = None
        parameters = self._parameters_for(k, effort, refined, selection)
        if coded is None:
            return self._index, parameters
        return coded.one if queries < _MANY_QUERIES else coded.many, parameters

    @staticmethod
    def _worth_packing(selection: Selection, queries: int) -> bool:
        paid = (selection.uses + queries) * _SAVED
        return selection.count <= PACKED_ROWS and paid >= selection.count * _PACKED_IN_LISTS

    def candidates(self, queries: Queries, count: int, effort: int, selection: Selection | None) -> Rows:
        """Find what an index that refines would refine, [queries, count], best by code first, row -1: no more.

        Refining keeps the true best of these, so that the first of them tell what it finds with fewer, too.
        """
        use_threads(len(queries), self.vectors.count)
        parameters = self._lists_of(max(effort, 1), selection)
        found: Rows = self._base.search(np.ascontiguousarray(queries), count, params=parameters)[1]
        return found

    def nearest_lists(self, queries: Queries, count: int) -> Rows:
        """Give the first lists in the order in which queries visit them, int64 [queries, count]."""
        use_threads(len(queries), self.vectors.count)
        queries = np.ascontiguousarray(queries)
        projected = self.codes.transform.apply(queries) if self.kind.has_codes else queries
        quantizer = self.stored.quantizer
        if self._coded is not None and len(queries) >= _MANY_QUERIES:
            quantizer = self._coded.for_many.quantizer
        found: Rows = quantizer.search(projected, count)[1]
        return found

    def list_of(self, rows: Rows) -> NDArray[np.uint16]:
        """Tell which list each row is in, as many as are given."""
        return self._lists.of(rows)

    def centroids(self) -> tuple[NDArray[np.float32] | None, NDArray[np.float32]]:
        """Give what projects vectors, float32 [width, dim] or None, and the lists' centres, float32 [lists, width]."""
        centres = centroids(self.stored)
        if not self.kind.has_codes:
            return None, centres
        return faiss.vector_to_array(self.codes.transform.A).reshape(-1, self.vectors.dim), centres

    def lists_to_visit(self, recall: float, selection: Selection | None) -> int | None:
        """Give how many lists hold so much of the true answer; None for a graph, or where it was not measured.

        It was not where a filter leaves more rows around one query than around another.
        """
        count = self.vectors.count if selection is None else selection.count
        setting = None if self.kind.is_graph else self.calibration.setting(count / self.vectors.count, recall)
        if setting is None or (selection is not None and self._lists.spread(selection).uneven):
            return None
        return min(max(setting.effort, 1), self.lists)

    def _parameters_for(self, k: int, effort: int, refined: int, selection: Selection | None) -> Any:  # noqa: ANN401
        """Give Faiss's words for a setting, which are kept."""
        wide = max(k, FEWEST_CANDIDATES)
        factor = wide * refined / k
        cache = self._parameters if selection is None else selection.packed.setdefault("parameters", {})
        if (effort, factor) not in cache:
            cache[effort, factor] = self._parameters_of(max(effort, 1), wide, factor, selection)
        return cache[effort, factor]

    def _parameters_of(self, effort: int, wide: int, factor: float, selection: Selection | None) -> Any:  # noqa: ANN401
        if self.kind is IndexKind.HNSW:
            selector = None if selection is None else selection.selector
            return faiss.SearchParametersHNSW(efSearch=max(effort, wide), sel=selector)
        lists = self._lists_of(effort, selection)
        return faiss.IndexRefineSearchParameters(k_factor=factor, base_index_params=lists) if self.refines else lists

    def _lists_of(self, effort: int, selection: Selection | None) -> Any:  # noqa: ANN401
        """Say how many lists are visited, to the index that has them or to what projects for it."""
        selector = None if selection is None else selection.selector
        lists = faiss.SearchParametersIVF(nprobe=min(effort, self.lists), sel=selector)
        return lists if self._base is self.stored else faiss.SearchParametersPreTransform(index_params=lists)

    def write(self, index: Path, codes: Path, calibration: Path) -> None:
        """Write the index without the vectors, the codes, and the calibration, each to its file."""
        faiss.write_index(self.stored, str(index), faiss.IO_FLAG_SKIP_STORAGE if self.kind.is_graph else 0)
        self.codes.write(codes)
        calibration.write_bytes(self.calibration.to_json())

    @classmethod
    def open(
        cls, kind: IndexKind, vectors: Vectors, index: Path, codes: Path, calibration: Path, *, to_search: bool = True
    ) -> Approximate:
        """Open the files that `write` made, over the vectors they were built on.

        Unless it is `to_search`, the vectors are not read before they are wanted.

        Raises:
            CatalogDamaged: a file cannot be read, or is of other vectors.
        """
        stored = read_index(index)
        if stored.ntotal != vectors.count:
            raise CatalogDamaged(f"{index.name} has {stored.ntotal} rows for {vectors.count} vectors.")
        measured = Calibration.from_json(calibration.read_bytes())
        opened = cls(kind, vectors, Codes.open(codes, vectors), stored, measured)
        if to_search:
            threading.Thread(target=opened._bring_near, args=(index, codes), daemon=True).start()
        return opened

    def _bring_near(self, *files: Path) -> None:
        """Read now, in a thread of its own, what the first searches would otherwise wait for."""
        for path in files:
            read_near(path)
        if not self.kind.is_graph:
            self._lists.bring_near()
        self.vectors.bring_near()


def _of_a_scan(count: int) -> str:
    return f"exact scan of {count:,} vectors"
