"""The rows of a feed that are to be tried again."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from lookalike.data.feeds.feed import Feed
from lookalike.data.item import Item, Rejected
from lookalike.retrieval.store.ledger import Ledger

__all__ = ["Retried"]

_ROWS_AT_ONCE = 1_000


class Retried:
    """A feed, less the rows that are not rejected in the ledger; `count` is how many are."""

    def __init__(self, feed: Feed, ledger: Ledger) -> None:
        self.count = ledger.count_to_retry(feed.name)
        self._feed = feed
        self._ledger = ledger

    def __iter__(self) -> Iterator[Item | Rejected]:
        """Yield the rows in order; one that went by its number is found by it, the others by their keys."""
        entries = iter(self._feed if self.count else ())
        while chunk := list(islice(entries, _ROWS_AT_ONCE)):
            own = [None if isinstance(entry, Rejected) and entry.repeated else entry.key for entry in chunk]
            keys, rows = self._ledger.rejected_among(
                self._feed.name, [key for key in own if key is not None], [entry.row for entry in chunk]
            )
            for key, entry in zip(own, chunk, strict=True):
                if key in keys or entry.row in rows:
                    yield entry
