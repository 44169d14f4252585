"""USearch: a graph in memory without filters, so more rows are asked for and those that do not pass are dropped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from lookalike.models import Matrix
from lookalike.retrieval.bench.peers.columns import ColumnWriter, read_columns
from lookalike.retrieval.bench.peers.peer import EFFORTS, Peer, PeerRows, Setting
from lookalike.retrieval.bench.synthetic import Workload

__all__ = ["UsearchIndex"]

_FILE = "usearch.index"
_LINKS, _CONSTRUCTION = 16, 128
_MOST_FETCHED = 16_384


class UsearchIndex(Peer[Workload]):
    """connectivity=16, expansion_add=128, float32 vectors, inner product."""

    def __init__(self, usearch_index: ModuleType) -> None:
        self._index_class = usearch_index.Index

    def build(self, folder: Path, rows: Iterable[PeerRows], count: int, dim: int) -> None:
        """Build the graph with all threads and write it and the columns."""
        index = self._index_class(ndim=dim, metric="ip", dtype="f32", connectivity=_LINKS, expansion_add=_CONSTRUCTION)
        columns = ColumnWriter()
        for some in rows:
            index.add(np.arange(some.start, some.start + len(some.vectors)), some.vectors)
            columns.add(some)
        index.save(str(folder / _FILE))
        columns.write(folder)

    def open(self, folder: Path) -> None:
        """Read the graph and the columns into memory."""
        self._index = self._index_class.restore(str(folder / _FILE))
        self._columns = read_columns(folder)

    def filter_of(self, workload: Workload) -> Workload:
        """Return the workload, whose mask is made at each search."""
        return workload

    def search(self, query: Matrix, limit: int, filter: Workload, setting: Setting) -> Sequence[int]:
        """Ask for as many rows as the graph is searched with, and keep the first that pass."""
        expansion = min(setting["expansion"], len(self._columns["price"]))
        self._index.expansion_search = expansion
        mask = filter.mask(self._columns)
        found = self._index.search(query, limit if mask is None else max(expansion, limit)).keys.astype(np.int64)
        kept = found if mask is None else found[mask[found]]
        return kept[:limit].tolist()  # type: ignore[no-any-return,unused-ignore]

    def ladders(self) -> Sequence[Sequence[Setting]]:
        """Return one ladder of expansion_search, which is also the number of rows asked for under a filter."""
        return [[{"expansion": one} for one in (*EFFORTS, _MOST_FETCHED)]]
