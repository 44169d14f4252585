"""A sample of a state's vectors, evenly spread and independent of how the state is divided into segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.retrieval.generations.segment import Segment, SpaceRows
from lookalike.retrieval.stored_rows import Ids

__all__ = ["sampled"]


def sampled(
    segments: Sequence[Segment], gone: Sequence[NDArray[np.bool_] | None], space: str, most: int
) -> NDArray[np.float32]:
    """Return up to `most` vectors, evenly spread over the remaining items, float32 [rows, dim].

    `gone` has a mask of the removed items for each segment (None: no item is removed). Positions in the largest segment
    are computed by counting, so that only the other segments and the removed items are scanned.
    """
    first, *others = sorted(
        (_Remaining.of(segment, mask, space) for segment, mask in zip(segments, gone, strict=True)),
        key=lambda remaining: remaining.count,
        reverse=True,
    )
    rows = [other.rows_at(np.arange(other.count)) for other in others]
    item_ids = np.concatenate(
        [np.empty(0, np.int64), *(other.items_of(some) for other, some in zip(others, rows, strict=True))]
    )
    order = np.argsort(item_ids, kind="stable")
    places = np.arange(len(order)) + first.before(item_ids[order])  # of the other segments' vectors among all
    total = first.count + len(order)
    wanted = np.arange(min(total, most)) * total // max(min(total, most), 1)
    passed = np.searchsorted(places, wanted)
    elsewhere = np.isin(wanted, places, assume_unique=True)
    chosen = np.empty((len(wanted), first.rows.vectors.dim), dtype=np.float32)
    chosen[~elsewhere] = first.rows.vectors.rows(first.rows_at((wanted - passed)[~elsewhere]))
    theirs = np.flatnonzero(elsewhere)
    numbers = order[passed[theirs]]
    ends = np.cumsum([0, *map(len, rows)])
    for other, some, start, end in zip(others, rows, ends, ends[1:], strict=False):
        mine = (numbers >= start) & (numbers < end)
        chosen[theirs[mine]] = other.rows.vectors.rows(some[numbers[mine] - start])
    return chosen


@dataclass(frozen=True, slots=True)
class _Remaining:
    """The vectors of a segment's remaining items; `gone` are the rows of the removed ones, ascending."""

    item_ids: Ids
    rows: SpaceRows
    gone: Ids

    @classmethod
    def of(cls, segment: Segment, gone: NDArray[np.bool_] | None, space: str) -> _Remaining:
        rows = segment.spaces[space]
        items = np.empty(0, dtype=np.int64) if gone is None else np.flatnonzero(gone)
        return cls(segment.item_ids, rows, rows.rows_of(items)[0])

    @property
    def count(self) -> int:
        return self.rows.vectors.count - len(self.gone)

    def rows_at(self, places: Ids) -> Ids:
        """Return the rows of vectors, given their places among the remaining ones."""
        return places + np.searchsorted(self.gone - np.arange(len(self.gone)), places, side="right")

    def items_of(self, rows: Ids) -> Ids:
        return self.item_ids[self.rows.items[rows]]

    def before(self, item_ids: Ids) -> Ids:
        """Return, for each of the ids, how many of these vectors belong to items with lower ids."""
        rows = np.searchsorted(self.rows.items, np.searchsorted(self.item_ids, item_ids))
        return rows - np.searchsorted(self.gone, rows)
