from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lookalike.retrieval.vector_index import IndexKind, Metric, Selection, Vectors, build_approximate
from lookalike.retrieval.vector_index.ties import lowest_tied

COUNT = 20_000


def shop(dim: int, share: float, seed: int = 1) -> NDArray[np.float16]:
    """Return unit rows of which a share are one and the same: the photo of no photo."""
    random = np.random.default_rng(seed)
    rows = random.standard_normal((COUNT, dim))
    rows[random.random(COUNT) < share] = rows[0]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float16)


@pytest.mark.slow
@pytest.mark.parametrize("metric", [Metric.COSINE, Metric.L2])
@pytest.mark.parametrize("kind", [IndexKind.IVF_PQ, IndexKind.IVF_FLAT, IndexKind.IVF_SQ8, IndexKind.DISK])
def test_of_thousands_of_equal_rows_the_first_are_found_at_any_limit(kind: IndexKind, metric: Metric) -> None:
    rows = shop(24, 0.2)
    index = build_approximate(Vectors.of(rows, metric), kind)
    equal = np.flatnonzero((rows == rows[0]).all(axis=1))
    query = rows[:1].astype(np.float32)
    even = Selection(np.arange(COUNT) % 2 == 0, uses=3)
    for k in (1, 10, 25, 100, 800):
        assert index.search(query, k, 0.95).rows[0].tolist() == equal[:k].tolist()
        assert index.search(query, k, 0.95, even).rows[0].tolist() == equal[equal % 2 == 0][:k].tolist()
        assert index.vectors.search(query, k)[1][0].tolist() == equal[:k].tolist()
        assert index.vectors.search(query, k, even)[1][0].tolist() == equal[equal % 2 == 0][:k].tolist()
        assert index.bound_one(k, 0.95, None)(query).rows.tolist() == equal[:k].tolist()


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from([Metric.IP, Metric.L2]),
    st.booleans(),
    st.sampled_from([1, 3, 16, 24]),
    st.integers(1, 900),
    st.integers(1, 60),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_exact_answers_among_few_distinct_rows_are_those_of_brute_force(
    metric: Metric, halves: bool, dim: int, count: int, k: int, some: bool, seed: int
) -> None:
    random = np.random.default_rng(seed)
    drawn = random.integers(-1, 2, (count, dim))
    drawn[random.random(count) < 0.7] = drawn[0]
    rows = drawn.astype(np.float16) if halves else drawn.astype(np.float32)
    query = random.integers(-1, 2, dim).astype(np.float32)
    mask = random.random(count) < 0.6 if some else np.ones(count, np.bool_)
    wide = rows.astype(np.float64)
    scores = -np.square(wide - query).sum(axis=1) if metric is Metric.L2 else wide @ query.astype(np.float64)
    order = np.lexsort((np.arange(count), -scores))
    expected = order[mask[order]]
    vectors = Vectors.of(rows, metric)
    selection = Selection(mask) if some else None
    _, found = vectors.search(query[None], k, selection)
    assert found[0][found[0] >= 0].tolist() == expected[:k].tolist()
    if len(expected):  # whatever of the better rows is known already
        score = np.float32(scores[expected[len(expected) // 2]])
        better = expected[scores[expected] > score]
        known = better[random.random(len(better)) < 0.5]
        tied = np.sort(expected[scores[expected] == score])
        for wanted in (1, 7, len(tied)):
            lowest = lowest_tied(vectors, query, score, known, wanted, selection)
            assert lowest.tolist() == tied[:wanted].tolist()
