from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lookalike import Catalog
from lookalike.data.errors import UsageError
from lookalike.models import unit_rows
from lookalike.retrieval.input_checks import checked_vectors
from lookalike.retrieval.spaces.space import Space, SpaceName
from lookalike.retrieval.vector_blobs import fits_half, needs_float32, of_blobs, to_blob, unit_needs_float32
from lookalike.retrieval.vector_index import IndexKind, Metric, Vectors
from tests.running import call_json

COUNT, DIM = 1_500, 8
NORMAL = np.random.default_rng(2).standard_normal((COUNT, DIM))
KEYS = [str(number) for number in range(COUNT)]
KINDS = [kind.value for kind in IndexKind if kind not in (IndexKind.AUTO, IndexKind.NSG)]
FLOAT32 = {"large": 1e6 * NORMAL, "small": 1e-7 * NORMAL, "tiny": 1e-10 * NORMAL, "far": 1_000 + 0.1 * NORMAL}
FLOAT16 = {"ordinary": NORMAL, "hundreds": 300 * NORMAL, "positive": np.abs(NORMAL), "whole": np.round(90 * NORMAL)}


def order(metric: str, query: NDArray[np.float32], rows: NDArray[np.floating], limit: int) -> list[str]:
    """Brute force in float64, equal scores by the order of adding."""
    wide, one = rows.astype(np.float64), query.astype(np.float64)
    scores = -np.square(wide - one).sum(axis=1) if metric == "l2" else (wide * one).sum(axis=1)
    return [str(number) for number in np.argsort(-scores, kind="stable")[:limit]]


def queries(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return ((rows[:8] + rows[8:16]) / 2).astype(np.float32)


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("name", FLOAT32)
def test_what_float16_cannot_hold_is_kept_and_searched_in_float32(tmp_path: Path, metric: str, name: str) -> None:
    rows = FLOAT32[name].astype(np.float32)
    with Catalog.create(tmp_path / "made", dim=DIM, metric=metric) as catalog:
        catalog.add_vectors(KEYS, rows)
        for kind in (None, *KINDS):
            if kind is not None:
                catalog.optimize(index=kind)
            assert catalog.info().stored_as == {"image": "float32"}
            found = []
            for query in queries(rows):
                expected = order(metric, query, rows, 60)
                assert catalog.search(vector=query, recall="exact", limit=60).keys == expected
                near = catalog.search(vector=query, limit=60)
                found.append(np.isin(expected, near.keys).mean())
                for offset in (0, 7, 55):
                    page = catalog.search(vector=query, limit=5, offset=offset)
                    assert page.keys == near.keys[offset : offset + 5]
            assert np.mean(found) >= 0.9
            many = catalog.search_many(queries(rows), recall="exact", limit=9)
            assert [one.keys for one in many] == [order(metric, query, rows, 9) for query in queries(rows)]
        assert catalog.verify().problems == []
    assert call_json("info", tmp_path / "made")["stored_as"] == {"image": "float32"}


def is_kept(metric: str, rows: NDArray[np.floating]) -> bool:
    return metric == "l2" and not (rows.astype(np.float16) == rows.astype(np.float32)).all()


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("name", FLOAT16)
def test_ordinary_vectors_are_rounded_under_ip_and_kept_under_l2_and_exact_is_exact_for_them(
    tmp_path: Path, metric: str, name: str
) -> None:
    rows = FLOAT16[name].astype(np.float32)
    size = 4 if is_kept(metric, rows) else 2
    with Catalog.create(tmp_path / "made", dim=DIM, metric=metric) as catalog:
        catalog.add_vectors(KEYS, rows)
        catalog.add_vectors(KEYS[:1], rows[:1])
        catalog.add_vectors(KEYS[1:3], rows[[1, 1]])
        assert catalog.info().stored_as == {"image": f"float{8 * size}"}
        lengths = {len(blob) for (blob,) in sqlite3.connect(tmp_path / "made" / "records.sqlite").execute(BLOBS)}
        assert lengths == {size * DIM}
        held = rows[[0, 1, 1, *range(3, COUNT)]].astype(f"float{8 * size}").astype(np.float32)
        for query in queries(rows):
            scores = catalog.search(vector=query, recall="exact", limit=COUNT)
            wide = held.astype(np.float64)
            true = -np.square(wide - query).sum(axis=1) if metric == "l2" else wide @ query.astype(np.float64)
            assert np.allclose(scores.scores, np.sort(true)[::-1], rtol=1e-5, atol=1e-4 * np.abs(true).max())
            assert len(set(scores.keys)) == COUNT


def near_a_far_point(layout: str) -> NDArray[np.float32]:
    random = np.random.default_rng(11)
    base = random.standard_normal(16)
    base *= 100 / np.linalg.norm(base)
    noise = 1e-3 * random.standard_normal((200, 16))
    sign = np.where(np.arange(200) % 2, -1, 1)[:, None] if layout == "two clusters" else 1
    return (base * sign + noise).astype(np.float32)


@pytest.mark.parametrize("batch", [200, 37, 1])
@pytest.mark.parametrize("layout", ["one cluster", "two clusters"])
def test_under_l2_each_row_far_from_the_origin_is_its_own_nearest_however_it_was_added(
    tmp_path: Path, layout: str, batch: int
) -> None:
    rows = near_a_far_point(layout)
    with Catalog.create(tmp_path / "made", dim=16, metric="l2") as catalog:
        for start in range(0, 200, batch):
            catalog.add_vectors(list(map(str, range(200)))[start : start + batch], rows[start : start + batch])
        for number, row in enumerate(rows):
            assert catalog.search(vector=row, recall="exact", limit=20).keys == order("l2", row, rows, 20)
            assert catalog.search(vector=row, limit=1).keys == [str(number)]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(list(Metric)),
    st.lists(st.tuples(st.sampled_from([1e-7, 1e-3, 1.0, 1e5]), st.sampled_from([0.0, 1.0, 1e4])), min_size=1),
    st.integers(0, 2**32 - 1),
)
def test_what_becomes_of_a_row_does_not_depend_on_the_others(
    metric: Metric, kinds: list[tuple[float, float]], seed: int
) -> None:
    random = np.random.default_rng(seed)
    rows = np.array([scale * (random.standard_normal(6) + far) for scale, far in kinds], np.float32)
    together = needs_float32(rows, metric)
    assert together.tolist() == [bool(needs_float32(row[None], metric)[0]) for row in rows]
    assert needs_float32(rows[::-1], metric).tolist() == together[::-1].tolist()
    if metric is Metric.L2:
        assert fits_half(rows[~together]).all()


