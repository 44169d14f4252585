"""Codes of some 32 bytes a vector, by which candidates are found; the true vectors then order them.

A vector is projected on the leading principal components, which hold most of the variance, and rotated at random, so
that each number carries as much information as any other; then every two numbers become 4 bits (product quantization:
Jégou, Douze and Schmid, 2011, doi:10.1109/TPAMI.2010.57). Codes that lie side by side are compared some thirty at a
time in registers (André, Kermarrec and Le Scouarnec, arXiv:1812.09162), so the codes of selected rows are copied side
by side.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

from lookalike.data.errors import CatalogDamaged
from lookalike.retrieval.vector_index.kinds import Metric
from lookalike.retrieval.vector_index.selection import Selection
from lookalike.retrieval.vector_index.vectors import (
    Rows,
    Scores,
    Vectors,
    fill_codes,
    ordered,
    pieces,
    read_index,
    use_threads,
)

__all__ = ["PACKED_ROW_BYTES", "Codes", "LearnsBeside", "factor_for"]

_EXPLAINED = 0.9
"""Least share of the variance that the kept components hold."""

_WIDTHS = (128, 192, 256, 384, 512, 768, 1024)
"""Numbers of components to choose from; if none of them is enough, all components are kept."""

_TRAINING_ROWS = 50_000
_QUANTIZER_ROWS = 20_000

PACKED_ROW_BYTES = 40
"""Approximate size of a packed row in bytes: its code and its number."""


class LearnsBeside(Protocol):
    """A consumer of the projected vectors while they are encoded."""

    def learn(self, transform: Any) -> None:  # noqa: ANN401  # Faiss has no types
        """Receive Faiss's projection, float32 [rows, dim] to [rows, width]."""

    def see(self, rows: Rows, projected: NDArray[np.float32]) -> None:
        """Receive some rows and their projected vectors, float32 [len(rows), width]."""


