"""Hits as cards of HTML, and catalogue values as text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from lookalike import Hit
from lookalike.data.field_type import FieldType
from lookalike.data.item import Value
from lookalike.retrieval.search.facets import Facet
from lookalike.ui.page.clock import clock_of
from lookalike.ui.templates import render

__all__ = ["Card", "CardFields", "cards", "cards_html", "display_text", "field_label", "title_of"]

_CATEGORY_NAMES = ("category", "type", "kind", "department", "collection", "brand", "product_type")
_PRICE_NAMES = ("price", "sale_price", "list_price", "cost")
_CURRENCY_SIGNS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥"}
_NUMBERS = (FieldType.INT, FieldType.FLOAT)


@dataclass(frozen=True, slots=True)
class CardFields:
    """The fields that a card shows beside the title, or None for those that the catalogue does not have.

    `bare` is whether items have vectors without pictures, which can be compared too.
    """

    category: str | None = None
    price: str | None = None
    currency: str | None = None
    bare: bool = False

    @classmethod
    def choose(cls, kinds: Mapping[str, FieldType], facets: Sequence[Facet], *, bare: bool) -> CardFields:
        """Choose the fields by their usual names.

        If no field has one of the usual names of a category, the text field with the fewest values, but between 2 and
        200, is used.
        """
        names = {name.lower(): name for name in kinds}
        texts = [name for name, kind in kinds.items() if kind is FieldType.STRING]
        category = next((names[name] for name in _CATEGORY_NAMES if names.get(name) in texts), None)
        if category is None:
            few = [facet for facet in facets if facet.type is FieldType.STRING and 2 <= facet.distinct <= 200]
            category = min(few, key=lambda facet: facet.distinct).name if few else None
        price = next((names[name] for name in _PRICE_NAMES if kinds.get(names.get(name, "")) in _NUMBERS), None)
        currency = names.get("currency") if names.get("currency") in texts else None
        return cls(category, price, currency, bare)

    def price_of(self, fields: Mapping[str, Value]) -> str | None:
        """Return an item's price with its currency, or None if it has no price."""
        price = fields.get(self.price or "")
        if isinstance(price, bool) or not isinstance(price, int | float):
            return None
        currency = str(fields.get(self.currency or "") or "").strip().upper()
        if currency in _CURRENCY_SIGNS:
            return f"{_CURRENCY_SIGNS[currency]}{price:,.2f}"
        return f"{price:,.2f} {currency}".strip()

    def category_of(self, fields: Mapping[str, Value]) -> str | None:
        """Return an item's category as text, or None if it has no category."""
        value = fields.get(self.category or "")
        return None if value is None else display_text(value)


@dataclass(frozen=True, slots=True)
class Card:
    """One hit as its card shows it.

    `clock` is the time of a video's frame, `label` the card in one line for screen readers.
    """

    key: str
    title: str
    category: str | None
    price: str | None
    image_id: str | None
    clock: str | None
    label: str
    score: str
    score_details: str
    has_similar: bool


def display_text(value: Value) -> str:
    """Return the value of a field as text for people."""
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


def field_label(name: str) -> str:
    """Return the name of a field as a heading: `in_stock` becomes `In stock`."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def title_of(key: str, fields: Mapping[str, Value]) -> str:
    """Return the title of an item, or its key if it has no title."""
    title = fields.get("title")
    return title if isinstance(title, str) and title.strip() else key


def cards(hits: Sequence[Hit], fields: CardFields) -> list[Card]:
    """Return a card for each hit, in the order of the hits."""
    return [_card(hit, fields) for hit in hits]


def cards_html(hits: Sequence[Hit], fields: CardFields, *, scored: bool) -> str:
    """Return the list entries of the hits as HTML; `scored` shows the score of each."""
    return render("page/cards.html", cards=cards(hits, fields), scored=scored)


def _card(hit: Hit, fields: CardFields) -> Card:
    title = title_of(hit.key, hit.fields)
    category, price, clock = fields.category_of(hit.fields), fields.price_of(hit.fields), clock_of(hit.image)
    parts = " · ".join(f"{name} {score:.3f}" for name, score in hit.scores.items())
    return Card(
        key=hit.key,
        title=title,
        category=category,
        price=price,
        image_id=hit.image_id,
        clock=clock,
        label=", ".join(part for part in (title, category, price, clock and f"at {clock}") if part),
        score=f"{hit.score:.2f}",
        score_details=f"Score {hit.score:.3f} ({parts})",
        has_similar=hit.image_id is not None or fields.bare,
    )
