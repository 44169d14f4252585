"""zvec: Alibaba's embedded database, with a graph over int8 codes and an inverted index for each field."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

from lookalike.models import Matrix
from lookalike.retrieval.bench.peers.peer import EFFORTS, Peer, PeerRows, Setting
from lookalike.retrieval.bench.peers.sql import sql_of
from lookalike.retrieval.bench.synthetic import Workload

__all__ = ["ZvecCollection"]

_FOLDER, _VECTOR = "collection", "embedding"
_DOCUMENTS = 1_000
_LINKS, _CONSTRUCTION, _MOST_EF = 16, 100, 2048


class ZvecCollection(Peer[str | None]):
    """m=16, ef_construction=100, int8 codes, and hits scored again with the float32 vectors."""

    def __init__(self, zvec: ModuleType) -> None:
        self._zvec = zvec

    def build(self, folder: Path, rows: Iterable[PeerRows], count: int, dim: int) -> None:
        """Insert all documents and let the collection build its graph."""
        zvec = self._zvec
        types = zvec.DataType
        kinds = {
            "category": types.STRING,
            "brand": types.STRING,
            "topic": types.STRING,
            "price": types.DOUBLE,
            "in_stock": types.BOOL,
        }
        inverted = zvec.InvertIndexParam(enable_range_optimization=True)
        graph = zvec.HnswIndexParam(
            metric_type=zvec.MetricType.IP,
            m=_LINKS,
            ef_construction=_CONSTRUCTION,
            quantize_type=zvec.QuantizeType.INT8,
        )
        schema = zvec.CollectionSchema(
            "items",
            fields=[zvec.FieldSchema(name, kind, index_param=inverted) for name, kind in kinds.items()],
            vectors=zvec.VectorSchema(_VECTOR, types.VECTOR_FP32, dim, index_param=graph),
        )
        collection = zvec.create_and_open(str(folder / _FOLDER), schema)
        for some in rows:
            documents = [
                zvec.Doc(id=str(number), vectors={_VECTOR: vector}, fields=record)
                for number, vector, record in zip(some.numbers, some.vectors.tolist(), some.records, strict=True)
            ]
            for start in range(0, len(documents), _DOCUMENTS):
                for status in collection.insert(documents[start : start + _DOCUMENTS]):
                    if not status.ok():
                        raise RuntimeError(f"zvec refused a document: {status.message()}")
        collection.optimize()
        collection.flush()
        collection.close()

    def open(self, folder: Path) -> None:
        """Open the collection for reading, its files mapped into memory."""
        option = self._zvec.CollectionOption(read_only=True, enable_mmap=True)
        self._collection = self._zvec.open(str(folder / _FOLDER), option)

    def filter_of(self, workload: Workload) -> str | None:
        """Write the filter as SQL."""
        return sql_of(workload)

    def search(self, query: Matrix, limit: int, filter: str | None, setting: Setting) -> Sequence[int]:
        """Search for the keys of documents, without their fields, on the way that the package names its quickest."""
        parameters = self._zvec.HnswQueryParam(ef=setting["ef"], is_using_refiner=True)
        wanted = self._zvec.Query(_VECTOR, vector=query, param=parameters)
        found = self._collection.query_internal_ids(wanted, topk=limit, filter=filter)
        return [int(key) for key in self._collection.resolve_internal_ids(found) if key is not None]

    def ladders(self) -> Sequence[Sequence[Setting]]:
        """Return one ladder of ef."""
        return [[{"ef": ef} for ef in EFFORTS if ef <= _MOST_EF]]

    def close(self) -> None:
        """Close the collection."""
        self._collection.close()
