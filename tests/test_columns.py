from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest

from lookalike.data.errors import CatalogDamaged, FilterError, UsageError
from lookalike.data.item import Value
from lookalike.retrieval.filters import Filter
from lookalike.retrieval.generations.columns import CHUNK_ROWS, Bin, Columns
from lookalike.retrieval.schema import FieldType, Schema

SCHEMA = Schema(
    {
        "brand": FieldType.STRING,
        "stock": FieldType.INT,
        "price": FieldType.FLOAT,
        "live": FieldType.BOOL,
        "added": FieldType.TIMESTAMP,
        "tags": FieldType.STRINGS,
        "^.*$": FieldType.JSON,
    }
)
ROWS: list[dict[str, Any]] = [
    {
        "brand": "Ada",
        "stock": 3,
        "price": 10.0,
        "live": True,
        "added": "2026-01-01",
        "tags": ["new", "sale"],
        "^.*$": 1,
    },
    {"brand": "Bo", "stock": 0, "price": 20.0, "live": False, "added": "2026-01-02", "tags": [], "^.*$": {"a": None}},
    {"brand": "Ada", "price": 40.0, "added": "2026-01-03T12:00:00", "tags": ["sale", "sale"], "^.*$": "x"},
    {"stock": 2**63 - 1, "live": True},
]
KEYS = ["a", "b", "c", "d"]
TITLES = ["Red shoe", None, "Blue shoe", "Hat"]


def columns_of(schema: Schema, rows: Sequence[dict[str, Value]], titles: Sequence[str | None] | None = None) -> Columns:
    stored = [{name: schema.coerce(name, value) for name, value in row.items()} for row in rows]
    keys = KEYS[: len(rows)] if titles is not None else [f"k{number}" for number in range(len(rows))]
    return Columns.from_json(schema, keys, titles or [None] * len(rows), [orjson.dumps(row) for row in stored])


@pytest.fixture(params=["built", "opened"])
def columns(request: pytest.FixtureRequest, tmp_path: Path) -> Columns:
    built = columns_of(SCHEMA, ROWS, TITLES)
    if request.param == "built":
        return built
    built.write(tmp_path)
    return Columns.open(tmp_path)


def test_rows_come_back_as_they_were_given(columns: Columns) -> None:
    assert len(columns) == 4
    assert columns.schema == SCHEMA
    assert columns.keys(np.array([2, 0])) == ["c", "a"]
    assert columns.rows(np.array([2, 0])) == {
        "title": ["Blue shoe", "Red shoe"],
        "brand": ["Ada", "Ada"],
        "stock": [None, 3],
        "price": [40.0, 10.0],
        "live": [None, True],
        "added": [datetime(2026, 1, 3, 12, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)],
        "tags": [["sale", "sale"], ["new", "sale"]],
        "^.*$": ["x", 1],
    }
    assert columns.rows(np.array([1]), ["^.*$"]) == {"^.*$": [{"a": None}]}
    assert columns.rows(np.empty(0, np.int64), ["price"]) == {"price": []}
    with pytest.raises(UsageError, match="colour"):
        columns.rows(np.array([1]), ["colour"])
    assert columns.values("stock").to_list() == [3, 0, None, 2**63 - 1]


def test_a_mask_says_which_rows_pass(columns: Columns) -> None:
    condition = Filter.parse('brand == "Ada" and price > 10').condition
    mask = columns.mask(condition)
    assert mask.dtype == np.bool_
    assert mask.tolist() == [False, False, True, False]
    assert columns.count(condition) == 1


def test_a_field_whose_name_is_a_pattern_is_only_itself(columns: Columns) -> None:
    assert Filter.parse('$meta["^.*$"] is null').mask(columns).tolist() == [False, False, False, True]


def test_a_filter_that_does_not_fit_is_refused(columns: Columns) -> None:
    with pytest.raises(FilterError, match="'prize'"):
        Filter.parse("prize < 5").mask(columns)


def test_facets_count_items_by_value(columns: Columns) -> None:
    assert columns.facets("brand") == [("Ada", 2), ("Bo", 1)]
    assert columns.facets("live") == [(True, 2), (False, 1)]
    assert columns.facets("tags") == [("sale", 2), ("new", 1)]
    assert columns.facets("brand", np.array([True, True, False, True])) == [("Ada", 1), ("Bo", 1)]
    assert columns.facets("brand", limit=1) == [("Ada", 2)]
    assert columns.facets("brand", np.zeros(4, dtype=np.bool_)) == []
    assert columns.facets("title") == [("Blue shoe", 1), ("Hat", 1), ("Red shoe", 1)]


def test_ranges_span_the_values(columns: Columns) -> None:
    assert columns.range("price") == (10.0, 40.0)
    assert columns.range("stock") == (0, 2**63 - 1)
    assert columns.range("added") == (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 3, 12, tzinfo=UTC))
    assert columns.range("price", np.array([False, True, True, True])) == (20.0, 40.0)
    assert columns.range("price", np.array([False, False, False, True])) is None


def test_histograms_count_in_equal_steps(columns: Columns) -> None:
    assert columns.histogram("price", bins=3) == [Bin(10.0, 20.0, 1), Bin(20.0, 30.0, 1), Bin(30.0, 40.0, 1)]
    assert columns.histogram("price", np.array([True, False, False, True])) == [Bin(10.0, 10.0, 1)]
    assert columns.histogram("price", np.zeros(4, dtype=np.bool_)) == []
    days = columns.histogram("added", bins=2)
    assert (days[0].low, days[-1].high) == (1_767_225_600.0, 1_767_441_600.0)
    assert [day.count for day in days] == [2, 1]


