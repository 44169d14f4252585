"""An index that visits part of the rows, the codes of all rows, and the choice between the ways to search them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np

from lookalike.data.counted import counted
from lookalike.data.errors import CatalogDamaged
from lookalike.retrieval.vector_index.calibration import Calibration
from lookalike.retrieval.vector_index.codes import Codes
from lookalike.retrieval.vector_index.kinds import IndexKind, Metric
from lookalike.retrieval.vector_index.list_spread import NEAREST_LISTS
from lookalike.retrieval.vector_index.plans import Around, Plan, Planner, Way
from lookalike.retrieval.vector_index.selection import Selection
from lookalike.retrieval.vector_index.single_query import FoundOne, OneQuery
from lookalike.retrieval.vector_index.stages import (
    FIRST_STAGE,
    Stage,
    exactly_followed,
    followed,
    last_stage,
    lengthened,
    stages,
)
from lookalike.retrieval.vector_index.ties import closed
from lookalike.retrieval.vector_index.vectors import (
    GATHERED_ROWS,
    Rows,
    Scores,
    Vectors,
    read_index,
    read_near,
    use_threads,
)
from lookalike.retrieval.vector_index.visited_index import Queries, VisitedIndex

__all__ = ["Approximate", "Found"]

_BOUND_STAGES = 2
"""Answers of more stages take so long that a shorter way through Python does not matter."""


class Found(NamedTuple):
    """Scores and rows, [queries, k], best first; row -1 where there are no more.

    Scores at the end may be out of order only if all rows are asked for: see `stages`. `exact` is whether no better row
    can have been missed; `how` describes the search.
    """

    scores: Scores
    rows: Rows
    exact: bool
    how: str


@dataclass(frozen=True, slots=True)
class Approximate(VisitedIndex):
    """An index that answers each search in the way that costs least according to its calibration."""

    _planner: Planner = field(init=False)
    _plans: dict[tuple[float, int, int], Plan] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        VisitedIndex.__post_init__(self)
        planner = Planner(self.kind, self.vectors.count, self.calibration, self._lists)
        object.__setattr__(self, "_planner", planner)

    def search(self, queries: Queries, k: int, recall: float, selection: Selection | None = None) -> Found:
        """Find about the k best rows for each query, float32 [queries, dim], among those selected.

        Each stage (see `stages`) is searched in the way with the least measured cost: a scan of the selected vectors, a
        scan of their codes, or the index with the selection applied inside. Queries for which the index finds too few
        rows are answered by a scan. Equal scores are ordered by row, and the first rows do not depend on k.
        """
        count = self.vectors.count if selection is None else selection.count
        k = min(k, count)
        packed_for = 0 if selection is None else selection.begin(queries)
        first, *others = stages(k, count)
        found = self._first(queries, first, k, recall, selection, packed_for)
        if found.exact and k > found.rows.shape[1]:
            return Found(*self.vectors.search(queries, k, selection), True, _of_a_scan(count))
        for stage in others:
            plan = self._plan(recall, selection, stage.end, packed_for)
            found = self._further(found, plan, queries, stage, k, recall, selection)
            if found.rows.shape[1] >= k:
                break
        return Found(found.scores[:, :k], found.rows[:, :k], found.exact, found.how)

    def bound_one(self, k: int, recall: float, selection: Selection | None) -> Callable[[Queries], FoundOne]:
        """Return a function that searches by one query, contiguous float32 [1, dim], with everything else decided."""
        count = self.vectors.count if selection is None else selection.count
        k = min(k, count)
        wanted = stages(k, count)
        plans = [self._plan(recall, selection, stage.end, 0) for stage in wanted]

        def by_arrays(query: Queries) -> FoundOne:
            found = self.search(query, k, recall, selection)
            return FoundOne(found.scores[0], found.rows[0], found.exact, found.how)

        if not k or (self.vectors.wide and any(plan.way is not Way.INDEX for plan in plans)):
            return by_arrays
        if plans[0].way is Way.EXACT and selection is not None and selection.count <= GATHERED_ROWS:
            return self._bound_few(k, selection, by_arrays)
        if self.vectors.on_disk or self.kind is IndexKind.NSG or len(wanted) > _BOUND_STAGES:
            return by_arrays
        if any(plan.way is Way.EXACT or plan.around is not None for plan in plans):
            return by_arrays
        searches = [self._bound(plan, stage.depth, selection) for plan, stage in zip(plans, wanted, strict=True)]
        words = ", then ".join(dict.fromkeys(plan.words for plan in plans))
        by_index = any(plan.way is Way.INDEX for plan in plans)
        to_be_packed = selection if by_index and self._coded is not None else None

        def found(query: Queries) -> FoundOne:
            nonlocal searches, to_be_packed
            if selection is not None and selection.is_first(query):
                return by_arrays(query)
            if to_be_packed is not None:
                to_be_packed.uses += 1
                if self._worth_packing(to_be_packed, 1):
                    searches = [
                        self._bound(plan, stage.depth, selection) for plan, stage in zip(plans, wanted, strict=True)
                    ]
                    to_be_packed = None
            use_threads(1, count)
            scores, rows = searches[0](query)
            depth = wanted[0].depth
            if rows[depth - 1] < 0 or (len(scores) > depth and scores[depth] == scores[depth - 1]):
                return by_arrays(query)
            if len(searches) == 1:
                return FoundOne(scores[:k], rows[:k], False, words)
            more, places = searches[1](query)
            end, depth = wanted[1]
            if places[depth - 1] < 0 or (len(more) > depth and more[depth] == more[depth - 1]):
                return by_arrays(query)
            line, numbers = lengthened(
                *(part.tolist() for part in (scores[:FIRST_STAGE], rows[:FIRST_STAGE], more[:depth], places[:depth]))
            )
            if len(line) < end:  # a scan follows, which must be the same whatever k is
                return by_arrays(query)
            return FoundOne(np.array(line[:k], scores.dtype), np.array(numbers[:k]), False, words)

        return found

    def _bound(self, plan: Plan, depth: int, selection: Selection | None) -> Callable[[Queries], tuple[Scores, Rows]]:
        """Return a function that finds `depth` rows, and one more if there is one, for one query as planned."""
        asked = min(depth + 1, self.vectors.count if selection is None else selection.count)
        if plan.way is Way.CODES:
            assert selection is not None
            index: Any = self.codes.packed(selection)
            parameters = self.codes.parameters(asked, depth * plan.refined, selection)
        else:
            index, parameters = self._with_settings(asked, plan.effort, plan.refined, selection, 1, depth)
        one = OneQuery(index, asked, parameters, distances=self.vectors.metric is Metric.L2)
        if not self.vectors.wide:
            return one

        def rescored(query: Queries) -> tuple[Scores, Rows]:
            scores, rows = self.vectors.best(query, one(query)[1][None], asked)
            return scores[0], rows[0]

        return rescored

    def _bound_few(
        self, k: int, selection: Selection, by_arrays: Callable[[Queries], FoundOne]
    ) -> Callable[[Queries], FoundOne]:
        """Return a function that compares a query with few vectors; ties for the last place are left to `by_arrays`."""
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

    def _first(
        self, queries: Queries, stage: Stage, k: int, recall: float, selection: Selection | None, packed_for: int
    ) -> Found:
        """Search the first stage; an exact search returns all k rows at once."""
        plan = self._plan(recall, selection, stage.end, packed_for)
        if not k or (plan.way is Way.EXACT and plan.around is None):
            return self._found(plan._replace(way=Way.EXACT), queries, k, selection)
        return self._to_depth(plan, queries, stage.depth, recall, selection)

    def _further(
        self,
        found: Found,
        plan: Plan,
        queries: Queries,
        stage: Stage,
        k: int,
        recall: float,
        selection: Selection | None,
    ) -> Found:
        """Return the hits in `found` followed by those of another stage, or by a scan's where these are too few."""
        count = self.vectors.count if selection is None else selection.count
        by_scan = plan.way is Way.EXACT and plan.around is None
        end = k if by_scan else stage.end  # deeper stages cost more, so they would be scans too
        more = None if by_scan else self._to_depth(plan, queries, stage.depth, recall, selection)
        scores: Scores = np.empty((len(queries), end), self.vectors.score_type)
        rows = np.empty((len(queries), end), np.int64)
        ways = [] if more is None else [more.how]
        for place in range(len(queries)):
            so_far = found.scores[place], found.rows[place]
            line = so_far if more is None else followed(*so_far, more.scores[place], more.rows[place])
            if len(line[1]) < end:
                ways.append(_of_a_scan(count))
                line = exactly_followed(
                    lambda query, depth: self.vectors.search(query, depth, selection),
                    queries[place : place + 1],
                    *so_far,
                    end,
                    count,
                )
            scores[place], rows[place] = line[0][:end], line[1][:end]
        how = " or ".join(dict.fromkeys(ways))
        return Found(scores, rows, False, found.how if how == found.how else f"{found.how}, then {how}")

    def _to_depth(self, plan: Plan, queries: Queries, depth: int, recall: float, selection: Selection | None) -> Found:
        if plan.around is not None:
            return self._found_around(plan, plan.around, queries, depth, recall, selection)
        return self._found(plan, queries, depth, selection)

    def _found(self, plan: Plan, queries: Queries, k: int, selection: Selection | None) -> Found:
        """Search as `plan` says."""
        count = self.vectors.count if selection is None else selection.count
        if plan.way is Way.CODES:
            assert selection is not None

            def by_code(some: Queries, asked: int) -> tuple[Scores, Rows]:
                return self.codes.search(
                    some, asked, (asked - 1 if asked == k + 1 else asked) * plan.refined, selection
                )

            return Found(*closed(by_code, self.vectors, queries, k, selection), False, plan.words)
        if plan.way is Way.INDEX:
            scores, rows = self._visited(plan, queries, k, selection)
            short = rows[:, -1] < 0
            if not short.any():
                return Found(scores, rows, False, plan.words)
            if not short.all():
                scores[short], rows[short] = self.vectors.search(queries[short], k, selection)
                return Found(scores, rows, False, plan.words)
        return Found(*self.vectors.search(queries, k, selection), True, _of_a_scan(count))

    def _visited(self, plan: Plan, queries: Queries, k: int, selection: Selection | None) -> tuple[Scores, Rows]:
        """Find the k best rows through the index as planned, resolving ties for the last place."""

        def visit(some: Queries, asked: int) -> tuple[Scores, Rows]:
            return self.visit(some, asked, plan.effort, plan.refined, selection, k if asked == k + 1 else None)

        return closed(visit, self.vectors, queries, k, selection)

    def _found_around(
        self, plan: Plan, around: Around, queries: Queries, k: int, recall: float, selection: Selection | None
    ) -> Found:
        """Search for each query by the share of rows that the filter leaves around it, or else by `plan`.

        If more than 2 * (1 - recall) of a query's hits come from the second half of the lists visited, more hits are
        likely to lie beyond them. Such a query is searched again in twice as many lists.
        """
        nearest = self.nearest_lists(queries, min(NEAREST_LISTS, self.lists))
        chosen = around.first(nearest)
        scores: Scores = np.empty((len(queries), k), self.vectors.score_type)
        rows = np.empty((len(queries), k), np.int64)
        exact, ways = True, []
        for number, one in enumerate(around.plans):
            here = np.flatnonzero(chosen == number)
            if not len(here):
                continue
            scores[here], rows[here] = self._visited(one, queries[here], k, selection)
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

    def _plan(self, recall: float, selection: Selection | None, end: int, packed_for: int) -> Plan:
        """Return the cheapest plan for finding `end` hits; plans are cached."""
        plans = self._plans if selection is None else selection.plans
        plan = plans.get((recall, packed_for, end))
        if plan is None:
            plan = plans[recall, packed_for, end] = self._planner.choose(recall, selection, packed_for, end)
        return plan

    def lists_to_visit(self, recall: float, selection: Selection | None, k: int = FIRST_STAGE) -> int | None:
        """Return how many lists hold a `recall` share of the true k best, or None if that was not measured.

        It is not measured for graphs, nor for filters that leave more rows around some queries than around others.
        """
        count = self.vectors.count if selection is None else selection.count
        share = count / self.vectors.count
        setting = None if self.kind.is_graph else self.calibration.setting(share, recall, last_stage(min(k, count)))
        if setting is None or (selection is not None and self._lists.spread(selection).uneven):
            return None
        return min(max(setting.effort, 1), self.lists)

    def write(self, index: Path, codes: Path, calibration: Path) -> None:
        """Write the index without its vectors, the codes, and the calibration, each to its own file."""
        faiss.write_index(self.stored, str(index), faiss.IO_FLAG_SKIP_STORAGE if self.kind.is_graph else 0)
        self.codes.write(codes)
        calibration.write_bytes(self.calibration.to_json())

    @classmethod
    def open(
        cls, kind: IndexKind, vectors: Vectors, index: Path, codes: Path, calibration: Path, *, to_search: bool = True
    ) -> Approximate:
        """Open the files that `write` made, over the vectors they were built on.

        With `to_search`, a thread reads the files and vectors into memory; without it, they are read when needed.

        Raises:
            CatalogDamaged: a file cannot be read, or belongs to other vectors.
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
        """Read in advance what the first searches would otherwise wait for; runs in a thread of its own."""
        for path in files:
            read_near(path)
        if not self.kind.is_graph:
            self._lists.bring_near()
        self.vectors.bring_near()


def _of_a_scan(count: int) -> str:
    return f"exact scan of {counted(count, 'vector')}"
