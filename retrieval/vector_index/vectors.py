"""One array of vectors, searched exactly: float16, or float32 where float16 does not suffice.

It is a Faiss index that is memory-mapped from its file, even while it is written, so that an array larger than the
memory can be built.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import mmap
import operator
import os
import threading
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import faiss
import numpy as np
from numpy.typing import DTypeLike, NDArray

from lookalike.data.errors import CatalogDamaged
from lookalike.retrieval.vector_index.float32_vectors import float64_scores, search_wide
from lookalike.retrieval.vector_index.kinds import Metric
from lookalike.retrieval.vector_index.selection import Selection
from lookalike.retrieval.vector_index.ties import closed
from lookalike.retrieval.vector_index.top_rows import BestOfBlocks
from lookalike.retrieval.vector_index.vector_file import Stored, VectorFile

__all__ = [
    "GATHERED_ROWS",
    "Rows",
    "Scores",
    "Vectors",
    "empty_index",
    "fill_codes",
    "lend",
    "ordered",
    "pieces",
    "read_index",
    "read_near",
    "use_threads",
]

Scores = NDArray[np.float32]
Rows = NDArray[np.int64]

GATHERED_ROWS = 2_048
"""Selections of at most this many vectors are copied side by side, so that a search reads nothing else."""

_ROWS_AT_ONCE = 8_192
_COUNT_AT = 8
"""Offset in bytes of the number of vectors in Faiss's file: after four letters and the dimension, 4 bytes."""

_READ_AT_ONCE = 1 << 23
_MADV_WILLNEED = 3
_MADV_PAGEOUT = 21
_MADV_POPULATE_READ = 22
_WORTH_THREADS = 1_000_000

_BY_MATRICES = 4_096
"""Number of values from which queries are compared with centroids by a matrix product."""

if faiss.cvar.distance_compute_blas_threshold > _BY_MATRICES:  # else each thread compares its share one by one
    faiss.cvar.distance_compute_blas_threshold = _BY_MATRICES

_threads = threading.local()


