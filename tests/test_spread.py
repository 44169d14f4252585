"""Filters that have to do with the vectors: what they leave around a query, and the recall of searches with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike.models import unit_rows
from lookalike.retrieval.bench.synthetic import QueryKind, Synthetic
from lookalike.retrieval.vector_index import Approximate, IndexKind, Metric, Selection, Vectors, build_approximate
from lookalike.retrieval.vector_index.list_spread import NEAREST_LISTS, Lists, Spread
from lookalike.retrieval.vector_index.quantizer import list_of_each

pytestmark = pytest.mark.slow

COUNT = 40_000


@dataclass(frozen=True)
class Made:
    """Rows in clusters, what is known of each, an index of them, and queries of one topic and of any."""

    rows: NDArray[np.float32]
    topics: NDArray[np.int64]
    of_topic: NDArray[np.bool_]
    in_stock: NDArray[np.bool_]
    own: NDArray[np.float32]
    any: NDArray[np.float32]
    index: Approximate


@pytest.fixture(scope="module")
def made() -> Made:
    source = Synthetic(COUNT, dim=128)
    chunks = list(source.chunks())
    rows = np.concatenate([chunk.vectors for chunk in chunks])
    topics = np.concatenate([chunk.columns["topic"] for chunk in chunks])
    return Made(
        rows=rows,
        topics=topics,
        of_topic=np.asarray(topics == source.topic),
        in_stock=np.concatenate([chunk.columns["in_stock"] for chunk in chunks]).astype(np.bool_),
        own=source.queries(QueryKind.OWN, 200),
        any=source.queries(QueryKind.ANY, 200),
        index=build_approximate(Vectors.of(rows.astype(np.float16), Metric.COSINE), IndexKind.IVF_PQ),
    )


def recall(
    found: NDArray[np.int64], queries: NDArray[np.float32], rows: NDArray[np.float32], mask: NDArray[np.bool_]
) -> float:
    """Compare with brute force."""
    scores = queries.astype(np.float64) @ rows.T
    scores[:, ~mask] = -np.inf
    truth = np.argsort(-scores, axis=1)[:, :10]
    return float(np.mean([np.isin(best, some).mean() for best, some in zip(truth, found, strict=True)]))


@pytest.mark.parametrize(
    ("mask_of", "queries_of"),
    [
        (lambda made: ~made.of_topic, lambda made: made.own),
        (lambda made: ~made.of_topic & made.in_stock, lambda made: made.own),
        (lambda made: made.of_topic, lambda made: made.own),
        (lambda made: made.topics % 3 > 0, lambda made: made.any),
        (lambda made: made.topics % 3 == 0, lambda made: made.any),
    ],
    ids=["not of the topic", "nor out of stock", "of the topic", "most topics", "few topics"],
)
def test_filters_that_have_to_do_with_the_vectors_find_as_much_as_is_asked_for(
    made: Made, mask_of: Callable[[Made], NDArray[np.bool_]], queries_of: Callable[[Made], NDArray[np.float32]]
) -> None:
    index, rows, mask, queries = made.index, made.rows, mask_of(made), queries_of(made)
    selection = Selection(mask)
    many = index.search(queries, 10, 0.95, selection)
    assert not many.exact
    assert mask[many.rows].all()
    assert recall(many.rows, queries, rows, mask) > 0.93
    one_by_one = np.concatenate([index.search(query[None], 10, 0.95, selection).rows for query in queries])
    bound = index.bound_one(10, 0.95, selection)
    assert recall(one_by_one, queries, rows, mask) > 0.93
    assert recall(np.stack([bound(query[None]).rows for query in queries]), queries, rows, mask) > 0.93


def test_queries_whose_own_clusters_are_filtered_out_find_what_is_next_to_them() -> None:
    random = np.random.default_rng(0)
    centres = random.standard_normal((400, 64))
    clusters = random.integers(0, 400, 40_000)
    rows = unit_rows((centres[clusters] + 0.5 * random.standard_normal((40_000, 64))).astype(np.float32))
    index = build_approximate(Vectors.of(rows.astype(np.float16), Metric.COSINE), IndexKind.IVF_PQ)
    mask = (clusters >= 80) | (random.random(40_000) < 0.05)
    queries = unit_rows((centres[:80] + 0.5 * random.standard_normal((80, 64))).astype(np.float32))
    setting, selection = index.calibration.setting(float(mask.mean()), 0.95), Selection(mask)
    assert setting is not None
    at_random = index.visit(queries, 10, setting.effort, setting.refined, selection)[1]
    found = index.search(queries, 10, 0.95, selection).rows
    # The effort for rows that pass at random is too little here. How much too little depends on the lists that the
    # processor's instructions lead the clustering to: 0.75 to 0.84 was seen.
    assert recall(at_random, queries, rows, mask) < 0.9
    assert recall(found, queries, rows, mask) > 0.93


@pytest.mark.parametrize("share", [0.9, 0.5, 0.1, 0.02, 0.002])
def test_rows_at_random_are_spread_evenly(made: Made, share: float) -> None:
    lists = Lists(made.index.stored, COUNT)
    for seed in range(20):
        assert not lists.spread(Selection(np.random.default_rng(seed).random(COUNT) < share)).uneven


@pytest.mark.parametrize("count", [40_000, 300_000])
def test_shares_are_of_the_rows_in_the_nearest_lists_those_of_the_first_above_all(count: int) -> None:
    random = np.random.default_rng(count)
    of_each = random.integers(0, 64, count)
    passing = random.random(count) < np.linspace(0, 1, 64)[of_each]  # list 0 loses all its rows, list 63 none
    spread = Spread(np.bincount(of_each[passing], minlength=64), np.bincount(of_each, minlength=64))
    assert spread.uneven
    first = np.arange(NEAREST_LISTS)[None]
    near_zero, near_one = spread.shares(first)[0], spread.shares(63 - first)[0]
    assert near_zero < 0.02 < 0.98 < near_one
    mixed = np.concatenate([first[:, :1], 63 - first[:, 1:]], axis=1)
    assert spread.shares(mixed)[0] < 0.25


def test_of_many_selected_rows_a_sample_is_counted() -> None:
    count = 300_000
    rows = np.random.default_rng(0).standard_normal((count, 8)).astype(np.float16)
    index = build_approximate(Vectors.of(rows, Metric.L2), IndexKind.IVF_SQ8)
    of_each = list_of_each(index.stored, count)
    mask = of_each % 2 == 0
    spread = Lists(index.stored, count).spread(Selection(mask))
    assert spread.sizes.sum() < count
    assert (spread.passing[0::2] == spread.sizes[0::2]).all()
    assert not spread.passing[1::2].any()
