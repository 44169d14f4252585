"""Removing history: what was gone by a commit leaves the records and the thumbnails, and its room the disk."""

from __future__ import annotations

from dataclasses import dataclass

from lookalike.retrieval.files.thumbnails import Thumbnails
from lookalike.retrieval.store.records import Records

__all__ = ["PurgeReport", "purge"]


@dataclass(frozen=True, slots=True)
class PurgeReport:
    """What a purge did: the oldest commit whose state can still be read, and what was removed.

    `thumbnails` is None where they were left because pictures were being indexed; the next purge removes them.
    """

    oldest_commit: int
    rows: int
    thumbnails: int | None
    bytes_reclaimed: int


def purge(records: Records, thumbnails: Thumbnails | None, before: int) -> PurgeReport:
    """Remove what was gone by commit `before`; broken off at any moment, it leaves every later state whole."""
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
