"""The items of a state that satisfy a filter, which are the ones that a query may find."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lookalike.retrieval.generations.segment import SpaceRows
from lookalike.retrieval.vector_index import FoundOne, Selection

__all__ = ["Allowed", "Mask"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Allowed:
    """The allowed items: for each segment a mask, bool [items], or None for all items, and their number in all.

    `bound` caches, by space, limit and recall, searches by one vector with everything but the vector decided.
    """

    masks: tuple[Mask | None, ...]
    count: int
    _rows: dict[tuple[int, str], Selection | None] = field(default_factory=dict, compare=False)
    bound: dict[Hashable, Callable[[NDArray[np.float32]], FoundOne]] = field(default_factory=dict, compare=False)

    def rows(self, number: int, space: str, rows: SpaceRows) -> Selection | None:
        """Return which vectors of a segment belong to allowed items, or None for all; built on first use."""
        place = number, space
        if place not in self._rows:
            mask = self.masks[number]
            self._rows[place] = (
                None
                if mask is None
                else Selection(mask if rows.one_each and len(mask) == len(rows.items) else mask[rows.items])
            )
        return self._rows[place]

    @property
    def nbytes(self) -> int:
        """Memory used by the masks and by the selections built from them, in bytes."""
        made = sum(selection.nbytes for selection in self._rows.values() if selection is not None)
        return made + sum(mask.nbytes for mask in self.masks if mask is not None)
