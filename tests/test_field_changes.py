"""Fields that are given another type or name, or dropped: values, filters, earlier states, other processes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from lookalike import Catalog
from lookalike.data.errors import CatalogBusy, FieldTypeError, UsageError
from lookalike.data.field_conversion import converted
from lookalike.data.field_type import FieldType
from lookalike.retrieval import input_checks
from lookalike.retrieval.maintenance.verification import verify
from lookalike.retrieval.schema import Schema
from lookalike.retrieval.search import newest_state
from lookalike.retrieval.store.field_changes import FieldChange
from lookalike.retrieval.store.records import Records
from lookalike.retrieval.stored_rows import ItemChange
from tests.fakes import ColourEncoder
from tests.running import call, call_json

DIM = 4
ROWS = np.random.default_rng(9).standard_normal((64, DIM)).astype(np.float32)
NOON = datetime(2026, 5, 31, 12, tzinfo=UTC)
MICROSECONDS = 1_780_228_800_000_000

S, W, F, B, T, L, J = (
    FieldType.STRING,
    FieldType.INT,
    FieldType.FLOAT,
    FieldType.BOOL,
    FieldType.TIMESTAMP,
    FieldType.STRINGS,
    FieldType.JSON,
)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog.create(tmp_path / "shop", dim=DIM) as made:
        made.add_vectors(["a", "b", "c"], ROWS[:3], {"price": ["9.5", None, "12"], "brand": ["x", "y", "z"]})
        yield made


def values(catalog: Catalog, name: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401
    return {item.key: item.fields[name] for item in catalog.items(**options)}


@pytest.mark.parametrize(
    ("value", "old", "new", "expected"),
    [
        ("9.5", S, F, 9.5),
        (" 12 ", S, W, 12),
        ("n/a", S, W, None),
        ("yes", S, B, True),
        ("a|b", S, L, ["a", "b"]),
        ("2026-05-31T14:00:00+02:00", S, T, MICROSECONDS),
        ("a", S, J, "a"),
        ("9007199254740992", S, F, 2.0**53),
        ("4.611686018427388e+18", S, F, 2.0**62),
        ("0.1", S, F, 0.1),
        (5, W, F, 5.0),
        (5, W, S, "5"),
        (2**53, W, F, 2.0**53),
        (1, W, B, True),
        (5.0, F, W, 5),
        (0.1, F, S, "0.1"),
        (0.0, F, B, False),
        (True, B, S, "true"),
        (True, B, W, 1),
        (False, B, F, 0.0),
        (MICROSECONDS, T, S, "2026-05-31T12:00:00+00:00"),
        (MICROSECONDS, T, J, "2026-05-31T12:00:00+00:00"),
        (["a", "b"], L, S, "a|b"),
        (["a"], L, J, ["a"]),
        (5, J, W, 5),
        ("5", J, F, 5.0),
        (["a"], J, L, ["a"]),
        ({"w": 1}, J, S, '{"w":1}'),
        (True, J, S, "true"),
        (None, S, W, None),
    ],
)
def test_a_value_is_converted_by_one_rule(value: Any, old: FieldType, new: FieldType, expected: object) -> None:  # noqa: ANN401
    found = converted(value, old, new)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "old", "new"),
    [
        ("cheap", S, F),
        ("9.5", S, W),
        ("007", S, W),
        ("maybe", S, B),
        ("soon", S, T),
        (2**53 + 1, W, F),
        ("9007199254740993", S, F),
        (" +9007199254740993.0 ", S, F),
        ("9007199254740993", J, F),
        (2, W, B),
        (5, W, T),
        (5, W, L),
        (5.5, F, W),
        (2.0**63, F, W),
        (True, B, T),
        (MICROSECONDS, T, W),
        (["a|b"], L, S),
        (["5"], L, W),
        ({"w": 1}, J, W),
        ([1], J, L),
    ],
)
def test_a_value_that_would_lose_something_does_not_fit(value: Any, old: FieldType, new: FieldType) -> None:  # noqa: ANN401
    with pytest.raises(ValueError, match="."):
        converted(value, old, new)


def test_a_type_is_changed_with_the_values_and_earlier_states_keep_theirs(catalog: Catalog) -> None:
    report = catalog.change_field("price", "float")
    assert (report.commit, report.items, report.nulled) == (2, 2, 0)
    assert catalog.info().fields == {"price": "float", "brand": "string"}
    assert values(catalog, "price") == {"a": 9.5, "b": None, "c": 12.0}
    assert catalog.search(filter="price < 10").keys == ["a"]
    assert values(catalog, "price", as_of=1) == {"a": "9.5", "b": None, "c": "12"}
    assert catalog.search(filter='price == "12"', as_of=1).keys == ["c"]
    assert catalog.get("a", as_of=1)[0].fields["price"] == "9.5"
    assert [hit.fields["price"] for hit in catalog.search(filter="price > 1")] == [9.5, 12.0]
    assert [(one.summary, one.updated) for one in catalog.log(1)] == [("change field price to float", 2)]
    assert [facet.type for facet in catalog.facets("price")] == [F]
    assert [facet.type for facet in catalog.facets("price", as_of=1)] == [S]


def test_values_that_do_not_fit_are_named_and_nothing_is_changed(catalog: Catalog) -> None:
    catalog.add_vectors(["d", "e", "f", "g"], ROWS[3:7], {"price": ["cheap", "dear", "n/a", "ask"], "brand": ["x"] * 4})
    before = catalog.log(), list(catalog.items())
    with pytest.raises(
        FieldTypeError, match="3 values of the field 'price' do not fit.*d has \"cheap\", which is text"
    ) as refused:
        catalog.change_field("price", "float")
    assert str(refused.value).endswith('. Change them first, or pass misfits="null" to make them null.')
    assert (catalog.log(), list(catalog.items())) == before
    report = catalog.change_field("price", "float", misfits="null")
    assert (report.items, report.nulled) == (6, 3)
    assert values(catalog, "price") == {"a": 9.5, "b": None, "c": 12.0, **dict.fromkeys("defg")}


def test_a_field_is_renamed_and_dropped_and_earlier_states_keep_it(catalog: Catalog) -> None:
    catalog.rename_field("brand", "maker")
    assert values(catalog, "maker") == {"a": "x", "b": "y", "c": "z"}
    assert catalog.search(filter='maker == "y"').keys == ["b"]
    assert catalog.search(filter='brand == "y"', as_of=1).keys == ["b"]
    catalog.drop_field("maker")
    assert catalog.info().fields == {"price": "string"}
    assert [dict(item.fields) for item in catalog.items()] == [{"price": "9.5"}, {"price": None}, {"price": "12"}]
    assert values(catalog, "maker", as_of=2) == {"a": "x", "b": "y", "c": "z"}
    catalog.add_field("brand", "int")  # the old names are free again
    catalog.update("a", {"brand": [5], "maker": [True]})
    assert values(catalog, "brand") == {"a": 5, "b": None, "c": None}
    assert values(catalog, "brand", as_of=1) == {"a": "x", "b": "y", "c": "z"}
    assert catalog.search(filter="maker == true and brand == 5").keys == ["a"]


def test_several_changes_are_one_commit_or_none(catalog: Catalog) -> None:
    with pytest.raises(UsageError, match="no field 'colour'"):
        catalog.change_fields(retype={"price": "float"}, drop="colour")
    with pytest.raises(FieldTypeError):
        catalog.change_fields(rename={"price": "cost"}, retype={"brand": "int"})
    assert (catalog.info().fields, len(catalog.log())) == ({"price": "string", "brand": "string"}, 1)
    catalog.change_fields(retype={"price": "float"}, rename={"price": "cost"}, drop=["brand"])
    assert [dict(item.fields) for item in catalog.items()] == [{"cost": 9.5}, {"cost": None}, {"cost": 12.0}]
    assert [one.summary for one in catalog.log(1)] == [
        "change field price to float; rename field price to cost; drop field brand"
    ]
    assert catalog.info().fields == {"cost": "float"}
    assert catalog.get("a", as_of=1)[0].fields == {"price": "9.5", "brand": "x"}


@pytest.mark.parametrize("as_command", [False, True])
@pytest.mark.parametrize(
    ("rename", "drop", "expected"),
    [
        ({"a": "b"}, ["b"], {"b": 1, "c": 3}),
        ({"a": "b", "b": "a"}, [], {"b": 1, "a": 2, "c": 3}),
        ({"a": "b", "b": "c", "c": "a"}, [], {"b": 1, "c": 2, "a": 3}),
        ({"a": "b", "b": "c"}, ["c"], {"b": 1, "c": 2}),
        ({"b": "d", "a": "b"}, [], {"b": 1, "d": 2, "c": 3}),
        ({"a": "b", "b": "a", "c": "a_"}, [], {"b": 1, "a": 2, "a_": 3}),
        ({"a": "a", "b": "c"}, ["c"], {"a": 1, "c": 2}),
    ],
)
def test_renames_take_effect_together_after_drops(
    tmp_path: Path, rename: dict[str, str], drop: list[str], expected: dict[str, int], as_command: bool
) -> None:
    with Catalog.create(tmp_path / "shop", dim=DIM) as catalog:
        catalog.add_vectors(["k", "l"], ROWS[:2], {"a": [1, None], "b": [2, None], "c": [3, None]})
        if as_command:
            options = [f"--drop={name}" for name in drop] + [f"--rename={old}={new}" for old, new in rename.items()]
            call("update", tmp_path / "shop", *options)
        else:
            catalog.change_fields(rename=rename, drop=drop)
        assert [dict(item.fields) for item in catalog.items()] == [expected, dict.fromkeys(expected)]
        assert catalog.info().fields == dict.fromkeys(expected, "int")
        for name, value in expected.items():
            assert catalog.search(filter=f"{name} == {value}").keys == ["k"]
        for name, value in (("a", 1), ("b", 2), ("c", 3)):
            assert catalog.search(filter=f"{name} == {value}", as_of=1).keys == ["k"]
        assert catalog.get("k", as_of=1)[0].fields == {"a": 1, "b": 2, "c": 3}
        said = [f"rename field {old} to {new}" for old, new in rename.items()] + [f"drop field {one}" for one in drop]
        assert catalog.log(1)[0].summary == "; ".join(said)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "Name a field to change"),
        ({"retype": {"price": "decimal"}}, "The type is 'decimal'"),
        ({"rename": {"price": "brand"}}, "a field 'brand' already"),
        ({"rename": {"price": "key"}}, "cannot be called 'key'"),
        ({"rename": {"price": ""}}, "name is empty"),
        ({"rename": {"price": 5}}, "field name 5"),
        ({"drop": "key"}, "no field 'key'"),
        ({"drop": ["price", "price"]}, "no field 'price'"),
        ({"drop": "price", "misfits": "skip"}, "not 'skip'"),
        ({"rename": {"price": "brand"}}, "drop or rename it in the same call"),
        ({"rename": {"price": "cost", "brand": "cost"}}, "Two fields cannot both be renamed to 'cost'"),
        ({"rename": {"price": "cost"}, "drop": "price"}, "'price' cannot be both dropped and changed"),
        ({"retype": {"price": "float"}, "drop": "price"}, "'price' cannot be both dropped and changed"),
        ({"rename": {"price": "cost"}, "drop": "cost"}, "no field 'cost'; the fields are price, brand"),
        ({"rename": {"price": "cost", "cost": "price"}}, "no field 'cost'; the fields are price, brand"),
        *(
            ({name: given}, f"{name} is given as {said}; give a mapping, such as")
            for name in ("retype", "rename")
            for given, said in [
                (["price"], "a list"),
                ("price", "text"),
                (5, "a whole number"),
                ({"price"}, "a value of type set"),
            ]
        ),
        ({"retype": {5: "int"}}, "field name 5"),
        ({"retype": {"price": ["int"]}}, r"The type is \['int'\]"),
        ({"retype": {"price": np.array(["int", "float"])}}, "The type is array"),
    ],
)
def test_a_wrong_change_says_why(catalog: Catalog, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        catalog.change_fields(**options)
    assert len(catalog.log()) == 1


def test_fields_are_not_changed_while_a_feed_is_indexed(catalog: Catalog) -> None:
    with catalog._core.writer(), Catalog.open(catalog._core.folder) as other, pytest.raises(CatalogBusy):
        other.drop_field("price")


def test_a_writer_that_still_knows_the_old_type_is_refused_and_one_that_knows_the_old_name_adds_it(
    catalog: Catalog,
) -> None:
    known = catalog._core.records.schema()
    catalog.change_fields(retype={"price": "float"}, rename={"brand": "maker"})
    with pytest.raises(FieldTypeError, match="'price' holds numbers and cannot hold text"):
        catalog._core.records.update({"a": ItemChange({"price": "dear"})}, schema=known)
    assert values(catalog, "price") == {"a": 9.5, "b": None, "c": 12.0}
    catalog._core.records.update({"a": ItemChange({"brand": "q"})}, schema=Schema({"brand": known["brand"]}))
    assert catalog.get("a")[0].fields == {"price": 9.5, "maker": "x", "brand": "q"}


WRITES: dict[str, Callable[[Catalog, Path, dict[str, list[Any]]], object]] = {
    "add_vectors": lambda catalog, _, fields: catalog.add_vectors(["a"], ROWS[:1, : catalog.info().dim], fields),
    "update": lambda catalog, _, fields: catalog.update(["a"], fields),
    "import": lambda catalog, table, _: catalog.import_parquet(table),
    "add": lambda catalog, _, fields: catalog.add(
        [{"key": "a", "image": Image.new("RGB", (9, 9), "red"), **{name: one for name, (one,) in fields.items()}}]
    ),
}


def just_before_writing(patch: pytest.MonkeyPatch, folder: Path, *changes: FieldChange) -> None:
    """Have another handle change fields when the next commit is about to begin."""
    commit = Records._commit

    def changed_first(records: Records, summary: str) -> AbstractContextManager[Any]:
        patch.setattr(Records, "_commit", commit)
        with Catalog.open(folder) as other:
            other._core.records.change_fields(changes)
        return commit(records, summary)

    patch.setattr(Records, "_commit", changed_first)


@pytest.fixture(params=WRITES)
def written(request: pytest.FixtureRequest, tmp_path: Path, encoder: ColourEncoder) -> Iterator[tuple[Catalog, Any]]:
    """A catalog with two items, and a function that writes fields of one of them in one of the ways there are."""
    base: dict[str, list[Any]] = {"price": [1.0, 2.0], "junk": ["x", "y"], "brand": ["p", "q"]}
    pictured = request.param == "add"
    options: dict[str, Any] = {"model": "colour"} if pictured else {"dim": DIM}
    with Catalog.create(tmp_path / "shop", **options) as catalog:
        if pictured:
            picture = Image.new("RGB", (9, 9), "blue")
            catalog.add(
                {"key": key, "image": picture, **{name: one[place] for name, one in base.items()}}
                for place, key in enumerate("ab")
            )
        else:
            catalog.add_vectors(["a", "b"], ROWS[:2], base)

        def write(fields: dict[str, list[Any]]) -> None:
            table = tmp_path / "table.parquet"
            columns = {"key": ["a"], "vector": ROWS[:1].tolist(), **fields}
            pl.DataFrame(columns, schema_overrides={"vector": pl.List(pl.Float32)}).write_parquet(table)
            WRITES[request.param](catalog, table, fields)

        yield catalog, write


CHANGES = (FieldChange("price", "price", W), FieldChange("junk", None), FieldChange("brand", "maker"))


def test_a_write_leaves_the_fields_that_it_does_not_name_as_another_writer_has_just_made_them(
    written: tuple[Catalog, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog, write = written
    just_before_writing(monkeypatch, catalog.path, *CHANGES)
    write({"stock": [7]})
    assert catalog.schema == {"price": W, "maker": S, "stock": W}
    assert values(catalog, "stock") == {"a": 7, "b": None}
    assert catalog.get("b")[0].fields == {"price": 2, "maker": "q", "stock": None}
    assert verify(catalog.path).problems == []


def test_a_write_is_coerced_by_the_fields_as_its_transaction_finds_them(
    written: tuple[Catalog, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog, write = written
    just_before_writing(monkeypatch, catalog.path, *CHANGES)
    write({"price": [3.0], "junk": ["z"], "brand": ["r"]})
    assert catalog.schema == {"price": W, "maker": S, "junk": S, "brand": S}
    price = catalog.get("a")[0].fields["price"]
    assert (price, type(price)) == (3, int)
    assert [catalog.get("a")[0].fields[name] for name in ("junk", "brand")] == ["z", "r"]
    assert catalog.search(filter='price == 3 and junk == "z" and brand == "r"').keys == ["a"]
    assert verify(catalog.path).problems == []


def test_a_value_that_no_longer_fits_is_refused(
    written: tuple[Catalog, Any], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    catalog, write = written
    just_before_writing(monkeypatch, catalog.path, FieldChange("price", "price", S))
    before = catalog.get("a")
    way = request.node.callspec.params["written"]
    if way in ("add_vectors", "update"):
        with pytest.raises(FieldTypeError, match="'price' holds text; 3.5 is a number"):
            write({"price": [3.5]})
    else:
        write({"price": [3.5]})
    assert catalog.schema["price"] is S
    if way == "add":  # a feed loses the value and not the item
        assert [entry.reason for entry in catalog.ledger(state="warning")] == ["price is '3.5'; this field holds text."]
        assert catalog.get("a")[0].fields["price"] is None
        return
    if way == "import":
        assert [entry.reason for entry in catalog.ledger(state="rejected")] == [
            "The field 'price' holds text; 3.5 is a number."
        ]
    assert [{**item.fields, "price": "1.0"} for item in before] == [item.fields for item in catalog.get("a")]


def test_the_rest_of_a_long_write_follows_a_change_of_fields(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_checks, "_WRITE_ROWS", 2)
    put, calls = catalog._core.records.put_vectors, 0

    def changing(*arguments: Any, **options: Any) -> int:  # noqa: ANN401
        nonlocal calls
        calls += 1
        if calls == 2:
            with Catalog.open(catalog.path) as other:
                other.change_fields(retype={"stock": "int"}, drop="brand")
        return put(*arguments, **options)

    monkeypatch.setattr(catalog._core.records, "put_vectors", changing)
    catalog.add_field("stock", "float")
    keys = list("stuvw")
    catalog.add_vectors(keys, ROWS[:5], {"stock": [1.0, 2.0, 3.0, 4.0, 5.0]}, existing="refuse")
    assert catalog.schema == {"price": S, "stock": W}
    assert [catalog.get(key)[0].fields["stock"] for key in keys] == [1, 2, 3, 4, 5]
    assert [type(catalog.get(key)[0].fields["stock"]) for key in keys] == [int] * 5


def test_a_row_with_a_misfit_declares_its_other_fields(tmp_path: Path, encoder: ColourEncoder) -> None:
    with Catalog.create(tmp_path / "shop", model="colour") as catalog:
        catalog.add([{"key": "a", "image": Image.new("RGB", (9, 9), "red"), "size": 1}])
        rows = [
            {"key": "b", "image": Image.new("RGB", (9, 9), "red"), "size": "large", "weight": 5},
            {"key": "c", "image": Image.new("RGB", (9, 9), "red"), "weight": "heavy"},
        ]
        report = catalog.add(rows)
        assert (report.rejects, [(row, one.column, one.value) for row, one in report.warned]) == (
            [],
            [(1, "size", "large"), (2, "weight", "heavy")],
        )
        assert catalog.schema == {"size": W, "weight": W}


@pytest.mark.parametrize("optimized", ["before", "after", "both", "never"])
def test_generations_never_show_a_column_of_the_wrong_type(catalog: Catalog, optimized: str) -> None:
    if optimized in ("before", "both"):
        catalog.optimize()
    with Catalog.open(catalog._core.folder) as other:
        assert other.search(filter='price == "12" and brand == "z"').keys == ["c"]
        catalog.change_fields(retype={"price": "int"}, rename={"brand": "price2"}, misfits="null")
        catalog.change_fields(rename={"price": "brand", "price2": "price"})
        if optimized in ("after", "both"):
            catalog.optimize()
        for one in (catalog, other, Catalog.open(catalog._core.folder)):
            assert values(one, "brand") == {"a": None, "b": None, "c": 12}
            assert one.search(filter='brand == 12 and price == "z"').keys == ["c"]
            assert [hit.fields for hit in one.search(vector=ROWS[2], limit=1, fields=["brand", "price"])] == [
                {"brand": 12, "price": "z"}
            ]
            assert one.search(filter='price == "12" and brand == "z"', as_of=1).keys == ["c"]
            assert [hit.fields for hit in one.search(vector=ROWS[2], limit=1, as_of=1, fields="price")] == [
                {"price": "12"}
            ]


def test_whole_numbers_that_become_numbers_write_no_item_anew(catalog: Catalog) -> None:
    catalog.update(["a", "b"], {"stock": [2**53, 5]})
    report = catalog.change_field("stock", "float")
    assert (report.items, catalog.info().fields["stock"]) == (0, "float")
    assert catalog.search(filter="stock < 5.5").keys == ["b"]
    catalog.update("a", {"stock": [0.5]})
    catalog.add_field("wide", "int")
    catalog.update("a", {"wide": [2**53 + 1]})
    with pytest.raises(FieldTypeError, match="too large for a float"):
        catalog.change_field("wide", "float")


@pytest.mark.parametrize("optimized", [False, True])
def test_a_widened_field_is_read_as_the_same_numbers_everywhere(catalog: Catalog, optimized: bool) -> None:
    catalog.update(["a", "b"], {"stock": [2**53 + 1, 5]})
    catalog.update(["c"], {"stock": [0.5]})
    if optimized:
        catalog.optimize()
    expected = {"a": 2.0**53, "b": 5.0, "c": 0.5}
    hits = {hit.key: hit.fields["stock"] for hit in catalog.search()}
    for found in (values(catalog, "stock"), hits, {key: catalog.get(key)[0].fields["stock"] for key in "abc"}):
        assert found == expected
        assert {type(value) for value in found.values()} == {float}


def test_a_purge_takes_what_fields_were_with_the_states_that_had_them(catalog: Catalog) -> None:
    catalog.rename_field("brand", "maker")
    catalog.drop_field("price")
    catalog.purge(2)
    assert values(catalog, "price", as_of=2) == {"a": "9.5", "b": None, "c": "12"}
    catalog.purge(3)
    assert catalog._core.records._database.connection.execute("SELECT count(*) FROM field_changes").fetchone() == (0,)
    assert verify(catalog._core.folder).problems == []


def test_changes_survive_backup_and_export(catalog: Catalog, tmp_path: Path) -> None:
    catalog.change_fields(retype={"price": "float"}, drop="brand")
    catalog.backup(tmp_path / "backup")
    Catalog.restore(tmp_path / "backup", tmp_path / "restored")
    with Catalog.open(tmp_path / "restored") as restored:
        assert restored.get("a", as_of=1)[0].fields == {"price": "9.5", "brand": "x"}
        assert list(restored.items()) == list(catalog.items())
    catalog.export(tmp_path / "shop.parquet")
    with Catalog.create(tmp_path / "imported", dim=DIM) as imported:
        imported.import_parquet(tmp_path / "shop.parquet")
        assert (imported.info().fields, values(imported, "price")) == ({"price": "float"}, values(catalog, "price"))


def test_the_command_changes_fields(catalog: Catalog) -> None:
    folder = catalog._core.folder
    done = call_json("update", folder, "--retype", "price=float", "--rename", "brand=maker")
    assert done == {"commit": 2, "items": 3, "nulled": 0}
    assert catalog.info().fields == {"price": "float", "maker": "string"}
    call("update", folder, "--drop", "price", "--drop", "maker")
    assert catalog.info().fields == {}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a", "--drop", "price"), "not both at once"),
        (("--set", "price=1"), "Say which item"),
        (("--retype", "price"), "Write FIELD=TYPE"),
        (("--rename", "price"), "Write OLD=NEW"),
        (("--retype", "brand=int"), 'a has "x", which is text'),
        (("a", "--set", "price=1", "--null-misfits"), "goes with --retype"),
        (("--drop", "colour"), "no field 'colour'"),
        (("--retype", "brand=int"), "Change them first, or set them to null with --null-misfits."),
        (("--drop", "price", "--null-misfits"), "--null-misfits goes with --retype"),
        (("--rename", "price=cost", "--null-misfits"), "--null-misfits goes with --retype"),
        (("--null-misfits",), "--null-misfits goes with --retype"),
        (("--rename", "price=a", "--rename", "price=b"), "'price' is given twice, as price=a and price=b"),
        (("--retype", "price=int", "--retype", "price=float"), "'price' is given twice"),
    ],
)
def test_a_wrong_command_says_why(catalog: Catalog, arguments: tuple[str, ...], said: str) -> None:
    shown = " ".join(call("update", catalog._core.folder, *arguments, code=2).split())
    assert said in shown
    assert "misfits=" not in shown
    assert len(catalog.log()) == 1


class Shop:
    """What a catalog should be after every commit: its fields, and what each item has in them."""

    def __init__(self) -> None:
        self.kinds: dict[str, FieldType] = {}
        self.items: dict[str, dict[str, Any]] = {}

    def copy(self) -> Shop:
        made = Shop()
        made.kinds = dict(self.kinds)
        made.items = {key: dict(fields) for key, fields in self.items.items()}
        return made


DRAWN: dict[FieldType, list[Any]] = {
    S: ["5", "7.5", "x", "true", None],
    W: [0, 1, 5, None],
    F: [0.0, 1.0, 2.5, None],
    B: [True, False, None],
}


def change(catalog: Catalog, shop: Shop, chance: random.Random) -> None:
    """Do one thing to both."""
    names = sorted(shop.kinds)
    match chance.choice(
        ["add", "add", "update", "delete", "retype", "retype", "rename", "drop", "together", "declare", "optimize"]
    ):
        case "add":
            keys = chance.sample([f"k{number}" for number in range(12)], 4)
            columns = {name: [chance.choice(DRAWN[shop.kinds[name]]) for _ in keys] for name in names}
            catalog.add_vectors(keys, ROWS[chance.randrange(50) :][:4], columns)
            shop.items |= {key: {name: columns[name][place] for name in names} for place, key in enumerate(keys)}
        case "update" if shop.items and names:
            key, name = chance.choice(sorted(shop.items)), chance.choice(names)
            value = chance.choice(DRAWN[shop.kinds[name]])
            catalog.update(key, {name: [value]})
            shop.items[key][name] = value
        case "delete" if shop.items:
            key = chance.choice(sorted(shop.items))
            catalog.delete(keys=key)
            del shop.items[key]
        case "retype" if names:
            name, kind = chance.choice(names), chance.choice(list(DRAWN))
            catalog.change_field(name, kind, misfits="null")
            for fields in shop.items.values():
                try:
                    fields[name] = converted(fields.get(name), shop.kinds[name], kind)
                except ValueError:
                    fields[name] = None
            shop.kinds[name] = kind
        case "rename" if names:
            name, new = chance.choice(names), chance.choice("fgh")
            if new not in shop.kinds:
                catalog.rename_field(name, new)
                shop.kinds[new] = shop.kinds.pop(name)
                for fields in shop.items.values():
                    fields[new] = fields.pop(name, None)
        case "drop" if names:
            name = chance.choice(names)
            catalog.drop_field(name)
            del shop.kinds[name]
            for fields in shop.items.values():
                fields.pop(name, None)
        case "together" if names:
            dropped = chance.sample(names, chance.randrange(min(len(names), 2)))
            old = chance.sample(left := [name for name in names if name not in dropped], chance.randint(1, len(left)))
            free = [name for name in "fgh" if name not in left or name in old]
            renames = dict(zip(old, chance.sample(free, len(old)), strict=True))
            catalog.change_fields(rename=renames, drop=dropped)
            for fields in (shop.kinds, *shop.items.values()):
                kept = {name: fields[name] for name in left if name in fields}
                fields.clear()
                fields.update({renames.get(name, name): one for name, one in kept.items()})
        case "declare":
            name, kind = chance.choice("fgh"), chance.choice(list(DRAWN))
            if name not in shop.kinds:
                catalog.add_field(name, kind)
                shop.kinds[name] = kind
        case "optimize":
            catalog.optimize()


def check(catalog: Catalog, shop: Shop, seq: int | None) -> None:
    """Compare a state with what it should be: by records, by columns, and by a filter on each field."""
    items = {item.key: item.fields for item in catalog.items(as_of=seq)}
    assert items.keys() == shop.items.keys()
    hits = {hit.key: hit.fields for hit in catalog.search(limit=100, as_of=seq)}
    for key, fields in shop.items.items():
        for name in shop.kinds:
            assert items[key][name] == fields.get(name), (seq, key, name)
            assert hits[key][name] == fields.get(name), (seq, key, name)
    for name, kind in shop.kinds.items():
        for value in filter(lambda one: one is not None, DRAWN[kind]):
            text = f'{name} == "{value}"' if kind is S else f"{name} == {str(value).lower()}"
            wanted = sorted(key for key, fields in shop.items.items() if fields.get(name) == value)
            assert sorted(catalog.search(filter=text, limit=100, as_of=seq).keys) == wanted, (seq, text)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_random_changes_of_fields_and_items_are_what_a_dictionary_says_at_every_commit(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newest_state, "_LOOK_EVERY_S", 0.0)
    chance = random.Random(seed)
    states: dict[int, Shop] = {}
    with Catalog.create(tmp_path / "shop", dim=DIM) as catalog, Catalog.open(tmp_path / "shop") as other:
        shop = Shop()
        for _ in range(40):
            change(catalog, shop, chance)
            seq = catalog._core.records.version()[0]
            if seq:
                states[seq] = shop.copy()
                check(chance.choice([catalog, other]), shop, None)
        for seq, state in chance.sample(sorted(states.items()), min(len(states), 12)):
            widened_since = {
                name for name, kind in state.kinds.items() if catalog._core.records.schema(as_of=seq)[name] is not kind
            }
            assert all(state.kinds[name] is W for name in widened_since)
            for name in widened_since:
                state.kinds[name] = F
            check(catalog, state, seq)
            check(other, state, seq)
    assert verify(tmp_path / "shop").problems == []
