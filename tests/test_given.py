"""Columns of every library in, the same values out: types come from dtypes and from all values."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike import Catalog
from lookalike.data.column_values import plain_values
from lookalike.data.errors import FieldTypeError, UsageError
from lookalike.data.field_type import FieldType
from lookalike.data.item import Value

NOON = datetime(2026, 5, 31, 12, tzinfo=UTC)
DIM = 2


class Exported:
    """A column known by Arrow's C interface alone, as one of pyarrow or nanoarrow is."""

    def __init__(self, values: pl.Series) -> None:
        self._values = values

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._values.__arrow_c_stream__(requested_schema)


def stored(path: Path, column: Any, count: int | None = None) -> tuple[FieldType | None, list[Value]]:  # noqa: ANN401
    """What a new field holds after its column was added, and its type."""
    count = len(column) if count is None else count
    with Catalog.create(path, dim=DIM) as catalog:
        catalog.add_vectors([f"k{row}" for row in range(count)], np.ones((count, DIM)), {"field": column})
        kind = catalog._core.records.schema().get("field")
        return kind, [item.fields.get("field") for item in catalog.items()]


COLUMNS: dict[str, tuple[Any, str, list[Value]]] = {
    # pandas
    "text and None": (pd.Series(["red", None, "blue"]), "string", ["red", None, "blue"]),
    "objects and NaN": (pd.Series(["red", np.nan], dtype=object), "string", ["red", None]),
    "string": (pd.Series(["red", None], dtype="string"), "string", ["red", None]),
    "Int64": (pd.Series([1, None, 2**62 + 1], dtype="Int64"), "int", [1, None, 2**62 + 1]),
    "UInt8": (pd.Series([1, None], dtype="UInt8"), "int", [1, None]),
    "Float32": (pd.Series([1.5, None], dtype="Float32"), "float", [1.5, None]),
    "boolean": (pd.Series([True, None, False], dtype="boolean"), "bool", [True, None, False]),
    "truths and None": (pd.Series([True, None], dtype=object), "bool", [True, None]),
    "numbers and NaN": (pd.Series([1.5, np.nan]), "float", [1.5, None]),
    "whole objects and NaN": (pd.Series([1, np.nan], dtype=object), "int", [1, None]),
    "categories": (pd.Series(["a", None, "a"], dtype="category"), "string", ["a", None, "a"]),
    "whole categories": (pd.Series([3, None, 3], dtype="category"), "int", [3, None, 3]),
    "moments": (pd.Series([NOON.replace(tzinfo=None), pd.NaT]), "timestamp", [NOON, None]),
    "moments of ns": (pd.Series(["2026-05-31T12"], dtype="datetime64[ns]"), "timestamp", [NOON]),
    "zoned": (
        pd.Series([NOON, None]).dt.tz_convert("Asia/Tokyo"),
        "timestamp",
        [NOON, None],
    ),
    "zoned index": (pd.DatetimeIndex([NOON]).tz_convert("America/New_York"), "timestamp", [NOON]),
    "dates": (pd.Series([date(2026, 5, 31), None], dtype=object), "timestamp", [NOON.replace(hour=0), None]),
    "decimals": (pd.Series([Decimal("9.99"), None], dtype=object), "float", [9.99, None]),
    "lists": (pd.Series([["a"], None, []]), "strings", [["a"], None, []]),
    "arrays of texts": (pd.Series([np.array(["a", "b"]), np.array([])]), "strings", [["a", "b"], []]),
    "index": (pd.Index([3, 4]), "int", [3, 4]),
    "no value of a type": (pd.Series([None, None], dtype="Int64"), "int", [None, None]),
    "no text": (pd.Series([None], dtype="string"), "string", [None]),
    "labelled columns": (pd.Series({"columns": "a", "dtype": "b"}), "string", ["a", "b"]),
    "one of another index": (pd.Series(["a", "b"], index=[7, 3]), "string", ["a", "b"]),
    # NumPy
    "int8": (np.array([1, -1], dtype=np.int8), "int", [1, -1]),
    "uint64": (np.array([2**63 - 1], dtype=np.uint64), "int", [2**63 - 1]),
    "float16": (np.array([0.5, np.nan], dtype=np.float16), "float", [0.5, None]),
    "long double": (np.array([0.5], dtype=np.longdouble), "float", [0.5]),
    "truths": (np.array([True, False]), "bool", [True, False]),
    "fixed texts": (np.array(["a", "bc"]), "string", ["a", "bc"]),
    "variable texts": (
        np.array(["a", None], dtype=np.dtypes.StringDType(na_object=None)),
        "string",
        ["a", None],
    ),
    "objects": (np.array(["a", None, np.nan], dtype=object), "string", ["a", None, None]),
    "masked": (np.ma.array([1, 2], mask=[False, True]), "int", [1, None]),
    "masked moments": (
        np.ma.array(np.array(["2026-05-31T12", "2027"], dtype="datetime64[ns]"), mask=[False, True]),
        "timestamp",
        [NOON, None],
    ),
    "scalars": ([np.int8(1), None, np.int64(2)], "int", [1, None, 2]),
    "moments as scalars": ([np.datetime64("2026-05-31T12", "ns"), np.datetime64("NaT")], "timestamp", [NOON, None]),
    "no moment": (np.array(["NaT"], dtype="datetime64"), "timestamp", [None]),
    "rows of texts": (np.array([["a", "b"], ["c", "d"]]), "strings", [["a", "b"], ["c", "d"]]),
    # Polars
    "polars texts": (pl.Series(["a", None]), "string", ["a", None]),
    "polars categories": (pl.Series(["a", None], dtype=pl.Categorical), "string", ["a", None]),
    "polars enum": (pl.Series(["a", None], dtype=pl.Enum(["a"])), "string", ["a", None]),
    "polars decimals": (pl.Series([Decimal("9.99"), None]), "float", [9.99, None]),
    "polars dates": (pl.Series([date(2026, 5, 31), None]), "timestamp", [NOON.replace(hour=0), None]),
    "polars moments": (
        pl.Series([NOON.replace(tzinfo=None), None], dtype=pl.Datetime("ns")),
        "timestamp",
        [NOON, None],
    ),
    "polars zoned": (pl.Series([NOON]).dt.convert_time_zone("Asia/Tokyo"), "timestamp", [NOON]),
    "polars lists": (pl.Series([["a"], None, []], dtype=pl.List(pl.String)), "strings", [["a"], None, []]),
    "polars array": (pl.Series([["a", "b"]], dtype=pl.Array(pl.String, 2)), "strings", [["a", "b"]]),
    "polars structs": (pl.Series([{"w": 1}]), "json", [{"w": 1}]),
    "polars numbers": (pl.Series([1, None], dtype=pl.UInt8), "int", [1, None]),
    "polars no value": (pl.Series([None], dtype=pl.Float32), "float", [None]),
    # others
    "arrow texts": (Exported(pl.Series(["a", None])), "string", ["a", None]),
    "arrow dictionary": (Exported(pl.Series(["a", None], dtype=pl.Categorical)), "string", ["a", None]),
    "arrow lists": (Exported(pl.Series([["a"], None])), "strings", [["a"], None]),
    "torch": (torch.tensor([1.5, 2.5], requires_grad=True), "float", [1.5, 2.5]),
    "torch of 16 bits": (torch.tensor([1.5], dtype=torch.bfloat16), "float", [1.5]),
    "a list of tensors": ([torch.tensor(1), torch.tensor(2)], "int", [1, 2]),
    "a range": (range(2), "int", [0, 1]),
    "pandas' scalars": ([pd.Timestamp(NOON), pd.NaT, pd.NA], "timestamp", [NOON, None, None]),
    "decimals in a list": ([Decimal("0.1"), Decimal("NaN")], "float", [0.1, None]),
    "texts and NaN": (["a", float("nan")], "string", ["a", None]),
    "lists and NaN": ([["a"], float("nan")], "strings", [["a"], None]),
    "objects and numbers": ([{"w": 1}, 5, "x"], "json", [{"w": 1}, 5, "x"]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_of_any_library_comes_back_as_it_was(tmp_path: Path, name: str) -> None:
    column, kind, values = COLUMNS[name]
    assert stored(tmp_path / "shop", column, len(values)) == (kind, values)


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (["a", 5], "row 0 has text, row 1 has a whole number"),
        ([None, 5, "a"], "row 1 has a whole number, row 2 has text"),
        ([True, 1], "row 0 has a boolean, row 1 has a whole number"),
        (["a", ["b"]], "row 0 has text, row 1 has a list"),
        ([NOON, "2026-05-31"], "row 0 has a date, row 1 has text"),
        (pd.Series(["a", 1.5, None], dtype=object), "row 0 has text, row 1 has a number"),
    ],
)
def test_a_new_field_of_several_types_is_refused_with_the_rows(tmp_path: Path, column: Any, said: str) -> None:  # noqa: ANN401
    with pytest.raises(FieldTypeError, match=said):
        stored(tmp_path / "shop", column)


