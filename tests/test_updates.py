from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike import Catalog
from lookalike.data.errors import FieldTypeError, ItemExists, ItemNotFound, UsageError
from lookalike.data.feeds.feed import open_feed
from lookalike.data.item import Value
from lookalike.retrieval.ingest.index_run import IndexRun
from tests.fakes import ColourEncoder
from tests.test_indexing import picture

DIM = 4
NOON = datetime(2026, 5, 31, 12, tzinfo=UTC)
EVERY: dict[str, Value] = {
    "string": "red",
    "int": 7,
    "float": 2.5,
    "bool": True,
    "timestamp": NOON,
    "strings": ["a", "b"],
    "json": {"deep": [1, "x", None]},
}


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog.create(tmp_path / "shop", dim=DIM) as made:
        made.add_vectors(["a", "b", "c"], np.eye(DIM, dtype=np.float32)[:3], {"price": [1, 2, 3], "brand": ["x"] * 3})
        yield made


def fields(catalog: Catalog, key: str) -> dict[str, Value]:
    return dict(catalog.get([key])[0].fields)


def test_update_changes_what_is_given_and_leaves_the_rest(catalog: Catalog) -> None:
    catalog.update(["a", "c"], {"price": [10, None]})
    assert [fields(catalog, key) for key in "abc"] == [
        {"price": 10, "brand": "x"},
        {"price": 2, "brand": "x"},
        {"price": None, "brand": "x"},
    ]
    results = catalog.search(vector=np.eye(DIM)[0], filter="price == 10")
    assert results.keys == ["a"] and results.scores[0] == pytest.approx(1)
    catalog.update(["a"], titles=["A cup"])
    assert (catalog.get(["a"])[0].title, fields(catalog, "a")) == ("A cup", {"price": 10, "brand": "x"})
    catalog.update(["a"], {"brand": ["y"]})
    assert catalog.get(["a"])[0].title == "A cup"
    catalog.update(["a"], titles=[None])
    assert catalog.get(["a"])[0].title is None


def test_an_update_that_changes_nothing_touches_no_item(catalog: Catalog) -> None:
    catalog.add_vectors(["d"], np.ones((1, DIM)), {"price": [None], "brand": ["x"]}, titles=["D"])
    catalog.update(["a", "d"], {"price": [1, None], "brand": ["x", "x"]})
    catalog.update(["d"], titles=["D"])
    assert [one.updated for one in catalog.log(2)] == [0, 0]
    assert len(catalog._core.records.touched_since(2)) == 0


def test_an_object_takes_the_place_of_an_object(catalog: Catalog) -> None:
    catalog.update(["a"], {"size": [{"w": 1, "h": 2}]})
    catalog.update(["a"], {"size": [{"w": 3}]})
    assert fields(catalog, "a")["size"] == {"w": 3}


def test_an_update_of_an_unknown_key_names_it_and_writes_nothing(catalog: Catalog) -> None:
    before = catalog.log()
    with pytest.raises(ItemNotFound, match="'nope'"):
        catalog.update(["a", "nope", "b"], {"price": [10, 11, 12], "new": [1, 2, 3]})
    assert catalog.log() == before and fields(catalog, "a") == {"price": 1, "brand": "x"}


