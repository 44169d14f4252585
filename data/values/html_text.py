"""HTML in the cells of a feed as plain text."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

__all__ = ["text_of_html"]

_MARKUP = re.compile(r"</?[a-zA-Z][^<>]*>|&(?:[a-zA-Z]{2,8}|#\d{1,7}|#[xX][0-9a-fA-F]{1,6});")
_BLOCKS = frozenset(
    "address article aside blockquote br caption dd div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 "
    "header hr li main nav ol p pre section table tbody td tfoot th thead tr ul".split()
)
_HIDDEN = frozenset(("script", "style", "template", "head"))


def text_of_html(text: str) -> str:
    """Return a text without HTML's tags and entities; one without any is returned as it is.

    >>> text_of_html("<p>A <b>red</b> mug &amp; saucer.</p><ul><li>wool</li></ul>")
    'A red mug & saucer. wool'
    >>> text_of_html("size < 40 & colour > 3")
    'size < 40 & colour > 3'
    """
    if not _MARKUP.search(text):
        return text
    if "<" not in text:
        return html.unescape(text).replace("\u00a0", " ").strip()
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return " ".join("".join(reader.parts).split())


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in _HIDDEN
        if tag in _BLOCKS:
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in _HIDDEN and self._hidden > 0
        if tag in _BLOCKS:
            self.parts.append(" ")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)
