"""The rows that a filter leaves, made once from a mask for any number of searches."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

__all__ = ["Selection"]


class Selection:
    """Which rows may be found, from a mask, bool [rows]; `count` of them. `uses` says how often they were searched.

    What a kind of search needs is made when it is first asked for: the rows by number, the bits that Faiss tests, and
    in `packed` the selected vectors or codes side by side, which are read several times quicker than one at a time.
    """

    def __init__(self, mask: NDArray[np.bool_], uses: int = 0) -> None:
        self.count = int(np.count_nonzero(mask))
        self.uses = uses
        self.packed: dict[str, Any] = {}
        self.plans: dict[tuple[float, int, int], Any] = {}
        self.packed_bytes = 0
        self._mask = mask
        self._first: bytes | None = None

    def begin(self, queries: NDArray[np.float32]) -> int:
        """Count a search; return how many queries share the cost of packing, 0 where that was paid by another search.

        A selection's first search may therefore go another way than its second. When its query is searched again it
        goes the same way, so that a later page continues the first one.
        """
        first = not self.uses
        self.uses += 1
        if first:
            self._first = queries.tobytes() if len(queries) == 1 else None
            return len(queries)
        return 1 if self.is_first(queries) else 0

    def is_first(self, query: NDArray[np.float32]) -> bool:
        """Whether the first search was by this one query, float32 [1, dim]."""
        return self._first is not None and self._first == query.tobytes()

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """The selected rows in ascending order, int64 [count]."""
        return np.flatnonzero(self._mask)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Whether each row is selected, bool [rows]; not to be changed."""
        return self._mask

    def has(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether each of some rows is selected, bool [len(rows)]."""
        return self._mask[rows]

    @cached_property
    def selector(self) -> Any:  # noqa: ANN401  # Faiss has no types
        """The Faiss selector of the rows."""
        return faiss.IDSelectorBitmap(np.packbits(self._mask, bitorder="little"))

    @property
    def nbytes(self) -> int:
        """How much memory it holds."""
        rows = self.rows.nbytes if "rows" in self.__dict__ else 0
        return self._mask.nbytes * 9 // 8 + rows + self.packed_bytes
