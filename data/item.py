"""Items to be indexed, their images, and rows that could not become items."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from lookalike.data.errors import UsageError
from lookalike.data.pictures.picture_sources import Place
from lookalike.data.shown_value import shown

__all__ = [
    "MAX_KEY_LENGTH",
    "CellWarning",
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
"""A JSON value, which a field without a declared type may hold."""

Value = None | bool | int | float | str | datetime | list[str] | Json
"""A field's value: null, a scalar, a timestamp (UTC if it has no time zone), a list of strings, or any JSON value."""

MAX_KEY_LENGTH = 512
"""Longest key of an item, in characters."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_TEXT = re.compile("[\x00-\x1f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class ItemImage:
    """One picture of an item.

    `source` is its name in the feed; it is stored and shown to people. `place` is where its bytes are at the moment;
    it is never stored. If the picture's metadata is to become fields of the item, `sidecars` has the files with
    metadata beside it; None leaves all metadata unread.
    """

    source: str
    place: Place
    sidecars: tuple[Place, ...] | None = None


@dataclass(frozen=True, slots=True)
class CellWarning:
    """A value of a row that could not be used as it is; the row was taken without it or with what was made of it.

    `reason` completes the sentence "price is 'Call us'; ...".
    """

    column: str
    value: str
    reason: str

    @property
    def sentence(self) -> str:
        """The warning as a sentence."""
        return f"{self.column} is {self.value!r}; {self.reason}."


@dataclass(frozen=True, slots=True)
class Item:
    """One product: a unique `key`, an optional `title`, scalar `fields` and any number of `images`.

    `row` is the number of its row in the feed, from 1 and without the header; messages refer to it. `warnings` are
    about values of the row that could not be used.

    Example:
        >>> from pathlib import Path
        >>> shoe = ItemImage("shoe.jpg", Path("photos/shoe.jpg"))
        >>> item = Item("A-17", title="Red running shoe", fields={"price": 49.9}, images=(shoe,))
        >>> item.fields["price"]
        49.9

    Raises:
        UsageError: the key is empty, too long or not text, or the title is not text.
    """

    key: str
    title: str | None = None
    fields: Mapping[str, Value] = field(default_factory=dict)
    images: tuple[ItemImage, ...] = ()
    row: int = 0
    warnings: tuple[CellWarning, ...] = ()

    def __post_init__(self) -> None:
        check_key(self.key)
        check_title(self.title)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row, or one picture of a row, that could not be indexed, and the reason.

    `repeated` is true if an earlier row has the same key. `cells` holds the raw text of each column where the row could
    at least be split into cells.
    """

    row: int
    reason: str
    key: str | None = None
    source: str | None = None
    repeated: bool = False
    cells: Mapping[str, str] | None = field(default=None, repr=False, compare=False)


def check_key(key: str) -> None:
    """Check that a key can be stored, typed and shown.

    Raises:
        UsageError: the key is empty, longer than `MAX_KEY_LENGTH`, or has control characters or lone surrogates.
    """
    if not key or not key.strip():
        raise UsageError("An item's key is empty.")
    if len(key) > MAX_KEY_LENGTH:
        raise UsageError(f"The key {key[:40]!r}... has {len(key)} characters; at most {MAX_KEY_LENGTH} are allowed.")
    if _NOT_TEXT.search(key):
        raise UsageError(f"The key {key!r} has characters that are not text.")


def check_keys(keys: Sequence[str]) -> None:
    """Check that every key is valid and that no key occurs twice.

    Raises:
        UsageError: a key is invalid or repeated; the message names the key.
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
    """Return whether a string can be encoded as UTF-8; a command-line argument may hold bytes that are not text."""
    return _SURROGATE.search(value) is None


def check_title(title: str | None) -> None:
    """Check that a title can be stored and shown.

    Raises:
        UsageError: the title is neither text nor None, or cannot be encoded as UTF-8.
    """
    if title is not None and (not isinstance(title, str) or not is_text(title)):
        raise UsageError(f"The title {shown(title)} is not text.")
