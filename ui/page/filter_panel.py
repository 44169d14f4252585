"""The filter panel as HTML, made from the catalogue's own fields; every text is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from urllib.parse import quote

from lookalike.data.field_type import FieldType
from lookalike.retrieval.filters.operands import Field
from lookalike.retrieval.search.facets import Facet
from lookalike.ui.page.recipe import Chosen

__all__ = ["MAX_OFFERED", "is_offered", "panel_html"]

MAX_OFFERED = 300
"""Values of a field that the panel offers; rarer ones are reached by typing them, or by the expression."""

_FIRST = 6
_TICKED = 30
_WORTH_OFFERING = 0.05
_COUNTED = (FieldType.STRING, FieldType.STRINGS)
_TRUTHS = {"true": "Yes", "false": "No"}


def is_offered(facet: Facet, items: int) -> bool:
    """Say whether a field makes a useful filter: it has values, and not one of its own for nearly each item.

    `facet` has at least the most frequent value.
    """
    if facet.type in _COUNTED:
        few = facet.distinct <= max(_TICKED, items / 2)
        return bool(facet.values) and (few or facet.values[0][1] >= items * _WORTH_OFFERING)
    return facet.distinct > 0 or facet.low is not None


def panel_html(facets: Sequence[Facet], chosen: Chosen, kinds: Mapping[str, FieldType], problem: str = "") -> str:
    """Give the panel: a group for each field, then the expression with what is wrong about it."""
    groups = "".join(_group(facet, chosen) for facet in facets)
    count = chosen.count
    clear = '<button type="button" class="quiet" data-action="clear">Clear all</button>' if count else ""
    badge = f'<span class="badge">{count}</span>' if count else ""
    return (
        f'<button type="button" class="panel-toggle" data-action="toggle" aria-expanded="false" '
        f'aria-controls="panel-body">Filters{badge}</button>'
        f'<form class="panel-body" id="panel-body" autocomplete="off" novalidate>'
        f'<div class="panel-head"><h2>Filters</h2>{clear}</div>{groups}{_expression(chosen, kinds, problem)}</form>'
    )


def _group(facet: Facet, chosen: Chosen) -> str:
    picked = chosen.values.get(facet.name, [])
    ranged = any(bounds.get(facet.name, "").strip() for bounds in (chosen.low, chosen.high))
    if facet.type in _COUNTED:
        body = _values(facet, picked)
    elif facet.type is FieldType.BOOL:
        counts = {str(value).lower(): count for value, count in facet.values}
        body = _ticks(facet.name, [(value, name, counts.get(value, 0)) for value, name in _TRUTHS.items()], picked)
    else:
        body = _bounds(facet, chosen)
    badge = f'<span class="badge">{len(picked) + ranged}</span>' if picked or ranged else ""
    return (
        f'<details class="group" data-group="{escape(facet.name)}" open>'
        f"<summary>{escape(_label(facet.name))}{badge}</summary>{body}</details>"
    )


def _values(facet: Facet, picked: Sequence[str]) -> str:
    counts = {str(value): count for value, count in facet.values}
    offered = list(counts)[: _TICKED if facet.distinct <= _TICKED else _FIRST * 2]
    first = [value for value in offered if value in picked]
    first += [value for value in picked if value not in first]
    first += [value for value in offered if value not in first][: max(_FIRST - len(first), 0)]
    first.sort(key=lambda value: (-counts.get(value, 0), value))
    rest = [value for value in offered if value not in first]
    html = _ticks(facet.name, [(value, value, counts.get(value, 0)) for value in first], picked)
    if rest:
        more = _ticks(facet.name, [(value, value, counts[value]) for value in rest], picked)
        html += (
            f'<details class="rest" data-group="rest of {escape(facet.name)}">'
            f"<summary>{len(rest)} more</summary>{more}</details>"
        )
    if facet.distinct > _TICKED:
        html += _finder(facet)
    return html


def _ticks(name: str, values: Sequence[tuple[str, str, int]], picked: Sequence[str]) -> str:
    entries = "".join(
        f'<li><label><input type="checkbox" name="{escape(name)}" value="{escape(value)}"'
        f'{" checked" if value in picked else ""}><span class="value">{escape(text) or "(empty)"}</span>'
        f'<span class="count">{count:,}</span></label></li>'
        for value, text, count in values
    )
    return f'<ul class="ticks">{entries}</ul>'


def _finder(facet: Facet) -> str:
    options = "".join(f'<option value="{escape(str(value))}">' for value, _ in facet.values)
    name = escape(facet.name)
    return (
        f'<input class="finder" type="text" name="{name}" data-find list="values-{quote(facet.name)}" '
        f'placeholder="Find one of {facet.distinct:,}" aria-label="Add a value of {escape(_label(facet.name))}">'
        f'<datalist id="values-{quote(facet.name)}">{options}</datalist>'
    )


def _bounds(facet: Facet, chosen: Chosen) -> str:
    name, label = escape(facet.name), escape(_label(facet.name))
    inputs = []
    for side, word, bound, typed in (
        ("low", "from", facet.low, chosen.low.get(facet.name, "")),
        ("high", "to", facet.high, chosen.high.get(facet.name, "")),
    ):
        kind = 'type="date"' if facet.type is FieldType.TIMESTAMP else 'type="text" inputmode="decimal"'
        inputs.append(
            f'<input {kind} name="{name}" data-bound="{side}" value="{escape(typed)}" '
            f'placeholder="{escape(_bound(bound))}" aria-label="{label} {word}">'
        )
    days = " days" if facet.type is FieldType.TIMESTAMP else ""
    return f'<div class="bounds{days}">{inputs[0]}<span aria-hidden="true">–</span>{inputs[1]}</div>'


def _expression(chosen: Chosen, kinds: Mapping[str, FieldType], problem: str) -> str:
    names = [name for name in kinds if name not in ("key", "title")]
    example = " and ".join(_examples(kinds))
    error = (
        f'<p class="problem" id="expression-problem" role="alert"><span>{escape(problem)}</span></p>' if problem else ""
    )
    invalid = ' aria-invalid="true" aria-describedby="expression-problem"' if problem else ""
    opened = " open" if chosen.expression.strip() or problem else ""
    return (
        f'<details class="group expression" data-group="expression"{opened}><summary>Expression</summary>'
        f'<textarea name="expression" rows="3" spellcheck="false" aria-label="Filter expression"{invalid} '
        f'placeholder="{escape(example)}">{escape(chosen.expression)}</textarea>{error}'
        f'<p class="hint">Compare fields with <code>==</code> <code>!=</code> <code>&lt;</code> <code>&gt;=</code> '
        f"<code>in</code> <code>like</code> <code>is null</code>, join with <code>and</code> <code>or</code> "
        f"<code>not</code>; texts go in quotes. Fields: {escape(', '.join(['key', 'title', *names]))}.</p></details>"
    )


def _examples(kinds: Mapping[str, FieldType]) -> list[str]:
    numbers = [name for name, kind in kinds.items() if kind in (FieldType.INT, FieldType.FLOAT)]
    return [*(f"{Field(name).to_milvus()} < 20" for name in numbers[:1]), 'title like "Red%"']


def _bound(bound: object) -> str:
    if bound is None or isinstance(bound, datetime):
        return ""
    return f"{bound:.10g}" if isinstance(bound, float) else str(bound)


def _label(name: str) -> str:
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]
