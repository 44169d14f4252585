"""Building an index, and measuring the cost of searching it. The same vectors always give the same index.

An index over nearly the same vectors can reuse the projection, codes and centroids learned for the one before; a vector
that both have then keeps its code and its list.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from lookalike.retrieval.vector_index.approximate import Approximate
from lookalike.retrieval.vector_index.calibration import Calibration, Training
from lookalike.retrieval.vector_index.coded_lists import lists_of_codes
from lookalike.retrieval.vector_index.codes import Codes
from lookalike.retrieval.vector_index.kinds import IndexKind, Metric
from lookalike.retrieval.vector_index.measurement import Sample, held_out, measured, serves
from lookalike.retrieval.vector_index.quantizer import centroids, coded, list_of_each, nearest_centroid
from lookalike.retrieval.vector_index.vectors import Rows, Vectors, empty_index, lend, pieces, use_threads

__all__ = ["Before", "build_approximate"]

_TRAINING_ROWS_A_LIST = 39
_ROUNDS = ((3, 6), (1, 4))
"""Rounds of k-means as pairs: every how many rows one is used, and the number of iterations."""

_GRAPH_LINKS = 32
_MOST_LISTS = 8_192
_FEWEST_NEW = 100
_NEW_QUERIES = 128
_UNMEASURED = Calibration({}, {}, (0.0, 0.0), (0.0, 0.0))


@dataclass(frozen=True, slots=True)
class Before:
    """An index that was built earlier, and the row in it of each new vector, int64 [vectors], -1 if it has none."""

    index: Approximate
    rows: Rows

    def fits(self, vectors: Vectors, kind: IndexKind) -> bool:
        """Return whether an index of this kind over these vectors can reuse what this one has learned.

        The number of rows must have neither doubled nor halved since the training; otherwise the new index would need
        about twice or half as many lists.
        """
        training, mine = self.index.calibration.training, self.index.vectors
        return (
            training is not None
            and (self.index.kind, mine.dim, mine.metric, mine.wide) == (kind, vectors.dim, vectors.metric, vectors.wide)
            and training.rows / 2 < vectors.count < training.rows * 2
        )


def build_approximate(
    vectors: Vectors, kind: IndexKind, before: Before | None = None, *, quiet: Callable[[], object] = lambda: None
) -> Approximate:
    """Build an index over `vectors` and their codes, call `quiet`, which waits for other work to end, and measure both.

    Projection, codes and centroids are taken from the index `before` if they fit and still reach their recall, both
    among all vectors and among those that are new; otherwise they are learned.
    """
    random = np.random.default_rng(2)
    sample = held_out(vectors, random)
    graph = _graph(kind, vectors) if kind.is_graph else None
    if before is not None and before.fits(vectors, kind):
        codes = before.index.codes.carried(vectors, before.rows)
        lists = graph or _lists(kind, vectors, codes, before, None)
        built = Approximate(kind, vectors, codes, lists, _UNMEASURED)
        calibration = before.index.calibration
        if calibration.training is not None and _still_serves(built, calibration.training, sample, before):
            quiet()
            return replace(built, calibration=measured(built, sample, random, calibration))
    learned = _Centroids(vectors) if kind.has_codes else None
    codes = Codes.build(vectors, learned)
    built = Approximate(kind, vectors, codes, graph or _lists(kind, vectors, codes, None, learned), _UNMEASURED)
    quiet()
    return replace(built, calibration=measured(built, sample, random))


def _still_serves(built: Approximate, training: Training, sample: Sample, before: Before) -> bool:
    """Return whether the earlier training still serves, both among all rows and among the new ones."""
    new = np.flatnonzero(before.rows < 0)
    return serves(built, training, sample) and (
        len(new) < _FEWEST_NEW
        or serves(built, training, held_out(built.vectors, np.random.default_rng(5), new, _NEW_QUERIES))
    )


class _Centroids:
    """Centroids of the lists, learned from a sample of the projected vectors, and the list of every row."""

    def __init__(self, vectors: Vectors) -> None:
        self.quantizer: Any = None
        self.nearest = np.full(vectors.count, -1, dtype=np.int64)
        self._vectors = vectors

    def learn(self, transform: Any) -> None:  # noqa: ANN401  # Faiss has no types
        """Learn the centroids from a sample of the vectors."""
        count, lists = self._vectors.count, _lists_for(self._vectors.count)
        chosen = _sample(count, lists)
        training = np.empty((len(chosen), transform.d_out), dtype=np.float32)
        for places in pieces(np.arange(len(chosen))):
            training[places] = transform.apply(self._vectors.many(chosen[places]))
        flat = _quantizer(int(transform.d_out), self._vectors.metric, None)
        _learn_centroids(flat, lists, training)
        self.quantizer = coded(flat)

    def see(self, rows: Rows, projected: NDArray[np.float32]) -> None:
        """Find the lists of some rows, given their projected vectors."""
        self.nearest[rows] = nearest_centroid(self.quantizer, projected)


def _lists(kind: IndexKind, vectors: Vectors, codes: Codes, before: Before | None, learned: _Centroids | None) -> Any:  # noqa: ANN401
    """Build the lists of an index that has some, around the centroids of the index `before` or around new ones."""
    use_threads(vectors.count, vectors.dim)
    if not kind.has_codes:
        return _lists_of_vectors(kind, vectors, before)
    if before is not None:
        quantizer = coded(_quantizer(codes.width, vectors.metric, before))
        nearest = _nearest(vectors, quantizer, codes.transform.apply, before)
        return _owning(lists_of_codes(codes, quantizer, np.arange(vectors.count), nearest), quantizer)
    assert learned is not None
    packed = lists_of_codes(codes, learned.quantizer, np.arange(vectors.count), learned.nearest)
    return _owning(packed, learned.quantizer)


def _graph(kind: IndexKind, vectors: Vectors) -> Any:  # noqa: ANN401
    """Build a graph over the vectors; the copy of the vectors that Faiss makes meanwhile is freed at the end."""
    use_threads(vectors.count, vectors.dim)
    nsg, half = kind is IndexKind.NSG, faiss.ScalarQuantizer.QT_fp16
    if vectors.wide:
        made = faiss.IndexNSGFlat if nsg else faiss.IndexHNSWFlat
        index = made(vectors.dim, _GRAPH_LINKS, vectors.metric.faiss)
    else:
        made = faiss.IndexNSGSQ if nsg else faiss.IndexHNSWSQ
        index = made(vectors.dim, half, _GRAPH_LINKS, vectors.metric.faiss)
    index.is_trained = True
    copied = empty_index(vectors.dim, vectors.metric, wide=vectors.wide)
    lend(copied, index)
    if kind is IndexKind.NSG:  # its graph is built from all rows at once
        index.add(vectors.many(np.arange(vectors.count)))
    else:
        index.hnsw.efConstruction = 100
        for rows in pieces(np.arange(vectors.count)):
            index.add(vectors.many(rows))
    lend(vectors.index, index)
    return index


def _lists_of_vectors(kind: IndexKind, vectors: Vectors, before: Before | None) -> Any:  # noqa: ANN401
    lists = _lists_for(vectors.count) if before is None else before.index.lists
    half, eight = faiss.ScalarQuantizer.QT_fp16, faiss.ScalarQuantizer.QT_8bit
    stored_as = half if kind is IndexKind.IVF_FLAT else eight
    quantizer = _quantizer(vectors.dim, vectors.metric, before)
    if kind is IndexKind.IVF_FLAT and vectors.wide:
        index = faiss.IndexIVFFlat(quantizer, vectors.dim, lists, vectors.metric.faiss)
    else:
        index = faiss.IndexIVFScalarQuantizer(quantizer, vectors.dim, lists, stored_as, vectors.metric.faiss, False)
    if before is None:
        training = vectors.many(_sample(vectors.count, lists))
        _learn_centroids(quantizer, lists, training)
        index.train(training)
    else:
        index.is_trained = True
        if not (kind is IndexKind.IVF_FLAT and vectors.wide):
            index.sq = before.index.stored.sq
    nearest = _nearest(vectors, quantizer, np.asarray, before)
    for rows in pieces(np.arange(vectors.count)):
        some, numbers = vectors.many(rows), nearest[rows]
        index.add_core(len(rows), faiss.swig_ptr(some), None, faiss.swig_ptr(numbers))
    return _owning(index, quantizer)


def _quantizer(width: int, metric: Metric, before: Before | None) -> Any:  # noqa: ANN401
    """Build the index that finds the nearest centroids, with the centroids of the index `before` or still empty.

    Unit vectors are assigned by distance to the plain mean of a list, not by the angle to it as Faiss would do: among
    200,000 synthetic vectors, the 24 nearest lists then held as many of the best as the 32 lists by smallest angle.
    """
    if before is not None:
        quantizer = faiss.IndexFlat(width, before.index.stored.quantizer.metric_type)
        quantizer.add(centroids(before.index.stored))
        return quantizer
    return faiss.IndexFlat(width, faiss.METRIC_INNER_PRODUCT if metric is Metric.IP else faiss.METRIC_L2)


def _learn_centroids(quantizer: Any, lists: int, training: NDArray[np.float32]) -> None:  # noqa: ANN401
    """Fill a quantizer with centroids by k-means, run on a third of the rows first and then briefly on all of them.

    In 4,096 lists of a million rows, the nearest rows were found with as little effort as after ten rounds on the whole
    sample.
    """
    for every, rounds in _ROUNDS:
        clustering = faiss.Clustering(quantizer.d, lists)
        clustering.niter, clustering.min_points_per_centroid, clustering.spherical = rounds, 1, False
        if quantizer.ntotal:
            faiss.copy_array_to_vector(quantizer.reconstruct_n(0, lists).ravel(), clustering.centroids)
        some = np.ascontiguousarray(training[::every])
        clustering.train(training if len(some) < lists else some, quantizer)


def _nearest(
    vectors: Vectors,
    quantizer: Any,  # noqa: ANN401
    projected: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    before: Before | None,
) -> Rows:
    """Find the list of each row, int64 [vectors]: the list it was in before, or the one with the nearest centroid."""
    nearest = np.full(vectors.count, -1, dtype=np.int64)
    if before is not None:
        of_each = list_of_each(before.index.stored, before.index.vectors.count)
        nearest = np.where(before.rows < 0, -1, of_each[before.rows])
    for rows in pieces(np.flatnonzero(nearest < 0)):
        nearest[rows] = nearest_centroid(quantizer, projected(vectors.many(rows)))
    return nearest


def _owning(index: Any, quantizer: Any) -> Any:  # noqa: ANN401
    """Hand ownership of `quantizer` to `index`, which frees it."""
    quantizer.this.disown()
    index.own_fields = True
    return index


def _sample(count: int, lists: int) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng(1).permutation(count)[: _TRAINING_ROWS_A_LIST * lists])


def _lists_for(count: int) -> int:
    """Return the number of lists: a power of 2 near 4.5 times the square root of the number of rows, at most 8,192."""
    return 1 << round(float(np.log2(max(min(4.5 * count**0.5, count / 64, _MOST_LISTS), 1))))
