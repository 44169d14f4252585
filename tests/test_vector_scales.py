from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike import Catalog
from lookalike.data.errors import UsageError

ROWS = np.random.default_rng(0).standard_normal((400, 6)).astype(np.float32)
KEYS = [str(number) for number in range(len(ROWS))]
SCALES = [1e-25, 1e-22, 1e-20, 1e18, 1e19, 1e20, 1e30]


def cosines(queries: NDArray[np.floating], rows: NDArray[np.floating]) -> NDArray[np.float64]:
    wide = [np.asarray(some, dtype=np.float64) for some in (queries, rows)]
    units = [some / np.linalg.norm(some, axis=1, keepdims=True) for some in wide]
    scores: NDArray[np.float64] = units[0] @ units[1].T
    return scores


@pytest.mark.parametrize("scale", SCALES)
def test_under_the_cosine_rows_of_any_length_give_the_answers_of_their_directions(tmp_path: Path, scale: float) -> None:
    expected = cosines(ROWS[:20], ROWS)
    with Catalog.create(tmp_path / "plain", dim=6) as plain, Catalog.create(tmp_path / "scaled", dim=6) as scaled:
        plain.add_vectors(KEYS, ROWS)
        scaled.add_vectors(KEYS, ROWS * np.float32(scale))
        for catalog, times in ((scaled, 1.0), (plain, scale), (scaled, scale)):
            for number in range(20):
                found = catalog.search(vector=ROWS[number] * np.float32(times), recall="exact", limit=5)
                assert found.keys[0] == str(number)
                assert np.allclose(found.scores, np.sort(expected[number])[::-1][:5], atol=2e-3)
            many = catalog.search_many(ROWS[:20] * np.float32(times), recall="exact")
            assert [one.keys[0] for one in many] == KEYS[:20]
        assert scaled.verify().problems == []


@pytest.mark.parametrize("scale", [1e-300, 1e-60, 1e60, 1e300])
def test_under_the_cosine_doubles_beyond_float32_count_by_their_direction(tmp_path: Path, scale: float) -> None:
    with Catalog.create(tmp_path / "made", dim=6) as catalog:
        catalog.add_vectors(KEYS, (ROWS.astype(np.float64) * scale).tolist())
        for number in range(5):
            assert catalog.search(vector=ROWS[number].astype(np.float64) * scale).keys[0] == str(number)
        assert catalog.verify().problems == []


def test_rows_without_a_direction_are_refused_and_named(tmp_path: Path) -> None:
    with Catalog.create(tmp_path / "made", dim=3) as catalog:
        for row, words in (
            ([0, 0, 0], "all zeros"),
            ([0, -0.0, 0], "all zeros"),
            ([1, np.nan, 0], "not a finite number"),
            ([1, np.inf, 0], "not a finite number"),
            ([1e30, -np.inf, 1e30], "not a finite number"),
        ):
            with pytest.raises(UsageError, match=f"Row 2 .*{words}"):
                catalog.add_vectors(["a", "b", "c"], np.array([[1, 0, 0], [1e25, 1, 0], row]))
            with pytest.raises(UsageError, match=words):
                catalog.search(vector=np.array(row, dtype=np.float32))
        assert catalog.count() == 0


def test_the_rows_of_a_caller_are_left_as_they_were(tmp_path: Path) -> None:
    rows = ROWS * np.float32(1e25)
    before = rows.copy()
    with Catalog.create(tmp_path / "made", dim=6) as catalog:
        catalog.add_vectors(KEYS, rows)
        catalog.search(vector=rows[0])
    assert np.array_equal(rows, before)


@pytest.mark.parametrize("kind", ["flat", "ivf_pq", "hnsw"])
def test_a_cosine_is_never_beyond_one_and_the_order_stays(tmp_path: Path, kind: str) -> None:
    rows = np.concatenate([ROWS, -ROWS])
    with Catalog.create(tmp_path / "made", dim=6) as catalog:
        catalog.add_vectors([*KEYS, *(f"-{key}" for key in KEYS)], rows)
        catalog.optimize(index=kind)
        for number in range(60):
            for _ in range(3):  # the first of its kind goes another way than those after it
                found = catalog.search(vector=ROWS[number], limit=800)
                some = catalog.search(vector=ROWS[number], limit=700)  # of all, those missed at first come last
                assert found.keys[0] == str(number)
                assert found.scores[:700] == some.scores == sorted(some.scores, reverse=True)
                assert max(found.scores) <= 1
                assert min(found.scores) >= -1
            like = catalog.search(like=str(number), limit=3)
            assert max(like.scores) <= 1
            assert all(abs(score) <= 1 for hit in like for score in hit.scores.values())
        for one in catalog.search_many(ROWS, limit=800):
            assert max(one.scores) <= 1
            assert min(one.scores) >= -1