class Codes:
    """Codes of all rows of `vectors`, uint8 [count, width / 4], and their projection, float32 [width, dim]."""

    def __init__(self, index: Any, vectors: Vectors) -> None:  # noqa: ANN401  # Faiss has no types
        self._index = index
        self._vectors = vectors
        self.metric = vectors.metric
        self.transform = faiss.downcast_VectorTransform(index.chain.at(0))
        flat = faiss.downcast_index(index.index)
        self.quantizer = flat.pq
        self.width = int(flat.d)
        self._codes: NDArray[np.uint8] = faiss.rev_swig_ptr(flat.codes.data(), vectors.count * flat.code_size).reshape(
            vectors.count, flat.code_size
        )

    @classmethod
    def build(cls, vectors: Vectors, beside: LearnsBeside | None = None) -> Codes:
        """Learn the projection and the codes from a sample of the vectors, and encode all of them; deterministic.

        `beside` receives the projection, and then each row as it is projected.
        """
        count, dim = vectors.count, vectors.dim
        use_threads(count, dim)
        chosen = np.sort(np.random.default_rng(0).permutation(count)[:_TRAINING_ROWS])
        transform = _projection(vectors, chosen)
        width = int(transform.d_out)
        quantizer = faiss.ProductQuantizer(width, width // 2 if width >= _WIDTHS[0] else width, 4)
        quantizer.cp.min_points_per_centroid, quantizer.cp.niter = 1, 12
        some = chosen[:: max(len(chosen) // _QUANTIZER_ROWS, 1)]
        quantizer.train(np.concatenate([transform.apply(vectors.many(rows)) for rows in pieces(some)]))
        if beside is not None:
            beside.learn(transform)
        codes = np.empty((count, quantizer.code_size), np.uint8)
        return cls._encoded(vectors, transform, quantizer, codes, slice(None), beside)

    def carried(self, vectors: Vectors, rows: Rows) -> Codes:
        """Encode other vectors with the projection and quantizer learned here.

        `rows`, int64 [vectors.count], is the row here that holds the same vector, whose code is reused, or -1.
        """
        use_threads(vectors.count, vectors.dim)
        weights = faiss.vector_to_array(self.transform.A).reshape(self.width, vectors.dim)
        codes = self.rows(rows)
        return self._encoded(vectors, _linear(weights), self.quantizer, codes, rows < 0)

    @classmethod
    def _encoded(
        cls,
        vectors: Vectors,
        transform: Any,  # noqa: ANN401
        quantizer: Any,  # noqa: ANN401
        codes: NDArray[np.uint8],
        missing: NDArray[np.bool_] | slice,
        beside: LearnsBeside | None = None,
    ) -> Codes:
        """Fill in the codes of the `missing` rows."""
        places = np.arange(vectors.count)[missing]
        for some in pieces(places):
            projected = transform.apply(vectors.many(some))
            codes[some] = quantizer.compute_codes(projected)
            if beside is not None:
                beside.see(some, projected)
        flat = faiss.IndexPQ(int(transform.d_out), quantizer.M, 4, vectors.metric.faiss)
        flat.pq, flat.is_trained = quantizer, True
        fill_codes(flat, codes)
        index = faiss.IndexPreTransform(transform, flat)
        index.ntotal, index.d = vectors.count, vectors.dim
        return cls(index, vectors)

    def write(self, path: Path) -> None:
        """Write the codes to a file."""
        faiss.write_index(self._index, str(path))

    @classmethod
    def open(cls, path: Path, vectors: Vectors) -> Codes:
        """Map a file that `write` made for these vectors.

        Raises:
            CatalogDamaged: the file cannot be read, or has another number of rows.
        """
        index = read_index(path)
        if not isinstance(index, faiss.IndexPreTransform) or index.ntotal != vectors.count or index.d != vectors.dim:
            raise CatalogDamaged(f"{path.name} holds no codes of these {vectors.count} vectors.")
        return cls(index, vectors)

    def rows(self, rows: Rows) -> NDArray[np.uint8]:
        """Return the codes of some rows, uint8 [len(rows), bytes]."""
        return np.take(self._codes, rows, axis=0, mode="clip")  # several times quicker than indexing

    def search(
        self, queries: NDArray[np.float32], k: int, candidates: int, selection: Selection
    ) -> tuple[Scores, Rows]:
        """Find the best `candidates` rows by code among those selected, and among these the k best by their vectors.

        Return scores and rows, [queries, k], best first; row -1 where there are no more.
        """
        use_threads(len(queries), selection.count)
        parameters = self.parameters(k, candidates, selection)
        scores, rows = self.packed(selection).search(np.ascontiguousarray(queries), k, params=parameters)
        if self._vectors.wide:
            return self._vectors.best(queries, rows, k)
        return ordered(-scores if self._vectors.metric is Metric.L2 else scores, rows, k)

    def parameters(self, k: int, candidates: int, selection: Selection) -> Any:  # noqa: ANN401
        """Return Faiss's search parameters for this number of candidates."""
        return faiss.IndexRefineSearchParameters(k_factor=factor_for(k, min(candidates, selection.count)))

    def candidates(self, queries: NDArray[np.float32], count: int, selection: Selection) -> Rows:
        """Find the `count` best selected rows by code alone, int64 [queries, count], best first, -1 for no more."""
        use_threads(len(queries), selection.count)
        self.packed(selection)
        found: Rows = selection.packed["by code"].search(np.ascontiguousarray(queries), count)[1]
        return found

    def packed(self, selection: Selection) -> Any:  # noqa: ANN401
        """Return an index of the selected codes side by side that refines by the vectors; built on the first call."""
        if "codes" not in selection.packed:
            flat = faiss.IndexPQ(self.width, self.quantizer.M, 4, self._vectors.metric.faiss)
            flat.pq, flat.is_trained = self.quantizer, True
            fill_codes(flat, self.rows(selection.rows))
            numbered = faiss.IndexIDMap(faiss.IndexFlat(self.width, self._vectors.metric.faiss))
            numbered.index = fast = faiss.IndexPQFastScan(flat)
            faiss.copy_array_to_vector(selection.rows, numbered.id_map)
            by_code = self.projected(numbered)
            index = self.refined(by_code)
            selection.packed_bytes += selection.count * (8 + self._codes.shape[1])
            selection.packed["codes"] = index
            selection.packed["by code"] = by_code
            selection.packed["kept"] = numbered, fast  # keep the Python objects alive as long as the index
        return selection.packed["codes"]

    def projected(self, index: Any) -> Any:  # noqa: ANN401
        """Return `index`, which holds projected vectors, behind the projection."""
        projected = faiss.IndexPreTransform(self.transform, index)
        projected.ntotal = self._vectors.count
        return projected

    def refined(self, index: Any) -> Any:  # noqa: ANN401
        """Return an index that refines the candidates of `index` by the true vectors."""
        if self._vectors.on_disk:
            return _RefinedFromDisk(index, self._vectors)
        return faiss.IndexRefine(index, self._vectors.index)


class _RefinedFromDisk:
    """A counterpart of Faiss's `IndexRefine` over vectors that are read from their file."""

    def __init__(self, index: Any, vectors: Vectors) -> None:  # noqa: ANN401
        self._index = index
        self._vectors = vectors

    def search(self, queries: NDArray[np.float32], k: int, params: Any) -> tuple[Scores, Rows]:  # noqa: ANN401
        """Find candidates and order them by their vectors. As in Faiss, scores under L2 are distances."""
        _, rows = self._index.search(queries, int(k * params.k_factor), params=params.base_index_params)
        scores, rows = self._vectors.best(queries, rows, k)
        return -scores if self._vectors.metric is Metric.L2 else scores, rows


def factor_for(k: int, candidates: int) -> float:
    """Return the factor of k that Faiss needs for this many candidates, at least k; Faiss rounds the product down."""
    return (max(candidates, k) + 0.25) / k


def _projection(vectors: Vectors, rows: Rows) -> Any:  # noqa: ANN401
    """Learn the projection from some rows. It has no offset, so it keeps inner products as well as distances."""
    dim = vectors.dim
    total, products = np.zeros(dim), np.zeros((dim, dim))
    # the variance does not depend on the origin; far from it, float32 would lose precision
    centre = vectors.many(rows[:_QUANTIZER_ROWS]).mean(axis=0) if vectors.wide else np.float32(0)
    for some in pieces(rows):
        piece = vectors.many(some)
        if vectors.wide:
            piece -= centre
        total += piece.sum(axis=0, dtype=np.float64)
        products += piece.T @ piece
    mean = total / len(rows)
    ascending, columns = np.linalg.eigh(products / len(rows) - np.outer(mean, mean))
    variances, components = np.maximum(ascending[::-1], 0), columns.T[::-1]
    explained = np.cumsum(variances) / max(float(variances.sum()), np.finfo(np.float32).tiny)
    width = next((width for width in _WIDTHS if width < dim and explained[width - 1] >= _EXPLAINED), dim)
    turn = faiss.RandomRotationMatrix(width, width)
    turn.init(0)
    rotation = faiss.vector_to_array(turn.A).reshape(width, width)
    return _linear(rotation @ components[:width])


def _linear(weights: NDArray[np.float32]) -> Any:  # noqa: ANN401
    """Build the projection that multiplies by `weights`, float32 [width, dim]."""
    width, dim = weights.shape
    projection = faiss.LinearTransform(dim, width, False)
    faiss.copy_array_to_vector(weights.astype(np.float32).reshape(-1), projection.A)
    projection.is_trained = True
    return projection
