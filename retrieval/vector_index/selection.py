"""The rows that a filter leaves, built once from a mask and used for any number of searches."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

__all__ = ["Selection"]


class Selection:
    """The `count` rows that may be found, from a mask, bool [rows]; `uses` counts the searches so far.

    Derived data is built on first use: the rows by number, the bitmap that Faiss tests, and in `packed` the selected
    vectors or codes side by side, which are read several times quicker than one at a time.
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
        """Count a search; return how many queries share the cost of packing, 0 if an earlier search has paid it.

        The first search with a selection may therefore use another plan than the second. If the first query is searched
        again, it uses the plan it had, so that a later page continues the first one.
        """
        first = not self.uses
        self.uses += 1
        if first:
            self._first = queries.tobytes() if len(queries) == 1 else None
            return len(queries)
        return 1 if self.is_first(queries) else 0

    def is_first(self, query: NDArray[np.float32]) -> bool:
        """Return whether `query`, float32 [1, dim], alone was the first search."""
        return self._first is not None and self._first == query.tobytes()

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """The selected rows in ascending order, int64 [count]."""
        return np.flatnonzero(self._mask)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Whether each row is selected, bool [rows]. The array must not be changed."""
        return self._mask

    def has(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether each of the given rows is selected, bool [len(rows)]."""
        return self._mask[rows]

    @cached_property
    def selector(self) -> Any:  # noqa: ANN401  # Faiss has no types
        """The Faiss selector of the rows."""
        return faiss.IDSelectorBitmap(np.packbits(self._mask, bitorder="little"))

    @property
    def nbytes(self) -> int:
        """Memory used, in bytes."""
        rows = self.rows.nbytes if "rows" in self.__dict__ else 0
        return self._mask.nbytes * 9 // 8 + rows + self.packed_bytes
