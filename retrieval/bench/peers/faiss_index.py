"""Plain Faiss: an index in memory, whose filter is a bitmap made from NumPy columns at each search."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from lookalike.models import Matrix
from lookalike.retrieval.bench.peers.columns import ColumnWriter, read_columns
from lookalike.retrieval.bench.peers.peer import Peer, PeerRows, Setting
from lookalike.retrieval.bench.synthetic import Workload
from lookalike.retrieval.vector_index.baselines import Baseline, BaselineKind, BaselineSetting

__all__ = ["FaissIndex"]

_FILE = "faiss.index"
_REFINED = "k_factor"


class FaissIndex(Peer[Workload]):
    """One of the indexes of Faiss that the benchmark knows."""

    def __init__(self, kind: BaselineKind) -> None:
        self._kind = kind
        self._effort = "efSearch" if kind is BaselineKind.HNSW else "nprobe"

    def build(self, folder: Path, rows: Iterable[PeerRows], count: int, dim: int) -> None:
        """Build the index and write it and the columns."""
        columns = ColumnWriter()

        def chunks() -> Iterator[Matrix]:
            for some in rows:
                columns.add(some)
                yield some.vectors

        Baseline.build(self._kind, chunks(), count, dim).write(folder / _FILE)
        columns.write(folder)

    def open(self, folder: Path) -> None:
        """Read the index and the columns into memory."""
        self._baseline = Baseline.open(self._kind, folder / _FILE)
        self._columns = read_columns(folder)

    def filter_of(self, workload: Workload) -> Workload:
        """Return the workload, whose bitmap is made at each search."""
        return workload

    def search(self, query: Matrix, limit: int, filter: Workload, setting: Setting) -> Sequence[int]:
        """Search with a bitmap of the rows that pass the filter."""
        selector = Baseline.selector(filter.mask(self._columns))
        effort = BaselineSetting(setting.get(self._effort, 0), setting.get(_REFINED, 1))
        found = self._baseline.search(query[None], limit, selector, effort)[0]
        return np.asarray(found[found >= 0]).tolist()  # type: ignore[no-any-return,unused-ignore]

    def ladders(self) -> Sequence[Sequence[Setting]]:
        """Return one ladder of efSearch or nprobe for each number of candidates to refine."""
        return [[self._named(one) for one in ladder] for ladder in self._baseline.ladders()]

    def _named(self, setting: BaselineSetting) -> Setting:
        if self._kind is BaselineKind.FLAT:
            return {}
        refined = {_REFINED: setting.refined} if self._kind is BaselineKind.IVF_PQ else {}
        return {self._effort: setting.effort, **refined}
