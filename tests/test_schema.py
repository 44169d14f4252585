from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any

import numpy as np
import pytest

from lookalike.data.errors import FieldTypeError, UsageError
from lookalike.data.field_type import MAX_JSON_DEPTH, datetime_of, microseconds_of
from lookalike.data.item import Json, Value
from lookalike.retrieval.schema import FieldType, Schema

EVERY = Schema({kind.value + "_field": kind for kind in FieldType})
NOON = datetime(2026, 5, 31, 12, tzinfo=UTC)
NOON_MICROSECONDS = 1_780_228_800_000_000


class Size(str, Enum):  # noqa: UP042  # whose str() is not its text
    LARGE = "large"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([], None),
        ([None, None], None),
        ([True, None], FieldType.BOOL),
        ([1, 2], FieldType.INT),
        ([1, 2.5], FieldType.FLOAT),
        ([np.int32(1), np.float32(2)], FieldType.FLOAT),
        ([np.bool_(True)], FieldType.BOOL),
        (["a", None, np.str_("b")], FieldType.STRING),
        ([NOON, None], FieldType.TIMESTAMP),
        ([["a"], []], FieldType.STRINGS),
        ([("a", "b")], FieldType.STRINGS),
        ([["a", 1]], FieldType.JSON),
        ([True, 1], FieldType.JSON),
        ([1, "a"], FieldType.JSON),
        ([{"a": 1}], FieldType.JSON),
        ([NOON, "2026-05-31"], FieldType.JSON),
    ],
)
def test_infers_the_narrowest_type(values: list[Value], kind: FieldType | None) -> None:
    assert Schema.infer(values) is kind


@pytest.mark.parametrize(
    ("field", "value", "stored"),
    [
        ("string", "shoes", "shoes"),
        ("string", np.str_("shoes"), "shoes"),
        ("int", 5, 5),
        ("int", 3.0, 3),
        ("int", np.int8(5), 5),
        ("int", -(2**63), -(2**63)),
        ("float", 5, 5.0),
        ("float", 2.5, 2.5),
        ("float", math.nan, None),
        ("float", np.float32(0.5), 0.5),
        ("bool", np.bool_(False), False),
        ("timestamp", NOON, NOON_MICROSECONDS),
        ("timestamp", datetime(2026, 5, 31, 12), NOON_MICROSECONDS),
        ("timestamp", datetime(2026, 5, 31, 14, tzinfo=timezone(timedelta(hours=2))), NOON_MICROSECONDS),
        ("timestamp", "2026-05-31T14:00:00+02:00", NOON_MICROSECONDS),
        ("timestamp", "2026-05-31T12:00Z", NOON_MICROSECONDS),
        ("timestamp", "2026-05-31", NOON_MICROSECONDS - 43_200_000_000),
        ("timestamp", date(2026, 5, 31), NOON_MICROSECONDS - 43_200_000_000),
        ("timestamp", np.datetime64("2026-05-31T12:00:00"), NOON_MICROSECONDS),
        ("timestamp", np.datetime64("NaT"), None),
        ("timestamp", "0001-01-01T00:00:00-12:00", -62_135_553_600_000_000),
        ("timestamp", np.datetime64("9999-12-31T23:59:59.999999"), 253_402_300_799_999_999),
        ("float", Decimal("9.99"), 9.99),
        ("float", Decimal("NaN"), None),
        ("int", Decimal("7.00"), 7),
        ("json", {"price": Decimal("9.5")}, {"price": 9.5}),
        ("string", Size.LARGE, "large"),
        ("strings", ("a", "b"), ["a", "b"]),
        ("strings", [], []),
        ("json", {"a": [1, None, NOON, np.int64(2)]}, {"a": [1, None, "2026-05-31T12:00:00+00:00", 2]}),
        ("json", [math.nan], [None]),
    ]
    + [(kind.value, None, None) for kind in FieldType],
)
def test_a_value_is_coerced_to_its_stored_form(field: str, value: Any, stored: object) -> None:  # noqa: ANN401  # any
    coerced = EVERY.coerce(f"{field}_field", value)
    assert coerced == stored
    assert type(coerced) is type(stored)


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        ("string", 5, "int"),
        ("string", b"x", "bytes"),
        ("string", "\ud800", "str"),
        ("int", "5", "str"),
        ("int", 1.5, "float"),
        ("int", math.nan, "float"),
        ("int", True, "bool"),
        ("int", 2**63, "int"),
        ("float", math.inf, "float"),
        ("float", 10**400, "int"),
        ("float", False, "bool"),
        ("bool", 1, "int"),
        ("timestamp", "yesterday", "str"),
        ("timestamp", 5, "int"),
        ("timestamp", "0001-01-01T00:00:00+14:00", "str"),
        ("timestamp", np.datetime64("12000-01-01"), "int"),
        ("timestamp", np.datetime64("0000-12-31T23:59:59.999999"), "int"),
        ("int", Decimal("7.5"), "Decimal"),
        ("float", Decimal("Infinity"), "Decimal"),
        ("strings", "a", "str"),
        ("strings", ["a", 1], "list"),
        ("json", {"a": {1, 2}}, "dict"),
        ("json", {1: "a"}, "dict"),
        ("json", 2**64, "int"),
        ("json", [math.inf], "list"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_the_facts(field: str, value: Any, found: str) -> None:  # noqa: ANN401
    with pytest.raises(FieldTypeError, match=f"The field '{field}_field' holds") as caught:
        EVERY.coerce(f"{field}_field", value)
    assert (caught.value.field, caught.value.expected, caught.value.found) == (f"{field}_field", field, found)


def test_deep_json_is_refused() -> None:
    value: Json = []
    for _ in range(MAX_JSON_DEPTH + 1):
        value = [value]
    with pytest.raises(FieldTypeError, match="nested"):
        EVERY.coerce("json_field", value)


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(UsageError, match="'prize'"):
        EVERY.coerce("prize", 5)


COLUMNS: list[tuple[str, Any]] = [
    ("string", ["a", None, "é"]),
    ("int", [1, None, 2**63 - 1]),
    ("int", np.arange(4, dtype=np.uint8)),
    ("int", [1.0, 2]),
    ("float", [1, None, 2.5]),
    ("float", [1.5, math.nan, None]),
    ("float", np.array([1.5, np.nan, -0.0])),
    ("float", np.arange(3)),
    ("bool", np.array([True, False])),
    ("timestamp", np.array(["2026-05-31T12:00:00.000000001", "NaT"], dtype="datetime64[ns]")),
    ("timestamp", ["2026-05-31", None, NOON]),
    ("strings", [["a"], None, ()]),
    ("json", [1, "a", None, {"b": [1]}]),
    ("string", []),
    ("int", [None]),
]


@pytest.mark.parametrize(("field", "values"), COLUMNS)
def test_a_column_is_coerced_as_its_values_are(field: str, values: Any) -> None:  # noqa: ANN401  # lists and arrays
    expected = [EVERY.coerce(f"{field}_field", value) for value in values]
    coerced = EVERY.coerce_column(f"{field}_field", values)
    assert coerced == expected
    assert [type(value) for value in coerced] == [type(value) for value in expected]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("int", [1, 2**63]),
        ("int", ["a"]),
        ("int", [True]),
        ("float", np.array([1.0, np.inf])),
        ("string", ["a", "\ud800"]),
        ("string", ["a", 5]),
        ("bool", [True, 1]),
    ],
)
def test_a_column_with_a_value_that_does_not_fit_is_refused(field: str, values: Any) -> None:  # noqa: ANN401
    with pytest.raises(FieldTypeError):
        EVERY.coerce_column(f"{field}_field", values)


