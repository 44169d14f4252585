from __future__ import annotations

import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike.data.errors import CatalogDamaged
from lookalike.retrieval.vector_index import (
    Approximate,
    IndexKind,
    Metric,
    Selection,
    Vectors,
    build_approximate,
)
from lookalike.retrieval.vector_index import vectors as vectors_module
from lookalike.retrieval.vector_index.calibration import Calibration, Setting, cheapest

RANDOM = np.random.default_rng(3)
CENTRES = RANDOM.standard_normal((60, 32))
ROWS = (CENTRES[RANDOM.integers(0, 60, 6000)] + 0.7 * RANDOM.standard_normal((6000, 32))).astype(np.float16)
QUERIES = (CENTRES[:20] + 0.5 * RANDOM.standard_normal((20, 32))).astype(np.float32)
MASK = RANDOM.random(6000) < 0.3
MASK_FEW = RANDOM.random(6000) < 0.05
KINDS = [kind for kind in IndexKind if kind not in (IndexKind.AUTO, IndexKind.FLAT)]


@cache
def built(kind: IndexKind, metric: Metric) -> Approximate:
    """An index of all rows, built once."""
    return build_approximate(Vectors.of(ROWS, metric), kind)


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
        Vectors.allocate(tmp_path / "vectors.faiss", 32, metric, len(ROWS))[:] = ROWS
        vectors = Vectors.open(tmp_path / "vectors.faiss", metric)
    scores, rows = vectors.search(QUERIES, 25, None if mask is None else Selection(mask))
    expected_scores, expected_rows = truth(metric, mask, 25)
    assert np.array_equal(rows, expected_rows)
    assert np.allclose(scores, expected_scores, rtol=1e-5, atol=1e-4)


def test_fewer_rows_than_asked_for_are_padded() -> None:
    mask = np.zeros(6000, dtype=np.bool_)
    mask[[5, 70]] = True
    _, rows = Vectors.of(ROWS, Metric.COSINE).search(QUERIES[:1], 4, Selection(mask))
    assert sorted(rows[0].tolist()) == [-1, -1, 5, 70]


@pytest.mark.parametrize("metric", list(Metric))
def test_scores_of_some_rows_are_those_of_the_search(metric: Metric) -> None:
    vectors = Vectors.of(ROWS, metric)
    scores, rows = vectors.search(QUERIES[:1], 10)
    assert np.allclose(vectors.scores(QUERIES[:1], rows[0])[0], scores[0], rtol=1e-4, atol=1e-4)
    assert np.array_equal(vectors.rows(rows[0]), ROWS[rows[0]].astype(np.float32))


@pytest.mark.parametrize("metric", list(Metric))
def test_a_file_filled_in_any_order_is_what_faiss_writes(metric: Metric, tmp_path: Path) -> None:
    room = Vectors.allocate(tmp_path / "vectors.faiss", 32, metric, 6000)
    for some in np.array_split(RANDOM.permutation(6000), 7):
        room[some] = ROWS[some]
    del room
    faiss.write_index(Vectors.of(ROWS, metric).index, str(tmp_path / "faiss's own"))
    assert (tmp_path / "vectors.faiss").read_bytes() == (tmp_path / "faiss's own").read_bytes()
    assert np.array_equal(Vectors.open(tmp_path / "vectors.faiss", metric).rows(np.arange(6000)), ROWS)


@pytest.mark.parametrize("metric", list(Metric))
def test_vectors_left_on_disk_order_candidates_as_brute_force_does(metric: Metric, tmp_path: Path) -> None:
    Vectors.allocate(tmp_path / "vectors.faiss", 32, metric, len(ROWS))[:] = ROWS
    vectors = Vectors.open(tmp_path / "vectors.faiss", metric)
    vectors.leave_on_disk()
    chosen = np.array([5999, 0, 17, 17, 4242])
    assert np.array_equal(vectors.rows(chosen), ROWS[chosen].astype(np.float32))
    candidates = RANDOM.permuted(np.tile(np.flatnonzero(MASK_FEW), (len(QUERIES), 1)), axis=1)
    candidates[:, 3] = -1
    scores, rows = vectors.best(QUERIES, candidates, 12)
    for place, some in enumerate(candidates):
        mask = np.zeros(len(ROWS), dtype=np.bool_)
        mask[some[some >= 0]] = True
        expected_scores, expected_rows = truth(metric, mask, 12)
        assert np.array_equal(rows[place], expected_rows[place])
        assert np.allclose(scores[place], expected_scores[place], rtol=1e-5, atol=1e-4)


def mapped_kb(path: Path) -> int:
    """Return how much of a file this process has mapped and met."""
    lines = Path("/proc/self/smaps").read_text().splitlines()
    starts = [number for number, line in enumerate(lines) if line.endswith(f" {path}")]
    return sum(int(next(line for line in lines[start:] if line.startswith("Rss:")).split()[1]) for start in starts)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux's own files")
