"""The lists of an index on a device: on tensors that lie on the CPU, against brute force over the same lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lookalike import Catalog
from lookalike.retrieval.search import gpu_lists, gpu_vectors
from lookalike.retrieval.search.gpu_lists import Costs, GpuLists
from lookalike.retrieval.search.gpu_vectors import GpuVectors
from lookalike.retrieval.vector_index import Approximate, IndexKind, Metric, Selection, Vectors, build_approximate

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

CPU = torch.device("cpu")
RANDOM = np.random.default_rng(5)
DIM, COUNT = 32, 3000
CENTRES = RANDOM.standard_normal((40, DIM))
ROWS = (CENTRES[RANDOM.integers(0, 40, COUNT)] + 0.6 * RANDOM.standard_normal((COUNT, DIM))).astype(np.float16)
QUERIES = (CENTRES[RANDOM.integers(0, 40, 64)] + 0.6 * RANDOM.standard_normal((64, DIM))).astype(np.float32)
MASKS = {
    "all": None,
    "wide": RANDOM.random(COUNT) < 0.8,
    "tenth": RANDOM.random(COUNT) < 0.1,
    "seven": np.isin(np.arange(COUNT), RANDOM.permutation(COUNT)[:7]),
    "empty": np.zeros(COUNT, dtype=np.bool_),
}
MADE = [
    (IndexKind.IVF_FLAT, Metric.IP),
    (IndexKind.IVF_SQ8, Metric.L2),
    (IndexKind.IVF_PQ, Metric.COSINE),
    (IndexKind.IVF_PQ, Metric.L2),
]
LISTS_PAY, ALL_PAYS = Costs(1.0, 1.0, 0.0, 0.0), Costs(0.0, 0.0, 1.0, 1.0)

Scores = NDArray[np.float32]
Rows = NDArray[np.int64]


@pytest.fixture(scope="module", params=MADE, ids=str)
def index(request: pytest.FixtureRequest) -> Approximate:
    kind, metric = request.param
    rows = ROWS
    if metric is Metric.COSINE:
        wide = ROWS.astype(np.float32)
        rows = (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float16)
    return build_approximate(Vectors.of(rows, metric), kind)


@pytest.fixture(scope="module")
def lists(index: Approximate) -> GpuLists:
    return GpuLists(GpuVectors(index.vectors, CPU), index)


def brute_force(index: Approximate, lists: int, mask: NDArray[np.bool_] | None, k: int) -> tuple[Scores, Rows]:
    """Compare in float64 what is in the lists nearest to each query; with fewer than k, compare everything."""
    vectors = index.vectors.stored(slice(None)).astype(np.float64)
    of_each = index.list_of(np.arange(COUNT))
    projection, centres = index.centroids()
    projected = QUERIES if projection is None else QUERIES @ projection.T
    scores = np.full((len(QUERIES), k), -np.inf, dtype=np.float32)
    rows = np.full((len(QUERIES), k), -1, dtype=np.int64)
    for number, (query, place) in enumerate(zip(QUERIES.astype(np.float64), projected, strict=True)):
        is_l2 = index.vectors.metric is Metric.L2
        near = -np.square(centres - place).sum(axis=1) if is_l2 else centres @ place
        passing = np.isin(of_each, np.argsort(-near, kind="stable")[:lists])
        exact = -np.square(vectors - query).sum(axis=1) if is_l2 else (vectors * query).sum(axis=1)
        allowed = np.ones(COUNT, dtype=np.bool_) if mask is None else mask
        if (passing & allowed).sum() < min(k, allowed.sum()):
            passing[:] = True
        mine = np.where(passing & allowed, exact.astype(np.float32), -np.inf)
        best = np.argsort(-mine, kind="stable")[:k]
        best = best[mine[best] > -np.inf]
        scores[number, : len(best)], rows[number, : len(best)] = mine[best], best
    return scores, rows


@pytest.mark.parametrize("cells", [None, 20_000], ids=["one piece", "many pieces"])
@pytest.mark.parametrize("mask", MASKS)
def test_what_the_lists_hold_is_found(
    index: Approximate, lists: GpuLists, mask: str, cells: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if cells is not None:
        monkeypatch.setattr(gpu_vectors, "CELLS", cells)
        monkeypatch.setattr(gpu_lists, "CELLS", cells)
    chosen = MASKS[mask]
    for visited, k in ((1, 5), (4, 10), (index.lists, 10)):
        scores, rows = lists.search(QUERIES, k, visited, None if chosen is None else Selection(chosen))
        expected_scores, expected = brute_force(index, visited, chosen, k)
        assert (scores.dtype.name, rows.dtype.name) == ("float32", "int64")
        assert np.array_equal(rows, expected)
        assert np.allclose(scores, expected_scores, rtol=2e-7, atol=0)


@pytest.mark.parametrize("recall", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("mask", ["all", "wide", "tenth"])
def test_the_lists_that_are_visited_give_the_recall(
    index: Approximate, lists: GpuLists, mask: str, recall: float
) -> None:
    chosen = MASKS[mask]
    selection = None if chosen is None else Selection(chosen)
    visited = index.lists_to_visit(recall, selection)
    assert visited is not None
    assert visited <= index.lists
    _, found = lists.search(QUERIES, 10, visited, selection)
    _, truth = index.vectors.search(QUERIES, 10, selection)
    hits = (found[:, :, None] == truth[:, None, :]).any(axis=2)
    assert hits.mean() >= recall - 0.04  # 64 queries are few


def test_more_rows_than_there_are_and_no_queries_are_answered() -> None:
    few = build_approximate(Vectors.of(ROWS[:300], Metric.IP), IndexKind.IVF_FLAT)
    lists = GpuLists(GpuVectors(few.vectors, CPU), few)
    scores, rows = lists.search(QUERIES, 400, 1)
    expected_scores, expected = GpuVectors(few.vectors, CPU).search(QUERIES, 400)
    assert np.array_equal(rows, expected)
    assert np.array_equal(scores, expected_scores)
    assert lists.search(QUERIES[:0], 5, 1)[1].shape == (0, 5)


def test_costs_are_of_both_ways() -> None:
    index = build_approximate(Vectors.of(ROWS, Metric.IP), IndexKind.IVF_FLAT)
    costs = GpuLists(GpuVectors(index.vectors, CPU), index).costs
    assert costs.scan + costs.compare > 0
    assert costs.fixed + costs.visit > 0
    assert LISTS_PAY.lists_pay(32, 1000, 100)
    assert not ALL_PAYS.lists_pay(32, 1000, 100)
    measured = Costs(scan=1e-9, compare=1e-10, fixed=1e-3, visit=1e-9)
    assert not measured.lists_pay(32, 10_000, 1_000)
    assert measured.lists_pay(1_000, 10_000_000, 10_000)


def test_a_graph_and_an_uneven_filter_have_no_lists_to_visit() -> None:
    graph = build_approximate(Vectors.of(ROWS[:1000], Metric.IP), IndexKind.HNSW)
    assert graph.lists_to_visit(0.95, None) is None
    lists = build_approximate(Vectors.of(ROWS, Metric.IP), IndexKind.IVF_PQ)
    uneven = Selection(lists.list_of(np.arange(COUNT)) % 2 == 0)
    assert lists.lists_to_visit(0.95, uneven) is None
    assert lists.lists_to_visit(0.95, None) is not None


@pytest.mark.usefixtures("on_tensors")
@pytest.mark.parametrize("costs", [LISTS_PAY, ALL_PAYS], ids=["lists pay", "all pays"])
def test_a_batch_goes_the_way_that_pays(costs: Costs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GpuLists, "_measured", lambda self: costs)
    with Catalog.create(tmp_path / "shop", dim=DIM, metric="ip") as catalog:
        keys = [str(place) for place in range(COUNT)]
        catalog.add_vectors(keys, ROWS.astype(np.float32), {"price": [place % 100 for place in range(COUNT)]})
        catalog.optimize(index="ivf_pq")
        for filter in (None, "price < 50"):
            found = catalog.search_many(QUERIES, filter=filter, recall=0.95)
            exact = catalog.search_many(QUERIES, filter=filter, recall="exact")
            assert all(one.exact and "exact search" in one.plan for one in exact)
            same = np.mean([len(set(one.keys) & set(other.keys)) / 10 for one, other in zip(found, exact, strict=True)])
            assert same >= 0.91
            if costs is LISTS_PAY:
                assert not found[0].exact
                assert "lists of" in found[0].plan
                assert "on cpu, recall 0.95" in found[0].plan
            else:
                assert found[0].exact
                assert [one.keys for one in found] == [one.keys for one in exact]