@pytest.mark.parametrize("call", ["facets", "range", "histogram"])
def test_a_field_of_another_type_or_name_is_refused(columns: Columns, call: str) -> None:
    ask = getattr(columns, call)
    with pytest.raises(UsageError, match="holds"):
        ask("price" if call == "facets" else "brand")
    with pytest.raises(UsageError, match="no field"):
        ask("prize")
    with pytest.raises(UsageError, match="holds"):
        ask("^.*$")


def test_columns_align_with_a_later_schema(columns: Columns) -> None:
    later = Schema.from_json({"colour": "string", **SCHEMA.widened("stock", FieldType.FLOAT).to_json()})
    aligned = columns.aligned(later)
    assert aligned.schema == later
    assert aligned.values("stock").to_list() == [3.0, 0.0, None, float(2**63 - 1)]
    assert aligned.rows(np.array([0]), ["colour"]) == {"colour": [None]}
    assert Filter.parse('colour == "red" or stock == 3').mask(aligned).tolist() == [True, False, False, False]
    assert columns.aligned(SCHEMA) is columns


def test_no_rows_are_columns_too(tmp_path: Path) -> None:
    empty = columns_of(SCHEMA, [])
    empty.write(tmp_path)
    again = Columns.open(tmp_path)
    assert len(again) == 0
    assert again.schema == SCHEMA
    assert Filter.parse("price < 5 or stock * 2 > 1 or brand in []").mask(again).tolist() == []
    assert again.facets("brand") == []
    assert again.range("price") is None


def test_many_rows_keep_their_order(tmp_path: Path) -> None:
    count = 2 * CHUNK_ROWS + 1
    schema = Schema({"number": FieldType.INT, "tags": FieldType.STRINGS})
    texts = [orjson.dumps({"number": number, "tags": ["odd"] * (number % 2)}) for number in range(count)]
    columns = Columns.from_json(schema, [f"k{number}" for number in range(count)], [None] * count, texts)
    columns.write(tmp_path)
    again = Columns.open(tmp_path)
    assert again.values("number").to_list() == list(range(count))
    assert again.values("number").n_chunks() == 1
    assert columns.values("key").to_list() == [f"k{number}" for number in range(count)]
    assert Filter.parse('array_contains(tags, "odd")').mask(again).tolist() == [n % 2 == 1 for n in range(count)]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"stock": "x"}', '{"stock": 1}, {}', '{"stock": 1.5}'])
def test_stored_rows_that_do_not_fit_the_schema_are_damage(text: str) -> None:
    with pytest.raises(CatalogDamaged):
        Columns.from_json(SCHEMA, ["a"], ["t"], [text])


def test_a_file_that_is_not_columns_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "columns.arrow"
    with pytest.raises(CatalogDamaged):
        Columns.open(tmp_path)
    columns_of(SCHEMA, ROWS).write(tmp_path)
    path.write_bytes(b"not arrow at all")
    with pytest.raises(CatalogDamaged):
        Columns.open(tmp_path)
    pl.DataFrame({"0": ["a"], "1": ["t"], "2": pl.Series([1], dtype=pl.Int8)}).write_ipc(path)
    with pytest.raises(CatalogDamaged, match="Int8"):
        Columns.open(tmp_path)


def test_a_truncated_file_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "columns.arrow"
    columns_of(SCHEMA, ROWS).write(tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CatalogDamaged):
        Columns.open(tmp_path)


def test_columns_of_a_deleted_file_are_still_read(tmp_path: Path) -> None:
    columns_of(SCHEMA, ROWS, TITLES).write(tmp_path)
    opened = Columns.open(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    assert opened.values("title").to_list() == TITLES
    assert opened.keys(np.array([3, 1])) == ["d", "b"]


def test_a_column_of_numbers_named_like_a_pattern_is_compared() -> None:
    schema = Schema({"^.*$": FieldType.INT})
    columns = columns_of(schema, [{"^.*$": 5}, {}, {"^.*$": 7}])
    assert Filter.parse('$meta["^.*$"] > 5').mask(columns).tolist() == [False, False, True]
    assert columns.rows(np.array([1, 2])) == {"title": [None, None], "^.*$": [None, 7]}


FILTERS = ['brand == "Ada" and price >= 20', "stock < 4", 'array_contains(tags, "sale")', 'added > "2026-01-01"']


def test_what_lies_beside_columns_may_be_missing_and_must_fit(tmp_path: Path) -> None:
    columns_of(SCHEMA, ROWS, TITLES).write(tmp_path)
    before = [Filter.parse(text).mask(Columns.open(tmp_path)).tolist() for text in FILTERS]
    ranks = tmp_path / "column3.ranks.npy"
    codes = np.load(ranks)
    np.save(ranks, codes[1:])
    with pytest.raises(CatalogDamaged, match="3 rows for 4 keys"):
        Columns.open(tmp_path)
    for path in tmp_path.glob("column*.*.*"):  # a generation of an earlier version has fewer
        path.unlink()
    assert [Filter.parse(text).mask(Columns.open(tmp_path)).tolist() for text in FILTERS] == before
    assert before[0] == [False, False, True, False]