def test_timestamps_are_restored_as_utc_datetimes() -> None:
    assert EVERY.restore("timestamp_field", NOON_MICROSECONDS) == NOON
    assert EVERY.restore("timestamp_field", None) is None
    assert EVERY.restore("int_field", 5) == 5
    assert datetime_of(microseconds_of("9999-12-31T23:59:59.999999")).year == 9999


def test_only_whole_numbers_widen_and_only_to_numbers() -> None:
    schema = Schema({"stock": FieldType.INT, "price": FieldType.FLOAT})
    widened = schema.widened("stock", FieldType.FLOAT)
    assert widened == {"stock": FieldType.FLOAT, "price": FieldType.FLOAT}
    assert schema["stock"] is FieldType.INT
    assert schema.widened("price", FieldType.INT) == schema
    for kind in set(FieldType) - {FieldType.INT, FieldType.FLOAT}:
        with pytest.raises(FieldTypeError, match="'stock'"):
            schema.widened("stock", kind)
    with pytest.raises(FieldTypeError):
        Schema({"name": FieldType.STRING}).widened("name", FieldType.JSON)


def test_a_schema_is_extended_but_not_changed() -> None:
    schema = Schema({"stock": FieldType.INT})
    extended = schema.extended({"stock": FieldType.INT, "brand": FieldType.STRING})
    assert list(extended) == ["stock", "brand"]
    assert list(schema) == ["stock"]
    with pytest.raises(FieldTypeError, match="'stock'"):
        schema.extended({"stock": FieldType.STRING})


def test_a_schema_survives_json_and_hashes_by_value() -> None:
    again = Schema.from_json(EVERY.to_json())
    assert again == EVERY
    assert hash(again) == hash(EVERY)
    assert list(again) == list(EVERY)


@pytest.mark.parametrize("name", ["", "  ", "key", "title", "a\nb", "\ud800"])
def test_a_field_that_could_not_be_named_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        Schema({name: FieldType.INT})


def test_filters_may_name_the_key_and_the_title_too() -> None:
    schema = Schema({"price in €": FieldType.FLOAT})
    assert dict(schema.filterable) == {
        "key": FieldType.STRING,
        "title": FieldType.STRING,
        "price in €": FieldType.FLOAT,
    }