def test_a_field_declared_as_json_holds_values_of_any_type(tmp_path: Path) -> None:
    with Catalog.create(tmp_path / "shop", dim=DIM) as catalog:
        catalog.add_field("extra", "json")
        catalog.add_vectors(["a", "b", "c"], np.ones((3, DIM)), {"extra": ["x", 5, None]})
        assert [item.fields["extra"] for item in catalog.items()] == ["x", 5, None]


@pytest.mark.parametrize("unit", ["Y", "M", "D", "h", "s", "ms", "us"])
def test_a_moment_that_no_datetime_can_hold_is_refused_by_row_and_key(tmp_path: Path, unit: str) -> None:
    for place, year in enumerate(("12000", "-0005", "0000", "10000", "200000")):
        wrong = np.array(["2026", year], dtype="datetime64[Y]")
        with pytest.raises(FieldTypeError, match=r"Row 1 \(key 'k1'\).*years 1 to 9999"):
            stored(tmp_path / f"shop{place}", wrong.astype(f"datetime64[{unit}]"))
    edges = np.array(["0001-01-01", "9999-12-31"], dtype="datetime64[D]").astype(f"datetime64[{unit}]")
    expected = [moment.replace(tzinfo=UTC) for moment in edges.astype("datetime64[us]").tolist()]
    assert stored(tmp_path / "edges", edges)[1] == expected


