"""Single vectors read from their file directly, not through its memory mapping."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Stored", "VectorFile"]

Rows = NDArray[np.int64]
Stored = NDArray[np.float16] | NDArray[np.float32]
"""Vectors as they are stored, [any, dim]."""


class VectorFile:
    """Reads single vectors from the end of a file; those that are not cached are requested all at once."""

    def __init__(self, path: Path, count: int, dim: int, dtype: np.dtype[Any]) -> None:
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_RANDOM)
        self._dim, self._dtype = dim, dtype
        self._start = os.fstat(self._file).st_size - count * dim * dtype.itemsize

    def read(self, rows: Rows) -> Stored:
        """Read rows, [len(rows), dim]."""
        length = self._dim * self._dtype.itemsize
        places = (rows * length + self._start).tolist()
        for place in places:
            os.posix_fadvise(self._file, place, length, os.POSIX_FADV_WILLNEED)
        content = b"".join([os.pread(self._file, length, place) for place in places])
        return np.frombuffer(content, dtype=self._dtype).reshape(len(rows), self._dim)
