from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike.retrieval.vector_index import Approximate, IndexKind, Metric, Selection, Vectors, build_approximate
from lookalike.retrieval.vector_index.calibration import SHARES, recall_of_rows
from lookalike.retrieval.vector_index.plans import Way
from lookalike.retrieval.vector_index.stages import stages

pytestmark = pytest.mark.slow

COUNT = 20_000
DEPTHS = (1, 10, 50, 100, 400, 1_000, 2_000)
KINDS = [IndexKind.IVF_PQ, IndexKind.IVF_FLAT, IndexKind.IVF_SQ8, IndexKind.HNSW]
DATA = ["random 16-d", "random 64-d", "clustered 32-d"]


def unit(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return scaled


@cache
def built(kind: IndexKind, data: str) -> Approximate:
    random = np.random.default_rng(8)
    rows = random.standard_normal((COUNT, int(data.split()[1][:2])))
    if data.startswith("clustered"):
        rows = random.standard_normal((80, 32))[random.integers(0, 80, COUNT)] + 0.4 * rows
    return build_approximate(Vectors.of(unit(rows).astype(np.float16), Metric.COSINE), kind)


def queries(index: Approximate) -> NDArray[np.float32]:
    random = np.random.default_rng(9)
    rows = index.vectors.rows(np.sort(random.permutation(COUNT)[:40])).astype(np.float64)
    return unit(rows + 0.1 / index.vectors.dim**0.5 * random.standard_normal(rows.shape))


@pytest.mark.parametrize("share", [1.0, 0.3])
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("kind", KINDS)
def test_the_recall_asked_for_holds_at_any_limit(kind: IndexKind, data: str, share: float) -> None:
    index = built(kind, data)
    asked = queries(index)
    mask = np.random.default_rng(10).random(COUNT) < share
    selection = None if share == 1 else Selection(mask, uses=1)
    _, truth = index.vectors.search(asked, max(DEPTHS), selection)
    before: NDArray[np.int64] = np.empty((len(asked), 0), dtype=np.int64)
    for depth in DEPTHS:
        found = index.search(asked, depth, 0.95, selection)
        assert recall_of_rows(found.rows, truth[:, :depth]) >= 0.92
        assert np.array_equal(found.rows[:, : before.shape[1]], before)
        assert (np.diff(found.scores, axis=1) <= 0).all()
        before = found.rows


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("kind", KINDS)
def test_the_index_by_itself_holds_it_too_as_hard_as_it_is_told_to_look(kind: IndexKind, data: str) -> None:
    index = built(kind, data)
    asked = queries(index)
    _, truth = index.vectors.search(asked, 1_000)
    for hits in (10, 100, 1_000):
        setting = index.calibration.setting(1.0, 0.95, hits)
        if setting is not None:
            rows = index.visit(asked, hits, setting.effort, setting.refined, None)[1]
            assert recall_of_rows(rows, truth[:, :hits]) >= 0.92


def test_a_graph_without_filters_is_measured_for_more_hits() -> None:
    index = built(IndexKind.NSG, "clustered 32-d")
    assert set(index.calibration.index) == set(SHARES)
    asked = queries(index)
    _, truth = index.vectors.search(asked, 100)
    setting = index.calibration.setting(1.0, 0.95, 100)
    assert setting is not None
    assert recall_of_rows(index.visit(asked, 100, setting.effort, 1, None)[1], truth) >= 0.92


def test_stages_end_at_fixed_numbers_of_hits_or_with_the_rows() -> None:
    assert stages(1, 5_000) == stages(10, 5_000) == [(10, 10)]
    assert stages(11, 5_000) == stages(100, 5_000) == [(10, 10), (100, 110)]
    assert stages(3_000, 5_000) == [(10, 10), (100, 110), (1_000, 1_100), (5_000, 5_000)]
    assert stages(7, 7) == [(7, 7)]


def test_deeper_answers_of_few_rows_are_scans() -> None:
    index = built(IndexKind.IVF_PQ, "random 16-d")
    assert index._plan(0.95, None, 10_000, 0).way is Way.EXACT
    assert (
        "then exact scan" in index.search(queries(index)[:1], 5_000, 0.95).how
        or index._plan(0.95, None, 10, 0).way is Way.EXACT
    )