class Vectors:
    """Vectors of shape [count, dim], float16 or, if `wide`, float32, in memory or memory-mapped from a file."""

    def __init__(self, index: Any, metric: Metric, path: Path | None = None) -> None:  # noqa: ANN401  # Faiss's
        self.index = index
        self.metric = metric
        self._path = path
        self._file: VectorFile | None = None
        self.count = int(index.ntotal)
        self.dim = int(index.d)
        self.wide = not isinstance(index, faiss.IndexScalarQuantizer)
        self.dtype = np.dtype(np.float32 if self.wide else np.float16)
        self._held: Stored = np.empty((0, self.dim), dtype=self.dtype)
        if self.count:
            stored = faiss.rev_swig_ptr(index.codes.data(), self.count * self.dim * self.dtype.itemsize)
            self._held = stored.view(self.dtype).reshape(self.count, self.dim)

    @classmethod
    def of(cls, rows: Stored, metric: Metric) -> Vectors:
        """Copy rows, float16 or float32 [count, dim], into memory."""
        index = empty_index(rows.shape[1], metric, wide=rows.dtype == np.float32)
        fill_codes(index, np.ascontiguousarray(rows).view(np.uint8))
        return cls(index, metric)

    @classmethod
    def open(cls, path: Path, metric: Metric) -> Vectors:
        """Map a file that `allocate` made.

        Raises:
            CatalogDamaged: Faiss cannot read the file.
        """
        index = read_index(path)
        if not isinstance(index, faiss.IndexScalarQuantizer | faiss.IndexFlat):
            raise CatalogDamaged(f"{path.name} holds no vectors.")
        return cls(index, metric, path)

    @staticmethod
    def allocate(path: Path, dim: int, metric: Metric, count: int, dtype: DTypeLike = np.float16) -> Stored:
        """Create a file for `count` vectors and return them for writing in any order, float16 or float32 [count, dim].

        The file has the header that Faiss writes for an index of one vector, with the count corrected.
        """
        size = np.dtype(dtype).itemsize
        one = empty_index(dim, metric, wide=size == 4)
        one.add(np.zeros((1, dim), dtype=np.float32))
        head = bytearray(faiss.serialize_index(one).tobytes()[: -dim * size])
        head[_COUNT_AT : _COUNT_AT + 8] = count.to_bytes(8, "little")
        head[-8:] = (count * dim * (2 if size == 2 else 1)).to_bytes(8, "little")  # in bytes, or in floats
        with path.open("wb") as file:
            file.write(head)
            file.truncate(len(head) + count * dim * size)
            if hasattr(os, "posix_fallocate"):  # a full disk raises here; later, it would kill the process
                file.flush()
                os.posix_fallocate(file.fileno(), 0, len(head) + count * dim * size)
        if not count:
            return np.empty((0, dim), dtype=dtype)
        return np.memmap(path, dtype=dtype, mode="r+", offset=len(head), shape=(count, dim))

    def leave_on_disk(self) -> None:
        """Read single vectors directly from the file from now on, if there is one, and not through the mapping.

        A mapped page counts as memory of this process, and up to two megabytes around it are mapped with it. Through
        the mapping, vectors that are not cached would also be waited for one after another.
        """
        if self._path is not None and self.count and hasattr(os, "posix_fadvise"):
            self._file = VectorFile(self._path, self.count, self.dim, self.dtype)

    @property
    def on_disk(self) -> bool:
        """Whether single vectors are read directly from the file."""
        return self._file is not None

    def bring_near(self) -> None:
        """Read and map the whole file, unless vectors are left on disk.

        Faiss maps its files for random access: each page would be read separately when a search first touches it, which
        takes ten times as long as reading all of them in order. Each piece is requested while the one before is being
        waited for, so that searches do not queue behind the whole file. Where the system lacks this advice, pages are
        only read later.
        """
        if self._path is None or self.on_disk:
            return
        rows = _READ_AT_ONCE // (self.dim * self.dtype.itemsize) + 1
        for start in range(0, self.count, rows):
            _advise(self._held[start + rows : start + 2 * rows], _MADV_WILLNEED)
            _advise(self._held[start : start + rows], _MADV_POPULATE_READ)

    def let_go(self) -> None:
        """Ask the system to reclaim the memory of all pages, which will not be needed soon."""
        _advise(self._held, _MADV_PAGEOUT)

    def stored(self, some: slice | Rows) -> Stored:
        """Return vectors as they are stored, [rows, dim]. They must not be changed."""
        return self._held[some]

    @cached_property
    def longest(self) -> float:
        """The length of the longest vector."""
        squares = [
            float(np.einsum("ij,ij->i", some, some).max()) for some in map(self.many, pieces(np.arange(self.count)))
        ]
        return math.sqrt(max(squares, default=0.0))

    @property
    def score_type(self) -> type[np.floating[Any]]:
        """The type of scores: float64 for wide vectors, whose scores can differ by less than float32 resolves."""
        return np.float64 if self.wide else np.float32

    def rows(self, rows: Rows) -> NDArray[np.float32]:
        """Return some vectors, float32 [len(rows), dim]."""
        return np.asarray(self._stored(rows), dtype=np.float32)

    def _stored(self, rows: Rows) -> Stored:
        """Read single vectors as they are stored."""
        return self._held[rows] if self._file is None else self._file.read(rows)

    def many(self, rows: Rows) -> NDArray[np.float32]:
        """Return many vectors, float32 [len(rows), dim], always through the mapping."""
        if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
            return self._floats(self._held[rows[0] : rows[-1] + 1])
        found = np.empty((len(rows), self.dim), dtype=np.float32)
        for places in pieces(np.arange(len(rows))):  # intermediate copies stay small
            found[places] = self._floats(self._held[rows[places]])
        return found

    def _floats(self, held: Stored) -> NDArray[np.float32]:
        """Convert rows to float32; Faiss uses a processor instruction and several threads for this, NumPy does not."""
        if self.wide:
            return np.array(held, dtype=np.float32)
        floats: NDArray[np.float32] = self.index.sa_decode(held.view(np.uint8))
        return floats

    def best(self, queries: NDArray[np.float32], candidates: Rows, k: int) -> tuple[Scores, Rows]:
        """Order candidate rows, [queries, any], where -1 is no row, and keep the k best for each query.

        Return scores and rows, both [queries, min(k, candidates)], best first.
        """
        scores: Scores = np.full(candidates.shape, -np.inf, dtype=self.score_type)
        for query, rows, line in zip(queries, candidates, scores, strict=True):
            there = rows >= 0
            line[there] = self.scores(query[None], rows[there])[0]
        return ordered(scores, candidates, k)

    def scores(self, queries: NDArray[np.float32], rows: Rows) -> Scores:
        """Return the scores of some rows for queries, float32 [queries, dim], as [queries, len(rows)].

        Each row is read once. The scores equal those of `search` to the last bit, so that ties are ties.
        """
        if self.wide:
            found = [float64_scores(self, query, rows) for query in queries]
            return cast(Scores, np.stack(found))
        scores = np.empty((len(queries), len(rows)), dtype=np.float32)
        if len(rows):
            index = empty_index(self.dim, self.metric)
            fill_codes(index, self._stored(rows).view(np.uint8))
            found, places = index.search(np.ascontiguousarray(queries, dtype=np.float32), len(rows))
            np.put_along_axis(scores, places, -found if self.metric is Metric.L2 else found, axis=1)
        return scores

    def search(self, queries: NDArray[np.float32], k: int, selection: Selection | None = None) -> tuple[Scores, Rows]:
        """Find exactly the k best rows for each query, float32 [queries, dim], among those selected.

        Return scores and rows, both [queries, min(k, count)], best first; row -1 where there are no more.
        """
        k = min(k, self.count)
        if k == 0:
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        use_threads(len(queries), self.count if selection is None else selection.count)
        queries = np.ascontiguousarray(queries)
        if self.wide:
            found = search_wide(self, queries, min(k, self.count if selection is None else selection.count), selection)
            return padded(cast(Scores, found[0]), found[1], k)
        if selection is not None and not selection.count:
            return np.full((len(queries), k), -np.inf, np.float32), np.full((len(queries), k), -1, np.int64)
        few = selection if selection is not None and selection.count <= GATHERED_ROWS else None
        index = self.index if few is None else self.few(few)
        parameters = None if few or selection is None else faiss.SearchParameters(sel=selection.selector)

        def search(some: NDArray[np.float32], asked: int) -> tuple[Scores, Rows]:
            scores, rows = index.search(some, asked, params=parameters)
            if few is not None:
                rows = few.rows[rows]
            return ordered(-scores if self.metric is Metric.L2 else scores, rows, asked)

        asked = k if selection is None else min(k, selection.count)
        return padded(*closed(search, self, queries, asked, selection), k)

    def nearest(self, queries: NDArray[np.float32], k: int) -> Rows:
        """Find the k best rows for each of many queries, int64 [queries, k], best first, by matrix products.

        This is several times quicker than `search` for hundreds of queries. Rows with equal scores come in any order.
        """
        k = min(k, self.count)
        best = BestOfBlocks(len(queries), k)
        centre = np.float32(0)
        if self.wide and self.metric is Metric.L2 and self.count:  # distances are the same around any origin
            centre = self.many(np.arange(min(self.count, _ROWS_AT_ONCE))).mean(axis=0)
            queries = queries - centre
        for some in pieces(np.arange(self.count)):
            vectors = self.many(some)
            if self.wide:
                vectors -= centre
            scores = queries @ vectors.T
            if self.metric is Metric.L2:  # without the query's own square, which is the same for all rows
                scores *= 2
                scores -= np.einsum("ij,ij->i", vectors, vectors)
            best.offer(scores, int(some[0]))
        return best.rows()

    def few(self, selection: Selection) -> Any:  # noqa: ANN401
        """Return an index of the selected vectors, at most `GATHERED_ROWS`, side by side."""
        if "vectors" not in selection.packed:
            index = empty_index(self.dim, self.metric)
            stored = self._held.view(np.uint8)  # NumPy takes unaligned bytes without copying them first
            length = selection.count * stored.shape[1]
            index.codes.resize(length)
            room = faiss.rev_swig_ptr(index.codes.data(), length).reshape(-1, stored.shape[1])
            np.take(stored, selection.rows, axis=0, out=room, mode="clip")  # "clip" writes straight into `out`
            index.ntotal = selection.count
            selection.packed_bytes += length
            selection.packed["vectors"] = index
        return selection.packed["vectors"]


