"""Faiss, and nothing else of the project touches it: one array of float16 vectors, searched exactly or by an index.

The array is a Faiss scalar-quantizer index of half floats that is memory-mapped from its file, so the exact search, the
refinement of approximate answers and reading a vector back all use the same bytes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from data.errors import CatalogDamaged

__all__ = ["Approximate", "IndexKind", "Metric", "RowFilter", "Vectors", "build_approximate"]

Mask = NDArray[np.bool_]
Scores = NDArray[np.float32]
Rows = NDArray[np.int64]

_ADD_ROWS = 16_384
_REFINE_FACTOR = 8
_CALIBRATION_QUERIES = 100
_HNSW_LINKS = 32


class Metric(StrEnum):
    """How two vectors are compared; a score is always the larger the better."""

    COSINE = "cosine"
    IP = "ip"
    L2 = "l2"

    @property
    def _faiss(self) -> int:
        return int(faiss.METRIC_L2 if self is Metric.L2 else faiss.METRIC_INNER_PRODUCT)


class IndexKind(StrEnum):
    """What stands over the vectors: nothing (every search is exact), or an index that finds most of the nearest."""

    AUTO = "auto"
    FLAT = "flat"
    IVF_PQ = "ivf_pq"
    HNSW = "hnsw"


class RowFilter:
    """Which rows may be found, made once from a mask, bool [rows], for any number of searches."""

    def __init__(self, mask: Mask) -> None:
        self.count = int(np.count_nonzero(mask))
        self._bits = np.packbits(mask, bitorder="little")  # Faiss reads them during the search
        self.selector = faiss.IDSelectorBitmap(self._bits)


class Vectors:
    """float16 vectors, shape [count, dim], in memory or memory-mapped from a file."""

    def __init__(self, index: Any, metric: Metric) -> None:
        self._index = index
        self.metric = metric
        self.count = int(index.ntotal)
        self.dim = int(index.d)
        self._halves: NDArray[np.float16] = (
            faiss.rev_swig_ptr(index.codes.data(), self.count * self.dim * 2)
            .view(np.float16)
            .reshape(self.count, self.dim)
            if self.count
            else np.empty((0, self.dim), dtype=np.float16)
        )

    @classmethod
    def of(cls, rows: NDArray[np.float16], metric: Metric) -> Vectors:
        """Copy rows, float16 [count, dim], into memory."""
        index = faiss.IndexScalarQuantizer(rows.shape[1], faiss.ScalarQuantizer.QT_fp16, metric._faiss)
        index.is_trained = True  # half floats have nothing to learn
        for start in range(0, len(rows), _ADD_ROWS):
            index.add(np.ascontiguousarray(rows[start : start + _ADD_ROWS], dtype=np.float32))
        return cls(index, metric)

    @classmethod
    def open(cls, path: Path, metric: Metric) -> Vectors:
        """Map a file that `write` made.

        Raises:
            CatalogDamaged: Faiss cannot read it.
        """
        return cls(_read(path), metric)

    def write(self, path: Path) -> None:
        """Write to a file."""
        faiss.write_index(self._index, str(path))

    def rows(self, rows: Rows) -> NDArray[np.float32]:
        """Return some vectors, float32 [len(rows), dim]."""
        return np.asarray(self._halves[rows], dtype=np.float32)

    def scores(self, query: NDArray[np.float32], rows: Rows) -> Scores:
        """Compare one query, float32 [dim], with some rows."""
        vectors = self.rows(rows)
        if self.metric is Metric.L2:
            return np.asarray(-np.square(vectors - query).sum(axis=1), dtype=np.float32)
        return np.asarray(vectors @ query, dtype=np.float32)

    def search(self, queries: NDArray[np.float32], k: int, passing: RowFilter | None = None) -> tuple[Scores, Rows]:
        """Find the k best rows for each query exactly, among those that pass.

        Takes float32 [queries, dim]; gives scores and rows, both [queries, min(k, count)], best first, row -1 where
        there are no more.
        """
        count = self.count if passing is None else passing.count
        k = min(k, self.count)
        if k == 0:
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        _use_threads(len(queries))
        parameters = None if passing is None else faiss.SearchParameters(sel=passing.selector)
        contiguous = np.ascontiguousarray(queries)
        depth = min(k + 1, max(count, k))
        while True:  # Faiss keeps any of the rows that tie for the last place: look past them, then order ties by row
            scores, rows = self._index.search(contiguous, depth, params=parameters)
            scores = -scores if self.metric is Metric.L2 else scores
            if depth >= count or (scores[:, -1] < scores[:, k - 1]).all():
                break
            depth = min(depth * 4, count)
        order = np.lexsort((np.where(rows < 0, self.count, rows), -scores), axis=1)[:, :k]
        return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)


@dataclass(frozen=True, slots=True)
class Approximate:
    """An index over `Vectors` that finds most of the nearest rows, whose scores are then computed exactly.

    `effort` maps a recall (0.9, 0.95, 0.99) to the setting that reached it on the index's own rows: the lists probed
    by IVF, the length of HNSW's candidate list.
    """

    kind: IndexKind
    vectors: Vectors
    effort: dict[float, int]
    index: Any

    def search(
        self, queries: NDArray[np.float32], k: int, recall: float, passing: RowFilter | None = None
    ) -> tuple[Scores, Rows, bool]:
        """Find about the k best rows for each query, float32 [queries, dim], among those that pass.

        The narrower the filter, the wider the search; a query that still has not found k rows is answered by an exact
        scan. Gives scores and rows, [queries, k], best first, and whether every query was scanned.
        """
        survivors = self.vectors.count if passing is None else passing.count
        effort = self._effort(recall, k, survivors / self.vectors.count)
        candidates = self._candidates(queries, min(k * _REFINE_FACTOR, survivors), effort, passing)
        short = np.count_nonzero(candidates >= 0, axis=1) < k
        scores, rows = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
        for place in np.flatnonzero(~short):
            found = candidates[place][candidates[place] >= 0]
            true = self.vectors.scores(queries[place], found)
            best = np.lexsort((found, -true))[:k]
            scores[place], rows[place] = true[best], found[best]
        if short.any():
            scores[short], rows[short] = self.vectors.search(queries[short], k, passing)
        return scores, rows, bool(short.all())

    def write(self, path: Path) -> None:
        """Write the index without the vectors."""
        flags = faiss.IO_FLAG_SKIP_STORAGE if self.kind is IndexKind.HNSW else 0
        faiss.write_index(self.index, str(path), flags)

    @classmethod
    def open(cls, path: Path, kind: IndexKind, vectors: Vectors, effort: dict[float, int]) -> Approximate:
        """Open a file that `write` made, over the vectors it was built on."""
        index = _read(path)
        if kind is IndexKind.HNSW:
            index.storage, index.own_fields = vectors._index, False
        if index.ntotal != vectors.count:
            raise CatalogDamaged(f"{path.name} has {index.ntotal} rows for {vectors.count} vectors.")
        return cls(kind, vectors, effort, index)

    def _effort(self, recall: float, k: int, share: float) -> int:
        reached = [setting for target, setting in sorted(self.effort.items()) if target >= recall]
        setting = reached[0] if reached else max(self.effort.values())
        if self.kind is IndexKind.HNSW:
            return max(int(setting / max(share, 0.02)), k)
        return min(int(np.ceil(setting / max(share, 0.01) ** 0.5)), int(self.index.nlist))

    def _candidates(self, queries: NDArray[np.float32], k: int, effort: int, passing: RowFilter | None) -> Rows:
        _use_threads(len(queries))
        selector = None if passing is None else passing.selector
        if self.kind is IndexKind.HNSW:
            parameters = faiss.SearchParametersHNSW(efSearch=max(effort, k), sel=selector)
        else:
            parameters = faiss.SearchParametersIVF(nprobe=effort, sel=selector)
        _, rows = self.index.search(np.ascontiguousarray(queries), min(k, self.vectors.count), params=parameters)
        return np.asarray(rows, dtype=np.int64)


def _use_threads(queries: int) -> None:
    """Give one query one thread, a batch all: on a busy machine waiting for the others costs more than it gains.

    OpenMP keeps this setting for each calling thread.
    """
    faiss.omp_set_num_threads(1 if queries == 1 else os.cpu_count() or 1)


def build_approximate(vectors: Vectors, kind: IndexKind) -> Approximate:
    """Build an index over vectors and measure what effort reaches which recall on them; deterministic."""
    count, dim = vectors.count, vectors.dim
    if kind is IndexKind.HNSW:
        index = faiss.IndexHNSWSQ(dim, faiss.ScalarQuantizer.QT_fp16, _HNSW_LINKS, vectors.metric._faiss)
        index.is_trained = True
        index.storage.is_trained = True
        index.hnsw.efConstruction = 100
        ladder = [16, 32, 64, 128, 256, 512, 1024, 2048]
    else:
        lists = 1 << int(np.log2(max(min(4 * count**0.5, count / 64), 1)))
        quantizer = faiss.IndexFlat(dim, vectors.metric._faiss)
        parts = dim // next(size for size in (4, 2, 1) if dim % size == 0 and dim >= 8 * size * (size - 1))
        index = faiss.IndexIVFPQFastScan(quantizer, dim, lists, parts, 4, vectors.metric._faiss)
        quantizer.this.disown()
        index.own_fields = True
        chosen = np.random.default_rng(0).permutation(count)[: 64 * lists]
        index.train(vectors.rows(np.sort(chosen)))
        ladder = [effort for effort in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024) if effort <= lists]
    for start in range(0, count, _ADD_ROWS):
        index.add(vectors.rows(np.arange(start, min(start + _ADD_ROWS, count))))
    built = Approximate(kind, vectors, {0.95: ladder[-1]}, index)
    return Approximate(kind, vectors, _calibrate(built, ladder), index)


def _calibrate(built: Approximate, ladder: list[int], k: int = 10) -> dict[float, int]:
    """Find the least effort that reaches each recall@10, over rows of the index itself, each left out of its answer."""
    vectors = built.vectors
    chosen = np.random.default_rng(1).permutation(vectors.count)[:_CALIBRATION_QUERIES]
    queries = vectors.rows(chosen)
    _, truth = vectors.search(queries, k + 1)
    efforts: dict[float, int] = {}
    for effort in ladder:
        found = built._candidates(queries, (k + 1) * _REFINE_FACTOR, effort, None)
        shares = [np.isin(true[true != row], some).mean() for row, true, some in zip(chosen, truth, found, strict=True)]
        reached = float(np.mean(shares))
        for target in (0.9, 0.95, 0.99):
            if reached >= target:
                efforts.setdefault(target, effort)
    efforts.setdefault(0.99, ladder[-1])
    return efforts


def _read(path: Path) -> Any:
    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:
        raise CatalogDamaged(f"{path.name} is damaged.") from error