def test_vectors_brought_near_are_mapped_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors_module, "_READ_AT_ONCE", 30_000)
    path = tmp_path / "vectors.faiss"
    Vectors.allocate(path, 32, Metric.IP, len(ROWS))[:] = ROWS
    vectors = Vectors.open(path, Metric.IP)
    assert mapped_kb(path) < ROWS.nbytes // 2048
    vectors_module.read_near(tmp_path / "not there")
    vectors_module.read_near(path)
    vectors.bring_near()
    assert mapped_kb(path) >= ROWS.nbytes // 1024
    assert np.array_equal(vectors.rows(np.arange(3)), ROWS[:3].astype(np.float32))


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("kind", KINDS)
def test_an_approximate_search_finds_most_of_the_true_best_with_true_scores(
    kind: IndexKind, metric: Metric, tmp_path: Path
) -> None:
    vectors = Vectors.of(ROWS, metric)
    files = tmp_path / "index", tmp_path / "codes", tmp_path / "calibration"
    built(kind, metric).write(*files)
    Vectors.allocate(tmp_path / "vectors.faiss", 32, metric, len(ROWS))[:] = ROWS
    vectors = Vectors.open(tmp_path / "vectors.faiss", metric)
    index = Approximate.open(kind, vectors, *files)
    assert vectors.on_disk == (kind is IndexKind.DISK)
    for mask in (None, MASK, MASK_FEW):
        selection = None if mask is None else Selection(mask)
        _, expected = truth(metric, mask, 10)
        setting = index.calibration.setting(1.0 if mask is None else float(mask.mean()), 0.95)
        if setting is not None and (
            kind is not IndexKind.NSG or mask is None
        ):  # each way by itself, whatever would be chosen
            _check(index.visit(QUERIES, 10, setting.effort, setting.refined, selection), expected, vectors, mask)
        if selection is not None:
            _check(index.codes.search(QUERIES, 10, 320, selection), expected, vectors, mask)
        found = index.search(QUERIES, 10, 0.95, selection)
        _check((found.scores, found.rows), expected, vectors, mask)


def _check(
    found: tuple[NDArray[np.float32], NDArray[np.int64]],
    expected: NDArray[np.int64],
    vectors: Vectors,
    mask: NDArray[np.bool_] | None,
) -> None:
    scores, rows = found
    recall = np.mean([np.isin(expected[place], rows[place]).mean() for place in range(len(QUERIES))])
    assert recall >= 0.85
    assert mask is None or mask[rows].all()
    for place in range(len(QUERIES)):
        assert np.allclose(vectors.scores(QUERIES[place][None], rows[place])[0], scores[place], rtol=1e-4, atol=1e-4)
        assert (np.diff(scores[place]) <= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_an_approximate_search_under_a_narrow_filter_still_gives_k(kind: IndexKind) -> None:
    index = built(kind, Metric.COSINE)
    far = np.argsort(QUERIES[0] @ ROWS.T.astype(np.float32))[:30]  # the rows least like the query
    mask = np.zeros(6000, dtype=np.bool_)
    mask[far] = True
    assert sorted(index.search(QUERIES[:1], 30, 0.95, Selection(mask)).rows[0]) == sorted(far)


@pytest.mark.parametrize("dim", [1, 3, 7, 30, 130, 300])
def test_any_dimension_can_be_indexed(dim: int) -> None:
    vectors = Vectors.of(RANDOM.standard_normal((2000, dim)).astype(np.float16), Metric.L2)
    queries = vectors.rows(np.arange(5))
    found = build_approximate(vectors, IndexKind.IVF_PQ).search(queries, 10, 0.95).rows
    _, expected = vectors.search(queries, 10)
    assert np.mean([np.isin(expected[place], found[place]).mean() for place in range(5)]) > 0.5


def test_the_planner_takes_the_cheapest_way_by_the_measured_costs() -> None:
    index = built(IndexKind.IVF_PQ, Metric.COSINE)
    settings = {share: {0.95: Setting(4, 4, 0.95, 100.0)} for share in (1.0, 0.05)}
    measured = Calibration(settings, {0.95: 4}, (1.0, 0.1), (20.0, 0.02))
    index = replace(index, calibration=measured)
    ways = {}
    for count in (100, 600, 5_000):
        mask = np.zeros(6000, dtype=np.bool_)
        mask[:count] = True
        ways[count] = index.search(QUERIES[:1], 5, 0.95, Selection(mask)).how
    assert ways[100].startswith("exact")  # 11 against 22 and 100 microseconds
    assert ways[600].startswith("scan of the codes")  # 61 against 32 and 100
    assert ways[5_000].startswith("ivf_pq")  # 501 against 120 and 100
    assert index.search(QUERIES[:1], 5, 0.99).exact  # nothing was measured to reach it


def test_the_cheapest_setting_that_reaches_a_recall_is_found() -> None:
    found = cheapest([1, 2, 4, 8], [4, 8], lambda effort, refined: 0.85 + 0.02 * effort + 0.002 * refined, _cost)
    assert (found[0.9].effort, found[0.9].refined) == (4, 4)
    assert (found[0.95].effort, found[0.95].refined) == (8, 4)
    assert cheapest([1, 2], [4], lambda effort, refined: 0.5, _cost) == {}


def _cost(effort: int, refined: int) -> float:
    return 10.0 * effort + refined


def test_a_calibration_reads_back_as_it_was_written() -> None:
    settings = {1.0: {0.9: Setting(1, 4, 0.91, 10.0)}, 0.2: {0.9: Setting(3, 4, 0.92, 30.0)}}
    measured = Calibration(settings, {0.9: 2}, (1.0, 0.5), (2.0, 0.25))
    assert Calibration.from_json(measured.to_json()) == measured
    setting = measured.setting(0.05, 0.9)
    assert setting is not None
    assert setting.effort == 12  # as wide again for each halving of the share: 3 * 0.2 / 0.05
    assert measured.setting(0.5, 0.95) is None


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vectors.faiss").write_bytes(b"not an index")
    with pytest.raises(CatalogDamaged):
        Vectors.open(tmp_path / "vectors.faiss", Metric.COSINE)