def test_a_zone_cannot_move_a_date_out_of_what_can_be_read_back(tmp_path: Path) -> None:
    ahead = timezone(timedelta(hours=14))
    with pytest.raises(FieldTypeError, match="years 1 to 9999"):
        stored(tmp_path / "shop", [datetime(1, 1, 1, tzinfo=ahead)])
    with pytest.raises(FieldTypeError, match="years 1 to 9999"):
        stored(tmp_path / "polars", pl.Series([380_000_000_000_000_000]).cast(pl.Datetime("us")))


@pytest.mark.parametrize("column", [[timedelta(1)], [b"x"], [{1, 2}], [1j], [object()], pd.Series([pd.Timedelta(1)])])
def test_values_that_no_field_holds_are_refused_in_words(tmp_path: Path, column: Any) -> None:  # noqa: ANN401
    with pytest.raises(UsageError, match="Row 0"):
        stored(tmp_path / "shop", column)


LASTING = [timedelta(hours=2), None]
DURATIONS: dict[str, Any] = {
    **{
        f"NumPy's {unit}": np.array([2, "NaT"], dtype=f"timedelta64[{unit}]")
        for unit in ("D", "h", "s", "ms", "us", "ns", "ps")
    },
    "NumPy's of no unit": np.array([2, "NaT"], dtype="timedelta64"),
    "NumPy's too long for Python's": np.array([2**62, "NaT"], dtype="timedelta64[D]"),
    "NumPy's masked": np.ma.array(np.array([2, 3], dtype="timedelta64[ns]"), mask=[False, True]),
    "NumPy's objects": np.array(LASTING, dtype=object),
    "NumPy's scalars": [np.timedelta64(2, "ns"), None],
    "NumPy's scalars of seconds": [np.timedelta64(2, "s"), np.timedelta64("NaT")],
    "arrays of no dimension": [np.array(2, dtype="timedelta64[ns]"), None],
    "Python's": LASTING,
    "pandas'": pd.Series(LASTING),
    "pandas' ns": pd.Series(LASTING, dtype="timedelta64[ns]"),
    "pandas' index": pd.TimedeltaIndex(LASTING),
    "pandas' objects": pd.Series(LASTING, dtype=object),
    "pandas' scalars": [pd.Timedelta(hours=2), pd.NaT],
    **{f"Polars' {unit}": pl.Series(LASTING, dtype=pl.Duration(unit)) for unit in ("ms", "us", "ns")},
    "Arrow's": Exported(pl.Series(LASTING, dtype=pl.Duration("ns"))),
}


