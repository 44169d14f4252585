"""The vocabulary of what is indexed: items, their images, and rows that could not become items."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from lookalike.data.errors import UsageError
from lookalike.data.pictures.picture_sources import Place

__all__ = [
    "MAX_KEY_LENGTH",
    "Item",
    "ItemImage",
    "Json",
    "Rejected",
    "Value",
    "check_key",
    "check_keys",
    "check_title",
    "is_text",
]

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
"""A value that a field without a declared type may hold."""

Value = None | bool | int | float | str | datetime | list[str] | Json
"""A field's value: null, a scalar, a timestamp (UTC), a list of strings, or free JSON."""

MAX_KEY_LENGTH = 512

_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_TEXT = re.compile("[\x00-\x1f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class ItemImage:
    """One picture of an item.

    `source` is how the feed names it (shown to people, stored); `place` is where its bytes are now (never stored).
    """

    source: str
    place: Place


@dataclass(frozen=True, slots=True)
class Item:
    """One product: a unique key, an optional title, scalar fields and any number of images.

    `row` is where the feed had it (1-based, the header not counted), for messages.
    """

    key: str
    title: str | None = None
    fields: Mapping[str, Value] = field(default_factory=dict)
    images: tuple[ItemImage, ...] = ()
    row: int = 0

    def __post_init__(self) -> None:
        check_key(self.key)
        check_title(self.title)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row (or a picture of one) that could not be indexed, and why.

    `again` says that an earlier row has the same key. `cells` are the texts of a row that could be told apart, by
    column.
    """

    row: int
    reason: str
    key: str | None = None
    source: str | None = None
    again: bool = False
    cells: Mapping[str, str] | None = field(default=None, repr=False, compare=False)


def check_key(key: str) -> None:
    """Refuse a key that could not be stored, typed or shown.

    Raises:
        UsageError: the key is empty, longer than `MAX_KEY_LENGTH`, or has characters that are not text.
    """
    if not key or not key.strip():
        raise UsageError("An item's key is empty.")
    if len(key) > MAX_KEY_LENGTH:
        raise UsageError(f"The key {key[:40]!r}... has {len(key)} characters; at most {MAX_KEY_LENGTH} are allowed.")
    if _NOT_TEXT.search(key):
        raise UsageError(f"The key {key!r} has characters that are not text.")


def check_keys(keys: Sequence[str]) -> None:
    """Refuse keys of which one is bad or occurs twice.

    Raises:
        UsageError: so it is; it names the key.
    """
    joined = "".join(keys)
    if _NOT_TEXT.search(joined) or max(map(len, keys), default=0) > MAX_KEY_LENGTH or not all(map(str.strip, keys)):
        for key in keys:
            check_key(key)
    if len(set(keys)) != len(keys):
        seen: set[str] = set()
        twice = next(key for key in keys if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise UsageError(f"The key {twice!r} occurs twice; every item has a key of its own.")


def is_text(value: str) -> bool:
    """Say whether a string can be written as UTF-8: a command line may hold bytes that are no text."""
    return _SURROGATE.search(value) is None


def check_title(title: str | None) -> None:
    """Refuse a title that could not be stored or shown.

    Raises:
        UsageError: it is neither text nor None, or has characters that are not text.
    """
    if title is not None and (not isinstance(title, str) or not is_text(title)):
        raise UsageError(f"The title {title!r} is not text.")
