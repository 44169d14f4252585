"""Vectors as the records store them: in float16, or in float32 where float16 would lose the differences between rows.

The length of a blob shows its type.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.retrieval.vector_index import Metric

__all__ = [
    "Stored",
    "fits_half",
    "is_whole",
    "narrowed",
    "needs_float32",
    "of_blobs",
    "to_blob",
    "unit_needs_float32",
    "widest",
]

Stored = NDArray[np.float16] | NDArray[np.float32]
"""Vectors as they are stored, [any, dim]."""


_LARGEST = float(np.finfo(np.float16).max)
_SMALLEST = float(np.finfo(np.float16).smallest_normal)
_MOST_MOVED = 1 / 256
_NEARLY_EQUAL = 1 - 1 / 64
"""Share of a unit row's square that lies in the mean of its values, beyond which rounding can turn it too far."""

_FLOAT32_TURN = 1e-6
"""Smaller turns are the rounding errors of float32 itself."""


def fits_half(rows: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return whether float16 holds every value of each row exactly, bool [count]; rows are float32 [count, dim]."""
    with np.errstate(over="ignore"):
        held: NDArray[np.bool_] = (rows.astype(np.float16).astype(np.float32) == rows).all(axis=1)
    return held


def needs_float32(rows: NDArray[np.float32], metric: Metric) -> NDArray[np.bool_]:
    """Return which rows, float32 [count, dim], are stored in float32 under a metric; bool [count].

    Each row is judged by itself, so the answer does not depend on the rows added with it. Under cosine the answer is
    never, because only directions count; `unit_needs_float32` judges those. Under L2, every row that float16 does not
    hold exactly is stored in float32: a row does not show how close its neighbours are.

    Under the inner product, rounding changes a score by at most 1/2048 of the product of the lengths, which is little
    for embeddings. So float32 is used only for a row with a value beyond 65,504, for a row whose values are all below
    6.1e-5, where float16 has fewer than its 11 bits, and for a row that rounding moves by more than 1/256 of the spread
    of its values. Rows that lie closer together than 1/2048 of their length, with values that differ widely, are still
    rounded: exact answers are then those of the rounded rows.
    """
    if metric is Metric.COSINE:
        return np.zeros(len(rows), np.bool_)
    lossy: NDArray[np.bool_] = ~fits_half(rows)
    if metric is Metric.L2 or not lossy.any():
        return lossy
    largest = np.maximum(rows.max(axis=1, initial=0.0), -rows.min(axis=1, initial=0.0))
    needed: NDArray[np.bool_] = lossy & ((largest > _LARGEST) | (largest < _SMALLEST))
    doubtful = np.flatnonzero(lossy & ~needed)
    within = rows[doubtful]
    moved = within - within.astype(np.float16).astype(np.float32)
    within -= within.mean(axis=1, keepdims=True)
    lengths = (np.einsum("ij,ij->i", some, some) for some in (moved, within))
    needed[doubtful] = next(lengths) > _MOST_MOVED**2 * next(lengths)
    return needed


def unit_needs_float32(rows: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which unit rows, float32 [count, dim], are stored in float32 under cosine; bool [count].

    Rounding turns a row by at most 1/2048, which is little for embeddings. It is much for a row whose values are nearly
    equal, as in data far from its centre: the differences between such rows are lost in rounding. So float32 is used
    for a row that rounding turns by more than 1/256 of the spread of its values.
    """
    sums = rows @ np.ones(rows.shape[1], np.float32)
    needed = np.zeros(len(rows), np.bool_)
    doubtful = np.flatnonzero(sums * sums > rows.shape[1] * _NEARLY_EQUAL)
    within = rows[doubtful]
    turned = within - within.astype(np.float16).astype(np.float32)
    turned -= np.einsum("ij,ij->i", turned, within)[:, None] * within
    within -= within.mean(axis=1, keepdims=True)
    turns, spreads = (np.einsum("ij,ij->i", some, some) for some in (turned, within))
    needed[doubtful] = (turns > _MOST_MOVED**2 * spreads) & (turns > _FLOAT32_TURN**2)
    return needed


def narrowed(ids: NDArray[np.int64], rows: Stored) -> Iterator[tuple[NDArray[np.int64], Stored]]:
    """Yield rows with their ids, int64 [count]: those that float16 holds, in float16, and then the rest in float32."""
    if rows.dtype == np.float16:
        yield ids, rows
        return
    held = fits_half(rows.astype(np.float32, copy=False))
    if held.any():
        yield ids[held], rows[held].astype(np.float16)
    if not held.all():
        yield ids[~held], rows[~held]


def to_blob(row: NDArray[np.float32]) -> bytes:
    """Return one vector, float32 [dim], as a blob without loss: in float16 if that holds it, else in float32."""
    return (row.astype(np.float16) if fits_half(row[None])[0] else row).tobytes()


def is_whole(blob: bytes, dim: int) -> bool:
    """Return whether a blob has the length of a vector."""
    return len(blob) in (2 * dim, 4 * dim)


def widest(blobs: Sequence[Any], dim: int) -> type[np.float16] | type[np.float32]:
    """Return the type that holds all of the blobs, which must be whole."""
    return np.float32 if any(len(blob) == 4 * dim for blob in blobs) else np.float16


def of_blobs(blobs: Sequence[bytes], dim: int) -> Stored:
    """Read whole blobs: float16 [count, dim] if all of them are float16, else float32."""
    if widest(blobs, dim) is np.float16:
        return np.frombuffer(b"".join(blobs), dtype=np.float16).reshape(-1, dim)
    wide = np.array([len(blob) == 4 * dim for blob in blobs])
    rows = np.empty((len(blobs), dim), dtype=np.float32)
    for some, dtype in ((wide, np.float32), (~wide, np.float16)):
        joined = b"".join(compress(blobs, some.tolist()))
        rows[some] = np.frombuffer(joined, dtype=dtype).reshape(-1, dim)
    return rows