def ordered(scores: Scores, rows: Rows, k: int) -> tuple[Scores, Rows]:
    """Cut answers, [queries, any] and best first, to k rows, ordering equal scores by row; row -1 comes last."""
    if len(scores) == 1:
        line = scores[0].tolist()
        different = all(map(operator.gt, line, line[1:]))  # for few numbers this is quicker than NumPy
    else:
        different = bool((scores[:, 1:] < scores[:, :-1]).all())
    if different:
        return scores[:, :k], rows[:, :k]
    order = np.lexsort((np.where(rows < 0, np.iinfo(np.int64).max, rows), -scores), axis=1)[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)


def padded(scores: Scores, rows: Rows, k: int) -> tuple[Scores, Rows]:
    """Widen answers, [queries, any], to k columns, filled with row -1."""
    missing = ((0, 0), (0, k - rows.shape[1]))
    if not missing[1][1]:
        return scores, rows
    return np.pad(scores, missing, constant_values=-np.inf), np.pad(rows, missing, constant_values=-1)


def pieces(rows: Rows) -> list[Rows]:
    """Split rows into pieces that are small compared with the vectors of a large catalog."""
    return [rows[start : start + _ROWS_AT_ONCE] for start in range(0, len(rows), _ROWS_AT_ONCE)]


