from __future__ import annotations

import itertools
import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from numpy.typing import NDArray

from lookalike import Catalog
from lookalike.data.errors import (
    CatalogBusy,
    CatalogDamaged,
    CatalogExists,
    CatalogFormat,
    CatalogNotFound,
    FieldTypeError,
    FilterError,
    ItemNotFound,
    ModalityUnsupported,
    UsageError,
)
from lookalike.data.item import Value
from lookalike.retrieval.vector_index import Approximate, FoundOne, Selection

Search = Callable[[NDArray[np.float32]], FoundOne]

DIM = 16
RANDOM = np.random.default_rng(5)
COUNT = 500
KEYS = [f"k{number:03}" for number in range(COUNT)]
ROWS = RANDOM.standard_normal((COUNT, DIM)).astype(np.float32)
PRICES = [float(price) for price in RANDOM.integers(0, 100, COUNT)]
BRANDS = [f"b{number}" for number in RANDOM.integers(0, 5, COUNT)]
FIELDS: dict[str, list[Value]] = {"price": [*PRICES], "brand": [*BRANDS]}


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    made = Catalog.create(tmp_path / "shop", dim=DIM)
    made.add_vectors(KEYS, ROWS, FIELDS)
    return made


def stored(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """What a catalog keeps of vectors: unit rows in float16."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    halved: NDArray[np.float16] = unit.astype(np.float16)
    return halved.astype(np.float64)


def expected(query: NDArray[np.float32], passes: Callable[[int], bool], limit: int) -> list[str]:
    scores = stored(ROWS) @ (query / np.linalg.norm(query)).astype(np.float64)
    order = [place for place in np.argsort(-scores, kind="stable") if passes(int(place))]
    return [KEYS[place] for place in order[:limit]]


FILTERS: list[tuple[str | None, Callable[[int], bool]]] = [
    (None, lambda place: True),
    ('brand == "b1"', lambda place: BRANDS[place] == "b1"),
    (
        'price < 10 and brand in ["b2", "b3"]',
        lambda at: PRICES[at] < 10 and BRANDS[at] in ("b2", "b3"),
    ),
    ("price > 1000", lambda place: False),
]


@pytest.mark.parametrize("state", ["tail", "generation", "both"])
@pytest.mark.parametrize(("filter", "passes"), FILTERS)
def test_search_equals_brute_force(
    tmp_path: Path, state: str, filter: str | None, passes: Callable[[int], bool]
) -> None:
    catalog = Catalog.create(tmp_path / "shop", dim=DIM)
    half = {"tail": 0, "generation": COUNT, "both": COUNT // 2}[state]
    catalog.add_vectors(KEYS[:half], ROWS[:half], {name: values[:half] for name, values in FIELDS.items()})
    catalog.optimize()
    catalog.add_vectors(KEYS[half:], ROWS[half:], {name: values[half:] for name, values in FIELDS.items()})
    for query in RANDOM.standard_normal((5, DIM)).astype(np.float32):
        results = catalog.search(vector=query, filter=filter, limit=20)
        assert results.keys == expected(query, passes, 20)
        assert results.exact
        assert results.total == sum(passes(place) for place in range(COUNT))
        assert results.scores == sorted(results.scores, reverse=True)
    many = catalog.search_many(ROWS[:7], filter=filter, limit=20)
    assert [one.keys for one in many] == [expected(row, passes, 20) for row in ROWS[:7]]


@pytest.mark.parametrize("index", ["ivf_pq", "hnsw"])
def test_an_approximate_generation_says_so_and_exact_can_be_asked_for(
    catalog: Catalog, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dear = 1e9, 1e9  # microseconds: so that a scan is not chosen
    monkeypatch.setattr("lookalike.retrieval.vector_index.measurement._cost_of_a_scan", lambda *args: dear)
    catalog.optimize(index=index)
    query = ROWS[3] + 0.1
    assert not catalog.search(vector=query, limit=5).exact
    exact = catalog.search(vector=query, limit=5, recall="exact")
    assert exact.exact
    assert exact.keys == expected(query, lambda place: True, 5)
    narrow = catalog.search(vector=query, filter='key in ["k001", "k002", "k003"]', limit=5)
    assert sorted(narrow.keys) == ["k001", "k002", "k003"]


def test_pages_put_together_are_the_whole_ranking(catalog: Catalog) -> None:
    whole = catalog.search(vector=ROWS[0], limit=60).keys
    pages = [catalog.search(vector=ROWS[0], limit=20, offset=offset).keys for offset in (0, 20, 40)]
    assert sum(pages, []) == whole


def test_upsert_replaces_and_delete_removes(catalog: Catalog) -> None:
    catalog.optimize()
    catalog.add_vectors(["k000", "fresh"], ROWS[[1, 2]] * 3, {"price": [7.0, 8.0], "brand": ["new", "new"]})
    assert catalog.count() == COUNT + 1
    assert catalog.count(filter='brand == "new"') == 2
    assert {"k000", "k001"} == set(catalog.search(vector=ROWS[1], limit=2).keys)
    (item,) = catalog.get(["k000"])
    assert item.fields == {"price": 7.0, "brand": "new"}
    assert catalog.delete(keys=["k000"]) == 1
    assert catalog.delete(filter='brand == "b1"') == BRANDS.count("b1") - (BRANDS[0] == "b1")
    assert catalog.count(filter='brand == "b1"') == 0
    with pytest.raises(ItemNotFound, match="k000"):
        catalog.get(["k000"])
    with pytest.raises(ItemNotFound):
        catalog.delete(keys=["k001", "k000"])
    catalog.optimize()
    assert "k000" not in catalog.search(vector=ROWS[1], limit=COUNT).keys


def test_everything_derived_can_be_deleted(catalog: Catalog, tmp_path: Path) -> None:
    catalog.optimize()
    before = [one.keys for one in catalog.search_many(ROWS[:10])]
    catalog.close()
    shutil.rmtree(tmp_path / "shop" / "generations")
    again = Catalog.open(tmp_path / "shop")
    assert [one.keys for one in again.search_many(ROWS[:10], recall="exact")] == before
    again.optimize()
    assert [one.keys for one in again.search_many(ROWS[:10], recall="exact")] == before


@pytest.mark.slow
def test_another_process_sees_a_commit_without_reopening(catalog: Catalog, tmp_path: Path) -> None:
    assert catalog.count() == COUNT
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=add_one, args=(tmp_path / "shop",))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert catalog.count() == COUNT + 1
    assert catalog.search(vector=ROWS[4], limit=2).keys[0] in ("k004", "other")


def add_one(path: Path) -> None:
    with Catalog.open(path) as catalog:
        catalog.add_vectors(["other"], ROWS[4:5], {"price": [1.0], "brand": ["b9"]})
        catalog.optimize()


@pytest.mark.slow
def test_two_writers_queue(catalog: Catalog, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=add_many, args=(tmp_path / "shop", name)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert catalog.count() == COUNT + 60


def add_many(path: Path, name: str) -> None:
    with Catalog.open(path) as catalog:
        for number in range(30):
            catalog.add_vectors([f"{name}{number}"], ROWS[number : number + 1], {"price": [1.0], "brand": [name]})


def test_two_indexing_runs_are_refused(catalog: Catalog, tmp_path: Path) -> None:
    other = Catalog.open(tmp_path / "shop")
    with catalog._core.writer(), pytest.raises(CatalogBusy, match="indexing"), other._core.writer():
        pass


def test_new_fields_and_wider_numbers_need_no_declaration(catalog: Catalog) -> None:
    catalog.optimize()
    catalog.add_vectors(["x"], ROWS[:1], {"stock": [3]})
    catalog.add_vectors(["y"], ROWS[:1], {"stock": [2.5], "tags": [["a", "b"]]})
    assert catalog.count(filter="stock > 2.7") == 1
    assert catalog.count(filter='array_contains(tags, "b")') == 1
    assert catalog.count(filter="stock is null") == COUNT
    with pytest.raises(FieldTypeError, match="price.*'cheap'"):
        catalog.add_vectors(["z"], ROWS[:1], {"price": ["cheap"]})
    assert catalog.count() == COUNT + 2


def test_wrong_filters_are_errors_and_never_an_empty_answer(catalog: Catalog) -> None:
    for filter in ('brnd == "b1"', 'price == "b1"', "price <", "", "brand > 3"):
        with pytest.raises(FilterError):
            catalog.search(vector=ROWS[0], filter=filter)
    assert catalog.search(vector=ROWS[0], filter="brand == {b}", params={"b": "b1"}).total == BRANDS.count("b1")


@pytest.mark.parametrize(
    ("keys", "rows", "fields", "reason"),
    [
        (["a"], np.ones((2, DIM)), {}, "1 key for 2 vectors"),
        (["a"], np.ones((1, DIM + 1)), {}, "takes"),
        (["a"], np.zeros((1, DIM)), {}, "all zeros"),
        (["a"], np.full((1, DIM), np.nan), {}, "finite"),
        (["a", "a"], np.ones((2, DIM)), {}, "occurs twice"),
        ([""], np.ones((1, DIM)), {}, "empty"),
        (["a"], np.ones((1, DIM)), {"price": [1.0, 2.0]}, "2 values for 1 key\\."),
        (["a"], np.ones((1, DIM)), {"key": ["x"]}, "cannot be called"),
        (["a"], [["x"] * DIM], {}, "not an array of numbers"),
    ],
)
def test_what_cannot_be_stored_is_refused_whole(
    catalog: Catalog, keys: list[str], rows: NDArray[np.float64], fields: dict[str, list[Value]], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        catalog.add_vectors(keys, rows, fields)
    assert catalog.count() == COUNT


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"limit": 0}, "limit"),
        ({"offset": -1}, "offset"),
        ({"balance": 2}, "balance"),
        ({"recall": "most"}, "recall"),
        ({"vector": np.ones(3)}, "takes"),
    ],
)
def test_wrong_options_are_refused(catalog: Catalog, options: dict[str, object], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        catalog.search(**{"vector": ROWS[0], **options})


def test_words_and_pictures_need_a_model(catalog: Catalog) -> None:
    with pytest.raises(ModalityUnsupported, match="no model"):
        catalog.search(text="red")


def test_like_finds_the_neighbours_and_not_the_item_itself(catalog: Catalog) -> None:
    assert catalog.search(like="k007", limit=5).keys == [
        key for key in expected(stored(ROWS[7:8])[0].astype(np.float32), lambda place: True, 6) if key != "k007"
    ]
    with pytest.raises(ItemNotFound):
        catalog.search(like="nobody")


def test_with_nothing_to_be_like_items_come_in_order(catalog: Catalog) -> None:
    assert catalog.search(limit=3, offset=2).keys == ["k002", "k003", "k004"]


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_other_metrics_keep_the_lengths(tmp_path: Path, metric: str) -> None:
    catalog = Catalog.create(tmp_path / "shop", dim=DIM, metric=metric)
    catalog.add_vectors(KEYS, ROWS)
    rows, query = ROWS.astype(np.float16).astype(np.float64), ROWS[9].astype(np.float64) * 1.5
    scores = rows @ query if metric == "ip" else -np.square(rows - query).sum(axis=1)
    results = catalog.search(vector=query, limit=7)
    assert results.keys == [KEYS[place] for place in np.argsort(-scores)[:7]]
    assert np.allclose(results.scores, np.sort(scores)[::-1][:7], rtol=1e-3)


def test_creating_and_opening_say_what_is_wrong(tmp_path: Path, catalog: Catalog) -> None:
    with pytest.raises(CatalogExists):
        Catalog.create(tmp_path / "shop", dim=3)
    with pytest.raises(CatalogNotFound, match="lookalike index"):
        Catalog.open(tmp_path / "nowhere")
    for options in ({}, {"dim": 3, "model": "compact"}, {"dim": 0}, {"dim": 3, "metric": "manhattan"}):
        with pytest.raises(UsageError):
            Catalog.create(tmp_path / "new", **options)
    with pytest.raises(UsageError, match="milvus"):
        Catalog.open("milvus://host:19530/shop")
    catalog.close()
    text = (tmp_path / "shop" / "catalog.json").read_text()
    (tmp_path / "shop" / "catalog.json").write_text(text.replace('"format": 1', '"format": 99'))
    with pytest.raises(CatalogFormat, match="99"):
        Catalog.open(tmp_path / "shop")
    (tmp_path / "shop" / "catalog.json").write_text("{")
    with pytest.raises(CatalogDamaged):
        Catalog.open(tmp_path / "shop")
    (tmp_path / "shop" / "catalog.json").write_text(text)
    (tmp_path / "shop" / "records.sqlite").write_bytes(os.urandom(5000))
    with pytest.raises(CatalogDamaged):
        Catalog.open(tmp_path / "shop")


def test_info_counts_what_is_there(catalog: Catalog) -> None:
    assert (catalog.info().items, catalog.info().tail, catalog.info().generation) == (COUNT, COUNT, None)
    name = catalog.optimize()
    catalog.add_vectors(["x"], ROWS[:1])
    info = catalog.info()
    assert (info.items, info.vectors, info.tail, info.generation) == (COUNT + 1, COUNT + 1, 1, name)
    assert (info.dim, info.model, info.metric) == (DIM, None, "cosine")
    assert info.fields == {"price": "float", "brand": "string"}
    assert info.bytes_on_disk > COUNT * DIM * 2


def test_facets_count_through_generation_and_tail(catalog: Catalog) -> None:
    catalog.optimize()
    catalog.add_vectors(["x"], ROWS[:1], {"brand": ["b1"], "price": [-5.0]})
    price, brand = catalog.facets()
    counts = {name: BRANDS.count(name) + (name == "b1") for name in ("b0", "b1", "b2", "b3", "b4")}
    assert dict(brand.values) == counts
    assert [count for _, count in brand.values] == sorted(counts.values(), reverse=True)
    assert (price.low, price.high) == (-5.0, max(PRICES))
    (narrow,) = catalog.facets(["brand"], filter='brand != "b1"', limit=2)
    assert len(narrow.values) == 2
    assert narrow.distinct == 4
    with pytest.raises(UsageError, match="no field"):
        catalog.facets(["nope"])


def test_pages_of_tied_scores_lose_and_repeat_nothing(tmp_path: Path) -> None:
    catalog = Catalog.create(tmp_path / "shop", dim=2)
    rows = np.tile([1.0, 0.0], (100, 1))
    rows[::2] = [0.0, 1.0]
    catalog.add_vectors([f"k{number}" for number in range(100)], rows)
    pages = [catalog.search(vector=[1, 0], limit=10, offset=offset).keys for offset in range(0, 100, 10)]
    assert len(set(sum(pages, []))) == 100


@pytest.mark.parametrize(
    "titles", [['"a\\ \u2028 \U0001f3fa', None, "\t"], ["a\0b", "", None]], ids=["odd", "with a zero"]
)
def test_texts_come_back_as_they_were_given(titles: list[str | None], tmp_path: Path) -> None:
    keys = ["\"'\\", "\u2028\U0001f3fa", "null"]
    notes = ['"\\\0\n', "[1]", "\U0001f3fa"]
    with Catalog.create(tmp_path / "odd", dim=DIM) as catalog:
        catalog.add_vectors(keys, ROWS[:3], {"note": notes}, titles=titles)
        items = catalog.get(keys)
        assert [item.key for item in items] == keys
        assert [item.title for item in items] == titles
        assert [item.fields["note"] for item in items] == notes
        assert catalog.verify().problems == []


@pytest.mark.parametrize("title", [np.float32(3), b"x", "\ud800"])
def test_a_title_that_is_no_text_is_refused(catalog: Catalog, title: object) -> None:
    with pytest.raises(UsageError, match="title"):
        catalog.add_vectors(["x"], ROWS[:1], titles=[title])  # type: ignore[list-item]
    assert catalog.count() == COUNT


@pytest.mark.parametrize("values", [[["x"], ["y"]], [1, 2], ["a", "b"], [True, False]])
def test_a_field_may_be_named_like_a_pattern(tmp_path: Path, values: list[Value]) -> None:
    catalog = Catalog.create(tmp_path / "shop", dim=2)
    catalog.add_vectors(["a", "b"], np.eye(2), {"^p.*$": values})
    catalog.optimize()
    catalog.add_vectors(["c"], np.eye(2)[:1], {"other": [1.5]})
    assert catalog.count(filter='$meta["^p.*$"] is not null') == 2
    assert {facet.name for facet in catalog.facets()} == {"^p.*$", "other"}
    assert catalog.search(vector=[1, 0], limit=3)[0].fields["^p.*$"] in [*values, None]


@pytest.mark.parametrize("index", ["ivf_pq", "hnsw"])
def test_a_few_vectors_need_no_index_whatever_is_asked_for(catalog: Catalog, index: str) -> None:
    catalog.optimize(index=index)
    catalog.delete(keys=KEYS[3:])
    catalog.optimize()
    assert sorted(catalog.search(vector=ROWS[0], limit=9).keys) == KEYS[:3]


def test_threads_that_ended_leave_no_connection(catalog: Catalog) -> None:
    for _ in range(20):
        thread = threading.Thread(target=catalog.count)
        thread.start()
        thread.join()
    assert len(catalog._core.records._database._connections) <= 2


def test_delete_by_filter_spares_what_another_process_has_just_changed(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete = catalog._core.records.delete

    def change_first(ids: Iterable[int], *, as_of: int | None = None) -> int:
        monkeypatch.setattr(catalog._core.records, "delete", delete)
        with Catalog.open(tmp_path / "shop") as other:
            other.add_vectors(["k001"], ROWS[1:2], {"price": [1000.0]})
        return delete(ids, as_of=as_of)

    monkeypatch.setattr(catalog._core.records, "delete", change_first)
    assert catalog.delete(filter='key in ["k001", "k002"] and price < 999') == 1
    assert catalog.keys(["k001", "k002"]) == ["k001"]


class CatalogAgainstDictionary(RuleBasedStateMachine):
    """Random adds, upserts, deletes, optimizes and reopenings; the model is a plain dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, tuple[NDArray[np.float64], int]] = {}
        self.random = np.random.default_rng(0)

    @initialize()
    def create(self) -> None:
        from tempfile import mkdtemp

        self.folder = Path(mkdtemp()) / "shop"
        self.catalog = Catalog.create(self.folder, dim=4)

    @rule(numbers=st.lists(st.integers(0, 30), min_size=1, max_size=8, unique=True), price=st.integers(0, 9))
    def add(self, numbers: list[int], price: int) -> None:
        rows = self.random.standard_normal((len(numbers), 4)).astype(np.float32)
        keys = [f"k{number}" for number in numbers]
        self.catalog.add_vectors(keys, rows, {"price": [price] * len(numbers)})
        self.model.update({key: (row, price) for key, row in zip(keys, stored(rows), strict=True)})

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def delete_keys(self, data: st.DataObject) -> None:
        keys = data.draw(st.lists(st.sampled_from(sorted(self.model)), min_size=1, max_size=4, unique=True))
        assert self.catalog.delete(keys=keys) == len(keys)
        for key in keys:
            del self.model[key]

    @rule(price=st.integers(0, 9))
    def delete_by_filter(self, price: int) -> None:
        gone = [key for key, (_, found) in self.model.items() if found == price]
        if self.model:
            assert self.catalog.delete(filter=f"price == {price}") == len(gone)
        for key in gone:
            del self.model[key]

    @rule()
    def optimize(self) -> None:
        self.catalog.optimize()

    @rule()
    def reopen(self) -> None:
        self.catalog.close()
        self.catalog = Catalog.open(self.folder)

    @invariant()
    def answers_are_those_of_the_model(self) -> None:
        assert self.catalog.count() == len(self.model)
        if not self.model:
            return
        query = self.random.standard_normal(4).astype(np.float32)
        unit = (query / np.linalg.norm(query)).astype(np.float64)
        for filter, low in ((None, -1), ("price >= 5", 5)):
            scores = {key: float(row @ unit) for key, (row, price) in self.model.items() if price >= low}
            results = self.catalog.search(vector=query, filter=filter, limit=10)
            best = sorted(scores.values(), reverse=True)[:10]
            assert np.allclose(results.scores, best, atol=1e-5)
            assert np.allclose([scores[key] for key in results.keys], best, atol=1e-5)
            assert len(set(results.keys)) == len(results.keys)

    def teardown(self) -> None:
        self.catalog.close()
        shutil.rmtree(self.folder.parent)


