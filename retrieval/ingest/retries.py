"""The rows of a feed to try again."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from lookalike.data.feeds.feed import Feed
from lookalike.data.item import Item, Rejected
from lookalike.retrieval.store.ledger import Ledger

__all__ = ["Retried"]

_ROWS_AT_ONCE = 1_000


class Retried:
    """The rows of a feed that are rejected in the ledger; `count` is their number."""

    def __init__(self, feed: Feed, ledger: Ledger) -> None:
        self.count = ledger.count_to_retry(feed.name)
        self._feed = feed
        self._ledger = ledger

    def __iter__(self) -> Iterator[Item | Rejected]:
        """Yield the rows in order; rows are matched by key, or by number if they were identified by number."""
        entries = iter(self._feed if self.count else ())
        while chunk := list(islice(entries, _ROWS_AT_ONCE)):
            own = [None if isinstance(entry, Rejected) and entry.repeated else entry.key for entry in chunk]
            keys, rows = self._ledger.rejected_among(
                self._feed.name, [key for key in own if key is not None], [entry.row for entry in chunk]
            )
            for key, entry in zip(own, chunk, strict=True):
                if key in keys or entry.row in rows:
                    yield entry
