from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike import Catalog
from lookalike.retrieval.bench.synthetic import CHUNK_ROWS, QueryKind, Synthetic
from lookalike.retrieval.vector_index.baselines import Baseline, BaselineKind, BaselineSetting

MADE = Synthetic(5_000, dim=48)
(CHUNK,) = MADE.chunks()
WORKLOADS = {workload.name: workload for workload in MADE.workloads}
QUERIES = MADE.queries(QueryKind.ANY, 40)


def truth(name: str, queries: NDArray[np.float32]) -> list[NDArray[np.int64]]:
    """Brute force in float64: the ten best rows that pass the filter."""
    scores = queries.astype(np.float64) @ CHUNK.vectors.T.astype(np.float64)
    mask = WORKLOADS[name].mask(CHUNK.columns)
    count = len(CHUNK.vectors) if mask is None else int(mask.sum())
    if mask is not None:
        scores[:, ~mask] = -np.inf
    return list(np.argsort(-scores, axis=1)[:, : min(10, count)])


def test_rows_are_of_length_one_in_a_cone_with_a_decaying_spectrum() -> None:
    assert np.allclose(np.linalg.norm(CHUNK.vectors, axis=1), 1, atol=1e-5)
    assert float(np.linalg.norm(CHUNK.vectors.mean(axis=0))) > 0.3
    values = np.linalg.eigvalsh(np.cov(next(Synthetic(2_000, dim=256).chunks()).vectors.T))[::-1]
    assert values[:60].sum() / values.sum() > 0.7
    assert values[0] > 3 * values[59] > 3 * values[61]


@pytest.mark.parametrize(
    ("name", "share", "off"),
    [("50%", 0.5, 0.03), ("10%", 0.0964, 0.015), ("1%", 0.00964, 0.005), ("0.1%", 0.001, 0.0015)],
)
def test_filters_leave_the_share_that_they_are_named_after(name: str, share: float, off: float) -> None:
    mask = WORKLOADS[name].mask(CHUNK.columns)
    assert mask is not None
    assert abs(float(mask.mean()) - share) < off


def test_the_text_of_a_filter_means_what_its_mask_says(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Catalog.create(tmp_path_factory.mktemp("made") / "catalog", dim=MADE.dim) as catalog:
        catalog.add_vectors(CHUNK.keys, CHUNK.vectors, CHUNK.fields)
        for workload in MADE.workloads:
            mask = workload.mask(CHUNK.columns)
            expected = len(CHUNK.keys) if mask is None else int(mask.sum())
            assert catalog.count(filter=workload.filter) == expected, workload.name
            keys = catalog.search(vector=QUERIES[0], filter=workload.filter, recall="exact").keys
            assert len(set(map(int, keys)) & set(truth(workload.name, QUERIES)[0].tolist())) >= min(9, expected)


def test_queries_of_the_topic_lie_among_its_rows() -> None:
    of_topic = CHUNK.columns["topic"] == MADE.topic
    shares = {}
    for kind in QueryKind:
        best = (MADE.queries(kind, 200) @ CHUNK.vectors.T).argsort(axis=1)[:, -10:]
        shares[kind] = float(of_topic[best].mean())
    assert shares[QueryKind.OWN] > 4 * of_topic.mean()
    assert shares[QueryKind.OTHER] < of_topic.mean() < shares[QueryKind.OWN]


def test_a_larger_catalogue_begins_with_a_smaller_one_and_a_seed_gives_the_same_again() -> None:
    larger = list(Synthetic(CHUNK_ROWS + 10, dim=8).chunks())
    assert [len(chunk.vectors) for chunk in larger] == [CHUNK_ROWS, 10]
    assert larger[1].keys[0] == str(CHUNK_ROWS)
    (smaller,) = Synthetic(300, dim=8).chunks()
    assert np.array_equal(larger[0].vectors[:300], smaller.vectors)
    for name, values in Synthetic(300, dim=8).columns().items():
        assert np.array_equal(larger[0].columns[name][:300], values)
    assert not np.array_equal(next(Synthetic(300, dim=8, seed=8).chunks()).vectors, smaller.vectors)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["none", "10%", "0.1%"])
@pytest.mark.parametrize("kind", list(BaselineKind))
def test_a_baseline_at_full_effort_is_brute_force(
    kind: BaselineKind, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("baseline") / "index"
    Baseline.build(kind, [CHUNK.vectors[:3_000], CHUNK.vectors[3_000:]], 5_000, MADE.dim).write(path)
    baseline = Baseline.open(kind, path)
    expected = truth(name, QUERIES)
    mask = WORKLOADS[name].mask(CHUNK.columns)
    whole = BaselineSetting(effort=0 if kind is BaselineKind.FLAT else 4_096, refined=64)
    found = baseline.search(QUERIES, 10, Baseline.selector(mask), whole)
    hits = [np.isin(true, some).mean() for true, some in zip(expected, found, strict=True)]
    assert float(np.mean(hits)) > 0.98
    assert mask is None or all(mask[row] for row in found.ravel() if row >= 0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(BaselineKind))
def test_a_baseline_is_tuned_to_the_least_that_reaches_the_recall(kind: BaselineKind) -> None:
    baseline = Baseline.build(kind, [CHUNK.vectors], 5_000, MADE.dim)
    mask = WORKLOADS["10%"].mask(CHUNK.columns)
    setting = baseline.tuned(QUERIES, truth("10%", QUERIES), mask, 0.9)
    assert setting.recall >= 0.9
    found = baseline.search(QUERIES, 10, Baseline.selector(mask), setting)
    hits = [np.isin(true, some).mean() for true, some in zip(truth("10%", QUERIES), found, strict=True)]
    assert float(np.mean(hits)) == pytest.approx(setting.recall, abs=1e-4)
    if kind in (BaselineKind.HNSW, BaselineKind.IVF_FLAT) and setting.effort > 10:
        less = BaselineSetting(setting.effort // 2, setting.refined)
        found = baseline.search(QUERIES, 10, Baseline.selector(mask), less)
        fewer = [np.isin(true, some).mean() for true, some in zip(truth("10%", QUERIES), found, strict=True)]
        assert float(np.mean(fewer)) < 0.9 or setting.effort // 2 < 10
