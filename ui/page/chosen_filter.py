"""From what is chosen in the filter panel to one filter; every value is bound to a parameter, never pasted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from lookalike.data.errors import FilterError, UsageError
from lookalike.data.field_type import FieldType
from lookalike.retrieval.filters import Filter
from lookalike.retrieval.filters.operands import Field
from lookalike.ui.page.recipe import Chosen

__all__ = ["Narrowing"]

_TRUTHS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What every hit satisfies: a condition for each field of the panel, and the person's own expression."""

    conditions: Mapping[str, Filter]
    expression: Filter | None

    @classmethod
    def of(cls, chosen: Chosen, kinds: Mapping[str, FieldType]) -> Narrowing:
        """Read what is chosen; `kinds` are the fields of the catalog.

        Raises:
            FilterError: the expression cannot be read, or a field does not exist.
            UsageError: a bound is not a number, or not a date.
        """
        conditions: dict[str, Filter] = {}
        for name in dict.fromkeys([*chosen.values, *chosen.low, *chosen.high]):
            if name not in kinds:
                raise FilterError(f"There is no field {name!r} any more. Clear the filters and choose again.")
            condition = _condition(name, kinds[name], chosen)
            if condition is not None:
                conditions[name] = condition
        written = chosen.expression.strip()
        return cls(conditions, Filter.parse(written) if written else None)

    def text(self, *, leaving_out: str | None = None) -> str | None:
        """Give the filter as text, None where nothing is asked; `leaving_out` is a field whose condition is not."""
        filters = [one for name, one in self.conditions.items() if name != leaving_out]
        if self.expression is not None:
            filters.append(self.expression)
        return " and ".join(f"({one.text})" for one in filters) or None

    def describe(self) -> str:
        """Say the filter in words."""
        filters = [*self.conditions.values(), *([self.expression] if self.expression else [])]
        return "; ".join(one.describe() for one in filters)


def _condition(name: str, kind: FieldType, chosen: Chosen) -> Filter | None:
    field = Field(name).to_milvus()
    values = chosen.values.get(name, [])
    if kind is FieldType.STRING and values:
        return Filter.parse(f"{field} in {{values}}", {"values": values})
    if kind is FieldType.STRINGS and values:
        return Filter.parse(f"array_contains_any({field}, {{values}})", {"values": values})
    if kind is FieldType.BOOL and (truths := {_TRUTHS.get(value) for value in values} - {None}):
        return Filter.parse(f"{field} == {{truth}}", {"truth": truths.pop()}) if len(truths) == 1 else None
    if kind in (FieldType.INT, FieldType.FLOAT):
        return _range(field, _number(name, chosen.low), ">=", _number(name, chosen.high), "<=")
    if kind is FieldType.TIMESTAMP:
        last = _day(name, chosen.high)
        after = None if last is None else (last + timedelta(days=1)).isoformat()
        first = _day(name, chosen.low)
        return _range(field, None if first is None else first.isoformat(), ">=", after, "<")
    return None


def _range(field: str, low: object, above: str, high: object, below: str) -> Filter | None:
    bounds = [("low", above, low), ("high", below, high)]
    given = {name: value for name, _, value in bounds if value is not None}
    text = " and ".join(f"{field} {operator} {{{name}}}" for name, operator, _ in bounds if name in given)
    return Filter.parse(text, given) if given else None


def _number(name: str, bounds: Mapping[str, str]) -> int | float | None:
    text = bounds.get(name, "").strip().replace(",", ".")
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"{text!r} is not a number; the filter for {name} takes numbers such as 12.50.")
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _day(name: str, bounds: Mapping[str, str]) -> date | None:
    text = bounds.get(name, "").strip()
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
        return min(day, date.max - timedelta(days=1))
    except ValueError:
        raise UsageError(f"{text!r} is not a date; the filter for {name} takes dates such as 2026-05-31.") from None
