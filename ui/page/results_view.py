"""The results as HTML, and the messages that the page shows when there are no results."""

from __future__ import annotations

from collections.abc import Sequence

from lookalike import Results
from lookalike.data import errors
from lookalike.data.counted import counted
from lookalike.data.pictures.image_decoder import format_names
from lookalike.ui.page.cards import CardFields, cards, cards_html, field_label
from lookalike.ui.page.chosen_filter import CROSSED
from lookalike.ui.server.messages import public_message
from lookalike.ui.templates import render

__all__ = ["empty_html", "more_html", "nothing_html", "problem_html", "results_html"]

_HEADINGS: tuple[tuple[type[Exception], str], ...] = (
    (errors.FilterError, "The filter has an error"),
    (errors.NotAPicture, "That picture cannot be read"),
    (errors.ItemNotFound, "That item is no longer here"),
    (errors.ModalityUnsupported, "This catalogue cannot be searched that way"),
    (errors.UsageError, "The search has an error"),
    (errors.CatalogBusy, "The catalogue is busy"),
)
_HINTS: tuple[tuple[type[Exception], str], ...] = (
    (errors.FilterError, "Correct the expression under Filters, or clear it."),
    (errors.NotAPicture, "Choose another one. Supported formats: {formats}."),
    (errors.ItemNotFound, "It was deleted or renamed. Start a new search."),
    (errors.ModalityUnsupported, "Browse and filter the items below, or open one and find similar ones."),
)


def results_html(
    results: Results, fields: CardFields, *, asked: bool, filtered: bool, more: bool, min_score: float | None = None
) -> str:
    """Return the first page of results as HTML: how they were found, notices, cards.

    `asked` is false while the catalogue is only browsed; `filtered` is whether a filter is set, and `more` whether
    there is a further page. With `min_score`, the hits are the items that score at least that much.
    """
    min_score = min_score if asked else None
    return render(
        "page/results.html",
        count=_count(results, more=more, scored=min_score is not None),
        order=_order(results, asked=asked, filtered=filtered, min_score=min_score, more=more),
        took_ms=f"{results.took_ms:,.0f}" if asked else None,
        plan=results.plan,
        notices=results.notices,
        cards=cards(results.hits, fields),
        scored=asked,
        more=more,
    )


def more_html(results: Results, fields: CardFields, *, asked: bool) -> str:
    """Return the cards of a further page as HTML."""
    return cards_html(results.hits, fields, scored=asked)


def nothing_html(*, filtered: bool, min_score: bool, crossed: Sequence[str] = ()) -> str:
    """Return the message that nothing was found, and what to do about it.

    `crossed` names the fields whose range begins above its end.
    """
    if crossed:
        names = " and ".join(map(field_label, crossed))
        return _state("No item passes these filters", f"{names}: {CROSSED[:1].lower()}{CROSSED[1:]}", can_clear=True)
    if filtered:
        return _state("No item passes these filters", "Untick one, widen a range, or clear them all.", can_clear=True)
    if min_score:
        return _state("No item is that similar", "Lower the minimum score under More options.")
    return _state("Nothing found", "Try other words, or a picture.")


def empty_html(name: str) -> str:
    """Return the message that the catalogue `name` is empty, and how to fill it."""
    hint = "Fill it from a product feed or a folder of pictures; items appear here as they are added."
    return _state("This catalogue is empty", hint, command=f"lookalike index {name} products.csv")


def problem_html(error: Exception) -> str:
    """Return an error as HTML: what went wrong, and what to do about it."""
    heading = next((text for kind, text in _HEADINGS if isinstance(error, kind)), "The search did not work")
    hint = next((text for kind, text in _HINTS if isinstance(error, kind)), "")
    return _state(heading, hint.replace("{formats}", format_names()), message=public_message(error))


def _state(heading: str, hint: str, *, message: str = "", command: str = "", can_clear: bool = False) -> str:
    return render("page/state.html", heading=heading, hint=hint, message=message, command=command, can_clear=can_clear)


def _count(results: Results, *, more: bool, scored: bool) -> str:
    """Return the number of items that were found, `scored` if only some of those that pass the filters were."""
    if not scored:
        return counted(results.total, "item")
    return f"{'At least ' if more else ''}{len(results):,} of {counted(results.total, 'item')}"


def _order(results: Results, *, asked: bool, filtered: bool, min_score: float | None, more: bool) -> str:
    """Return the rest of the sentence that begins with the number of items."""
    matching = "" if not filtered else " matches the filters" if results.total == 1 else " match the filters"
    if not asked:
        return f"{matching}, in the order they were added"
    if min_score is not None:
        passing = " that passes the filters" if results.total == 1 else " that pass the filters"
        scoring = "scores" if len(results) == 1 and not more else "score"
        matching = f"{passing * filtered} {scoring} {min_score:g} or more"
    return f"{matching}, best first, {'exact' if results.exact else 'approximate'}"
