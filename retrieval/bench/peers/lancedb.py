"""LanceDB: a table on disk with inverted lists of RaBitQ codes and an index for each field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from lookalike.models import Matrix
from lookalike.retrieval.bench.peers.peer import PROBES, Peer, PeerRows, Setting
from lookalike.retrieval.bench.peers.sql import sql_of
from lookalike.retrieval.bench.synthetic import Workload

__all__ = ["LanceTable"]

_FOLDER, _TABLE, _VECTOR = "database", "items", "vector"
_MOST_LISTS, _ROWS_A_LIST = 512, 100
_REFINED = (4, 10, 40)


class LanceTable(Peer[str | None]):
    """IVF_RQ with one bit a number, and refined with the stored vectors; distances are Euclidean.

    On vectors of unit length the Euclidean order is the order of the inner product.
    """

    def __init__(self, lancedb: ModuleType, pyarrow: ModuleType) -> None:
        self._lancedb = lancedb
        self._pyarrow = pyarrow

    def build(self, folder: Path, rows: Iterable[PeerRows], count: int, dim: int) -> None:
        """Write the table, compact it, and index the vectors and the fields.

        Compacting after `create_index` would merge the lists into a few large ones in 0.40.
        """
        batches = self._batches(rows, dim)
        first = next(batches)
        table = self._lancedb.connect(str(folder / _FOLDER)).create_table(
            _TABLE, data=chain([first], batches), schema=first.schema
        )
        table.optimize()
        table.create_index(
            metric="l2",
            index_type="IVF_RQ",
            num_partitions=max(1, min(_MOST_LISTS, count // _ROWS_A_LIST)),
            num_bits=1,
            vector_column_name=_VECTOR,
            max_iterations=20,
        )
        for name in ("category", "brand", "topic", "in_stock"):
            table.create_scalar_index(name, index_type="BITMAP")
        table.create_scalar_index("price", index_type="BTREE")

    def open(self, folder: Path) -> None:
        """Open the table."""
        self._table = self._lancedb.connect(str(folder / _FOLDER)).open_table(_TABLE)

    def filter_of(self, workload: Workload) -> str | None:
        """Write the filter as SQL."""
        return sql_of(workload)

    def search(self, query: Matrix, limit: int, filter: str | None, setting: Setting) -> Sequence[int]:
        """Search among the rows that pass the filter, which is applied before the search."""
        search = (
            self._table.search(query, vector_column_name=_VECTOR)
            .distance_type("l2")
            .limit(limit)
            .select(["id", "_distance"])
            .nprobes(setting["nprobes"])
            .refine_factor(setting["refine_factor"])
        )
        if filter is not None:
            search = search.where(filter, prefilter=True)
        return search.to_arrow()["id"].to_pylist()  # type: ignore[no-any-return,unused-ignore]

    def ladders(self) -> Sequence[Sequence[Setting]]:
        """Return one ladder of nprobes for each number of candidates to refine."""
        return [[{"nprobes": probes, "refine_factor": refined} for probes in PROBES] for refined in _REFINED]

    def _batches(self, rows: Iterable[PeerRows], dim: int) -> Iterator[Any]:
        array, lists = self._pyarrow.array, self._pyarrow.FixedSizeListArray
        for some in rows:
            vectors = lists.from_arrays(array(np.ravel(some.vectors)), dim)
            numbers = array(np.arange(some.start, some.start + len(some.vectors)))
            fields = [array(values) for values in some.fields.values()]
            yield self._pyarrow.record_batch([numbers, vectors, *fields], names=["id", _VECTOR, *some.fields])
