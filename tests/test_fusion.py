from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike.retrieval.filters import Filter
from lookalike.retrieval.generations.segment import Space
from lookalike.retrieval.query import EXACT, Part
from lookalike.retrieval.search.fusion import Ranking, rank
from lookalike.retrieval.search.newest_state import Live
from lookalike.retrieval.search.state import View
from lookalike.retrieval.spaces.catalog_file import CatalogFile
from lookalike.retrieval.store.records import Records
from lookalike.retrieval.stored_rows import ImageWrite, ItemWrite
from lookalike.retrieval.vector_index import Metric

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
def view(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> View:
    folder = tmp_path_factory.mktemp("fusion")
    records = Records.create(folder / "records.sqlite")
    live = Live(records, CatalogFile(SPACES, None))
    writes = []
    for number in range(COUNT):
        images = [
            ImageWrite(f"{at}", b"%d-%d" % (number, at), 1, 1, halves(row)) for at, row in enumerate(IMAGES[number])
        ]
        title = TITLES[number]
        writes.append(ItemWrite(f"k{number}", f"t{number}", "{}", images, None if title is None else halves(title)))
    records.upsert(writes[:250])
    if request.param == "two segments":
        live.view()
    records.upsert(writes[250:])
    return live.view()


def oracle(view: View, parts: list[Part]) -> NDArray[np.float64]:
    """The weighted mean of standard scores, every item computed one by one; an item without a title has 0 there."""
    weight = sum(abs(part.weight) for part in parts)
    means = {}
    for part in parts:
        sample = view.sample(part.space) @ part.vector
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


def check(view: View, parts: list[Part], limit: int = 15) -> Ranking:
    ranking = rank(view, parts, view.everything, limit, EXACT)
    totals = oracle(view, parts)
    found = [int(key[1:]) for key in view.rows(ranking.items)[0]]
    assert np.allclose(ranking.scores, np.sort(totals)[::-1][:limit], atol=1e-4)
    assert np.allclose(totals[found], ranking.scores, atol=1e-4)
    assert ranking.exact
    return ranking


def test_one_part_scores_its_own_similarity(view: View) -> None:
    query = unit(12)
    ranking = rank(view, [Part("image", "image", query)], view.everything, 10, EXACT)
    best = sorted((float((rows @ query).max()) for rows in IMAGES), reverse=True)[:10]
    assert np.allclose(ranking.scores, best, atol=1e-5)
    assert np.array_equal(ranking.parts["image"], ranking.scores)


def test_parts_of_one_space_are_their_weighted_sum(view: View) -> None:
    check(view, [Part("image", "image", unit(12), 0.7), Part("text", "image", unit(12), 0.3)])


def test_a_negative_part_keeps_away(view: View) -> None:
    against, before = [], []
    for _ in range(20):  # of a single pair it may be the other way by chance
        near, away = unit(12), unit(12)
        with_it = check(view, [Part("text", "image", near), Part("without", "image", away, -0.8)])
        without_it = rank(view, [Part("text", "image", near)], view.everything, 15, EXACT)
        against.append(view.scores("image", away, with_it.items)[0].mean())
        before.append(view.scores("image", away, without_it.items)[0].mean())
    assert np.mean(against) < np.mean(before)


@pytest.mark.parametrize("limit", [1, 15, 120, COUNT])
def test_two_spaces_give_the_true_best_of_the_sum(view: View, limit: int) -> None:
    for _ in range(5):
        check(view, [Part("text", "image", unit(12), 0.35), Part("title", "title", unit(6), 0.65)], limit)


def test_each_parts_own_similarity_is_reported(view: View) -> None:
    parts = [Part("text", "image", unit(12), 0.5), Part("title", "title", unit(6), 0.5)]
    ranking = check(view, parts)
    for place, key in enumerate(view.rows(ranking.items)[0]):
        number = int(key[1:])
        assert ranking.parts["text"][place] == pytest.approx(float((IMAGES[number] @ parts[0].vector).max()), abs=1e-5)
        title = TITLES[number]
        if title is None:
            assert np.isnan(ranking.parts["title"][place])
        else:
            assert ranking.parts["title"][place] == pytest.approx(float(title @ parts[1].vector), abs=1e-5)


def test_the_image_that_matched_is_the_best_one(view: View) -> None:
    query = unit(12)
    ranking = rank(view, [Part("image", "image", query)], view.everything, COUNT, EXACT)
    firsts = np.cumsum([0] + [len(rows) for rows in IMAGES])
    for item, image_id in zip(ranking.items, ranking.image_ids, strict=True):
        assert image_id == firsts[item] + 1 + int(np.argmax(IMAGES[item] @ query))


@pytest.mark.parametrize("recall", [0.95, EXACT])
@pytest.mark.parametrize("limit", [0, 10])
def test_where_a_filter_leaves_nothing_nothing_is_found_in_two_spaces(view: View, recall: float, limit: int) -> None:
    nothing = view.allowed(Filter.parse("title == 'none'"))
    parts = [Part("image", "image", unit(12)), Part("text", "title", unit(6))]
    ranking = rank(view, parts, nothing, limit, recall)
    assert nothing.count == 0
    assert (len(ranking.items), len(ranking.scores), ranking.exact) == (0, 0, True)
