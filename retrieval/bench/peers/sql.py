"""A filter of the benchmark as an SQL condition."""

from __future__ import annotations

from lookalike.retrieval.bench.synthetic import Condition, Workload

__all__ = ["sql_of"]

_SIGNS = {"==": "=", ">=": ">=", "<": "<"}


def sql_of(workload: Workload) -> str | None:
    """Write the filter as an SQL condition, or None if every row passes."""
    return " AND ".join(map(_sql_of_condition, workload.conditions)) or None


def _sql_of_condition(condition: Condition) -> str:
    value = condition.stored
    literal = f"'{value}'" if isinstance(value, str) else repr(value).lower()
    return f"{condition.field} {_SIGNS[condition.sign]} {literal}"
