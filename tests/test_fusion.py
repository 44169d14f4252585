from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike.retrieval.filters import Filter
from lookalike.retrieval.search.fusion import Ranking, rank
from lookalike.retrieval.search.newest_state import NewestState
from lookalike.retrieval.search.query_parts import Part
from lookalike.retrieval.search.segmented_state import SegmentedState
from lookalike.retrieval.spaces.catalog_file import CatalogFile
from lookalike.retrieval.spaces.space import Space
from lookalike.retrieval.store.records import Records
from lookalike.retrieval.stored_rows import ImageWrite, ItemWrite
from lookalike.retrieval.vector_index import EXACT, Metric

RANDOM = np.random.default_rng(9)
COUNT = 400
SPACES = {"image": Space("image", 12, Metric.COSINE), "title": Space("title", 6, Metric.COSINE)}


def unit(*shape: int) -> NDArray[np.float32]:
    rows = RANDOM.standard_normal(shape)
    halved: NDArray[np.float16] = (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float16)
    return halved.astype(np.float32)


IMAGES = [unit(int(count), 12) for count in RANDOM.integers(1, 4, COUNT)]
TITLES = [unit(6) if RANDOM.random() < 0.8 else None for _ in range(COUNT)]


def halves(row: NDArray[np.float32]) -> bytes:
    return row.astype(np.float16).tobytes()


@pytest.fixture(scope="module", params=["one segment", "two segments"])
def state(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> SegmentedState:
    folder = tmp_path_factory.mktemp("fusion")
    records = Records.create(folder / "records.sqlite")
    live = NewestState(records, CatalogFile(SPACES, None))
    writes = []
    for number in range(COUNT):
        images = [
            ImageWrite(f"{at}", b"%d-%d" % (number, at), 1, 1, halves(row)) for at, row in enumerate(IMAGES[number])
        ]
        title = TITLES[number]
        writes.append(ItemWrite(f"k{number}", f"t{number}", "{}", images, None if title is None else halves(title)))
    records.upsert(writes[:250])
    if request.param == "two segments":
        live.state()
    records.upsert(writes[250:])
    return live.state()


def oracle(state: SegmentedState, parts: list[Part]) -> NDArray[np.float64]:
    """The weighted mean of standard scores, every item computed one by one; an item without a title has 0 there."""
    weight = sum(abs(part.weight) for part in parts)
    means = {}
    for part in parts:
        sample = state.sample(part.space) @ part.vector
        means[id(part)] = float(sample.mean()), float(sample.std())
    totals = np.zeros(COUNT)
    for number in range(COUNT):
        for space, rows in (("image", IMAGES[number]), ("title", TITLES[number])):
            mine = [part for part in parts if part.space == space]
            if rows is None or not mine:
                continue
            scores = [
                sum(part.weight * (float(row @ part.vector) - means[id(part)][0]) / means[id(part)][1] for part in mine)
                for row in np.atleast_2d(rows)
            ]
            totals[number] += max(scores) / weight
    return totals


def check(state: SegmentedState, parts: list[Part], limit: int = 15) -> Ranking:
    ranking = rank(state, parts, state.everything, limit, EXACT)
    totals = oracle(state, parts)
    found = [int(key[1:]) for key in state.rows(ranking.items)[0]]
    assert np.allclose(ranking.scores, np.sort(totals)[::-1][:limit], atol=1e-4)
    assert np.allclose(totals[found], ranking.scores, atol=1e-4)
    assert ranking.exact
    return ranking


def test_one_part_scores_its_own_similarity(state: SegmentedState) -> None:
    query = unit(12)
    ranking = rank(state, [Part("image", "image", query)], state.everything, 10, EXACT)
    best = sorted((float((rows @ query).max()) for rows in IMAGES), reverse=True)[:10]
    assert np.allclose(ranking.scores, best, atol=1e-5)
    assert np.array_equal(ranking.parts["image"], ranking.scores)


def test_parts_of_one_space_are_their_weighted_sum(state: SegmentedState) -> None:
    check(state, [Part("image", "image", unit(12), 0.7), Part("text", "image", unit(12), 0.3)])


def test_a_negative_part_keeps_away(state: SegmentedState) -> None:
    against, before = [], []
    for _ in range(20):  # of a single pair it may be the other way by chance
        near, away = unit(12), unit(12)
        with_it = check(state, [Part("text", "image", near), Part("without", "image", away, -0.8)])
        without_it = rank(state, [Part("text", "image", near)], state.everything, 15, EXACT)
        against.append(state.compare("image", away, away[None], with_it.items).totals.mean())
        before.append(state.compare("image", away, away[None], without_it.items).totals.mean())
    assert np.mean(against) < np.mean(before)


@pytest.mark.parametrize("limit", [1, 15, 120, COUNT])
def test_two_spaces_give_the_true_best_of_the_sum(state: SegmentedState, limit: int) -> None:
    for _ in range(5):
        check(state, [Part("text", "image", unit(12), 0.35), Part("title", "title", unit(6), 0.65)], limit)


def test_each_parts_own_similarity_is_reported(state: SegmentedState) -> None:
    parts = [Part("text", "image", unit(12), 0.5), Part("title", "title", unit(6), 0.5)]
    ranking = check(state, parts)
    for place, key in enumerate(state.rows(ranking.items)[0]):
        number = int(key[1:])
        assert ranking.parts["text"][place] == pytest.approx(float((IMAGES[number] @ parts[0].vector).max()), abs=1e-5)
        title = TITLES[number]
        if title is None:
            assert np.isnan(ranking.parts["title"][place])
        else:
            assert ranking.parts["title"][place] == pytest.approx(float(title @ parts[1].vector), abs=1e-5)


def test_the_image_that_matched_is_the_best_one(state: SegmentedState) -> None:
    query = unit(12)
    ranking = rank(state, [Part("image", "image", query)], state.everything, COUNT, EXACT)
    firsts = np.cumsum([0] + [len(rows) for rows in IMAGES])
    for item, image_id in zip(ranking.items, ranking.image_ids, strict=True):
        assert image_id == firsts[item] + 1 + int(np.argmax(IMAGES[item] @ query))


@pytest.mark.parametrize("recall", [0.95, EXACT])
@pytest.mark.parametrize("limit", [0, 10])
def test_where_a_filter_leaves_nothing_nothing_is_found_in_two_spaces(
    state: SegmentedState, recall: float, limit: int
) -> None:
    nothing = state.allowed(Filter.parse("title == 'none'"))
    parts = [Part("image", "image", unit(12)), Part("text", "title", unit(6))]
    ranking = rank(state, parts, nothing, limit, recall)
    assert nothing.count == 0
    assert (len(ranking.items), len(ranking.scores), ranking.exact) == (0, 0, True)
