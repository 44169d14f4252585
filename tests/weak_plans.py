"""Plans for an index that make it miss a good part of the hits, so that what follows from that can be tested."""

from __future__ import annotations

from collections.abc import Callable

from lookalike.retrieval.vector_index import Approximate, Selection
from lookalike.retrieval.vector_index.plans import Plan, Way

__all__ = ["weak_plans"]


def weak_plans(first: int, later: int) -> Callable[[Approximate, float, Selection | None, int, int], Plan]:
    """Return what `Approximate._plan` can be replaced by: efforts for the first stage and for all later ones."""

    def plan(_index: Approximate, _recall: float, _selection: Selection | None, end: int, _packed_for: int) -> Plan:
        effort = first if end <= 10 else later
        return Plan(Way.INDEX, effort, 4, f"weak search {effort}")

    return plan
