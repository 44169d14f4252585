"""Lookalike: a catalog through its public Python API, which takes the filter as text and returns keys and fields."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from lookalike.models import Matrix
from lookalike.retrieval.bench.peers.peer import Peer, PeerRows, Setting
from lookalike.retrieval.bench.search_sides import FIELDS, RECALL
from lookalike.retrieval.bench.synthetic import Workload
from lookalike.retrieval.catalog import Catalog

__all__ = ["LookalikeCatalog"]

_FOLDER = "catalog"


class LookalikeCatalog(Peer[str | None]):
    """A catalog with an index of kind `index`; the recall asked for is its only setting, and stays the same."""

    def __init__(self, index: str = "auto") -> None:
        self._index = index
        self._catalog: Catalog | None = None

    def build(self, folder: Path, rows: Iterable[PeerRows], count: int, dim: int) -> None:
        """Create a catalog, add all rows and optimize it."""
        with Catalog.create(folder / _FOLDER, dim=dim) as catalog:
            for some in rows:
                catalog.add_vectors(list(map(str, some.numbers)), some.vectors, some.fields)
            catalog.optimize(index=self._index)

    def open(self, folder: Path) -> None:
        """Open the catalog, to be searched on the CPU as the other sides are."""
        self._catalog = Catalog.open(folder / _FOLDER, device="cpu")

    def filter_of(self, workload: Workload) -> str | None:
        """Write the filter in the filter language."""
        return workload.filter

    def search(self, query: Matrix, limit: int, filter: str | None, setting: Setting) -> Sequence[int]:
        """Search for keys and two fields."""
        assert self._catalog is not None
        results = self._catalog.search(vector=query, filter=filter, limit=limit, recall=RECALL, fields=FIELDS)
        return list(map(int, results.keys))

    def close(self) -> None:
        """Close the catalog."""
        if self._catalog is not None:
            self._catalog.close()
