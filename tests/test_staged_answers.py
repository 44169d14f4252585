from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lookalike.retrieval.vector_index import Approximate, IndexKind, Metric, Selection, Vectors, build_approximate
from lookalike.retrieval.vector_index.stages import exactly_followed, followed, lengthened
from tests.weak_plans import weak_plans

pytestmark = pytest.mark.slow

COUNT, DIM = 8_000, 16
RANDOM = np.random.default_rng(3)
NORMAL = RANDOM.standard_normal((COUNT, DIM))
ROWS = (NORMAL / np.linalg.norm(NORMAL, axis=1, keepdims=True)).astype(np.float16)
QUERIES = (ROWS[:200] + 0.3 * RANDOM.standard_normal((200, DIM)) / 4).astype(np.float32)


BUILT = {
    "ivf_flat": (IndexKind.IVF_FLAT, Metric.COSINE, ROWS),
    "ivf_sq8": (IndexKind.IVF_SQ8, Metric.L2, ROWS),
    "ivf_pq of float32": (IndexKind.IVF_PQ, Metric.L2, NORMAL.astype(np.float32)),
    "ivf_flat of float32": (IndexKind.IVF_FLAT, Metric.IP, NORMAL.astype(np.float32)),
}


@pytest.fixture(scope="module", params=BUILT)
def index(request: pytest.FixtureRequest) -> Approximate:
    kind, metric, rows = BUILT[request.param]
    return build_approximate(Vectors.of(rows, metric), kind)


@pytest.fixture(params=[(1, 2), (4, 12), (2, 40)], ids=str)
def weak(request: pytest.FixtureRequest, index: Approximate, monkeypatch: pytest.MonkeyPatch) -> Approximate:
    monkeypatch.setattr(Approximate, "_plan", weak_plans(*request.param))
    return index


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("k", [20, 50, 90, 100])
def test_prepared_searches_find_what_others_do(weak: Approximate, k: int, filtered: bool) -> None:
    selection = Selection(np.arange(COUNT) % 3 > 0, uses=3) if filtered else None
    prepared = weak.bound_one(k, 0.95, selection)
    for query in QUERIES:
        one, other = prepared(query[None]), weak.search(query[None], k, 0.95, selection)
        assert one.rows.tolist() == other.rows[0].tolist()
        assert one.scores.tolist() == other.scores[0].tolist()
        assert one.how == other.how


def test_longer_answers_begin_with_shorter_ones_and_say_when_they_took_a_scan(weak: Approximate) -> None:
    short, middle, long = (weak.search(QUERIES, k, 0.95) for k in (7, 60, 500))
    assert np.array_equal(middle.rows[:, :7], short.rows)
    assert np.array_equal(long.rows[:, :60], middle.rows)
    assert (np.diff(long.scores, axis=1) <= 0).all()
    for number, query in enumerate(QUERIES):
        found = weak.search(query[None], 60, 0.95)
        assert np.array_equal(found.rows[0], middle.rows[number])
        more = weak.visit(query[None], 110, weak._plan(0.95, None, 100, 0).effort, 4, None)
        by_index = followed(found.scores[0, :10], found.rows[0, :10], more[0][0], more[1][0])
        assert ("exact scan" in found.how) == (len(by_index[1]) < 100 or more[1][0, -1] < 0)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.lists(st.integers(1, 12), min_size=1, max_size=6))
def test_stages_that_miss_at_random_give_every_row_once_and_each_answer_begins_like_the_others(
    seed: int, count: int, steps: list[int]
) -> None:
    random = np.random.default_rng(seed)
    truth = np.sort(random.integers(0, 8, count))[::-1].astype(np.float32)

    def exactly(_: NDArray[np.float32], depth: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        return truth[None, :depth], np.arange(count)[None, :depth]

    scores, rows = np.empty(0, np.float32), np.empty(0, np.int64)
    for end in np.minimum(np.cumsum(steps), count):
        seen = np.flatnonzero(random.random(count) < 0.7)
        before = rows
        found = followed(scores, rows, truth[seen], seen)
        if len(found[1]) < end:
            found = exactly_followed(exactly, np.empty((1, 0), np.float32), scores, rows, int(end), count)
        scores, rows = found[0][:end], found[1][:end]
        assert rows[: len(before)].tolist() == before.tolist()
        assert len(set(rows.tolist())) == len(rows) == end
        assert np.array_equal(truth[rows], scores)
        steps_up = np.flatnonzero(np.diff(scores) > 0)
        if end < count:
            again = exactly_followed(exactly, np.empty((1, 0), np.float32), scores, rows, count, count)
            assert sorted(again[1].tolist()) == list(range(count))
        for place in steps_up:  # only after everything else
            assert set(range(count)) - set(rows[: place + 1].tolist()) <= set(range(int(rows[: place + 1].max())))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 15), st.integers(0, 40))
def test_lists_are_lengthened_as_arrays_are(seed: int, first: int, more: int) -> None:
    random = np.random.default_rng(seed)
    truth = np.sort(random.integers(0, 9, 60))[::-1].astype(np.float32)
    one, two = (np.sort(random.permutation(60)[:count]) for count in (first, more))
    expected = followed(truth[one], one, truth[two], two)
    found = lengthened(truth[one].tolist(), one.tolist(), truth[two].tolist(), two.tolist())
    assert [part.tolist() for part in expected] == list(found)
