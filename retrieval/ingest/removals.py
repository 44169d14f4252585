"""The items that a feed has brought and no longer has, and whether they may be removed.

A truncated feed must not empty a shop: if more than half of its items would be removed, or the keys of some rows cannot
even be read, nothing is removed unless the caller forces it. An item that another feed still has stays.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice

from lookalike.data.counted import counted
from lookalike.data.errors import SyncRefused
from lookalike.data.feeds.feed import Feed
from lookalike.data.item import Rejected
from lookalike.retrieval.store.ledger import FeedRun, Ledger, Rename
from lookalike.retrieval.stored_rows import ItemWrite

__all__ = ["MAX_SHARE", "Survey", "leaving_after"]

MAX_SHARE = 0.5
"""The largest share of the items brought by a feed that may be removed without `force`."""

_ROWS_AT_ONCE = 2_000


@dataclass(slots=True)
class Survey:
    """The result of reading a feed once, without its pictures, before anything is written.

    `leaving` are the ids of the items that only this feed had and it no longer has. `missing` counts these and those
    that another feed has; `brought` counts all items of the catalog that the feed ever brought; `unreadable` counts the
    rows whose key cannot be read; `fresh` counts the keys that the ledger does not know.
    """

    leaving: list[int] = field(default_factory=list)
    missing: int = 0
    brought: int = 0
    unreadable: int = 0
    fresh: int = 0
    _files: dict[bytes, list[tuple[int, str]]] = field(default_factory=dict)
    _count_files: int = 0

    @classmethod
    def of(cls, feed: Feed, ledger: Ledger) -> Survey:
        """Read a feed and compare its keys with the ledger.

        Raises:
            FeedError: the feed cannot be read to the end.
        """
        found = cls()
        seen = bytearray(ledger.size())
        entries = iter(feed)
        while chunk := list(islice(entries, _ROWS_AT_ONCE)):
            found.unreadable += sum(map(_is_unreadable, chunk))
            keys = [entry.key for entry in chunk if entry.key is not None]
            known = ledger.entries_of(feed.name, keys)
            found.fresh += len(keys) - len(known)
            for entry in known:
                seen[entry] = 1
        for one in ledger.brought(feed.name):
            found.brought += 1
            if not seen[one.entry]:
                found.missing += 1
                if one.alone:
                    found.leaving.append(one.item)
        for item, key, sha256 in ledger.files(found.leaving):
            found._files.setdefault(sha256, []).append((item, key))
            found._count_files += 1
        return found

    def check(self, *, force: bool) -> None:
        """Refuse a removal that is too large, as far as can be known before the pictures are read.

        Raises:
            SyncRefused: the removal is too large; nothing has been written.
        """
        moved_at_most = min(self.fresh, self._count_files)
        why = self.refusal(len(self.leaving) - moved_at_most, force=force)
        if why is not None:
            raise SyncRefused(f"{why}. Nothing was written.")

    def refusal(self, leaving: int, *, force: bool) -> str | None:
        """Return why this many items may not be removed without `force`, and what to do; None if they may."""
        if force or leaving <= 0:
            return None
        if self.unreadable:
            return (
                f"The feed has {counted(self.unreadable, 'row')} without a readable key (or folders that cannot be "
                f"listed), so they may be any of the {counted(leaving, 'item')} that it seems to lack now: nothing is "
                "removed. Correct them, or remove the items anyway: --sync --force"
            )
        if leaving > self.brought * MAX_SHARE:
            return (
                f"The feed no longer has {leaving:,} of the {counted(self.brought, 'item')} that it brought, more than "
                "half: nothing is removed. See them with --sync --dry-run; to remove them: --sync --force"
            )
        return None

    def rename(self, write: ItemWrite) -> Rename | None:
        """Return the leaving item that a new one replaces, if both are files with the same bytes."""
        images = write.images or ()
        if len(images) != 1 or images[0].source != write.key:
            return None
        same = self._files.get(images[0].sha256)
        return Rename(*same.pop(0), write.key) if same else None


def leaving_after(run: FeedRun, ledger: Ledger) -> dict[str, int]:
    """Return the items, ids by key, that a complete run did not see and that no other feed has."""
    return {one.key: one.item for one in ledger.brought(run.feed) if one.alone and one.last_run < run.id}


def _is_unreadable(entry: object) -> bool:
    return isinstance(entry, Rejected) and entry.key is None
