"""What a feed would bring, found by reading it: its columns, its first items, and what could not be used.

No picture is read and no address is fetched.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from lookalike.data.feeds.feed import Feed
from lookalike.data.item import Item, Rejected, Value

__all__ = ["Finding", "FoundColumn", "Inspection", "inspect_feed"]

_FIRST_ITEMS = 3
_EXAMPLES = 3
_MOST_VALUES = 10_000
_PARTICULAR = re.compile(r"'[^']*'|\"[^\"]*\"|\d[\d,.]*")


@dataclass(frozen=True, slots=True)
class FoundColumn:
    """One column of the items: what it is taken for, and what is in it.

    `filled` is the share of the items that have a value, from 0 to 1. `values` is the number of different values, or
    None if there are more than 10,000. `examples` are the first of them.
    """

    name: str
    taken_for: str
    filled: float
    values: int | None
    examples: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """A kind of problem: the number of rows or values that have it, and the first of them with its row and reason."""

    count: int
    row: int
    reason: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """A feed: how it was read, how many items and pictures it has, its columns, and what was found in it."""

    feed: str
    notes: tuple[str, ...]
    items: int
    pictures: int
    rejected: int
    columns: tuple[FoundColumn, ...]
    first: tuple[Item, ...]
    rejects: tuple[Finding, ...]
    warnings: tuple[Finding, ...]


def inspect_feed(feed: Feed) -> Inspection:
    """Read a feed and describe it.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from lookalike.data.feeds.feed import open_feed
        >>> path = Path(tempfile.mkdtemp()) / "shop.csv"
        >>> rows = ["sku,name,photo,price", "A,Shoe,a.jpg,49.90", "B,Hat,b.jpg,ask us", *["C,Cup,c.jpg,5"] * 9]
        >>> _ = path.write_text(chr(10).join(rows))
        >>> found = inspect_feed(open_feed(path))
        >>> found.items, found.rejected, [one.reason for one in found.warnings]
        (3, 8, ["price is 'ask us'; this column holds numbers."])
    """
    columns: dict[str, _Column] = {}
    first: list[Item] = []
    rejects, warnings = _Kinds(), _Kinds()
    items = pictures = rejected = 0
    for entry in feed:
        if isinstance(entry, Rejected) or not entry.images:
            rejected += 1
            rejects.add(entry.row, entry.reason if isinstance(entry, Rejected) else "The row names no picture.")
            continue
        items += 1
        pictures += len(entry.images)
        if len(first) < _FIRST_ITEMS:
            first.append(entry)
        for one in entry.warnings:
            warnings.add(entry.row, one.sentence)
        for name, value in (("key", entry.key), ("title", entry.title), *entry.fields.items()):
            if value is not None:
                columns.setdefault(name, _Column()).add(value)
    words = {"key": "key", "title": "title"} | dict(feed.columns)
    found = tuple(
        FoundColumn(name, words.get(name, "field"), one.filled / max(items, 1), one.different, tuple(one.examples))
        for name, one in columns.items()
    )
    return Inspection(
        feed.name,
        feed.notes,
        items,
        pictures,
        rejected,
        found,
        tuple(first),
        tuple(rejects.findings()),
        tuple(warnings.findings()),
    )


class _Column:
    """The values of one column so far."""

    def __init__(self) -> None:
        self.filled = 0
        self.examples: list[Value] = []
        self._values: set[object] | None = set()

    def add(self, value: Value) -> None:
        self.filled += 1
        key = value if isinstance(value, str | int | float | datetime) else repr(value)
        if self._values is None or key in self._values:
            return
        if len(self.examples) < _EXAMPLES:
            self.examples.append(value)
        self._values.add(key)
        if len(self._values) > _MOST_VALUES:
            self._values = None

    @property
    def different(self) -> int | None:
        return None if self._values is None else len(self._values)


class _Kinds:
    """Sentences counted by kind: those that differ only in quoted texts and numbers are of one kind."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: dict[str, tuple[int, str]] = {}

    def add(self, row: int, reason: str) -> None:
        kind = _PARTICULAR.sub("*", reason)
        self._counts[kind] += 1
        self._first.setdefault(kind, (row, reason))

    def findings(self) -> Iterator[Finding]:
        return (Finding(count, *self._first[kind]) for kind, count in self._counts.most_common())
