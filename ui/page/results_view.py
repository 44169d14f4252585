"""Results, and the states without any, as HTML; every text is escaped."""

from __future__ import annotations

from html import escape

from lookalike import Results
from lookalike.data import errors
from lookalike.data.pictures.image_decoder import FORMAT_NAMES
from lookalike.ui.page.cards import CardFields, cards
from lookalike.ui.server.messages import public_message

__all__ = ["empty_html", "more_html", "nothing_html", "problem_html", "results_html"]

_HEADINGS: tuple[tuple[type[Exception], str], ...] = (
    (errors.FilterError, "The filter cannot be used yet"),
    (errors.NotAPicture, "That picture cannot be read"),
    (errors.ItemNotFound, "That item is no longer here"),
    (errors.ModalityUnsupported, "This catalogue cannot be searched that way"),
    (errors.UsageError, "Something about the search is not right"),
    (errors.CatalogBusy, "The catalogue is busy"),
)
_HINTS: tuple[tuple[type[Exception], str], ...] = (
    (errors.FilterError, "Change the expression under Filters, or clear it, and the search runs again."),
    (errors.NotAPicture, f"Choose another one; read here are {FORMAT_NAMES}."),
    (errors.ItemNotFound, "It was deleted or renamed. Start a new search."),
    (errors.ModalityUnsupported, "Browse and filter the items below, or open one and find similar ones."),
)


def results_html(results: Results, fields: CardFields, *, asked: bool, filtered: bool, more: bool) -> str:
    """Give the first page: how it was found, notices, cards; `asked` tells a search from looking around."""
    notices = "".join(f'<p class="notice">{escape(notice)}</p>' for notice in results.notices)
    found = cards(results.hits, fields, scored=asked)
    button = '<button type="button" class="more" data-action="more">Show more</button>' if more else ""
    line = _line(results, asked=asked, filtered=filtered)
    return f'<p class="found" role="status">{line}</p>{notices}<ul class="cards">{found}</ul>{button}'


def more_html(results: Results, fields: CardFields, *, asked: bool) -> str:
    """Give the cards of a further page."""
    return cards(results.hits, fields, scored=asked)


def nothing_html(*, filtered: bool, min_score: bool) -> str:
    """Say that nothing was found, and what to do."""
    if filtered:
        return _state("No item passes these filters", "Untick one, widen a range, or clear them all.", action="clear")
    if min_score:
        return _state("No item is that similar", "Lower the least score under More options.")
    return _state("Nothing found", "Try other words, or a picture.")


def empty_html(name: str) -> str:
    """Say that the catalogue is empty, and how to fill it."""
    command = f"lookalike index {name} products.csv"
    return (
        '<div class="state"><h2>This catalogue is empty</h2>'
        "<p>Fill it from a product feed or a folder of pictures; items appear here as they come in.</p>"
        f"<pre>{escape(command)}</pre></div>"
    )


def problem_html(error: Exception) -> str:
    """Say what went wrong, and what to do."""
    heading = next((text for kind, text in _HEADINGS if isinstance(error, kind)), "The search did not work")
    hint = next((text for kind, text in _HINTS if isinstance(error, kind)), "")
    return _state(heading, hint, message=public_message(error))


def _state(heading: str, hint: str, *, message: str = "", action: str = "") -> str:
    said = f'<p class="message">{escape(message)}</p>' if message else ""
    button = f'<button type="button" data-action="{action}">Clear the filters</button>' if action else ""
    return f'<div class="state" role="status"><h2>{escape(heading)}</h2>{said}<p>{escape(hint)}</p>{button}</div>'


def _line(results: Results, *, asked: bool, filtered: bool) -> str:
    items = "1 item" if results.total == 1 else f"{results.total:,} items"
    what = f"<strong>{items}</strong>" + (" match the filters" if filtered and results.total != 1 else "")
    what += " matches the filters" if filtered and results.total == 1 else ""
    if not asked:
        return f"{what}, in the order they were added"
    how = "best first, exact" if results.exact else "best first, approximate"
    return f'{what}, {how} <span class="took" title="{escape(results.plan)}">{results.took_ms:,.0f} ms</span>'
