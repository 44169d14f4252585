"""The generation before: the next one reuses the training of its indexes, and the codes of vectors that both have."""

from __future__ import annotations

import numpy as np

from lookalike.retrieval.generations.segment import SpaceRows
from lookalike.retrieval.stored_rows import Ids
from lookalike.retrieval.vector_index import Before, Vectors

__all__ = ["before_of"]

_ROWS_AT_ONCE = 8_192


def before_of(old: SpaceRows | None, vector_ids: Ids, new: Vectors) -> Before | None:
    """Find the vectors with these ids in the previous generation's index of the space; None if it had no index.

    The records decide: a vector counts as found only if the same id has it and every byte is the same.
    """
    if old is None or old.approximate is None or old.vectors.dim != new.dim:
        return None
    rows = _places(old.vector_ids, vector_ids)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        here = start + np.flatnonzero(rows[start : start + _ROWS_AT_ONCE] >= 0)
        known, read = old.vectors.stored(rows[here]), new.stored(here)
        same_type = known.dtype == read.dtype
        differs = known.view(np.uint16) != read.view(np.uint16) if same_type else known != read
        rows[here[differs.any(axis=1)]] = -1
    old.vectors.let_go()
    return Before(old.approximate, rows)


def _places(ids: Ids, wanted: Ids) -> Ids:
    """Return where in `ids` each wanted id is, int64 [wanted], or -1 if it is not there."""
    order = np.argsort(ids)
    places = np.searchsorted(ids, wanted, sorter=order)
    found = order[np.minimum(places, len(ids) - 1)]
    return np.where(ids[found] == wanted, found, -1)
