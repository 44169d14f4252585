from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from data.errors import CatalogDamaged
from retrieval.vector_index import Approximate, IndexKind, Metric, RowFilter, Vectors, build_approximate

RANDOM = np.random.default_rng(3)
CENTRES = RANDOM.standard_normal((60, 32))
ROWS = (CENTRES[RANDOM.integers(0, 60, 6000)] + 0.7 * RANDOM.standard_normal((6000, 32))).astype(np.float16)
QUERIES = (CENTRES[:20] + 0.5 * RANDOM.standard_normal((20, 32))).astype(np.float32)
MASK = RANDOM.random(6000) < 0.3
APPROXIMATE = [IndexKind.IVF_PQ, IndexKind.HNSW]


def truth(metric: Metric, mask: NDArray[np.bool_] | None, k: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Brute force in float64 over the stored values."""
    rows, queries = ROWS.astype(np.float64), QUERIES.astype(np.float64)
    l2 = -np.square(queries[:, None] - rows[None]).sum(axis=2)
    scores = l2 if metric is Metric.L2 else queries @ rows.T
    if mask is not None:
        scores[:, ~mask] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), order


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
@pytest.mark.parametrize("mapped", [False, True], ids=["memory", "file"])
def test_an_exact_search_is_brute_force(
    metric: Metric, mask: NDArray[np.bool_] | None, mapped: bool, tmp_path: Path
) -> None:
    vectors = Vectors.of(ROWS, metric)
    if mapped:
        vectors.write(tmp_path / "vectors.faiss")
        vectors = Vectors.open(tmp_path / "vectors.faiss", metric)
    scores, rows = vectors.search(QUERIES, 25, None if mask is None else RowFilter(mask))
    expected_scores, expected_rows = truth(metric, mask, 25)
    assert np.array_equal(rows, expected_rows)
    assert np.allclose(scores, expected_scores, rtol=1e-5, atol=1e-4)


def test_fewer_rows_than_asked_for_are_padded() -> None:
    mask = np.zeros(6000, dtype=np.bool_)
    mask[[5, 70]] = True
    _, rows = Vectors.of(ROWS, Metric.COSINE).search(QUERIES[:1], 4, RowFilter(mask))
    assert sorted(rows[0].tolist()) == [-1, -1, 5, 70]


@pytest.mark.parametrize("metric", list(Metric))
def test_scores_of_some_rows_are_those_of_the_search(metric: Metric) -> None:
    vectors = Vectors.of(ROWS, metric)
    scores, rows = vectors.search(QUERIES[:1], 10)
    assert np.allclose(vectors.scores(QUERIES[0], rows[0]), scores[0], rtol=1e-4, atol=1e-4)
    assert np.array_equal(vectors.rows(rows[0]), ROWS[rows[0]].astype(np.float32))


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("kind", APPROXIMATE)
def test_an_approximate_search_finds_most_of_the_true_best_with_true_scores(
    kind: IndexKind, metric: Metric, tmp_path: Path
) -> None:
    vectors = Vectors.of(ROWS, metric)
    build_approximate(vectors, kind).write(tmp_path / "index.faiss")
    index = Approximate.open(tmp_path / "index.faiss", kind, vectors, build_approximate(vectors, kind).effort)
    for mask in (None, MASK):
        scores, rows, whole = index.search(QUERIES, 10, 0.95, None if mask is None else RowFilter(mask))
        _, expected = truth(metric, mask, 10)
        recall = np.mean([np.isin(expected[place], rows[place]).mean() for place in range(len(QUERIES))])
        assert recall >= 0.9
        assert not whole
        assert mask is None or mask[rows].all()
        for place in range(len(QUERIES)):
            assert np.allclose(vectors.scores(QUERIES[place], rows[place]), scores[place], rtol=1e-4, atol=1e-4)
            assert (np.diff(scores[place]) <= 0).all()


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_an_approximate_search_under_a_narrow_filter_still_gives_k(kind: IndexKind) -> None:
    index = build_approximate(Vectors.of(ROWS, Metric.COSINE), kind)
    far = np.argsort(QUERIES[0] @ ROWS.T.astype(np.float32))[:30]  # the rows least like the query
    mask = np.zeros(6000, dtype=np.bool_)
    mask[far] = True
    _, rows, _ = index.search(QUERIES[:1], 30, 0.95, RowFilter(mask))
    assert sorted(rows[0]) == sorted(far)


@pytest.mark.parametrize("dim", [1, 3, 7, 30])
def test_any_dimension_can_be_indexed(dim: int) -> None:
    vectors = Vectors.of(RANDOM.standard_normal((2000, dim)).astype(np.float16), Metric.L2)
    queries = vectors.rows(np.arange(5))
    _, found, _ = build_approximate(vectors, IndexKind.IVF_PQ).search(queries, 10, 0.95)
    _, expected = vectors.search(queries, 10)
    assert np.mean([np.isin(expected[place], found[place]).mean() for place in range(5)]) > 0.5


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vectors.faiss").write_bytes(b"not an index")
    with pytest.raises(CatalogDamaged):
        Vectors.open(tmp_path / "vectors.faiss", Metric.COSINE)
