"""The window of one item as HTML: its pictures, its fields in a table, and buttons."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from lookalike import StoredItem
from lookalike.data.item import Value
from lookalike.ui.page.cards import CardFields, display_text, field_label, title_of
from lookalike.ui.templates import render

__all__ = ["FieldRow", "item_html"]

_WEB_ADDRESS = re.compile(r"https?://[^\s\"'<>]+", re.IGNORECASE)


class FieldRow(NamedTuple):
    """One row of the table of fields. The values of a list of texts are `tags`, and `text` is then empty."""

    label: str
    text: str = ""
    tags: Sequence[str] = ()
    is_link: bool = False


def item_html(item: StoredItem, fields: CardFields, pictures: Sequence[tuple[str, str | None]]) -> str:
    """Return the content of the window of `item` as HTML.

    `pictures` has the id of every image that has a thumbnail, and the time of each that is a frame of a video.
    """
    return render(
        "page/item.html",
        key=item.key,
        title=title_of(item.key, {"title": item.title}),
        category=fields.category_of(item.fields),
        price=fields.price_of(item.fields),
        pictures=pictures,
        has_similar=bool(item.images) or fields.bare,
        rows=[FieldRow("Key", item.key), *(_row(field_label(name), value) for name, value in item.fields.items())],
    )


def _row(label: str, value: Value) -> FieldRow:
    if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
        return FieldRow(label, tags=[str(part) for part in value])
    is_link = isinstance(value, str) and _WEB_ADDRESS.fullmatch(value) is not None
    return FieldRow(label, display_text(value), is_link=is_link)
