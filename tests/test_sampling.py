from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lookalike import Catalog
from lookalike.retrieval.search.fusion import rank
from lookalike.retrieval.search.newest_state import NewestState
from lookalike.retrieval.search.query_parts import Part
from lookalike.retrieval.search.vector_sample import sampled
from lookalike.retrieval.spaces.catalog_file import CatalogFile
from lookalike.retrieval.spaces.space import Space
from lookalike.retrieval.store.records import Records
from lookalike.retrieval.stored_rows import ImageWrite, ItemWrite
from lookalike.retrieval.vector_index import Metric

SPACES = {"image": Space("image", 4, Metric.IP), "title": Space("title", 2, Metric.IP)}


@pytest.mark.parametrize("seed", range(6))
def test_the_sample_is_spread_over_what_is_there_however_it_came_to_be(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    records = Records.create(tmp_path / "records.sqlite")
    live = NewestState(records, CatalogFile(SPACES, None))
    there: dict[str, list[float]] = {}  # by key, in the order first added: the first number of each vector
    mark = 0
    for step in range(int(random.integers(2, 12))):
        if step == 2 and seed % 2:
            live.optimize()
        writes = []
        for key in {f"k{number}" for number in random.integers(0, 60, random.integers(0, 40))}:
            marks = [float(mark + at) for at in range(random.integers(0, 4))]
            mark += len(marks)
            images = [ImageWrite(str(one), b"%d" % one, 1, 1, row(one, 4)) for one in marks]
            writes.append(ItemWrite(key, None, "{}", images, row(-mark, 2) if marks else None))
            there[key] = marks
        records.upsert(writes)
        gone = [key for key in there if random.random() < 0.2]
        records.delete([item.id for item in records.items_of_keys(gone).values()])
        there = {key: marks for key, marks in there.items() if key not in gone}
        live.state()
    state = live.state()
    if seed == 5:
        assert len(state.segments) > 2
    expected = [mark for marks in there.values() for mark in marks]
    again = NewestState(records, CatalogFile(SPACES, None)).state()
    live.optimize()
    assert len(live.state().segments) == 1
    for most in (1, 7, 50, 10_000):
        count = min(most, len(expected))
        found = sampled(state.segments, state.gone, "image", most)
        assert found[:, 0].tolist() == [expected[place * len(expected) // count] for place in range(count)]
        for other in (again, live.state()):
            for name in SPACES:
                theirs = sampled(other.segments, other.gone, name, most)
                np.testing.assert_array_equal(theirs, sampled(state.segments, state.gone, name, most))


def row(first: float, dim: int) -> bytes:
    return np.array([first, *[1.0] * (dim - 1)], dtype=np.float16).tobytes()


def test_a_mixed_query_scores_the_same_before_and_after_optimizing(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    rows = random.standard_normal((3000, 8)).astype(np.float32)
    keys = [f"k{number}" for number in range(3000)]
    with Catalog.create(tmp_path / "shop", dim=8) as catalog:
        catalog.add_vectors(keys[:2500], rows[:2500])
        catalog.optimize()
        catalog.add_vectors(keys[2400:], rows[2400:] + 5)
        catalog.delete(keys=keys[:2000])
        query = random.standard_normal(8).astype(np.float32)
        before = catalog.search(vector=query, like="k2100", recall="exact")
        catalog.optimize()
        after = catalog.search(vector=query, like="k2100", recall="exact")
        assert before.keys == after.keys
        assert [hit.score for hit in before] == [hit.score for hit in after]


def test_where_nothing_is_left_a_mixed_query_finds_nothing(tmp_path: Path) -> None:
    with Catalog.create(tmp_path / "shop", dim=8) as catalog:
        catalog.add_vectors(["a", "b"], np.eye(8, dtype=np.float32)[:2])
        catalog.optimize()
        catalog.delete(keys=["a", "b"])
        state = catalog._core.state()
        parts = [Part("vector", "image", row.astype(np.float32)) for row in (np.ones(8), np.arange(8))]
        assert len(rank(state, parts, state.everything, 10, 0.95).items) == 0
