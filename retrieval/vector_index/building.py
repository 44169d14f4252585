"""Building an index: the same vectors give the same index; what it costs is then measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from retrieval.vector_index.approximate import Approximate
from retrieval.vector_index.calibration import Calibration
from retrieval.vector_index.codes import Codes
from retrieval.vector_index.exact import Vectors, use_threads
from retrieval.vector_index.kinds import IndexKind
from retrieval.vector_index.measuring import measured

__all__ = ["build_approximate"]

_ADD_ROWS = 16_384
_TRAINING_ROWS_A_LIST = 39
_GRAPH_LINKS = 32
_MOST_LISTS = 8_192


def build_approximate(vectors: Vectors, kind: IndexKind) -> Approximate:
    """Build an index over vectors, and codes of them, and measure both."""
    codes = Codes.build(vectors)
    unmeasured = Calibration({}, {}, (0.0, 0.0), (0.0, 0.0))
    built = Approximate(kind, vectors, codes, _stored(kind, vectors, codes), unmeasured)
    return replace(built, calibration=measured(built))


def _stored(kind: IndexKind, vectors: Vectors, codes: Codes) -> Any:  # noqa: ANN401  # Faiss has no types
    """Build what is kept in the index's file."""
    use_threads(vectors.count, vectors.dim)
    if kind.is_graph:
        return _graph(kind, vectors)
    if kind in (IndexKind.IVF_PQ, IndexKind.DISK):
        return _lists_of_codes(vectors, codes)
    return _lists_of_vectors(kind, vectors)


def _graph(kind: IndexKind, vectors: Vectors) -> Any:  # noqa: ANN401
    made = faiss.IndexNSGSQ if kind is IndexKind.NSG else faiss.IndexHNSWSQ
    index = made(vectors.dim, faiss.ScalarQuantizer.QT_fp16, _GRAPH_LINKS, vectors.metric.faiss)
    index.is_trained = index.storage.is_trained = True
    if kind is IndexKind.NSG:  # its graph is made of all rows at once
        index.add(vectors.rows(np.arange(vectors.count)))
        return index
    index.hnsw.efConstruction = 100
    for rows in _pieces(vectors.count):
        index.add(vectors.rows(rows))
    return index


def _lists_of_codes(vectors: Vectors, codes: Codes) -> Any:  # noqa: ANN401
    """Sort the codes that there are already into lists by the nearest centroid, and pack them."""
    count, metric = vectors.count, vectors.metric.faiss
    lists = _lists_for(count)
    quantizer = faiss.IndexFlat(codes.width, metric)
    plain = faiss.IndexIVFPQ(quantizer, codes.width, lists, codes.quantizer.M, 4, metric)
    plain.by_residual, plain.pq = False, codes.quantizer
    plain.cp.min_points_per_centroid = 1
    training = codes.transform.apply(vectors.rows(_sample(count, lists)))
    plain.train_q1(len(training), faiss.swig_ptr(training), False, metric)
    plain.is_trained = True
    nearest = np.empty(count, dtype=np.int64)
    for rows in _pieces(count):
        nearest[rows] = quantizer.search(codes.transform.apply(vectors.rows(rows)), 1)[1][:, 0]
    order = np.argsort(nearest, kind="stable")
    bounds = np.searchsorted(nearest[order], np.arange(lists + 1))
    for number, (start, stop) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)):
        if stop > start:
            rows, some = order[start:stop], np.ascontiguousarray(codes.rows(order[start:stop]))
            plain.invlists.add_entries(number, stop - start, faiss.swig_ptr(rows), faiss.swig_ptr(some))
    plain.ntotal = count
    packed = faiss.IndexIVFPQFastScan(plain)
    packed.by_residual = False
    return _owning(packed, quantizer)


def _lists_of_vectors(kind: IndexKind, vectors: Vectors) -> Any:  # noqa: ANN401
    lists = _lists_for(vectors.count)
    half, eight = faiss.ScalarQuantizer.QT_fp16, faiss.ScalarQuantizer.QT_8bit
    numbers = half if kind is IndexKind.IVF_FLAT else eight
    quantizer = faiss.IndexFlat(vectors.dim, vectors.metric.faiss)
    index = faiss.IndexIVFScalarQuantizer(quantizer, vectors.dim, lists, numbers, vectors.metric.faiss, False)
    index.cp.min_points_per_centroid = 1
    index.train(vectors.rows(_sample(vectors.count, lists)))
    for rows in _pieces(vectors.count):
        index.add(vectors.rows(rows))
    return _owning(index, quantizer)


def _owning(index: Any, quantizer: Any) -> Any:  # noqa: ANN401
    """Let the index free its quantizer."""
    quantizer.this.disown()
    index.own_fields = True
    return index


def _pieces(count: int) -> list[NDArray[np.int64]]:
    return [np.arange(start, min(start + _ADD_ROWS, count)) for start in range(0, count, _ADD_ROWS)]


def _sample(count: int, lists: int) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng(1).permutation(count)[: _TRAINING_ROWS_A_LIST * lists])


def _lists_for(count: int) -> int:
    """Choose the number of lists: a power of 2, about four times the root of the number of rows, at most 8,192."""
    return 1 << round(float(np.log2(max(min(4.5 * count**0.5, count / 64, _MOST_LISTS), 1))))
