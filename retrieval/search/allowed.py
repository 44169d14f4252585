"""The items that a query may find: those of a state that satisfy its filter."""

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
    """A mask of the items for each segment, bool [items] or None for all of them, and the number of items.

    `bound` are searches by one vector for which everything but the vector is decided, by space, limit and recall.
    """

    masks: tuple[Mask | None, ...]
    count: int
    _rows: dict[tuple[int, str], Selection | None] = field(default_factory=dict, compare=False)
    bound: dict[Hashable, Callable[[NDArray[np.float32]], FoundOne]] = field(default_factory=dict, compare=False)

    def rows(self, number: int, space: str, rows: SpaceRows) -> Selection | None:
        """Return which of a segment's vectors follow from its mask of items; made at first use."""
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
        """How much memory the masks and what was made of them hold."""
        made = sum(selection.nbytes for selection in self._rows.values() if selection is not None)
        return made + sum(mask.nbytes for mask in self.masks if mask is not None)