BLOBS = "SELECT vector FROM vectors WHERE died IS NULL"


@pytest.mark.parametrize("kind", KINDS)
def test_a_catalog_of_float16_widens_with_the_first_row_that_needs_it(tmp_path: Path, kind: str) -> None:
    rows = NORMAL.astype(np.float16).astype(np.float32)
    with Catalog.create(tmp_path / "made", dim=DIM, metric="l2") as catalog:
        catalog.add_vectors(KEYS, rows)
        catalog.optimize(index=kind)
        assert catalog.info().stored_as == {"image": "float16"}
        moved = rows.copy()
        moved[3], moved[700] = 70_000, 1e9
        catalog.add_vectors(["3", "700"], moved[[3, 700]])
        for folded in (False, True):
            assert catalog.info().stored_as == {"image": "float32"}
            near = (moved[3], moved[700], rows[5], rows[700])[0 if folded else 2 :]
            for query in near:  # while some are by themselves in float16, a far query cannot tell these apart
                assert catalog.search(vector=query, recall="exact", limit=30).keys == order("l2", query, moved, 30)
                assert catalog.search(vector=query, limit=1).keys == order("l2", query, moved, 1)
            catalog.optimize(index=kind)
        before = catalog.search(vector=rows[5], recall="exact", limit=5, as_of=1)
        assert before.keys == order("l2", rows[5], rows, 5)
        catalog.delete(keys=["3", "700"])
        catalog.optimize(index=kind)
        assert catalog.info().stored_as == {"image": "float16"}
        assert catalog.verify().problems == []


def copied(catalog: Catalog, folder: Path, how: str) -> Catalog:
    if how == "backup":
        catalog.backup(folder / "backup")
        Catalog.restore(folder / "backup", folder / "again")
        return Catalog.open(folder / "again")
    catalog.export(folder / "rows.parquet")
    again = Catalog.create(folder / "again", dim=DIM, metric="l2")
    again.import_parquet(folder / "rows.parquet")
    return again


