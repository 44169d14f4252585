"""The values of fields among the items that may be found, and their counts, for building filter controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lookalike.data.errors import UsageError
from lookalike.data.field_type import FieldType
from lookalike.data.item import Value
from lookalike.retrieval.search.allowed import Allowed
from lookalike.retrieval.search.state import State

__all__ = ["Facet", "facets_of"]

_COUNTED = (FieldType.STRING, FieldType.BOOL, FieldType.STRINGS)
_RANGED = (FieldType.INT, FieldType.FLOAT, FieldType.TIMESTAMP)


@dataclass(frozen=True, slots=True)
class Facet:
    """One field: its values with their counts, most frequent first (text, booleans, lists), or its range (numbers).

    `distinct` is the number of different values, of which `values` may hold only the first few.

    >>> price, in_stock = catalog.facets(["price", "in_stock"])
    >>> price.low, price.high, in_stock.values
    (1.45, 263.7, ((True, 6), (False, 2)))
    """

    name: str
    type: FieldType
    values: tuple[tuple[str | bool, int], ...] = ()
    distinct: int = 0
    low: Value = None
    high: Value = None


def facets_of(state: State, allowed: Allowed, fields: Sequence[str] | None, limit: int) -> list[Facet]:
    """Count the values of the named fields, or of all fields that have counts or ranges if `fields` is None.

    Raises:
        UsageError: a field does not exist, or it holds free JSON.
    """
    kinds = state.schema.filterable
    names = list(state.schema) if fields is None else list(fields)
    facets = []
    for name in names:
        if name not in kinds:
            raise UsageError(f"There is no field {name!r}; the fields are {', '.join(kinds)}.")
        if kinds[name] in _COUNTED:
            facets.append(_counted(state, allowed, name, kinds[name], limit))
        elif kinds[name] in _RANGED:
            facets.append(_ranged(state, allowed, name, kinds[name]))
        elif fields is not None:
            raise UsageError(f"The field {name!r} holds {kinds[name].words}, whose values cannot be counted.")
    return facets


def _counted(state: State, allowed: Allowed, name: str, kind: FieldType, limit: int) -> Facet:
    counts = state.value_counts(name, allowed)
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], str(pair[0])))
    return Facet(name, kind, tuple(ranked[:limit]), len(ranked))


def _ranged(state: State, allowed: Allowed, name: str, kind: FieldType) -> Facet:
    low, high = state.value_range(name, allowed) or (None, None)
    return Facet(name, kind, low=low, high=high)
