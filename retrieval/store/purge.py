"""Removing history: purges deleted states from the records and thumbnails, and returns their space to the disk."""

from __future__ import annotations

from dataclasses import dataclass

from lookalike.retrieval.files.thumbnails import Thumbnails
from lookalike.retrieval.store.records import Records

__all__ = ["PurgeReport", "purge"]


@dataclass(frozen=True, slots=True)
class PurgeReport:
    """The result of a purge: the oldest commit whose state can still be read, and the amounts removed.

    `thumbnails` is None if they were kept because pictures were being indexed; the next purge removes them.
    """

    oldest_commit: int
    rows: int
    thumbnails: int | None
    bytes_reclaimed: int


def purge(records: Records, thumbnails: Thumbnails | None, before: int) -> PurgeReport:
    """Remove states that ended by commit `before`. If interrupted at any moment, every later state remains intact."""
    at_first = records.bytes_on_disk
    rows = sum(records.purge(before))
    removed, freed = None, 0
    if thumbnails is not None:
        removed, freed = thumbnails.keep_only({sha256.hex() for sha256 in records.image_hashes()})
    records.give_back_space()
    oldest = records.oldest_commit()
    return PurgeReport(
        oldest_commit=0 if oldest is None else oldest.seq,
        rows=rows,
        thumbnails=removed,
        bytes_reclaimed=max(at_first - records.bytes_on_disk, 0) + freed,
    )
