"""The head of the page, and the examples under the search line, as HTML."""

from __future__ import annotations

from collections.abc import Sequence

from lookalike import Catalog, Hit
from lookalike.data.counted import counted
from lookalike.ui.page.cards import title_of
from lookalike.ui.templates import render

__all__ = ["examples_html", "header_html"]

_SAMPLED_ITEMS = 14
_MAX_PHRASES, _MAX_PICTURES = 5, 6
_MAX_PHRASE_LENGTH = 28


def header_html(name: str, items: int, *, appearance: bool = False) -> str:
    """Return the head of the page as HTML; `appearance` is true if the catalogue has a space for it."""
    return render("page/header.html", name=name, count=counted(items, "item"), has_appearance=appearance)


def examples_html(catalog: Catalog, items: int, *, words: bool) -> str:
    """Return words and pictures to start from as HTML, from items spread evenly over the catalogue.

    `items` is the number of items in the catalogue; `words` is false if it has no model to search with.
    """
    phrases: list[str] = []
    pictures: list[tuple[str, str, str]] = []
    if words:
        step = max(items // _SAMPLED_ITEMS, 1)
        places = range(0, items, step)[:_SAMPLED_ITEMS]
        samples = [hit for place in places for hit in catalog.search(limit=1, offset=place)]
        phrases = _phrases(samples) if catalog.reads_words else []
        pictures = [
            (hit.key, title_of(hit.key, hit.fields), hit.image_id)
            for hit in samples
            if hit.image_id and catalog.thumbnail(hit.image_id)
        ][-_MAX_PICTURES:]
    return render("page/examples.html", has_model=words, phrases=phrases, items=pictures)


def _phrases(samples: Sequence[Hit]) -> list[str]:
    """Return the titles that are short enough to be what someone would type."""
    titles = [title_of("", hit.fields).strip() for hit in samples]
    short = [title.lower() for title in titles if 2 < len(title) <= _MAX_PHRASE_LENGTH and any(map(str.isalpha, title))]
    return list(dict.fromkeys(short))[:_MAX_PHRASES]