@pytest.mark.parametrize("name", DURATIONS)
def test_durations_of_any_library_are_refused_in_words(tmp_path: Path, name: str) -> None:
    said = r"Row 0 \(key 'a'\): The field 'lasts' is given the duration .*; give its seconds as a number\."
    with Catalog.create(tmp_path / "shop", dim=DIM) as catalog:
        catalog.add_vectors(["a", "b"], np.ones((2, DIM)), {"size": [1, 2]})
        for kind in (None, *FieldType):
            if kind is not None:
                catalog.add_field("lasts", kind)
            with pytest.raises(FieldTypeError, match=said):
                catalog.add_vectors(["a", "b"], np.ones((2, DIM)), {"lasts": DURATIONS[name]})
            with pytest.raises(FieldTypeError, match=said):
                catalog.update(["a", "b"], {"lasts": DURATIONS[name]})
            if kind is not None:
                catalog.drop_field("lasts")
        assert [dict(item.fields) for item in catalog.items()] == [{"size": 1}, {"size": 2}]


@pytest.mark.parametrize(
    "column",
    [
        np.array(["NaT"], dtype="timedelta64[ns]"),
        pd.Series([pd.NaT], dtype="timedelta64[s]"),
        pl.Series([None], dtype=pl.Duration),
    ],
)
def test_durations_that_are_all_missing_are_missing_values(tmp_path: Path, column: Any) -> None:  # noqa: ANN401
    assert stored(tmp_path / "shop", column, 1) == (None, [None])


@pytest.mark.parametrize("unit", ["D", "s", "ns"])
def test_durations_within_values_and_as_keys_counts_and_parameters_are_refused(tmp_path: Path, unit: str) -> None:
    lasting: Any = np.array([2, 3], dtype=f"timedelta64[{unit}]")
    with Catalog.create(tmp_path / "shop", dim=DIM) as catalog:
        catalog.add_vectors(["2", "3"], np.ones((2, DIM)), {"size": [2, 3]})
        for value in (lasting, [lasting[0]], {"a": lasting[0]}):
            with pytest.raises(FieldTypeError, match="a duration"):
                catalog.update("2", {"extra": [value]})
        with pytest.raises(FieldTypeError, match="a duration"):
            catalog.update(["2", "3"], {"extra": lasting.reshape(2, 1)})
        for keys in (lasting, [lasting[0]], lasting[0]):
            with pytest.raises(UsageError, match="a duration"):
                catalog.get(keys)
        with pytest.raises(UsageError, match="must be a whole number"):
            catalog.search(limit=lasting[0])
        with pytest.raises(UsageError, match="must be a number"):
            catalog.search(vector=[1, 0], min_score=lasting[0])
        for text in ("size == {a}", "size in {a}"):
            with pytest.raises(UsageError):
                catalog.search(filter=text, params={"a": lasting if " in " in text else lasting[0]})


def test_moments_within_values_are_texts_of_dates_whatever_their_unit(tmp_path: Path) -> None:
    for unit in ("D", "s", "ns"):
        moments = np.array(["2026-05-31", "NaT"], dtype=f"datetime64[{unit}]")
        for place, column in enumerate(([moments], moments.reshape(1, 2), [{"a": moments}["a"]])):
            kind, (value,) = stored(tmp_path / f"{unit}{place}", column, 1)
            assert (kind, value) == ("json", ["2026-05-31T00:00:00+00:00", None])


