"""How the rows that a filter leaves are spread over the lists of an index.

How many lists a search has to visit was measured for filters that leave rows at random. A filter that has to do with
the vectors ("not of this topic", asked with a picture of it) leaves fewer around one query and more around another:
searched as if at random, where 95% of the best were asked for, 88% were found. So for such a filter it is counted how
many rows it leaves in the lists nearest to each query.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.retrieval.vector_index.quantizer import list_of_each
from lookalike.retrieval.vector_index.selection import Selection

__all__ = ["NEAREST_LISTS", "Lists", "Spread"]

Rows = NDArray[np.int64]

_SAMPLED_ROWS = 65_536
"""Of a filter that leaves more rows so many of all are looked at, which are some hundred around a query."""

NEAREST_LISTS = 16
"""So many lists tell what a filter leaves around a query."""

_WEIGHTS = np.arange(1.0, NEAREST_LISTS + 1) ** -3

_FEW_ROWS = 5
"""A list may hold so many rows more than its share by chance alone."""


@dataclass(frozen=True)
class Lists:
    """The lists of an index, `stored`, of `count` rows."""

    stored: Any
    count: int

    @property
    def number(self) -> int:
        """How many lists there are."""
        return int(self.stored.nlist)

    @cached_property
    def _of_each(self) -> NDArray[np.uint16]:
        return list_of_each(self.stored, self.count).astype(np.uint16)

    @cached_property
    def _sample(self) -> Rows:
        return np.sort(np.random.default_rng(7).permutation(self.count)[:_SAMPLED_ROWS])

    @cached_property
    def _sizes(self) -> Rows:
        return np.bincount(self._of_each, minlength=self.number)

    @cached_property
    def _of_sample(self) -> NDArray[np.uint16]:
        return self._of_each[self._sample]

    @cached_property
    def _sizes_of_sample(self) -> Rows:
        return np.bincount(self._of_sample, minlength=self.number)

    def bring_near(self) -> None:
        """Make now what the first filter would wait for: 26 to 85 ms of a million rows."""
        _ = self._sizes, self._sizes_of_sample

    def of(self, rows: Rows) -> NDArray[np.uint16]:
        """Tell which list each of some rows is in."""
        return self._of_each[rows]

    def spread(self, selection: Selection) -> Spread:
        """Count the selected rows in each list; once for a selection."""
        if "spread" not in selection.packed:
            few = selection.count <= _SAMPLED_ROWS
            of_some = self.of(selection.rows) if few else self._of_sample[selection.has(self._sample)]
            passing = np.bincount(of_some, minlength=self.number)
            selection.packed["spread"] = Spread(passing, self._sizes if few else self._sizes_of_sample)
        found: Spread = selection.packed["spread"]
        return found

    def among(self, rows: Rows, lists: Rows) -> NDArray[np.bool_]:
        """Say which rows, [queries, k], are in which lists of their query, [queries, any]; bool [queries, k]."""
        found: NDArray[np.bool_] = (self.of(rows)[:, :, None] == lists[:, None, :]).any(axis=2)
        return found


@dataclass(frozen=True, slots=True)
class Spread:
    """How many rows each list has, and how many of them a filter leaves, both int64 [lists]."""

    passing: Rows
    sizes: Rows

    @property
    def uneven(self) -> bool:
        """Whether some list has less than half or more than twice its share of the rows, and not by chance."""
        share = float(self.passing.sum() / max(self.sizes.sum(), 1))
        due = share * self.sizes
        chance = np.sqrt(due * (1 - share))
        few = self.passing + 2 * chance < due / 2
        many = self.passing > 2 * due + 3 * chance + _FEW_ROWS
        return bool(few.any() or many.any())

    def shares(self, nearest: Rows) -> NDArray[np.float64]:
        """Tell what share of the rows around each query the filter leaves, [queries], by the lists `nearest` to it.

        These are int64 [queries, `NEAREST_LISTS`], nearest first; each counts by how many of the best rows it has,
        roughly the third power of its place less than the first.
        """
        shares = self.passing[nearest] / np.maximum(self.sizes[nearest], 1)
        weights = _WEIGHTS[: nearest.shape[1]]
        around: NDArray[np.float64] = shares @ (weights / weights.sum())
        return around
