"""hnswlib: a graph in memory, whose filter is a Python function called for each candidate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from lookalike.models import Matrix
from lookalike.retrieval.bench.peers.columns import ColumnWriter, read_columns
from lookalike.retrieval.bench.peers.peer import EFFORTS, Peer, PeerRows, Setting
from lookalike.retrieval.bench.synthetic import Workload

__all__ = ["HnswlibIndex"]

_FILE = "hnswlib.index"
_LINKS, _CONSTRUCTION = 16, 100


class HnswlibIndex(Peer[Workload]):
    """M=16, ef_construction=100, float32 vectors, inner product."""

    def __init__(self, hnswlib: ModuleType) -> None:
        self._hnswlib = hnswlib

    def build(self, folder: Path, rows: Iterable[PeerRows], count: int, dim: int) -> None:
        """Build the graph with all threads and write it and the columns."""
        index = self._hnswlib.Index(space="ip", dim=dim)
        index.init_index(max_elements=count, ef_construction=_CONSTRUCTION, M=_LINKS)
        columns = ColumnWriter()
        for some in rows:
            index.add_items(some.vectors, np.arange(some.start, some.start + len(some.vectors)))
            columns.add(some)
        index.save_index(str(folder / _FILE))
        columns.write(folder)
        (folder / "dim").write_text(str(dim))

    def open(self, folder: Path) -> None:
        """Read the graph and the columns into memory."""
        self._index = self._hnswlib.Index(space="ip", dim=int((folder / "dim").read_text()))
        self._index.load_index(str(folder / _FILE))
        self._columns = read_columns(folder)

    def filter_of(self, workload: Workload) -> Workload:
        """Return the workload, whose mask is made at each search."""
        return workload

    def search(self, query: Matrix, limit: int, filter: Workload, setting: Setting) -> Sequence[int]:
        """Search with a function that looks each candidate up in a list of what passes.

        hnswlib raises RuntimeError instead of returning fewer rows than asked for, so fewer are asked for until it
        answers.
        """
        self._index.set_ef(max(setting["ef"], limit))
        mask = filter.mask(self._columns)
        passes = None if mask is None else mask.tolist().__getitem__
        asked = min(limit, len(self._columns["price"]) if mask is None else int(np.count_nonzero(mask)))
        while asked:
            try:
                labels, _ = self._index.knn_query(query[None], k=asked, num_threads=1, filter=passes)
            except RuntimeError:
                asked = asked - 1 if asked < 3 else asked // 2
            else:
                return labels[0].tolist()  # type: ignore[no-any-return,unused-ignore]
        return []

    def ladders(self) -> Sequence[Sequence[Setting]]:
        """Return one ladder of ef."""
        return [[{"ef": ef} for ef in EFFORTS]]