CatalogAgainstDictionary.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestCatalogAgainstDictionary = pytest.mark.slow(CatalogAgainstDictionary.TestCase)


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
@pytest.mark.parametrize("scan_us", [1e9, 1e-9])
def test_a_search_made_ready_answers_as_the_long_way_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scan_us: float, metric: str
) -> None:
    catalog = Catalog.create(tmp_path / metric, dim=DIM, metric=metric)
    catalog.add_vectors(KEYS, ROWS, FIELDS)
    monkeypatch.setattr(
        "lookalike.retrieval.vector_index.measurement._cost_of_a_scan", lambda *args: (scan_us, scan_us)
    )
    made: list[bool] = []
    bound_one = Approximate.bound_one

    def counted(index: Approximate, k: int, recall: float, selection: Selection | None) -> Search:
        search = bound_one(index, k, recall, selection)

        def found(query: NDArray[np.float32]) -> FoundOne:
            made.append(True)
            return search(query)

        return found

    monkeypatch.setattr(Approximate, "bound_one", counted)
    catalog.optimize(index="ivf_pq")
    for filter in (None, 'brand == "b1"', "price > 1000"):
        for query in ROWS[:6]:
            short = catalog.search(vector=query, filter=filter, limit=5, fields=["price"])
            long = catalog.search_many(query[None], filter=filter, limit=5, fields=["price"])[0]
            assert (short.keys, short.values("price"), short.total) == (long.keys, long.values("price"), long.total)
            assert (short.plan, short.exact) == (long.plan, long.exact)
            assert short.exact == (scan_us < 1 or filter == "price > 1000")
            assert short.scores == pytest.approx(long.scores, abs=1e-6)
            assert [hit.scores["vector"] for hit in short] == short.scores
    assert len(made) >= 8
    catalog.add_vectors(["fresh"], ROWS[:1], {"price": [5.0]})  # another state: what was bound is not used
    assert "fresh" in catalog.search(vector=ROWS[0], limit=5, fields=["price"]).keys


def test_a_filter_that_nothing_satisfies_finds_nothing_where_codes_are_cheapest(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = itertools.cycle([(1e-9, 1e-9), (1e9, 1e9)])  # of codes, of vectors
    monkeypatch.setattr("lookalike.retrieval.vector_index.measurement._cost_of_a_scan", lambda *args: next(costs))
    catalog.optimize(index="ivf_pq")
    for _ in range(3):
        assert catalog.search(vector=ROWS[0], filter="price > 1000").keys == []
    assert [one.keys for one in catalog.search_many(ROWS[:3], filter="price > 1000")] == [[], [], []]
    assert "codes" in catalog.search(vector=ROWS[0], filter='brand == "b1"').plan
