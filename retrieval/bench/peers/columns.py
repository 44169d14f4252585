"""Fields as NumPy arrays beside an index that has no fields: what its user would write to filter with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookalike.retrieval.bench.peers.peer import PeerRows
from lookalike.retrieval.bench.synthetic import Columns

__all__ = ["ColumnWriter", "read_columns"]

_FILE = "columns.npz"


class ColumnWriter:
    """Collects the columns of rows and writes them to one file."""

    def __init__(self) -> None:
        self._parts: list[Columns] = []

    def add(self, rows: PeerRows) -> None:
        """Collect the columns of some rows."""
        self._parts.append(rows.columns)

    def write(self, folder: Path) -> None:
        """Write the columns of all rows, in the order in which they were added."""
        joined = {name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]}
        np.savez(folder / _FILE, allow_pickle=False, **joined)


def read_columns(folder: Path) -> dict[str, NDArray[np.generic]]:
    """Read the columns that a `ColumnWriter` wrote."""
    with np.load(folder / _FILE) as file:
        return {name: file[name] for name in file.files}
