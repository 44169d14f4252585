"""What the page opens with as HTML: the catalogue's name, and examples to click; every text is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from lookalike import Catalog, Hit
from lookalike.ui.page.cards import picture, title_of

__all__ = ["examples_html", "header_html"]

_SAMPLES = 14
_WORDS, _PICTURES = 5, 6
_LONGEST = 28


def header_html(name: str, items: int, *, looks: bool = False) -> str:
    """Give the head of the page; `looks` says that the catalogue has a space for looks, for the style sheet."""
    count = "1 item" if items == 1 else f"{items:,} items"
    return (
        f'<a class="brand" href="./"{" data-looks" if looks else ""} aria-label="{escape(name)}, start page">'
        '<svg viewBox="0 0 32 32" aria-hidden="true"><circle cx="13" cy="16" r="8.5"/>'
        '<circle cx="19" cy="16" r="8.5"/></svg>'
        f'<span class="brand-name">{escape(name)}</span></a><span class="brand-count">{count}</span>'
        '<a class="quiet-link" href="docs">API</a>'
    )


def examples_html(catalog: Catalog, items: int, *, words: bool) -> str:
    """Give words and pictures to start from, taken from items spread over the catalogue."""
    if not words:
        return (
            '<p class="lead">This catalogue holds ready vectors and no model that reads words or pictures. '
            "Browse and filter its items, or open one to find similar ones.</p>"
        )
    step = max(items // _SAMPLES, 1)
    samples = [hit for place in range(0, items, step)[:_SAMPLES] for hit in catalog.search(limit=1, offset=place)]
    phrases = _phrases(samples) if catalog.reads_words else []
    chips = "".join(f'<button type="button" data-action="words">{escape(phrase)}</button>' for phrase in phrases)
    pictured = [hit for hit in samples if hit.image_id and catalog.thumbnail(hit.image_id)][-_PICTURES:]
    pictures = "".join(
        f'<button type="button" class="example-picture" data-action="like" data-key="{escape(hit.key)}" '
        f'aria-label="{escape(f"Find items like {title_of(hit.key, hit.fields)}")}">'
        f"{picture(hit.image_id, title_of(hit.key, hit.fields))}</button>"
        for hit in pictured
    )
    groups = []
    if chips:
        groups.append(f'<div class="example-group"><span>Try</span>{chips}</div>')
    if pictures:
        groups.append(f'<div class="example-group"><span>or one like</span>{pictures}</div>')
    return "".join(groups)


def _phrases(samples: Sequence[Hit]) -> list[str]:
    """Choose titles short enough to be words that someone types."""
    titles = [title_of("", hit.fields).strip() for hit in samples]
    short = [title.lower() for title in titles if 2 < len(title) <= _LONGEST and any(map(str.isalpha, title))]
    return list(dict.fromkeys(short))[:_WORDS]
