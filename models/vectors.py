"""Normalisation of vectors to unit length."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Matrix", "unit_rows"]

Matrix = NDArray[np.float32]
"""Vectors: float32, shape [rows, dim]."""


_SAFE_SQUARES = 1e-24, 1e36
"""Range in which a float32 sum of squares has neither overflowed nor lost significant bits to underflow."""


def unit_rows(rows: NDArray[np.floating]) -> Matrix:
    """Scale each row to length 1, however long or short it is; a row of zeros stays zero.

    `rows` is any float array of shape [rows, dim], including float64 values outside the range of float32. The result is
    a new C-contiguous float32 array of the same shape. A row with a value that is not finite comes back with NaN.
    """
    source = np.atleast_2d(rows)
    with np.errstate(over="ignore", invalid="ignore"):
        matrix = np.array(source, dtype=np.float32, order="C")
        squares = np.einsum("ij,ij->i", matrix, matrix)  # np.linalg.norm takes thirty times as long
    extreme = np.flatnonzero(~((squares >= _SAFE_SQUARES[0]) & (squares <= _SAFE_SQUARES[1])))
    if len(extreme):
        matrix[extreme] = _scaled(source[extreme])
        squares[extreme] = np.einsum("ij,ij->i", matrix[extreme], matrix[extreme])
    lengths = np.sqrt(squares)[:, None]
    np.divide(matrix, lengths, out=matrix, where=lengths > 0)
    return matrix


def _scaled(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """Divide each row by its largest magnitude, unless that is 0; return float64."""
    wide = rows.astype(np.float64)
    largest = np.abs(wide).max(axis=1, initial=0.0, keepdims=True)
    with np.errstate(invalid="ignore"):  # infinity divided by infinity
        np.divide(wide, largest, out=wide, where=largest > 0)
    return wide
