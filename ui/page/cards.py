"""Hits as cards of HTML; every text of the catalogue is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

import orjson

from lookalike import Hit
from lookalike.data.field_type import FieldType
from lookalike.data.item import Value
from lookalike.retrieval.search.facets import Facet
from lookalike.ui.page.clock import clock_of

__all__ = ["CardFields", "cards", "moment", "picture", "shown", "title_of"]

_CATEGORY_NAMES = ("category", "type", "kind", "department", "collection", "brand", "product_type")
_PRICE_NAMES = ("price", "sale_price", "list_price", "cost")
_SIGNS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥"}
_NUMBERS = (FieldType.INT, FieldType.FLOAT)

_SIMILAR_ICON = (
    '<svg viewBox="0 0 20 20" aria-hidden="true"><rect x="2.5" y="2.5" width="10" height="10" rx="2.5"/>'
    '<path d="M15.5 7.5h.5a1.5 1.5 0 0 1 1.5 1.5v7a1.5 1.5 0 0 1-1.5 1.5H9A1.5 1.5 0 0 1 7.5 16v-.5"/></svg>'
)


@dataclass(frozen=True, slots=True)
class CardFields:
    """Which fields a card shows beside the title; `bare` says that items have vectors without pictures."""

    category: str | None = None
    price: str | None = None
    currency: str | None = None
    bare: bool = False

    @classmethod
    def of(cls, kinds: Mapping[str, FieldType], facets: Sequence[Facet], *, bare: bool) -> CardFields:
        """Choose them: by name, and for the category else the text field with the fewest values."""
        names = {name.lower(): name for name in kinds}
        texts = [name for name, kind in kinds.items() if kind is FieldType.STRING]
        category = next((names[name] for name in _CATEGORY_NAMES if names.get(name) in texts), None)
        if category is None:
            several = [facet for facet in facets if facet.type is FieldType.STRING and 2 <= facet.distinct <= 200]
            category = min(several, key=lambda facet: facet.distinct).name if several else None
        price = next((names[name] for name in _PRICE_NAMES if kinds.get(names.get(name, "")) in _NUMBERS), None)
        currency = names.get("currency") if names.get("currency") in texts else None
        return cls(category, price, currency, bare)

    def price_of(self, fields: Mapping[str, Value]) -> str | None:
        """Write an item's price, None where it has none."""
        price = fields.get(self.price or "")
        if isinstance(price, bool) or not isinstance(price, int | float):
            return None
        currency = str(fields.get(self.currency or "") or "").strip().upper()
        if currency in _SIGNS:
            return f"{_SIGNS[currency]}{price:,.2f}"
        return f"{price:,.2f} {currency}".strip()

    def category_of(self, fields: Mapping[str, Value]) -> str | None:
        """Write an item's category, None where it has none."""
        value = fields.get(self.category or "")
        return None if value is None else shown(value)


def shown(value: Value) -> str:
    """Write a value for people."""
    match value:
        case None:
            return "—"
        case bool():
            return "Yes" if value else "No"
        case float():
            return f"{value:.10g}"
        case datetime():
            text = value.strftime("%Y-%m-%d")
            return text if (value.hour, value.minute) == (0, 0) else f"{text} {value:%H:%M}"
        case list() if all(isinstance(part, str) for part in value):
            return ", ".join(str(part) for part in value) or "—"
        case dict() | list():
            return orjson.dumps(value).decode()
        case _:
            return str(value)


def title_of(key: str, fields: Mapping[str, Value]) -> str:
    """Give the title of an item, its key where it has none."""
    title = fields.get("title")
    return title if isinstance(title, str) and title.strip() else key


def picture(image_id: str | None, title: str, *, lazy: bool = True, alt: str = "") -> str:
    """Give the thumbnail of an image as HTML, or the first letter of the title where there is none."""
    if image_id is None:
        return f'<span class="no-picture" aria-hidden="true">{escape(title[:1].upper())}</span>'
    loading = ' loading="lazy"' if lazy else ""
    return f'<img src="thumbnails/{escape(image_id)}.webp" alt="{escape(alt)}"{loading} decoding="async">'


def moment(clock: str | None) -> str:
    """Give the time of a video's frame as HTML that lies on its picture; nothing for other pictures."""
    return "" if clock is None else f'<span class="moment">{escape(clock)}</span>'


def cards(hits: Sequence[Hit], fields: CardFields, *, scored: bool) -> str:
    """Give the list entries of some hits."""
    return "".join(_card(hit, fields, scored=scored) for hit in hits)


def _card(hit: Hit, chosen: CardFields, *, scored: bool) -> str:
    title = title_of(hit.key, hit.fields)
    category, price = chosen.category_of(hit.fields), chosen.price_of(hit.fields)
    clock = clock_of(hit.image)
    label = ", ".join(part for part in (title, category, price, clock and f"at {clock}") if part)
    details = [f'<span class="card-title">{escape(title)}</span>']
    details.append(f'<span class="card-category">{escape(category or "")}</span>')
    facts = f'<span class="card-price">{escape(price)}</span>' if price else ""
    if scored:
        parts = " · ".join(f"{name} {score:.3f}" for name, score in hit.scores.items())
        facts += f'<span class="card-score" title="{escape(f"Score {hit.score:.3f} ({parts})")}">{hit.score:.2f}</span>'
    if facts:
        details.append(f'<span class="card-facts">{facts}</span>')
    more = (
        f'<button type="button" class="card-similar" data-action="similar" title="Find similar" '
        f'aria-label="{escape(f"Find items similar to {title}")}">{_SIMILAR_ICON}</button>'
        if hit.image_id is not None or chosen.bare
        else ""
    )
    return (
        f'<li class="card" data-key="{escape(hit.key)}">'
        f'<button type="button" class="card-open" data-action="open" aria-label="{escape(label)}">'
        f'<span class="card-picture">{picture(hit.image_id, title)}{moment(clock)}</span>'
        f'<span class="card-text">{"".join(details)}</span></button>{more}</li>'
    )
