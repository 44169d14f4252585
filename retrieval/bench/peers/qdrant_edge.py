"""Qdrant Edge: the engine of Qdrant in this process, with an index for each field that is filtered by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from lookalike.models import Matrix
from lookalike.retrieval.bench.peers.peer import EFFORTS, Peer, PeerRows, Setting
from lookalike.retrieval.bench.synthetic import Workload

__all__ = ["QdrantEdge", "QdrantEdgeInt8"]

_FOLDER = "shard"
_POINTS = 5_000
_LINKS, _CONSTRUCTION, _SCAN_BELOW = 16, 100, 10_000
_FULL_SCAN = 4096  # more would be a scan of most rows

Filter = Any  # qdrant_edge.Filter | None


class QdrantEdge(Peer[Filter]):
    """m=16, ef_construct=100, float32 vectors, one segment."""

    quantized = False

    def __init__(self, qdrant_edge: ModuleType) -> None:
        self._qdrant = qdrant_edge

    def build(self, folder: Path, rows: Iterable[PeerRows], count: int, dim: int) -> None:
        """Add all points with their payload, then let the shard build its graph."""
        shard_folder = folder / _FOLDER
        shard_folder.mkdir()
        shard = self._qdrant.EdgeShard.create(str(shard_folder), self._config(dim))
        schema = self._qdrant.PayloadSchemaType
        for name in ("category", "brand", "topic", "in_stock"):
            shard.update(self._qdrant.UpdateOperation.create_field_index(name, schema.Keyword))
        shard.update(self._qdrant.UpdateOperation.create_field_index("price", schema.Float))
        for some in rows:
            points = [
                self._qdrant.Point(number, vector, {**record, "in_stock": str(record["in_stock"])})
                for number, vector, record in zip(some.numbers, some.vectors.tolist(), some.records, strict=True)
            ]
            for start in range(0, len(points), _POINTS):
                shard.update(self._qdrant.UpdateOperation.upsert_points(points[start : start + _POINTS]))
        shard.optimize()
        shard.flush()
        shard.close()

    def open(self, folder: Path) -> None:
        """Open the shard."""
        self._shard = self._qdrant.EdgeShard.load(str(folder / _FOLDER))

    def filter_of(self, workload: Workload) -> Filter:
        """Build a filter of conditions that must all hold.

        A bool is stored as a keyword, because `MatchValue(True)` becomes the integer 1 and matches nothing in 0.9.0.
        """
        must, ranges = [], dict[str, dict[str, Any]]()
        for condition in workload.conditions:
            if condition.sign == "==":
                match = self._qdrant.MatchValue(str(condition.stored))
                must.append(self._qdrant.FieldCondition(condition.field, match=match))
            else:
                bounds = ranges.setdefault(condition.field, {})
                bounds["gte" if condition.sign == ">=" else "lt"] = condition.stored
        for field, bounds in ranges.items():
            must.append(self._qdrant.FieldCondition(field, range=self._qdrant.RangeFloat(**bounds)))
        return self._qdrant.Filter(must=must) if must else None

    def search(self, query: Matrix, limit: int, filter: Filter, setting: Setting) -> Sequence[int]:
        """Search for the numbers of points, without their payload."""
        request = self._qdrant.QueryRequest(
            limit=limit,
            query=self._qdrant.Query.Nearest(query.tolist()),
            filter=filter,
            params=self._qdrant.SearchParams(hnsw_ef=setting["ef"], **self._rescoring()),
            with_payload=False,
            with_vector=False,
        )
        return [point.id for point in self._shard.query(request)]

    def ladders(self) -> Sequence[Sequence[Setting]]:
        """Return one ladder of hnsw_ef."""
        return [[{"ef": ef} for ef in EFFORTS if ef < _FULL_SCAN]]

    def close(self) -> None:
        """Close the shard."""
        self._shard.close()

    def _config(self, dim: int) -> Any:  # noqa: ANN401  # the package may be absent when types are checked
        quantization = self._qdrant.ScalarQuantizationConfig(
            type=self._qdrant.ScalarType.Int8, quantile=0.99, always_ram=True
        )
        return self._qdrant.EdgeConfig(
            vectors=self._qdrant.EdgeVectorParams(size=dim, distance=self._qdrant.Distance.Dot),
            hnsw_config=self._qdrant.HnswIndexConfig(
                m=_LINKS, ef_construct=_CONSTRUCTION, full_scan_threshold=_SCAN_BELOW
            ),
            quantization_config=quantization if self.quantized else None,
            optimizers=self._qdrant.EdgeOptimizersConfig(default_segment_number=1, indexing_threshold=_SCAN_BELOW),
        )

    def _rescoring(self) -> Mapping[str, Any]:
        return {}


class QdrantEdgeInt8(QdrantEdge):
    """The same with int8 codes in memory, whose hits are scored again with the float32 vectors."""

    quantized = True

    def _rescoring(self) -> Mapping[str, Any]:
        return {"quantization": self._qdrant.QuantizationSearchParams(rescore=True, oversampling=1.0)}
