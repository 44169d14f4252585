from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lookalike import Catalog
from lookalike.retrieval.search.fusion import rank
from lookalike.retrieval.search.newest_state import NewestState
from lookalike.retrieval.search.query_parts import Part
from lookalike.retrieval.search.segmented_state import SegmentedState
from lookalike.retrieval.spaces.catalog_file import CatalogFile
from lookalike.retrieval.spaces.space import Space
from lookalike.retrieval.store.records import Records
from lookalike.retrieval.stored_rows import ImageWrite, ItemWrite
from lookalike.retrieval.vector_index import Approximate, IndexKind, Metric, build_approximate
from tests.weak_plans import weak_plans

pytestmark = pytest.mark.slow

COUNT, DIM = 6_000, 12
RANDOM = np.random.default_rng(5)
BASE = RANDOM.standard_normal((700, DIM))
# every vector occurs about eight times, one of them a thousand times
ROWS = np.concatenate([BASE[RANDOM.integers(0, 700, COUNT - 1_000)], np.repeat(BASE[:1], 1_000, axis=0)])
ROWS = ROWS[RANDOM.permutation(COUNT)].astype(np.float16).astype(np.float32)
PAIRS = np.repeat(RANDOM.standard_normal((COUNT // 2, DIM)), 2, axis=0)[RANDOM.permutation(COUNT)].astype(np.float32)
"""For a graph that cannot be built over a thousand equal vectors."""

EVEN = np.arange(COUNT) % 2 == 0
KINDS = [kind.value for kind in IndexKind if kind is not IndexKind.AUTO]


@pytest.fixture(scope="module", params=[(kind, metric) for kind in KINDS for metric in ("cosine", "l2")], ids=str)
def catalog(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    kind, metric = request.param
    with Catalog.create(tmp_path_factory.mktemp("pages") / "made", dim=DIM, metric=metric) as made:
        made.add_vectors([str(n) for n in range(COUNT)], PAIRS if kind == "nsg" else ROWS, {"even": EVEN.tolist()})
        made.optimize(index=kind)
        yield made


def true_order(catalog: Catalog, query: NDArray[np.float32], some: NDArray[np.bool_] | None = None) -> list[str]:
    """Brute force in float64 over the stored coordinates, equal scores by the order of adding."""
    stored = catalog._core.newest.state().segments[0].spaces["image"].vectors.rows(np.arange(COUNT)).astype(np.float64)
    wide = query.astype(np.float64)
    scores = -np.square(stored - wide).sum(axis=1) if catalog.info().metric == "l2" else stored @ wide
    _, ranks = np.unique(np.round(scores, 9), return_inverse=True)
    order = np.lexsort((np.arange(COUNT), -ranks))
    return [str(n) for n in order if some is None or some[n]]


@pytest.mark.parametrize("filtered", [False, True])
def test_an_exact_search_orders_equal_scores_as_they_were_added(catalog: Catalog, filtered: bool) -> None:
    for query in (BASE[0], BASE[7], RANDOM.standard_normal(DIM)):
        vector = (query / np.linalg.norm(query)).astype(np.float32)
        expected = true_order(catalog, vector, EVEN if filtered else None)
        filter = "even == true" if filtered else None
        for limit in (1, 10, 100, 1_500):
            assert catalog.search(vector=vector, filter=filter, recall="exact", limit=limit).keys == expected[:limit]
        (many,) = catalog.search_many(vector[None], filter=filter, recall="exact", limit=1_500)
        assert many.keys == expected[:1_500]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_pages_of_any_size_joined_are_one_big_answer(catalog: Catalog, data: st.DataObject) -> None:
    seed = data.draw(st.integers(0, 10_000))
    base = BASE[data.draw(st.sampled_from([0, 1, 2]))] if seed % 2 else np.zeros(DIM)
    vector = (base + np.random.default_rng(seed).standard_normal(DIM) * 0.2).astype(np.float32)
    filter = data.draw(st.sampled_from([None, "even == true"]))
    sizes = data.draw(
        st.lists(st.sampled_from([1, 3, 10, 24, 100, 333, 1_000]), min_size=2, max_size=8).filter(
            lambda sizes: sum(sizes) <= 2_500  # short of all, whose order has a test of its own
        )
    )
    keys: list[str] = []
    scores: list[float] = []
    for size in sizes:
        page = catalog.search(vector=vector, filter=filter, limit=size, offset=len(keys))
        keys += page.keys
        scores += page.scores
    big = catalog.search(vector=vector, filter=filter, limit=sum(sizes))
    assert len(set(keys)) == len(keys) == sum(sizes)
    assert big.keys == keys
    assert big.scores == scores
    assert scores == sorted(scores, reverse=True)


def test_a_thousand_equal_vectors_come_once_each_and_in_order(catalog: Catalog) -> None:
    index = catalog._core.newest.state().segments[0].spaces["image"].approximate
    if index is not None and index.kind is IndexKind.NSG:
        return
    vector = BASE[0].astype(np.float32)
    equal = [str(n) for n in np.flatnonzero((BASE[0].astype(np.float16) == ROWS).all(axis=1))]
    found: list[str] = []
    while len(found) < 1_000:
        found += catalog.search(vector=vector, limit=100, offset=len(found)).keys
    if index is None or not index.kind.is_graph:  # a graph may not reach all that are equal
        assert found == equal[:1_000]
    assert len(set(found)) == 1_000


@pytest.mark.parametrize("filter", [None, "even == true"])
def test_all_items_can_be_paged_through_without_repeats_or_losses(catalog: Catalog, filter: str | None) -> None:
    vector = RANDOM.standard_normal(DIM).astype(np.float32)
    total = 3_000 if filter else COUNT
    keys: list[str] = []
    scores: list[float] = []
    for offset in range(0, total, 500):
        page = catalog.search(vector=vector, filter=filter, limit=500, offset=offset)
        assert page.total == total
        keys += page.keys
        scores += page.scores
    assert sorted(map(int, keys)) == [n for n in range(COUNT) if filter is None or EVEN[n]]
    ranked_before_the_missed(scores)
    whole = catalog.search(vector=vector, filter=filter, limit=10_000)
    assert whole.keys == keys
    assert whole.scores == scores
    again = catalog.search(vector=vector, filter=filter, limit=10_000)
    assert again.keys == keys
    (many,) = catalog.search_many(vector[None], filter=filter, limit=10_000)
    assert sorted(many.keys) == sorted(keys)


def ranked_before_the_missed(scores: list[float]) -> int:
    """Check that hits are best first but for those missed at first, few and themselves best first; return how many."""
    falls = np.diff(scores) <= 0
    assert np.count_nonzero(~falls) <= 1
    missed = 0 if falls.all() else len(scores) - int(np.argmin(falls)) - 1
    assert missed < 0.1 * len(scores)
    return missed


@pytest.fixture
def weak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Approximate, "_plan", weak_plans(1, 12))


@pytest.mark.usefixtures("weak")
@pytest.mark.parametrize("changed", [False, True])
def test_pages_of_an_index_that_misses_much_are_one_big_answer_to_the_last_item(tmp_path: Path, changed: bool) -> None:
    random = np.random.default_rng(4)
    rows = random.standard_normal((3_000, DIM))
    with Catalog.create(tmp_path / "made", dim=DIM) as catalog:
        catalog.add_vectors([str(n) for n in range(3_000)], rows)
        catalog.optimize(index="ivf_flat")
        if changed:
            catalog.add_vectors([str(n) for n in range(2_950, 3_050)], random.standard_normal((100, DIM)))
        total, missed = 3_050 if changed else 3_000, 0
        for vector in random.standard_normal((5, DIM)):
            whole = catalog.search(vector=vector, limit=5_000)
            assert sorted(map(int, whole.keys)) == list(range(total))
            missed += ranked_before_the_missed(whole.scores)
            for size in (90, 700):
                pages = [catalog.search(vector=vector, limit=size, offset=at) for at in range(0, total, size)]
                assert sum([page.keys for page in pages], []) == whole.keys
                assert sum([page.scores for page in pages], []) == whole.scores
        assert missed


def view_of_two_spaces(folder: Path, count: int) -> SegmentedState:
    """Return a state of items with a picture and a title each, with an index in both spaces."""
    random = np.random.default_rng(6)
    spaces = {name: Space(name, DIM, Metric.COSINE) for name in ("image", "title")}
    records = Records.create(folder / "records.sqlite")
    vectors = random.standard_normal((count, 2, DIM))
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    writes = [
        ItemWrite(f"k{n}", f"t{n}", "{}", [ImageWrite("0", b"%d" % n, 1, 1, image.tobytes())], title.tobytes())
        for n, (image, title) in enumerate(vectors.astype(np.float16))
    ]
    records.upsert(writes)
    state = NewestState(records, CatalogFile(spaces, None)).state()
    for rows in state.segments[0].spaces.values():
        object.__setattr__(rows, "approximate", build_approximate(rows.vectors, IndexKind.IVF_FLAT))
    return state


@pytest.mark.usefixtures("weak")
def test_two_spaces_whose_indexes_miss_much_give_longer_answers_that_begin_with_shorter_ones(tmp_path: Path) -> None:
    state = view_of_two_spaces(tmp_path, 1_500)
    random = np.random.default_rng(7)
    for _ in range(6):
        queries = random.standard_normal((2, DIM)).astype(np.float32)
        parts = [Part("image", "image", queries[0], 0.6), Part("title", "title", queries[1], 0.4)]
        whole = rank(state, parts, state.everything, 1_500, 0.9)
        assert sorted(whole.items.tolist()) == list(range(1_500))
        ranked_before_the_missed(whole.scores.tolist())
        for limit in (1, 9, 10, 11, 60, 100, 101, 400, 999, 1_000, 1_001, 1_499):
            some = rank(state, parts, state.everything, limit, 0.9)
            assert some.items.tolist() == whole.items[:limit].tolist()
            assert np.array_equal(some.scores, whole.scores[:limit])
            if limit <= 1_000:
                assert (np.diff(some.scores) <= 0).all()


def test_one_by_one_prepared_and_in_a_batch_equal_scores_are_in_the_order_of_adding(catalog: Catalog) -> None:
    vector = BASE[3].astype(np.float32)
    ways = [catalog.search(vector=vector, limit=10) for _ in range(4)]
    ways += catalog.search_many(np.repeat(vector[None], 40, axis=0), limit=10)
    for filter in ("even == true", "even == false"):
        ways += [catalog.search(vector=vector, filter=filter, limit=10) for _ in range(4)]
    for found in ways:
        places = [(-score, int(key)) for key, score in zip(found.keys, found.scores, strict=True)]
        assert places == sorted(places)


def test_items_changed_since_keep_their_place_among_equals(tmp_path: Path) -> None:
    with Catalog.create(tmp_path / "made", dim=2) as catalog:
        keys = [f"k{n}" for n in range(60)]
        catalog.add_vectors(keys, np.tile([[1.0, 1.0]], (60, 1)))
        catalog.optimize()
        catalog.add_vectors(keys[10:20], np.ones((10, 2)))
        assert catalog.search(vector=[1, 1], limit=60).keys == keys
        catalog.add_vectors(["new"], [[2, 2]])
        catalog.update(keys[30:35], {"price": [1.0] * 5})
        pages = [catalog.search(vector=[1, 1], limit=7, offset=offset).keys for offset in range(0, 63, 7)]
        assert sum(pages, []) == [*keys, "new"]
        assert catalog.search(limit=60).keys == keys
        listed = [catalog.search(limit=7, offset=offset).keys for offset in range(0, 63, 7)]
        assert sum(listed, []) == [*keys, "new"]
        (many,) = catalog.search_many(np.ones((1, 2)), limit=61)
        assert many.keys == [*keys, "new"]
        catalog.optimize()
        assert catalog.search(vector=[1, 1], limit=61).keys == catalog.search(limit=61).keys == [*keys, "new"]