@pytest.mark.parametrize(
    ("keys", "values", "said"),
    [
        (["a", "a"], {"price": [1, 2]}, "'a' occurs twice"),
        (["a"], {"price": [1, 2]}, "2 values for 1 key"),
        (
            ["a", "b"],
            {"price": [1, "much"]},
            r"Row 1 \(key 'b'\): The field 'price' holds whole numbers; 'much'",
        ),
        (["a", "b"], {"brand": ["y", {"k": 1}]}, r"Row 1 \(key 'b'\): The field 'brand' holds text"),
        (["a"], {"price": [2**70]}, r"Row 0 \(key 'a'\): .* more than 64 bits"),
    ],
)
def test_a_wrong_update_is_refused_in_words(
    catalog: Catalog, keys: list[str], values: dict[str, list[Value]], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        catalog.update(keys, values)
    with pytest.raises(UsageError, match=said):
        catalog.add_vectors(keys, np.ones((len(keys), DIM)), values)
    assert [fields(catalog, key) for key in "ab"] == [{"price": 1, "brand": "x"}, {"price": 2, "brand": "x"}]


def test_existing_keys_are_refused_by_name_and_nothing_is_written(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookalike.retrieval.input_checks._WRITE_ROWS", 2)
    keys = ["d", "e", "f", "b"]
    with pytest.raises(ItemExists, match="'b'") as caught:
        catalog.add_vectors(keys, np.ones((4, DIM)), existing="refuse")
    assert caught.value.key == "b" and catalog.count() == 3 and len(catalog.log()) == 1
    catalog.add_vectors(keys[:3], np.ones((3, DIM)), existing="refuse")
    assert catalog.keys(keys) == ["d", "e", "f", "b"]
    with pytest.raises(UsageError, match="'ignore'"):
        catalog.add_vectors(["z"], np.ones((1, DIM)), existing="ignore")  # type: ignore[arg-type]


def test_a_key_that_comes_between_the_check_and_the_write_is_refused_too(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog._core.records, "items_of_keys", lambda keys: {})
    with pytest.raises(ItemExists, match="'b'"):
        catalog.add_vectors(["d", "b"], np.ones((2, DIM)), existing="refuse")
    monkeypatch.undo()
    assert catalog.keys(["d"]) == []


@pytest.mark.parametrize("kind", EVERY)
def test_a_field_of_every_type_is_declared_filled_and_filtered(catalog: Catalog, kind: str) -> None:
    seen = catalog.search()
    assert "later" not in seen[0].fields
    seq = catalog.add_field("later", kind)
    assert catalog.add_field("later", kind) == seq + 1
    assert catalog.info().fields["later"] == kind
    assert catalog.search()[0].fields["later"] is None
    assert catalog.count(filter="later is null") == 3
    catalog.update(["b"], {"later": [EVERY[kind]]})
    assert fields(catalog, "b")["later"] == EVERY[kind]
    assert catalog.count(filter="later is not null") == 1
    catalog.optimize()
    assert next(hit.fields["later"] for hit in catalog.search() if hit.key == "b") == EVERY[kind]
    assert catalog.log(1)[0].updated == 1


def test_a_field_is_declared_once_with_one_type(catalog: Catalog) -> None:
    with pytest.raises(FieldTypeError, match="'price' holds whole numbers, not text"):
        catalog.add_field("price", "string")
    with pytest.raises(UsageError, match="'decimal'; it can be string, int"):
        catalog.add_field("new", "decimal")
    with pytest.raises(UsageError, match="cannot be called 'key'"):
        catalog.add_field("key", "string")
    catalog.add_field("empty", "timestamp")
    with pytest.raises(FieldTypeError, match="'empty' holds dates and times"):
        catalog.update(["a"], {"empty": ["soon"]})


def test_mixed_values_make_a_json_field(catalog: Catalog) -> None:
    values: list[Any] = [{"w": 1}, "text", 3]
    catalog.add_vectors(["x", "y", "z"], np.ones((3, DIM)), {"extra": values})
    assert catalog.info().fields["extra"] == "json"
    assert [fields(catalog, key)["extra"] for key in "xyz"] == values
    catalog.update(["x"], {"extra": [{"list": [1, "a", None]}]})
    assert fields(catalog, "x")["extra"] == {"list": [1, "a", None]}


def test_many_rows_are_written_in_parts_and_read_back_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.retrieval.input_checks._WRITE_ROWS", 70)
    monkeypatch.setattr("lookalike.retrieval.input_checks._ROWS_IN_CACHE", 16)
    monkeypatch.setattr("lookalike.retrieval.store.reader._VECTORS_AT_ONCE", 32)
    rows = np.random.default_rng(3).standard_normal((200, DIM)).astype(np.float32)
    keys = [f"k{number}" for number in range(200)]
    with Catalog.create(tmp_path / "many", dim=DIM) as catalog:
        catalog.add_vectors(keys[50:150], rows[:100], {"n": list(range(100))})
        catalog.add_vectors(keys, rows, {"n": list(range(200))}, titles=keys)
        assert [(one.added, one.updated) for one in catalog.log()] == [(50, 10), (0, 70), (50, 20), (30, 0), (70, 0)]
        found = catalog._core.records.vectors("image", DIM)
        ids = catalog._core.records.items_of_keys(keys)
        expected = {ids[key].id: row / np.linalg.norm(row) for key, row in zip(keys, rows, strict=True)}
        assert sorted(expected) == found.item_ids.tolist()
        assert np.allclose(found.vectors, [expected[id_] for id_ in found.item_ids], atol=1e-3)
        assert {item.key: (item.title, item.fields["n"]) for item in catalog.items()} == {
            key: (key, number) for number, key in enumerate(keys)
        }


def test_an_item_with_pictures_that_becomes_a_vector_loses_them(tmp_path: Path, encoder: ColourEncoder) -> None:
    picture(tmp_path / "0.png", 0)
    (tmp_path / "feed.csv").write_text("key,image,title\nmug,0.png,red mug\n")
    with Catalog.create(tmp_path / "shop", model="compact") as catalog:
        for _ in IndexRun(catalog._core, open_feed(tmp_path / "feed.csv")):
            pass
        catalog.add_vectors(["mug"], np.eye(12)[:1])
        assert catalog.get(["mug"])[0].images == ()
        assert catalog.info().spaces == {"image": 1, "title": 0}
        assert catalog.search(vector=np.eye(12)[0]).scores == [pytest.approx(1)]


def test_a_new_title_gets_a_new_vector(tmp_path: Path, encoder: ColourEncoder) -> None:
    (tmp_path / "feed.csv").write_text("key,image,title\nmug,0.png,red mug\ncup,1.png,green cup\n")
    for number in range(2):
        picture(tmp_path / f"{number}.png", number)
    with Catalog.create(tmp_path / "shop", model="compact") as catalog:
        for _ in IndexRun(catalog._core, open_feed(tmp_path / "feed.csv")):
            pass
        catalog.update(["mug"], titles=["blue mug"])
        rows = catalog._core.records.vectors("title", 3)
        assert np.allclose(rows.vectors.astype(np.float32), encoder.encode_titles(["blue mug", "green cup"]), atol=2e-3)
        assert catalog.get(["mug"], as_of=1)[0].title == "red mug"
        assert len(catalog.get(["mug"])[0].images) == 1
        catalog.update(["cup"], titles=[None])
        assert catalog.info().spaces == {"image": 2, "title": 1}


def test_one_value_in_place_of_a_column_is_refused_in_words(tmp_path: Path) -> None:
    with Catalog.create(tmp_path / "shop", dim=DIM) as catalog:
        catalog.add_vectors(["a"], np.ones((1, DIM), dtype=np.float32), {"price": [1.0]})
        for fields in ({"price": 5}, {"new": "text"}, {"other": 5}):
            with pytest.raises(UsageError, match="one for each key"):
                catalog.update(["a"], fields)  # type: ignore[arg-type]
            with pytest.raises(UsageError, match="one for each key"):
                catalog.add_vectors(["b"], np.ones((1, DIM), dtype=np.float32), fields)  # type: ignore[arg-type]