def test_a_column_of_missing_values_fits_every_field_and_changes_no_type(tmp_path: Path) -> None:
    with Catalog.create(tmp_path / "shop", dim=DIM) as catalog:
        for kind in FieldType:
            catalog.add_field(kind.value, kind)
        before = catalog.info().fields
        for place, missing in enumerate(
            (np.array([np.nan]), [None], pd.Series([pd.NA]), pd.Series([np.nan], dtype=object))
        ):
            catalog.add_vectors([f"k{place}"], np.ones((1, DIM)), {kind.value: missing for kind in FieldType})
        assert catalog.info().fields == before
        assert all(value is None for item in catalog.items() for value in item.fields.values())


def test_whole_numbers_with_gaps_keep_a_field_whole_and_fractions_widen_it(tmp_path: Path) -> None:
    with Catalog.create(tmp_path / "shop", dim=DIM) as catalog:
        catalog.add_vectors(["a"], np.ones((1, DIM)), {"stock": [1]})
        catalog.update(["a"], {"stock": np.array([2.0])})
        catalog.add_vectors(
            ["b", "c"], np.ones((2, DIM)), {"stock": pd.Series([3, None])}
        )  # pandas makes it 3.0 and NaN
        assert catalog.info().fields["stock"] == "int"
        assert [item.fields["stock"] for item in catalog.items()] == [2, 3, None]
        catalog.update(["a"], {"stock": [2.5]})
        assert catalog.info().fields["stock"] == "float"


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6),
    "int": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "bool": st.booleans(),
    "timestamp": st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(lambda moment: moment.replace(tzinfo=UTC)),
}
MADE: dict[str, dict[str, Any]] = {
    "pandas": {
        "string": "string",
        "int": "Int64",
        "float": "Float64",
        "bool": "boolean",
        "timestamp": "datetime64[us, UTC]",
    },
    "pandas' objects": dict.fromkeys(VALUES, object),
    "polars": {
        "string": pl.String,
        "int": pl.Int64,
        "float": pl.Float64,
        "bool": pl.Boolean,
        "timestamp": pl.Datetime("us", "UTC"),
    },
}


@settings(max_examples=120, deadline=None)
@given(
    drawn=st.data(), kind=st.sampled_from(sorted(VALUES)), library=st.sampled_from(["list", "NumPy", "Arrow", *MADE])
)
def test_values_and_nulls_of_any_library_are_read_exactly(drawn: st.DataObject, kind: str, library: str) -> None:
    values = drawn.draw(st.lists(st.none() | VALUES[kind], max_size=8))
    column: Any = values
    if library == "NumPy":
        column = np.array(values, dtype=object)
    elif library in ("polars", "Arrow"):
        column = pl.Series(values, dtype=MADE["polars"][kind])
        column = Exported(column) if library == "Arrow" else column
    elif library != "list":
        column = pd.Series(values, dtype=MADE[library][kind])
    found, named = plain_values(column)
    assert named in (None, kind)
    coerced = [FieldType(kind).coerce(value) for value in found]
    assert coerced == [FieldType(kind).coerce(value) for value in values]


@pytest.mark.parametrize(
    ("column", "kind", "values"),
    [
        ([Decimal(2**53 + 1)], "int", [2**53 + 1]),
        ([Decimal(2**53), Decimal("9.50")], "float", [2.0**53, 9.5]),
        ([Decimal("10.00")], "float", [10.0]),
        ([Decimal(10**30)], "float", [1e30]),
        (np.array([2**53 + 1, 2**53 + 3], dtype=np.longdouble), "int", [2**53 + 1, 2**53 + 3]),
        (np.array([0.5, np.nan], dtype=np.longdouble), "float", [0.5, None]),
        ([np.longdouble(2**53 + 1)], "int", [2**53 + 1]),
    ],
)
def test_a_whole_number_that_no_float_equals_is_stored_as_it_is_given(
    tmp_path: Path,
    column: Any,  # noqa: ANN401
    kind: str,
    values: list[Value],
) -> None:
    assert stored(tmp_path / "shop", column) == (kind, values)


def test_a_long_double_with_a_fraction_is_no_whole_number() -> None:
    with pytest.raises(ValueError, match="not a whole number"):
        FieldType.INT.coerce(np.longdouble(2**53) + np.longdouble(0.5))  # type: ignore[arg-type]
