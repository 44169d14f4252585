"""Every public call with every kind of argument: one string is one key or field, any iterable is several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookalike import Catalog
from lookalike.data.errors import FilterError, ItemNotFound, LookalikeError, UsageError
from tests.test_given import Exported

DIM = 4
LETTERS = ["S", "K", "U", "1"]
ROWS = np.random.default_rng(5).standard_normal((8, DIM)).astype(np.float32)

Call = Callable[[Catalog, Any], object]


class Key(str, Enum):  # noqa: UP042  # whose str() is not its text
    FIRST = "SKU1"


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog.create(tmp_path / "shop", dim=DIM) as made:
        made.add_vectors(
            [*LETTERS, "SKU1", "0", "7"], ROWS[:7], {"price": [1, 2, 3, 4, 5, 6, 7], "brand": LETTERS + ["x"] * 3}
        )
        yield made


def one_of_keys(catalog: Catalog, keys: Any) -> list[str]:  # noqa: ANN401  # any kind of argument
    return [item.key for item in catalog.get(keys)]


def deleted(catalog: Catalog, keys: Any) -> list[str]:  # noqa: ANN401
    before = {item.key for item in catalog.items()}
    catalog.delete(keys=keys)
    return sorted(before - {item.key for item in catalog.items()})


def count_of(keys: Any) -> int:  # noqa: ANN401
    """How many values go with some keys; those of the tests of several are two."""
    return len(keys) if isinstance(keys, list) else 1 if isinstance(keys, str | int | np.integer) else 2


def updated(catalog: Catalog, keys: Any) -> list[str]:  # noqa: ANN401
    catalog.update(keys, {"price": [99] * count_of(keys)})
    return sorted(item.key for item in catalog.items() if item.fields["price"] == 99)


def added(catalog: Catalog, keys: Any) -> list[str]:  # noqa: ANN401
    count = count_of(keys)
    catalog.add_vectors(keys, ROWS[:count], {"price": [98] * count})
    return sorted(item.key for item in catalog.items() if item.fields["price"] == 98)


def unlike(catalog: Catalog, keys: Any) -> list[str]:  # noqa: ANN401
    """What a search for items like these leaves out: themselves."""
    found = set(catalog.search(like=keys, limit=100).keys)
    return sorted({item.key for item in catalog.items()} - found)


def filtered(catalog: Catalog, keys: Any) -> list[str]:  # noqa: ANN401
    if isinstance(keys, str | int | np.integer):
        return catalog.search(filter="key == {key}", params={"key": keys}).keys
    return sorted(catalog.search(filter="key in {keys}", params={"keys": keys}).keys)


OF_KEYS: dict[str, Call] = {
    "get": one_of_keys,
    "keys": lambda catalog, keys: catalog.keys(keys),
    "delete": deleted,
    "update": updated,
    "add_vectors": added,
    "like": unlike,
    "filter": filtered,
}
ONE_KEY: dict[str, tuple[Any, str]] = {
    "str": ("SKU1", "SKU1"),
    "NumPy's str": (np.str_("SKU1"), "SKU1"),
    "a member of an enumeration": (Key.FIRST, "SKU1"),
    "int": (0, "0"),
    "NumPy's int": (np.int64(7), "7"),
}
SEVERAL_KEYS: dict[str, Callable[[list[str]], Any]] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "generator": iter,
    "dict": dict.fromkeys,
    "dict's keys": lambda keys: dict.fromkeys(keys).keys(),
    "NumPy": np.array,
    "NumPy of objects": lambda keys: np.array(keys, dtype=object),
    "NumPy's variable texts": lambda keys: np.array(keys, dtype=np.dtypes.StringDType()),
    "pandas' Series": pd.Series,
    "pandas' Index": pd.Index,
    "pandas' texts": lambda keys: pd.Series(keys, dtype="string"),
    "pandas' categories": lambda keys: pd.Series(keys, dtype="category"),
    "Polars": pl.Series,
    "Polars' categories": lambda keys: pl.Series(keys, dtype=pl.Categorical),
    "Arrow": lambda keys: Exported(pl.Series(keys)),
}
SEVERAL_NUMBERS: dict[str, Any] = {
    "list": [0, 7],
    "range": range(0, 8, 7),
    "mixed": ["0", 7],
    "NumPy": np.array([0, 7], dtype=np.uint16),
    "pandas": pd.Series([0, 7]),
    "pandas' Int64": pd.Index([0, 7], dtype="Int64"),
    "Polars": pl.Series([0, 7]),
    "torch": torch.tensor([0, 7]),
}
NO_KEYS: dict[str, Any] = {
    "None": None,
    "NaN": float("nan"),
    "a fraction": 1.0,
    "NumPy's fraction": np.float32(1),
    "a truth": True,
    "NumPy's truth": np.True_,
    "bytes": b"SKU1",
    "Decimal": Decimal(1),
    "NA": pd.NA,
    "NaT": pd.NaT,
    "a list": ["SKU1"],
}


@pytest.mark.parametrize("kind", ONE_KEY)
@pytest.mark.parametrize("call", OF_KEYS)
def test_one_key_is_one_key_in_every_call(catalog: Catalog, call: str, kind: str) -> None:
    key, meant = ONE_KEY[kind]
    assert OF_KEYS[call](catalog, key) == [meant]


@pytest.mark.parametrize("kind", SEVERAL_KEYS)
@pytest.mark.parametrize("call", OF_KEYS)
def test_several_keys_are_taken_from_anything_iterable(catalog: Catalog, call: str, kind: str) -> None:
    keys = SEVERAL_KEYS[kind](["K", "SKU1"])
    if (call, kind) == ("filter", "dict"):
        keys = list(keys)  # a parameter that is a mapping is none of one value, nor a list
    found = OF_KEYS[call](catalog, keys)
    assert isinstance(found, list)
    assert sorted(found) == ["K", "SKU1"]


@pytest.mark.parametrize("kind", SEVERAL_NUMBERS)
@pytest.mark.parametrize("call", OF_KEYS)
def test_whole_numbers_are_keys_by_their_decimal_text(catalog: Catalog, call: str, kind: str) -> None:
    found = OF_KEYS[call](catalog, SEVERAL_NUMBERS[kind])
    assert isinstance(found, list)
    assert sorted(found) == ["0", "7"]


@pytest.mark.parametrize("kind", NO_KEYS)
@pytest.mark.parametrize("call", [name for name in OF_KEYS if name != "filter"])
def test_what_is_no_key_is_refused_by_its_row_and_nothing_is_written(catalog: Catalog, call: str, kind: str) -> None:
    before = catalog.log(), [(item.key, item.fields) for item in catalog.items()]
    with pytest.raises(UsageError, match="key in row 1 is"):
        OF_KEYS[call](catalog, ["SKU1", NO_KEYS[kind]])
    assert (catalog.log(), [(item.key, item.fields) for item in catalog.items()]) == before


@pytest.mark.parametrize("kind", [name for name in NO_KEYS if name not in ("None", "a list")])
@pytest.mark.parametrize("call", ["get", "keys", "delete", "like"])
def test_a_single_value_that_is_no_key_is_refused(catalog: Catalog, call: str, kind: str) -> None:
    with pytest.raises(UsageError, match="The keys are given as"):
        OF_KEYS[call](catalog, NO_KEYS[kind])


@pytest.mark.parametrize("kind", NO_KEYS)
def test_a_filter_refuses_what_is_no_key(catalog: Catalog, kind: str) -> None:
    with pytest.raises(FilterError):
        catalog.search(filter="key == {key}", params={"key": NO_KEYS[kind]})


def test_keys_have_no_order_by_number_in_a_filter(catalog: Catalog) -> None:
    assert catalog.search(filter="key == 7").keys == ["7"]
    assert catalog.search(filter="7 == key or key in [0, 12]").keys == ["0", "7"]
    assert len(catalog.search(filter="key != 7 and key not in {some}", params={"some": [0]}).keys) == 5
    for text in ("key < 7", "key >= 7", "5 < key", "key == 7.5", "key in [7.0]", "title == 7"):
        with pytest.raises(FilterError, match="holds text"):
            catalog.count(filter=text)


def test_a_string_is_never_walked_letter_by_letter(catalog: Catalog) -> None:
    assert catalog.delete(keys="SKU1") == 1
    assert [item.key for item in catalog.items()] == [*LETTERS, "0", "7"]
    with pytest.raises(ItemNotFound, match="'SK'"):
        catalog.delete(keys="SK")
    with pytest.raises(UsageError, match="4 values for 1 key\\."):
        catalog.update("KUS1", {"price": [1, 2, 3, 4]})
    with pytest.raises(UsageError, match="1 key for 3 vectors"):
        catalog.add_vectors("abc", ROWS[:3])
    with pytest.raises(UsageError, match="is given 'abc'"):
        catalog.add_vectors(["a", "b", "c"], ROWS[:3], {"brand": "abc"})
    with pytest.raises(UsageError, match="1 value for 3 keys"):
        catalog.add_vectors(["a", "b", "c"], ROWS[:3], titles="abc")
    catalog.update("K", titles="One title")
    assert catalog.get("K")[0].title == "One title"


FIELD_NAMES: dict[str, Callable[[list[str]], Any]] = {
    name: make for name, make in SEVERAL_KEYS.items() if not name.endswith("set") and name != "set"
}


@pytest.mark.parametrize("kind", FIELD_NAMES)
def test_field_names_are_taken_from_anything_iterable(catalog: Catalog, kind: str) -> None:
    def names() -> Any:  # noqa: ANN401  # any kind of argument
        return FIELD_NAMES[kind](["price", "brand"])

    assert list(catalog.search(vector=ROWS[0], fields=names())[0].fields) == ["price", "brand"]
    assert list(catalog.search(like="K", fields=names())[0].fields) == ["price", "brand"]
    assert list(catalog.search_many(ROWS[:2], fields=names())[1][0].fields) == ["price", "brand"]
    assert [facet.name for facet in catalog.facets(names())] == ["price", "brand"]


def test_one_field_name_is_one_field(catalog: Catalog) -> None:
    for _ in range(3):  # the third is answered by what the first two made ready
        assert list(catalog.search(vector=ROWS[0], fields="price")[0].fields) == ["price"]
    assert [facet.name for facet in catalog.facets("brand")] == ["brand"]
    assert list(catalog.search_many(ROWS[:1], fields="brand")[0][0].fields) == ["brand"]
    for wrong in (5, ["price", 5], [None], b"price"):
        with pytest.raises(UsageError, match="field name"):
            catalog.facets(wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="field name 5"):
        catalog.add_field(5, "int")  # type: ignore[arg-type]


def log_of(catalog: Catalog, value: Any) -> int:  # noqa: ANN401
    return len(catalog.log(value))


WHOLE: dict[str, Call] = {
    "search": lambda catalog, value: len(catalog.search(vector=ROWS[0], limit=value)),
    "search by filter": lambda catalog, value: len(catalog.search(filter="price > 0", limit=value)),
    "search_many": lambda catalog, value: len(catalog.search_many(ROWS[:1], limit=value)[0]),
    "log": log_of,
    "facets": lambda catalog, value: len(catalog.facets("price", limit=value)) + 1,
    "items": lambda catalog, value: len(list(catalog.items(batch=value))) - 5,
    "ledger": lambda catalog, value: len(list(catalog.ledger(limit=value))) + 2,
    "measure_recall": lambda catalog, value: catalog.measure_recall(limit=value)[0].limit,
    "offset": lambda catalog, value: 7 - len(catalog.search(vector=ROWS[0], offset=value)),
    "as_of": lambda catalog, value: catalog.count(as_of=value) - 5,
}


@pytest.mark.parametrize("call", WHOLE)
def test_whole_numbers_of_any_library_are_counts(catalog: Catalog, call: str) -> None:
    catalog.update("K", {"price": [20]})
    for value in (2, np.int64(2), np.uint8(2), torch.tensor(2), pd.Series([2])[0]):
        if call != "as_of" or not isinstance(value, torch.Tensor):
            assert WHOLE[call](catalog, value) == 2


@pytest.mark.parametrize("call", WHOLE)
def test_other_numbers_are_no_counts(catalog: Catalog, call: str) -> None:
    for _ in range(3):
        catalog.search(vector=ROWS[0], limit=2)  # makes others like it ready; 2.0 and True are not like it
    for value in (2.0, np.float64(2), True, np.True_, "two", b"2", [2], Decimal(2), float("nan")):
        with pytest.raises(UsageError):
            WHOLE[call](catalog, value)


@pytest.mark.parametrize("option", ["balance", "min_score", "appearance"])
@pytest.mark.parametrize("value", [True, "0.5", float("nan"), [0.5], np.complex64(1)])
def test_what_is_no_number_is_refused_in_words(catalog: Catalog, option: str, value: Any) -> None:  # noqa: ANN401
    with pytest.raises(UsageError, match="must be a number"):
        catalog.search(like="K", **{option: value})
    numbers: dict[str, Any] = {"balance": np.float32(0.5), "min_score": np.float16(-10), "recall": np.float64(0.9)}
    assert len(catalog.search(like="K", **numbers))
    for recall in (True, None, [0.9], float("nan")):
        with pytest.raises(UsageError, match="The recall is"):
            catalog.search(like="K", recall=recall)  # type: ignore[arg-type]


def test_filters_and_their_values_are_checked_in_words(catalog: Catalog) -> None:
    calls: list[Callable[[Any], object]] = [
        lambda filter: catalog.search(filter=filter),
        lambda filter: catalog.search(vector=ROWS[0], filter=filter),
        lambda filter: catalog.search_many(ROWS[:1], filter=filter),
        lambda filter: catalog.count(filter=filter),
        lambda filter: catalog.facets(filter=filter),
        lambda filter: catalog.items(filter),
        lambda filter: catalog.delete(filter=filter),
    ]
    for call in calls:
        for wrong in (5, b"price > 1", ["price > 1"]):
            with pytest.raises(FilterError, match="The filter is"):
                call(wrong)
    for params in ([1], "x", {1: 2}):
        with pytest.raises(FilterError, match="by name"):
            catalog.search(filter="price > {x}", params=params)  # type: ignore[arg-type]
    with pytest.raises(FilterError, match="no filter that they are for"):
        catalog.search(params={"x": 1})


def test_values_of_a_filter_come_from_any_library(catalog: Catalog) -> None:
    several: list[Any] = [
        {2, 3},
        range(2, 4),
        iter([2, 3]),
        np.array([2, 3]),
        pd.Series([2, 3]),
        pl.Series([2, 3]),
        (2.0, 3),
    ]
    for values in several:
        assert catalog.search(filter="price in {some}", params={"some": values}).keys == ["K", "U"]
    for one in (2, np.int8(2), 2.0, np.float32(2), Decimal(2), torch.tensor(2)):
        assert catalog.search(filter="price == {one}", params={"one": one}).keys == ["K"]
    catalog.update("K", {"seen": pd.to_datetime(["2026-05-31T12:00:00.000001"])})
    for moment in (
        np.datetime64("2026-05-31T12:00:00.000001000", "ns"),
        pd.Timestamp("2026-05-31T12:00:00.000001"),
        "2026-05-31T12:00:00.000001",
    ):
        assert catalog.search(filter="seen == {at}", params={"at": moment}).keys == ["K"]
    for missing in (None, float("nan"), pd.NA, pd.NaT, np.datetime64("NaT"), [1], {"a": 1}, b"x"):
        with pytest.raises(FilterError):
            catalog.search(filter="price == {one}", params={"one": missing})


def test_texts_and_pictures_that_are_none_are_refused_in_words(catalog: Catalog) -> None:
    for text in (b"red", 5.5, None if False else [None], [b"red"]):
        with pytest.raises(UsageError, match="text"):
            catalog.search(text=text)  # type: ignore[arg-type]
    for picture in (5, np.zeros((4, 4, 3)), [5], [None]):
        with pytest.raises(UsageError, match="The picture is"):
            catalog.search(image=picture)  # type: ignore[arg-type]


def test_a_dimension_and_columns_are_taken_from_any_library(tmp_path: Path) -> None:
    tables: list[Any] = [
        pd.DataFrame({"price": [1, 2], "brand": ["x", None]}),
        pl.DataFrame({"price": [1, 2], "brand": ["x", None]}),
        {"price": iter([1, 2]), "brand": ("x", None)},
    ]
    for place, table in enumerate(tables):
        with Catalog.create(tmp_path / str(place), dim=np.int64(DIM)) as catalog:  # type: ignore[arg-type]
            catalog.add_vectors(["a", "b"], ROWS[:2], table)
            assert [dict(item.fields) for item in catalog.items()] == [
                {"price": 1, "brand": "x"},
                {"price": 2, "brand": None},
            ]
            assert dict(catalog.info().fields) == {"price": "int", "brand": "string"}
    for wrong in (4.0, True, "4", 0):
        with pytest.raises(UsageError, match="The dimension is"):
            Catalog.create(tmp_path / "no", dim=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({5: [1]}, "field name 5"),
        ([1], "The fields are given as a list"),
        ("price", "The fields are given as text"),
        ({"price": 5}, "'price' is given 5"),
        ({"price": {"a": 5}}, "'price' is given"),
        ({"price": pd.DataFrame({"a": [1]})}, "'price' is given"),
        (pd.DataFrame([[1, 2]], columns=["price", "price"]), "'price' is given twice"),
        ({"price": np.float32(5)}, "'price' is given"),
        ({"price": None}, "'price' is given None"),
    ],
)
def test_fields_that_are_no_columns_are_refused_in_words(catalog: Catalog, fields: Any, said: str) -> None:  # noqa: ANN401
    with pytest.raises(UsageError, match=said):
        catalog.add_vectors("new", ROWS[:1], fields)
    with pytest.raises(UsageError, match=said):
        catalog.update("K", fields)
    assert len(catalog.log()) == 1


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=4),
    st.binary(max_size=4),
    st.decimals(),
    st.datetimes(),
    st.sampled_from([pd.NA, pd.NaT, np.float32(1), np.int8(1), np.array(["K"]), np.array(5), object()]),
)
EVERYTHING: dict[str, Call] = {
    **OF_KEYS,
    **WHOLE,
    "fields": lambda catalog, value: catalog.search(vector=ROWS[0], fields=value),
    "facets of": lambda catalog, value: catalog.facets(value),
    "text": lambda catalog, value: catalog.search(text=value),
    "without": lambda catalog, value: catalog.search(without=value),
    "recall": lambda catalog, value: catalog.search(vector=ROWS[0], recall=value),
    "balance": lambda catalog, value: catalog.search(vector=ROWS[0], balance=value),
    "a filter": lambda catalog, value: catalog.count(filter=value),
    "a column": lambda catalog, value: catalog.update(["K"], {"extra": value}),
    "titles": lambda catalog, value: catalog.update(["K"], titles=value),
    "a parameter": lambda catalog, value: catalog.search(filter="price == {x}", params={"x": value}),
}


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(call=st.sampled_from(sorted(EVERYTHING)), value=ANYTHING | st.lists(ANYTHING, max_size=3))
def test_no_argument_ever_fails_but_in_words(catalog: Catalog, call: str, value: Any) -> None:  # noqa: ANN401
    try:
        EVERYTHING[call](catalog, value)
    except LookalikeError as error:
        assert str(error).endswith((".", "^")) or ":" in str(error)


NESTED: dict[str, Call] = {
    "add_vectors": lambda catalog, value: catalog.add_vectors(["a"], ROWS[:1], {"odd": [value]}),
    "texts": lambda catalog, value: catalog.add_vectors(["a"], ROWS[:1], {"brand": [value]}),
    "columns": lambda catalog, value: catalog.add_vectors(["a"], ROWS[:1], {"odd": value}),
    "titles": lambda catalog, value: catalog.add_vectors(["a"], ROWS[:1], titles=[value]),
    "vectors": lambda catalog, value: catalog.add_vectors(["a"], value),
    "update": lambda catalog, value: catalog.update(["S"], {"odd": [value]}),
    "get": lambda catalog, value: catalog.get([value]),
    "params": lambda catalog, value: catalog.count("price == {at}", params={"at": value}),
    "text": lambda catalog, value: catalog.search(value),
    "limit": lambda catalog, value: catalog.search(limit=value),
    "min_score": lambda catalog, value: catalog.search(min_score=value),
    "as_of": lambda catalog, value: catalog.count(as_of=value),
    "change_fields": lambda catalog, value: catalog.change_fields(retype={"price": value}),
}


@pytest.mark.parametrize("call", NESTED)
@pytest.mark.parametrize("depth", [40, 1_000, 20_000])
@pytest.mark.parametrize("kind", ["list", "mapping"])
def test_a_value_nested_too_deeply_is_refused_in_words(catalog: Catalog, call: str, depth: int, kind: str) -> None:
    value: Any = "x"
    for _ in range(depth):
        value = [value] if kind == "list" else {"a": value}
    with pytest.raises(LookalikeError) as refused:
        NESTED[call](catalog, value)
    assert len(str(refused.value)) < 1_000
    while isinstance(value, list | dict):  # else the collection of the value would recurse as deep
        value = value[0] if isinstance(value, list) else value["a"]


def test_numbers_beyond_those_of_the_machine_are_taken_as_all_there_is_or_refused_in_words(catalog: Catalog) -> None:
    for huge in (2**63 - 1, 2**63, 10**400):
        assert len(list(catalog.items(batch=huge))) == catalog.count() and len(catalog.log(huge)) == len(catalog.log())
        options: list[dict[str, Any]] = [{"limit": huge}, {"recall": huge}, {"balance": huge}]
        for option in options:
            with pytest.raises(UsageError):
                catalog.search(vector=ROWS[0], **option)
    odd: list[Any] = [Decimal("sNaN"), Decimal("NaN"), float("nan")]
    for value in odd:
        with pytest.raises(UsageError, match="must be a number"):
            catalog.search(vector=ROWS[0], balance=value)
