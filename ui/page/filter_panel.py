"""The filter panel as HTML: a group of controls for each field, and a line for an expression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple
from urllib.parse import quote

from lookalike.data.counted import counted
from lookalike.data.field_type import FieldType
from lookalike.retrieval.filters.operands import Field
from lookalike.retrieval.search.facets import Facet
from lookalike.ui.page.cards import field_label
from lookalike.ui.page.chosen_filter import CROSSED, is_crossed
from lookalike.ui.page.recipe import Chosen
from lookalike.ui.templates import render

__all__ = ["MAX_OFFERED", "Bound", "Group", "Tick", "is_offered", "panel_html"]

MAX_OFFERED = 300
"""Values of a field that the panel offers. Rarer ones can be typed, or reached by the expression."""

_SHOWN_TICKS = 6
_MAX_TICKS = 30
_FREQUENT_SHARE = 0.05
_COUNTED = (FieldType.STRING, FieldType.STRINGS)
_BOOL_LABELS = {"true": "Yes", "false": "No"}


class Tick(NamedTuple):
    """A value with its box to tick; `text` is what people read, `items` the number of items that have the value."""

    value: str
    text: str
    items: int
    is_chosen: bool


class Bound(NamedTuple):
    """One end of a range: `side` is low or high, `typed` what the person typed, `limit` the value in the catalogue."""

    side: str
    word: str
    typed: str
    limit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The controls of one field: values to tick or a range to type.

    `count` is the number of choices made. `rest` is folded away at first, and `suggestions` complete a typed value;
    `distinct` is the number of values that the field has in all, `problem` what is wrong with the range.
    """

    name: str
    count: int
    distinct: int
    is_date: bool = False
    ticks: Sequence[Tick] = ()
    rest: Sequence[Tick] = ()
    suggestions: Sequence[str] = ()
    bounds: Sequence[Bound] = ()
    problem: str = ""

    @property
    def label(self) -> str:
        """The heading of the group."""
        return field_label(self.name)

    @property
    def list_id(self) -> str:
        """The id of the list of suggestions; ids have no spaces."""
        return f"values-{quote(self.name)}"


def is_offered(facet: Facet, items: int) -> bool:
    """Return whether a field makes a useful filter: it has values, and its items share them.

    `facet` has at least the most frequent value; `items` is the number of items in the catalogue.
    """
    if facet.type in _COUNTED:
        few = facet.distinct <= max(_MAX_TICKS, items / 2)
        return bool(facet.values) and (few or facet.values[0][1] >= items * _FREQUENT_SHARE)
    return facet.distinct > 0 or facet.low is not None


def panel_html(
    facets: Sequence[Facet],
    chosen: Chosen,
    kinds: Mapping[str, FieldType],
    problem: str = "",
    found: int | None = None,
) -> str:
    """Return the panel as HTML.

    `kinds` has the fields that an expression may name; `problem` says what is wrong with the expression. `found` is the
    number of items that pass the filters, None if they cannot be applied.
    """
    return render(
        "page/panel.html",
        count=chosen.count,
        groups=[_group(facet, chosen) for facet in facets],
        expression=chosen.expression,
        example=" and ".join(_examples(kinds)),
        fields=", ".join(["key", "title", *(name for name in kinds if name not in ("key", "title"))]),
        problem=problem,
        show=f"Show {counted(found, 'item')}" if found else "Show results",
    )


def _group(facet: Facet, chosen: Chosen) -> Group:
    name, picked = facet.name, chosen.values.get(facet.name, [])
    is_ranged = any(bounds.get(name, "").strip() for bounds in (chosen.low, chosen.high))
    group = Group(
        name=name,
        count=len(picked) + is_ranged,
        distinct=facet.distinct,
        is_date=facet.type is FieldType.TIMESTAMP,
    )
    counts = {str(value): count for value, count in facet.values}
    if facet.type in _COUNTED:
        return _with_values(group, counts, picked)
    if facet.type is FieldType.BOOL:
        found = {value.lower(): count for value, count in counts.items()}
        ticks = [Tick(value, text, found.get(value, 0), value in picked) for value, text in _BOOL_LABELS.items()]
        return replace(group, ticks=ticks)
    low, high = chosen.low.get(name, ""), chosen.high.get(name, "")
    bounds = [Bound("low", "from", low, _limit(facet.low)), Bound("high", "to", high, _limit(facet.high))]
    return replace(group, bounds=bounds, problem=CROSSED if is_crossed(name, facet.type, chosen) else "")


def _with_values(group: Group, counts: Mapping[str, int], picked: Sequence[str]) -> Group:
    """Return the group with the chosen and the most frequent values first, and further ones folded away."""
    has_many = group.distinct > _MAX_TICKS
    offered = list(counts)[: _SHOWN_TICKS * 2 if has_many else _MAX_TICKS]
    first = [value for value in offered if value in picked]
    first += [value for value in picked if value not in first]
    first += [value for value in offered if value not in first][: max(_SHOWN_TICKS - len(first), 0)]
    first.sort(key=lambda value: (-counts.get(value, 0), value))
    rest = [value for value in offered if value not in first]
    return replace(
        group,
        ticks=[Tick(value, value, counts.get(value, 0), value in picked) for value in first],
        rest=[Tick(value, value, counts[value], value in picked) for value in rest],
        suggestions=list(counts) if has_many else (),
    )


def _examples(kinds: Mapping[str, FieldType]) -> list[str]:
    numbers = [name for name, kind in kinds.items() if kind in (FieldType.INT, FieldType.FLOAT)]
    return [*(f"{Field(name).to_milvus()} < 20" for name in numbers[:1]), 'title like "Red%"']


def _limit(value: object) -> str:
    if value is None or isinstance(value, datetime):
        return ""
    return f"{value:.10g}" if isinstance(value, float) else str(value)
