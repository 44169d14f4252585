"""Vectors as the records hold them: rounded to float16, or in float32 where float16 would lose what tells rows apart.

The length of a blob says which it is. Unit vectors, of the cosine, are always rounded to float16.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Stored", "fits_half", "is_whole", "narrowed", "needs_float32", "of_blobs", "to_blob", "widest"]

Stored = NDArray[np.float16] | NDArray[np.float32]
"""Vectors as they are stored, [any, dim]."""


_LARGEST = float(np.finfo(np.float16).max)
_SMALLEST = float(np.finfo(np.float16).smallest_normal)
_MOST_MOVED = 1 / 256
_FEW_ROWS = 32


def fits_half(rows: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Say of which rows, float32 [count, dim], float16 holds every value exactly; bool [count]."""
    with np.errstate(over="ignore"):
        held: NDArray[np.bool_] = (rows.astype(np.float16).astype(np.float32) == rows).all(axis=1)
    return held


def needs_float32(rows: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Say which rows, float32 [count, dim], float16 cannot hold well enough; bool [count].

    Those are rows with a value beyond 65,504; rows of which every value is so small that float16 has fewer than its 11
    bits for it; and rows so far from the origin that rounding moves them by more than 1/256 of their distance from
    each other. Of few rows that distance is not known: then it is taken from how much the values of a row differ.
    """
    lossy: NDArray[np.bool_] = ~fits_half(rows)
    largest = np.maximum(rows.max(axis=1, initial=0.0), -rows.min(axis=1, initial=0.0))
    needed: NDArray[np.bool_] = lossy & ((largest > _LARGEST) | (largest < _SMALLEST))
    within = rows[lossy & ~needed]
    if len(within):
        rounded = within - within.astype(np.float16).astype(np.float32)
        apart = within - within.mean(axis=0)
        if len(within) < _FEW_ROWS or not apart.any():
            apart = within - within.mean(axis=1, keepdims=True)
        if float(np.vdot(rounded, rounded)) > _MOST_MOVED**2 * float(np.vdot(apart, apart)):
            return lossy
    return needed


def narrowed(ids: NDArray[np.int64], rows: Stored) -> Iterator[tuple[NDArray[np.int64], Stored]]:
    """Yield rows with their ids, int64 [count]: those that float16 holds in it, then the others in float32."""
    if rows.dtype == np.float16:
        yield ids, rows
        return
    held = fits_half(rows.astype(np.float32, copy=False))
    if held.any():
        yield ids[held], rows[held].astype(np.float16)
    if not held.all():
        yield ids[~held], rows[~held]


def to_blob(row: NDArray[np.float32]) -> bytes:
    """Return one vector, float32 [dim], as it is stored where nothing of it is to be lost."""
    return (row.astype(np.float16) if fits_half(row[None])[0] else row).tobytes()


def is_whole(blob: bytes, dim: int) -> bool:
    """Say whether a blob has the length of a vector."""
    return len(blob) in (2 * dim, 4 * dim)


def widest(blobs: Sequence[Any], dim: int) -> type[np.float16] | type[np.float32]:
    """Return the type that holds all of some whole blobs."""
    return np.float32 if any(len(blob) == 4 * dim for blob in blobs) else np.float16


def of_blobs(blobs: Sequence[bytes], dim: int) -> Stored:
    """Read whole blobs: float16 [count, dim] if all are, else float32."""
    if widest(blobs, dim) is np.float16:
        return np.frombuffer(b"".join(blobs), dtype=np.float16).reshape(-1, dim)
    return np.stack(
        [np.frombuffer(blob, np.float16 if len(blob) == 2 * dim else np.float32).astype(np.float32) for blob in blobs]
    )
