"""The filter that a search runs with, built from the choices of the filter panel.

Every chosen value is bound to a parameter of the filter and never becomes part of its text.
"""

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

__all__ = ["CROSSED", "PanelFilter", "is_crossed"]

CROSSED = "The first value is above the second, so nothing lies between them. Swap them."
"""What is wrong with a range that begins above its end."""

_BOOLS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class PanelFilter:
    """The conditions that every hit satisfies: one for each field with a choice, by its name, and the expression."""

    conditions: Mapping[str, Filter]
    expression: Filter | None

    @classmethod
    def read(cls, chosen: Chosen, kinds: Mapping[str, FieldType]) -> PanelFilter:
        """Return the filter for the choices of the panel; `kinds` has the type of every field of the catalogue.

        Raises:
            FilterError: the expression has an error, or a field no longer exists.
            UsageError: the end of a range is not a number or not a date.
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

    def text(self, *, without: str | None = None) -> str | None:
        """Return the filter as text, or None if there is no condition; the field `without` is left out."""
        filters = [one for name, one in self.conditions.items() if name != without]
        if self.expression is not None:
            filters.append(self.expression)
        return " and ".join(f"({one.text})" for one in filters) or None


def is_crossed(name: str, kind: FieldType, chosen: Chosen) -> bool:
    """Return whether the range that is typed for a field begins above its end; false if an end cannot be read."""
    try:
        if kind is FieldType.TIMESTAMP:
            first, last = _day(name, chosen.low), _day(name, chosen.high)
            return first is not None and last is not None and first > last
        low, high = _number(name, chosen.low), _number(name, chosen.high)
        return low is not None and high is not None and low > high
    except UsageError:
        return False


def _condition(name: str, kind: FieldType, chosen: Chosen) -> Filter | None:
    field = Field(name).to_milvus()
    values = chosen.values.get(name, [])
    if kind is FieldType.STRING and values:
        return Filter.parse(f"{field} in {{values}}", {"values": values})
    if kind is FieldType.STRINGS and values:
        return Filter.parse(f"array_contains_any({field}, {{values}})", {"values": values})
    if kind is FieldType.BOOL and (wanted := {_BOOLS.get(value) for value in values} - {None}):
        return Filter.parse(f"{field} == {{value}}", {"value": wanted.pop()}) if len(wanted) == 1 else None
    if kind in (FieldType.INT, FieldType.FLOAT):
        return _range(field, _number(name, chosen.low), ">=", _number(name, chosen.high), "<=")
    if kind is FieldType.TIMESTAMP:
        first, last = _day(name, chosen.low), _day(name, chosen.high)
        low = None if first is None else first.isoformat()
        high = None if last is None else (last + timedelta(days=1)).isoformat()  # includes the whole last day
        return _range(field, low, ">=", high, "<")
    return None


def _range(field: str, low: object, low_operator: str, high: object, high_operator: str) -> Filter | None:
    bounds = [("low", low_operator, low), ("high", high_operator, high)]
    values = {name: value for name, _, value in bounds if value is not None}
    text = " and ".join(f"{field} {operator} {{{name}}}" for name, operator, _ in bounds if name in values)
    return Filter.parse(text, values) if values else None


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
        return min(date.fromisoformat(text), date.max - timedelta(days=1))
    except ValueError:
        raise UsageError(f"{text!r} is not a date; the filter for {name} takes dates such as 2026-05-31.") from None