def _advise(array: Stored, advice: int) -> None:
    """Advise the system how a mapped array will be used."""
    if array.nbytes:
        start = array.__array_interface__["data"][0]
        page = start - start % mmap.PAGESIZE
        ctypes.CDLL(None).madvise(ctypes.c_void_p(page), ctypes.c_size_t(start - page + array.nbytes), advice)


def use_threads(queries: int, rows: int) -> None:
    """Use all threads for a batch over many rows, and one otherwise, where threads would cost more than they gain.

    OpenMP keeps this setting separately for each calling thread.
    """
    wanted = 1 if queries == 1 or queries * rows < _WORTH_THREADS else os.cpu_count() or 1
    if getattr(_threads, "count", 0) != wanted:
        faiss.omp_set_num_threads(wanted)
        _threads.count = wanted


def read_near(path: Path) -> None:
    """Read a whole file to bring it into the system's cache; errors are ignored."""
    with contextlib.suppress(OSError), path.open("rb", buffering=0) as file:
        buffer = bytearray(_READ_AT_ONCE)
        while file.readinto(buffer):
            pass


def read_index(path: Path) -> Any:  # noqa: ANN401
    """Read an index, memory-mapping the parts that can be mapped.

    Raises:
        CatalogDamaged: Faiss cannot read the file.
    """
    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:
        raise CatalogDamaged(f"{path.name} is damaged.") from error


def fill_codes(index: Any, codes: NDArray[np.uint8]) -> None:  # noqa: ANN401
    """Fill a flat index with the codes of its rows, uint8 [count, bytes], as they are."""
    faiss.copy_array_to_vector(np.ascontiguousarray(codes).reshape(-1), index.codes)
    index.ntotal = len(codes)


def lend(halves: Any, graph: Any) -> None:  # noqa: ANN401
    """Set `halves` as the vectors of `graph` without giving it ownership; keep Python's, which Faiss would drop."""
    graph.storage, graph.own_fields = halves, False
    halves.this.acquire()


def empty_index(dim: int, metric: Metric, *, wide: bool = False) -> Any:  # noqa: ANN401
    """Return an empty index of float16 vectors, or of float32 vectors if `wide`."""
    if wide:
        return faiss.IndexFlat(dim, metric.faiss)
    index = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, metric.faiss)
    index.is_trained = True  # half floats need no training
    return index
