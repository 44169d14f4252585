"""One item as HTML: its pictures, its fields in a table, and what to do next; every text is escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from lookalike import StoredItem
from lookalike.data.item import Value
from lookalike.ui.page.cards import CardFields, moment, picture, shown, title_of

__all__ = ["item_html"]

_WEB_ADDRESS = re.compile(r"https?://[^\s\"'<>]+", re.IGNORECASE)


def item_html(item: StoredItem, chosen: CardFields, pictures: Sequence[tuple[str, str | None]]) -> str:
    """Give the content of the item's window.

    `pictures` are the ids of the images that have a thumbnail, with the time of each that is a video's frame.
    """
    title = title_of(item.key, {"title": item.title})
    price = chosen.price_of(item.fields)
    category = chosen.category_of(item.fields)
    rows = [("Key", item.key), *((_label(name), value) for name, value in item.fields.items())]
    table = "".join(f"<tr><th scope='row'>{escape(name)}</th><td>{_value(value)}</td></tr>" for name, value in rows)
    similar = ""
    if item.images or chosen.bare:
        similar = '<button type="button" class="primary" data-action="similar">Find similar</button>'
    return (
        f'<article class="item" data-key="{escape(item.key)}">'
        f'<div class="item-pictures">{_pictures(pictures, title)}</div>'
        f'<div class="item-text"><p class="item-category">{escape(category or "")}</p>'
        f'<h2 id="item-title">{escape(title)}</h2>'
        f'<p class="item-price">{escape(price or "")}</p>'
        f'<div class="item-actions">{similar}'
        '<button type="button" data-action="close">Back to results</button></div>'
        f"<table><tbody>{table}</tbody></table></div></article>"
    )


def _pictures(pictures: Sequence[tuple[str, str | None]], title: str) -> str:
    if not pictures:
        return f'<span class="item-main">{picture(None, title)}</span>'
    image_id, clock = pictures[0]
    main = f'<span class="item-main">{picture(image_id, title, lazy=False, alt=title)}{moment(clock)}</span>'
    if len(pictures) == 1:
        return main
    choices = "".join(
        f'<li><button type="button" data-action="show" aria-label="Picture {number} of {len(pictures)}'
        f'{f", at {clock}" if clock else ""}" aria-pressed="{"true" if number == 1 else "false"}">'
        f"{picture(image_id, title)}{moment(clock)}</button></li>"
        for number, (image_id, clock) in enumerate(pictures, start=1)
    )
    return f'{main}<ul class="item-choices">{choices}</ul>'


def _label(name: str) -> str:
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def _value(value: Value) -> str:
    if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
        return "".join(f'<span class="tag">{escape(str(part))}</span>' for part in value)
    if isinstance(value, str) and _WEB_ADDRESS.fullmatch(value):
        return f'<a href="{escape(value)}" target="_blank" rel="noopener noreferrer nofollow">{escape(value)}</a>'
    return escape(shown(value))
