"""The choice between the ways to search, by what was measured of each and by what a filter leaves."""

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
"""Codes of more rows than this are not packed when the index can answer: 10 MB a filter is enough."""

_ASKED = 0.0015
"""Microseconds to ask a row whether it is selected."""

_PACKED = 0.08
"""Microseconds to pack a row's code; an index that answers sooner than that takes has a filter's first search."""

_COMPARED = 0.05
"""Microseconds to compare one candidate by its vector."""

_SHARES = tuple(0.5 ** (step / 4) for step in range(49))
"""The shares of the rows around a query that are told apart, down to 1 in 4,096."""

_LOOKING_AROUND = 300.0
"""Microseconds to look what is left around a query, and from which lists its hits come."""

_MANY_AROUND = 0.5
"""From such a share on the rows that are left are as near to the query as any."""

_FURTHER = 1.5
"""So many times the candidates tell apart by code the rows further from a query that an uneven filter may leave it."""


class Way(Enum):
    """What is gone through: the selected vectors, their codes, or a part of the rows by an index."""

    EXACT = auto()
    CODES = auto()
    INDEX = auto()


class Plan(NamedTuple):
    """A way to search, how hard, and both in words; `around` takes precedence for the queries that it serves."""

    way: Way
    effort: int
    refined: int
    words: str
    around: Around | None = None


@dataclass(frozen=True, slots=True)
class Around:
    """Plans for a filter that leaves more rows around one query than around another, where they beat the other plan.

    With `shares[i]` or more of the rows around it left, a query is answered by `plans[i]` first, then by that of
    `next[i]`; the number after the last stands for the other plan.
    """

    spread: Spread
    shares: NDArray[np.float64]
    plans: list[Plan]
    next: Rows = field(init=False)

    def __post_init__(self) -> None:
        efforts = np.array([plan.effort for plan in self.plans])
        object.__setattr__(self, "next", np.searchsorted(efforts, 2 * efforts))

    def first(self, nearest: Rows) -> Rows:
        """Choose the plan for each query by the lists nearest to it, int64 [queries]."""
        fits = self.spread.shares(nearest)[:, None] >= self.shares
        return np.where(fits.any(axis=1), fits.argmax(axis=1), len(self.plans))


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans searches of an index over so many `rows`."""

    kind: IndexKind
    rows: int
    calibration: Calibration
    lists: Lists
    _steps: dict[tuple[float, int], list[tuple[float, Setting]]] = field(default_factory=dict, init=False)

    def choose(self, recall: float, selection: Selection | None, packed_for: int, hits: int = FIRST_STAGE) -> Plan:
        """Pick the cheapest plan that reaches this recall for so many hits.

        `packed_for` is the number of queries that share the cost of packing; 0 means the codes are packed already.
        """
        rows, calibration = self.rows, self.calibration
        count = rows if selection is None else selection.count
        among = f"{count:,} of {rows:,}" if count < rows else f"{rows:,}"
        blind = self.kind is IndexKind.NSG and selection is not None
        setting = None if blind else self._setting(count / rows, recall, hits)
        refined = calibration.refined(recall)
        cost, plan = calibration.vector_cost[0] + calibration.vector_cost[1] * count, Plan(Way.EXACT, 0, 0, "")
        if count > GATHERED_ROWS:  # then every row is asked whether it is selected
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
        """Plan by what a filter leaves around each query, where that takes less than the `cost` of a scan."""
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
        """Return the setting of the index, its cost with that of comparing the candidates for more hits."""
        setting = self.calibration.setting(share, recall, hits)
        if setting is None or hits <= FIRST_STAGE:
            return setting
        compared = (hits - FIRST_STAGE) * setting.refined * _COMPARED
        return replace(setting, microseconds=setting.microseconds + compared)

    def _steps_for(self, recall: float, hits: int) -> list[tuple[float, Setting]]:
        """Give a setting for each share of the rows that is told apart, with what it costs to look around a query."""
        steps: list[tuple[float, Setting]] = []
        for share in _SHARES:
            setting = self._setting(share, recall, hits)
            if setting is None:
                break
            before = steps[-1][1].effort if steps else 0  # with fewer around a query never less than with more
            effort = min(max(setting.effort, before), self.lists.number)
            if effort == before:
                steps.pop()
            microseconds = setting.microseconds + _LOOKING_AROUND
            steps.append((share, replace(setting, effort=effort, microseconds=microseconds)))
        return steps
