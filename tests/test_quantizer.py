"""The centroids of an index's lists, by code and truly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike.retrieval.vector_index.quantizer import centroids, coded, for_many
from lookalike.retrieval.vector_index.vectors import read_index

RANDOM = np.random.default_rng(0)
CENTRES = RANDOM.standard_normal((1024, 32)).astype(np.float32) * np.linspace(2, 0.5, 32, dtype=np.float32)
QUERIES = RANDOM.standard_normal((200, 32)).astype(np.float32) * np.linspace(2, 0.5, 32, dtype=np.float32)


def scores(centres: NDArray[np.float32], metric: int) -> NDArray[np.float32]:
    if metric == faiss.METRIC_L2:
        return np.asarray(np.square(QUERIES[:, None] - centres[None]).sum(axis=2))
    return -QUERIES @ centres.T


def flat_of(centres: NDArray[np.float32], metric: int = faiss.METRIC_L2) -> Any:  # noqa: ANN401
    flat = faiss.IndexFlat(centres.shape[1], metric)
    flat.add(centres)
    return flat


@pytest.mark.parametrize("metric", [faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT])
def test_nearly_all_of_the_nearest_lists_are_found_by_code_and_come_in_their_true_order(metric: int) -> None:
    distances, found = coded(flat_of(CENTRES, metric)).search(QUERIES, 24)
    expected = np.argsort(scores(CENTRES, metric), axis=1)[:, :24]
    assert np.mean([np.isin(true, some).mean() for true, some in zip(expected, found, strict=True)]) > 0.92
    sign = 1 if metric == faiss.METRIC_L2 else -1
    assert np.allclose(sign * distances, np.take_along_axis(scores(CENTRES, metric), found, axis=1), atol=1e-3)
    assert (np.diff(sign * distances) >= 0).all()


def test_who_asks_for_all_lists_gets_all() -> None:
    _, found = coded(flat_of(CENTRES)).search(QUERIES, len(CENTRES))
    assert np.array_equal(np.sort(found, axis=1), np.tile(np.arange(len(CENTRES)), (len(QUERIES), 1)))


def test_few_centroids_are_compared_as_they_are() -> None:
    flat = flat_of(CENTRES[:100])
    assert coded(flat) is flat


@pytest.mark.parametrize("count", [64, 1024])
def test_one_at_a_time_finds_what_many_together_find_in_a_file_too(count: int, tmp_path: Path) -> None:
    rows = CENTRES[RANDOM.integers(0, count, 20_000)] + RANDOM.standard_normal((20_000, 32)).astype(np.float32)
    flat = flat_of(CENTRES[:count])
    plain = faiss.IndexIVFPQ(flat, 32, count, 16, 4, faiss.METRIC_L2)
    plain.by_residual = False
    plain.train(rows)
    plain.add(rows)
    index = faiss.IndexIVFPQFastScan(plain)
    index.quantizer = coded(flat)
    faiss.write_index(index, str(tmp_path / "index"))
    for stored in (index, read_index(tmp_path / "index")):
        assert np.array_equal(centroids(stored), CENTRES[:count])
        together = for_many(stored)
        parameters = faiss.SearchParametersIVF(nprobe=count)
        expected = together.search(QUERIES, 20, params=parameters)[0]
        for query, distances in zip(QUERIES[:50], expected, strict=False):
            assert np.allclose(stored.search(query[None], 20, params=parameters)[0][0], distances, rtol=0.02)