@pytest.mark.parametrize("how", ["backup", "export"])
def test_backups_and_exports_keep_every_bit(tmp_path: Path, how: str) -> None:
    rows = np.concatenate([NORMAL[:50].astype(np.float16), (1e7 * NORMAL[50:90])]).astype(np.float32)
    with Catalog.create(tmp_path / "made", dim=DIM, metric="l2") as catalog:
        catalog.add_vectors(KEYS[:90], rows)
        with copied(catalog, tmp_path, how) as again:
            assert again.count() == 90
            sql = "SELECT i.key, v.vector, v.checksum IS NULL FROM vectors AS v JOIN items AS i ON i.id = v.item_id"
            one, two = (
                set(sqlite3.connect(folder / "records.sqlite").execute(sql))
                for folder in (tmp_path / "made", tmp_path / "again")
            )
            assert one == two
            assert {len(vector) for _, vector, _ in one} == {2 * DIM, 4 * DIM}
            assert again.verify().problems == []
            for query in queries(rows):
                assert again.search(vector=query, recall="exact").keys == order("l2", query, rows, 10)


def test_a_changed_float32_vector_is_noticed(tmp_path: Path) -> None:
    with Catalog.create(tmp_path / "made", dim=DIM, metric="ip") as catalog:
        catalog.add_vectors(KEYS[:20], 1e6 * NORMAL[:20])
    database = sqlite3.connect(tmp_path / "made" / "records.sqlite")
    database.execute("UPDATE vectors SET vector = ? WHERE item_id = 4", (np.ones(DIM, np.float32).tobytes(),))
    database.execute("UPDATE vectors SET vector = ? WHERE item_id = 6", (b"123",))
    database.commit()
    database.close()
    with Catalog.open(tmp_path / "made") as catalog:
        assert sorted((problem.id, problem.where) for problem in catalog.verify().problems) == [
            (4, "item '3'"),
            (6, "item '5'"),
        ]


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("length", [1e-30, 1e-13, 1e16, 1e30, 1e300])
def test_vectors_that_float32_cannot_multiply_are_refused_in_words(tmp_path: Path, metric: str, length: float) -> None:
    with Catalog.create(tmp_path / "made", dim=2, metric=metric) as catalog:
        with pytest.raises(UsageError, match=r"row 1 of the vectors is outside .* scale"):
            catalog.add_vectors(["a", "b"], [[1.0, 0.0], [length, 0.0]])
        catalog.add_vectors(["a", "zero"], [[1.0, 0.0], [0.0, 0.0]])
        with pytest.raises(UsageError, match="query vector"):
            catalog.search(vector=[length, 0.0])
        assert catalog.search(vector=[0.0, 0.0]).keys == (["zero", "a"] if metric == "l2" else ["a", "zero"])


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(list(Metric)[1:]),
    st.sampled_from([1e-9, 1e-6, 1e-3, 1.0, 1e4, 1e8, 1e12]),
    st.sampled_from([0.0, 1.0, 100.0, 10_000.0]),
    st.integers(0, 2**32 - 1),
)
def test_at_any_scale_and_distance_from_the_origin_float32_rows_are_searched_exactly(
    metric: Metric, scale: float, offset: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    rows = (scale * (offset + random.standard_normal((700, 5)))).astype(np.float32)
    rows[random.integers(0, 700, 60)] = rows[0]
    asked = rows[random.integers(0, 700, 6)] + (scale * random.standard_normal((6, 5))).astype(np.float32)
    _, found = Vectors.of(rows, metric).search(asked, 20)
    assert [list(map(str, some)) for some in found] == [order(metric, one, rows, 20) for one in asked]


def test_float32_is_chosen_by_what_float16_would_lose() -> None:
    for metric in (Metric.IP, Metric.L2):
        for values in FLOAT32.values():
            rows = values.astype(np.float32)
            assert needs_float32(rows, metric).all()
            assert needs_float32(rows[:1], metric).all()
            assert not needs_float32(rows, Metric.COSINE).any()
        for values in FLOAT16.values():
            rows = values.astype(np.float32)
            assert needs_float32(rows, metric).all() == needs_float32(rows[:1], metric)[0] == is_kept(metric, rows)
            assert not needs_float32(rows.astype(np.float16).astype(np.float32), metric).any()
        assert not needs_float32(np.zeros((3, 4), np.float32), metric).any()
        assert not needs_float32(np.empty((0, 4), np.float32), metric).any()
    mixed = NORMAL.astype(np.float32)
    mixed[7, 2] = 70_000
    assert np.flatnonzero(needs_float32(mixed, Metric.IP)).tolist() == [7]


OFF_CENTRE = 30 + np.random.default_rng(7).standard_normal((COUNT, 64))


def cosine_order(query: NDArray[np.floating], rows: NDArray[np.floating], limit: int) -> list[str]:
    """Brute force in float64, equal scores by the order of adding."""
    units = rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return [str(number) for number in np.argsort(-(units @ query.astype(np.float64)), kind="stable")[:limit]]


def test_directions_that_float16_cannot_tell_apart_are_kept_in_float32(tmp_path: Path) -> None:
    rows = OFF_CENTRE.astype(np.float32)
    asked = (30 + np.random.default_rng(8).standard_normal((12, 64))).astype(np.float32)
    with Catalog.create(tmp_path / "made", dim=64) as catalog:
        catalog.add_vectors(KEYS, rows)
        for kind in (None, *KINDS):
            if kind is not None:
                catalog.optimize(index=kind)
            assert catalog.info().stored_as == {"image": "float32"}
            shares = []
            for query in asked:
                expected = cosine_order(query, rows, 10)
                exact = catalog.search(vector=query, recall="exact", limit=10)
                assert exact.exact
                shares.append(len({*exact.keys} & {*expected}) / 10)
                assert max(exact.scores) <= 1
            assert np.mean(shares) >= 0.98
        assert catalog.verify().problems == []
        catalog.export(tmp_path / "out.parquet")
        with Catalog.create(tmp_path / "again", dim=64) as again:
            again.import_parquet(tmp_path / "out.parquet")
            assert again.info().stored_as == {"image": "float32"}
            assert again.import_parquet(tmp_path / "out.parquet").unchanged == COUNT
            for query in asked:
                found = [one.search(vector=query, recall="exact", limit=10) for one in (catalog, again)]
                assert found[0].keys == found[1].keys and found[0].scores == found[1].scores


@pytest.mark.parametrize("dim", [64, 512, 2_048])
def test_ordinary_directions_are_kept_in_float16(dim: int) -> None:
    normal = np.random.default_rng(dim).standard_normal((300, dim))
    for rows in (normal, 1 + normal, 3 + normal, np.abs(normal), np.maximum(normal, 0)):
        assert not unit_needs_float32(unit_rows(rows)).any()
    far = unit_rows(30 + normal)
    needed = unit_needs_float32(far)
    assert needed.mean() > 0.9
    assert [unit_needs_float32(row[None])[0] for row in far] == needed.tolist()


@pytest.mark.parametrize("dim", [1, 2, 3, 100])
def test_directions_that_rounding_does_not_turn_are_kept_in_float16(dim: int) -> None:
    for rows in (np.ones((3, dim)), -np.ones((1, dim)) / 3, np.eye(dim), np.empty((0, dim))):
        assert not unit_needs_float32(unit_rows(rows)).any()


@pytest.mark.parametrize("dim", [1, 3, 8, 100, 512])
def test_a_query_is_scaled_to_length_1_in_one_way(dim: int) -> None:
    space = Space(SpaceName.IMAGE, dim, Metric.COSINE)
    rows = np.random.default_rng(dim).standard_normal((50, dim)).astype(np.float32)
    together = checked_vectors(rows, space)
    for row, expected in zip(rows, together, strict=True):
        for query in (row, row.tolist(), row.astype(np.float64), row[None], np.concatenate([row, row])[:dim]):
            assert np.array_equal(checked_vectors(query, space)[0], expected)


def test_blobs_of_both_lengths_are_read_in_their_order() -> None:
    rows = np.concatenate([NORMAL[:5].astype(np.float16), NORMAL[5:9].astype(np.float32)])
    rows = rows[np.random.default_rng(0).permutation(9)]
    assert np.array_equal(of_blobs([to_blob(row) for row in rows], DIM), rows)
    halves = rows.astype(np.float16)
    read = of_blobs([row.tobytes() for row in halves], DIM)
    assert read.dtype == np.float16
    assert np.array_equal(read, halves)
    assert of_blobs([], DIM).shape == (0, DIM)
