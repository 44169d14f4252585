"""One search, as a value. Every option of it is declared here, once.

`Catalog.search`, the command line, the REST API and the page take their options from `OPTIONS`; a test holds them
together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from numpy.typing import ArrayLike
from PIL import Image

from lookalike.data.errors import FilterError, UsageError
from lookalike.retrieval.arguments import filter_text, fraction, parameters_of, whole
from lookalike.retrieval.filters import Filter
from lookalike.retrieval.filters.nodes import Parameters
from lookalike.retrieval.vector_index.kinds import EXACT

__all__ = [
    "MAX_LIMIT",
    "OPTIONS",
    "Moment",
    "Option",
    "Query",
    "QueryImage",
    "parse_filter",
    "recall_of",
]

MAX_LIMIT = 10_000

Moment: TypeAlias = int | str | date
"""A commit's number, a time (in UTC unless it has a zone; a date means its midnight), or either as text."""

QueryImage: TypeAlias = Path | str | bytes | Image.Image
"""A picture to search with: the path of a file, its bytes, or a picture that Pillow has opened."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a query: its default, one sentence of help, and the range of a number."""

    name: str
    default: Any
    help: str
    low: float | None = None
    high: float | None = None


def _option(default: Any, help: str, low: float | None = None, high: float | None = None) -> Any:  # noqa: ANN401
    return field(default=default, metadata={"help": help, "low": low, "high": high})


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One search. Everything it names is combined into one query; an empty query returns items in the order added.

    >>> query = Query(text=["red shoes"], filter="price < 80", limit=5)
    >>> query.recall, query.balance
    (0.95, 0.5)

    Raises:
        UsageError: an option has the wrong type or is out of range.
        FilterError: the filter cannot be read, or its parameters are not the ones in `params`.
    """

    text: Sequence[str] = _option((), "Words to search for.")
    image: Sequence[QueryImage] = _option((), "A picture to search with.")
    like: Sequence[str] = _option((), "The key of an item that hits should be like.")
    vector: ArrayLike | None = _option(None, "A vector to search with, one number for each dimension of the catalogue.")
    without: Sequence[str] = _option((), "Words to avoid.")
    filter: str | None = _option(None, "A condition that every hit satisfies, such as 'category == \"shoes\"'.")
    params: Parameters | None = _option(None, "Values of the filter's {name} parameters.")
    limit: int = _option(10, "The maximum number of hits to return.", 1, MAX_LIMIT)
    offset: int = _option(0, "The number of best hits to skip, for further pages.", 0, MAX_LIMIT)
    recall: float = _option(0.95, 'The share of the true best hits to find: 0.95, 0.99, or "exact".', 0, 1)
    balance: float = _option(0.5, "The weight of words against pictures: 0 (pictures only) to 1 (words only).", 0, 1)
    min_score: float | None = _option(None, "Leave out hits with a lower score.")
    fields: Sequence[str] | None = _option(None, "The fields that hits carry; by default all.")
    as_of: Moment | None = _option(None, "Search the catalogue as it was: a commit's number, or a time (ISO 8601).")
    appearance: float | None = _option(
        None,
        "In a catalogue with a second model for appearance, the share of a picture's weight that goes to it: 0 to 1.",
        0,
        1,
    )

    parsed_filter: Filter | None = field(init=False, default=None, repr=False, compare=False)
    """The filter with its parameters bound."""

    def __post_init__(self) -> None:
        if type(self.limit) is not int or not 1 <= self.limit <= MAX_LIMIT:
            object.__setattr__(self, "limit", whole(self.limit, "limit", 1, MAX_LIMIT))
        if type(self.offset) is not int or not 0 <= self.offset <= MAX_LIMIT:
            object.__setattr__(self, "offset", whole(self.offset, "offset", 0, MAX_LIMIT))
        if type(self.recall) is not float or not 0 < self.recall <= 1:
            object.__setattr__(self, "recall", recall_of(self.recall))
        if type(self.balance) is not float or not 0 <= self.balance <= 1:
            object.__setattr__(self, "balance", _share(self.balance, "balance", "pictures only", "words only"))
        if self.min_score is not None:
            object.__setattr__(self, "min_score", fraction(self.min_score, "least score"))
        if self.appearance is not None:
            share = _share(self.appearance, "share of the appearance", "only the main model", "only the appearance")
            object.__setattr__(self, "appearance", share)
        if self.filter is not None or self.params:  # once, since parameters may be iterators
            object.__setattr__(self, "parsed_filter", parse_filter(self.filter, self.params))


def parse_filter(filter: str | None, params: Parameters | None = None) -> Filter | None:
    """Parse a filter, if there is one, and bind its parameters.

    Raises:
        FilterError: it cannot be parsed, or there are parameters but no filter.
    """
    if not params and type(filter) is str:
        return Filter.parse(filter)
    if params:
        if filter is None:
            raise FilterError("There are parameters, but no filter that they are for.")
        params = parameters_of(params)
    return None if filter is None else Filter.parse(filter_text(filter), params)


def recall_of(wanted: float | str) -> float:
    """Return a wanted recall as a share; "exact" is 1.0.

    Raises:
        UsageError: it is neither "exact" nor a share above 0 and at most 1.
    """
    if type(wanted) is float and 0 < wanted <= 1:
        return wanted
    if isinstance(wanted, str) and wanted == "exact":
        return EXACT
    try:
        share = 0.0 if isinstance(wanted, bool) else float(wanted)
    except (ValueError, TypeError, OverflowError):
        share = 0.0
    if not 0 < share <= 1:
        raise UsageError(f"The recall is {wanted!r}; give a share such as 0.95, or exact.")
    return share


def _share(value: object, what: str, none: str, all_of_it: str) -> float:
    share = fraction(value, what)
    if not 0 <= share <= 1:
        raise UsageError(f"The {what} is {value}; it can be 0 ({none}) to 1 ({all_of_it}).")
    return share


OPTIONS = MappingProxyType(
    {one.name: Option(one.name, one.default, **one.metadata) for one in fields(Query) if one.init}
)
"""The options of a query, by name."""
