"""The choice between ways to search, based on their measured costs and on the rows that a filter leaves."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookalike.retrieval.vector_index.calibration import Calibration, Setting
from lookalike.retrieval.vector_index.kinds import IndexKind
from lookalike.retrieval.vector_index.list_spread import Lists, Spread
from lookalike.retrieval.vector_index.selection import Selection
from lookalike.retrieval.vector_index.stages import FIRST_STAGE
from lookalike.retrieval.vector_index.vectors import GATHERED_ROWS, Rows

__all__ = ["PACKED_ROWS", "Around", "Plan", "Planner", "Way"]

PACKED_ROWS = 262_144
"""A selection of more rows is not packed if the index can answer instead. This keeps a packed filter within 10 MB."""

_ASKED = 0.0015
"""Microseconds to test whether one row is selected."""

_PACKED = 0.08
"""Microseconds to pack one row's code. If an index answers sooner, it serves the first search with a filter."""

_COMPARED = 0.05
"""Microseconds to compare one candidate by its vector."""

_SHARES = tuple(0.5 ** (step / 4) for step in range(49))
"""The shares of rows left around a query that get plans of their own, from 1 down to 1/4,096."""

_LOOKING_AROUND = 300.0
"""Microseconds to find the share of rows left around a query and the lists that its hits come from."""

_MANY_AROUND = 0.5
"""From this share on, the rows left are as near to the query as any others."""

_FURTHER = 1.5
"""Factor on the candidates for a query to which an uneven filter may leave only rows that are further away."""


class Way(Enum):
    """What a search scans: the selected vectors, their codes, or part of the rows through an index."""

    EXACT = auto()
    CODES = auto()
    INDEX = auto()


class Plan(NamedTuple):
    """A way to search, its effort, and a description; `around` takes precedence for the queries that it serves."""

    way: Way
    effort: int
    refined: int
    words: str
    around: Around | None = None


@dataclass(frozen=True, slots=True)
class Around:
    """Plans for a filter that leaves more rows around some queries than around others, where they beat the other plan.

    A query with at least `shares[i]` of the rows around it left is answered by `plans[i]` first, then by the plan at
    `next[i]`. An index past the last plan stands for the other plan.
    """

    spread: Spread
    shares: NDArray[np.float64]
    plans: list[Plan]
    next: Rows = field(init=False)

    def __post_init__(self) -> None:
        efforts = np.array([plan.effort for plan in self.plans])
        object.__setattr__(self, "next", np.searchsorted(efforts, 2 * efforts))

    def first(self, nearest: Rows) -> Rows:
        """Return each query's plan, as an index into `plans`, from its nearest lists, int64 [queries, lists]."""
        fits = self.spread.shares(nearest)[:, None] >= self.shares
        return np.where(fits.any(axis=1), fits.argmax(axis=1), len(self.plans))


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans searches of an index over `rows` rows."""

    kind: IndexKind
    rows: int
    calibration: Calibration
    lists: Lists
    _steps: dict[tuple[float, int], list[tuple[float, Setting]]] = field(default_factory=dict, init=False)

    def choose(self, recall: float, selection: Selection | None, packed_for: int, hits: int = FIRST_STAGE) -> Plan:
        """Pick the cheapest plan that reaches `recall` for the first `hits` hits.

        `packed_for` is the number of queries that share the cost of packing; 0 means the codes are packed already.
        """
        rows, calibration = self.rows, self.calibration
        count = rows if selection is None else selection.count
        among = f"{count:,} of {rows:,}" if count < rows else f"{rows:,}"
        blind = self.kind is IndexKind.NSG and selection is not None
        setting = None if blind else self._setting(count / rows, recall, hits)
        refined = calibration.refined(recall)
        cost, plan = calibration.vector_cost[0] + calibration.vector_cost[1] * count, Plan(Way.EXACT, 0, 0, "")
        if count > GATHERED_ROWS:  # each row of the index is tested against the selection
            cost += rows * _ASKED
        if selection is not None and refined is not None and (count <= PACKED_ROWS or setting is None):
            scan = (
                calibration.code_cost[0] + calibration.code_cost[1] * count + (hits - FIRST_STAGE) * refined * _COMPARED
            )
            if setting is not None and setting.microseconds < cost:
                scan += count * _PACKED / packed_for if packed_for else 0.0
            if scan < cost:
                words = f"scan of the codes of {among} vectors, recall {recall:g}"
                cost, plan = scan, Plan(Way.CODES, 0, refined, words)
        if setting is None:
            return plan
        words = f"{self.kind} search of {among} vectors, recall {recall:g}"
        if selection is not None and not self.kind.is_graph and setting.microseconds < cost:
            spread = self.lists.spread(selection)
            if spread.uneven:
                around = self._around(recall, hits, spread, cost, words)
                return plan._replace(refined=ceil(plan.refined * _FURTHER), around=around)
        return Plan(Way.INDEX, setting.effort, setting.refined, words) if setting.microseconds < cost else plan

    def _around(self, recall: float, hits: int, spread: Spread, cost: float, words: str) -> Around | None:
        """Plan by the share of rows that the filter leaves around each query, where that costs less than `cost`."""
        if (recall, hits) not in self._steps:
            self._steps[recall, hits] = self._steps_for(recall, hits)
        steps = [(share, setting) for share, setting in self._steps[recall, hits] if setting.microseconds < cost]
        if not steps:
            return None
        further = [_FURTHER if share < _MANY_AROUND else 1.0 for share, _ in steps]
        plans = [
            Plan(Way.INDEX, one.effort, ceil(one.refined * times), words)
            for (_, one), times in zip(steps, further, strict=True)
        ]
        return Around(spread, np.array([share for share, _ in steps]), plans)

    def _setting(self, share: float, recall: float, hits: int) -> Setting | None:
        """Return the setting of the index; its cost includes comparing the extra candidates that more hits need."""
        setting = self.calibration.setting(share, recall, hits)
        if setting is None or hits <= FIRST_STAGE:
            return setting
        compared = (hits - FIRST_STAGE) * setting.refined * _COMPARED
        return replace(setting, microseconds=setting.microseconds + compared)

    def _steps_for(self, recall: float, hits: int) -> list[tuple[float, Setting]]:
        """Return a setting for each share in `_SHARES`; its cost includes finding the share around a query."""
        steps: list[tuple[float, Setting]] = []
        for share in _SHARES:
            setting = self._setting(share, recall, hits)
            if setting is None:
                break
            before = steps[-1][1].effort if steps else 0  # fewer rows around a query never take less effort
            effort = min(max(setting.effort, before), self.lists.number)
            if effort == before:
                steps.pop()
            microseconds = setting.microseconds + _LOOKING_AROUND
            steps.append((share, replace(setting, effort=effort, microseconds=microseconds)))
        return steps
