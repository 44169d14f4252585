"""Convert columns of NumPy, pandas, Polars or Arrow to lists of plain Python values.

If a column's dtype names a field type, that is its type; otherwise its values decide. Missing values become None: NA
and NaT of pandas, masked values, nulls, and NaN among values that are not numbers. pandas and pyarrow are never
imported: a pandas column is recognised by its methods, and an Arrow array by its C interface.

Durations stay durations, whatever their unit and library, so that fields, keys and filters can refuse them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol, TypeGuard

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lookalike.data.exact_numbers import of_longdouble
from lookalike.data.field_type import FINE_UNITS, FieldType
from lookalike.data.item import Value

__all__ = ["kind_of_polars", "plain_value", "plain_values"]

_PLAIN = frozenset({type(None), bool, int, float, str, datetime, list, tuple, dict})
_NUMBERS = frozenset({type(None), int, float})
_MISSING = ("NAType", "NaTType")
"""Type names of the missing values of pandas."""

_KINDS: Mapping[str, FieldType] = {
    "b": FieldType.BOOL,
    "i": FieldType.INT,
    "u": FieldType.INT,
    "f": FieldType.FLOAT,
    "M": FieldType.TIMESTAMP,
    "U": FieldType.STRING,
    "T": FieldType.STRING,
}
"""Field types by the `kind` of a NumPy dtype."""

_FIRST, _LAST = np.datetime64("0001-01-01T00:00:00"), np.datetime64("9999-12-31T23:59:59.999999")


class _PandasColumn(Protocol):
    dtype: Any

    def isna(self) -> Any: ...  # noqa: ANN401  # a pandas object

    def to_numpy(self, dtype: str | None = None) -> NDArray[Any]: ...

    def tolist(self) -> list[Any]: ...


def plain_values(values: object) -> tuple[list[Value], FieldType | None]:
    """Return a column as a list of plain Python values, and the field type that its dtype names, if any.

    An iterator is consumed. A list of plain values is returned unchanged.

    Raises:
        TypeError: `values` is a single value, a mapping, a table, or not iterable.
        ValueError: `values` is an Arrow array of a type that Polars cannot read.
    """
    kind: FieldType | None = None
    found: list[Any]
    if type(values) is list:
        found = values
    elif isinstance(values, str | bytes | bytearray | Mapping):
        raise TypeError("one value or a mapping")
    elif isinstance(values, pl.Series):
        found, kind = _of_polars(values)
    elif isinstance(values, np.ndarray):
        found, kind = _of_numpy(values)
    elif _is_pandas(values):
        found, kind = _of_pandas(values)
    elif hasattr(values, "columns"):
        raise TypeError("a table")
    elif hasattr(values, "__arrow_c_array__") or hasattr(values, "__arrow_c_stream__"):
        try:
            found, kind = _of_polars(pl.Series(values))  # type: ignore[arg-type]  # it has the Arrow C interface
        except (pl.exceptions.PolarsError, NotImplementedError, TypeError) as error:
            raise ValueError(str(error)) from error
    elif hasattr(values, "tolist"):  # tensors, on any device
        found = values.tolist()
        if not isinstance(found, list):
            raise TypeError("one value")
    elif isinstance(values, Iterable):
        found = list(values)
    else:
        raise TypeError("one value")
    return _with_nulls(found), kind


def kind_of_polars(dtype: pl.DataType) -> FieldType | None:
    """Return the field type that a Polars dtype names, or None if the values must decide."""
    if dtype.is_integer():
        return FieldType.INT
    if dtype.is_float() or dtype.is_decimal():
        return FieldType.FLOAT
    match dtype:
        case pl.Boolean():
            return FieldType.BOOL
        case pl.String() | pl.Categorical() | pl.Enum():
            return FieldType.STRING
        case pl.Date() | pl.Datetime():
            return FieldType.TIMESTAMP
        case pl.List() | pl.Array():
            texts = isinstance(dtype.inner, pl.String | pl.Categorical | pl.Enum)
            return FieldType.STRINGS if texts else FieldType.JSON
        case pl.Struct():
            return FieldType.JSON
    return None


def _of_numpy(values: NDArray[Any]) -> tuple[list[Any], FieldType | None]:
    if not values.ndim:
        raise TypeError("one value")
    if values.ndim > 1:
        return _listed(values), None
    kind = None if values.dtype == np.longdouble != np.float64 else _KINDS.get(values.dtype.kind)
    if isinstance(values, np.ma.MaskedArray):
        found, kind = _of_numpy(values.data)
        return _masked(found, np.ma.getmaskarray(values)), kind
    return _listed(values), kind


def _listed(values: NDArray[Any]) -> Any:  # noqa: ANN401  # nested lists, or a single value
    """Return an array as nested lists; datetimes and durations in nanoseconds are not turned into integers."""
    if values.dtype.kind not in "mM":
        return values.tolist()
    if not values.ndim:
        return plain_value(values[()])
    if values.ndim > 1:
        return [_listed(row) for row in values]
    return _moments(values) if values.dtype.kind == "M" else _masked(list(values), np.isnat(values))


def _moments(values: NDArray[np.datetime64]) -> list[Any]:
    """Return datetimes, with None for NaT. A value that Python's datetime cannot hold stays as it is, for messages."""
    unit = np.datetime_data(values.dtype)[0]
    if unit == "generic":  # every value is NaT
        return [None] * len(values)
    found: list[Any] = values.astype("datetime64[us]").tolist()
    if unit not in FINE_UNITS:
        first, last = _FIRST.astype(values.dtype), _LAST.astype(values.dtype)
        for place in np.flatnonzero((values < first) | (values > last)):
            found[place] = values[place]
    return found


def _of_polars(values: pl.Series) -> tuple[list[Any], FieldType | None]:
    kind = kind_of_polars(values.dtype)
    if kind is FieldType.TIMESTAMP:
        if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone is not None:
            values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return _moments(values.to_numpy()), kind
    return values.to_list(), kind


def _is_pandas(values: object) -> TypeGuard[_PandasColumn]:
    return all(hasattr(values, name) for name in ("isna", "dtype", "to_numpy", "tolist"))


def _of_pandas(values: _PandasColumn) -> tuple[list[Any], FieldType | None]:
    dtype = values.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "biufM":
        return _of_numpy(values.to_numpy())
    if dtype.kind == "M" and hasattr(dtype, "unit"):  # with a time zone
        return _of_numpy(values.to_numpy(dtype=f"datetime64[{dtype.unit}]"))
    kind = FieldType.STRING if dtype.name in ("str", "string") else _KINDS.get(dtype.kind)
    return _masked(values.tolist(), np.asarray(values.isna())), kind


def _masked(values: Sequence[Any], missing: NDArray[np.bool_]) -> list[Any]:
    return [None if gone else value for value, gone in zip(values, missing.tolist(), strict=True)]


def _with_nulls(values: list[Any]) -> list[Value]:
    """Return the values with None in place of missing ones, and scalars of other libraries as Python values."""
    types = set(map(type, values))
    if not types <= _PLAIN:
        values = [plain_value(value) for value in values]
        types = set(map(type, values))
    if float in types and not types <= _NUMBERS:
        values = [None if type(value) is float and value != value else value for value in values]
    return values


def plain_value(value: Any) -> Any:  # noqa: ANN401  # a value of any type
    """Return a value of any library as a plain Python value, None if it is missing; other objects are unchanged."""
    if type(value) in _PLAIN:
        return value
    if type(value).__name__ in _MISSING:
        return None
    if isinstance(value, np.datetime64 | np.timedelta64):
        return None if np.isnat(value) else value
    if isinstance(value, Decimal):
        return None if value.is_nan() else value
    if isinstance(value, np.ndarray):
        return _listed(value)
    if isinstance(value, pl.Series):
        return value.to_list()
    if hasattr(value, "as_py"):  # an Arrow scalar
        return value.as_py()
    if isinstance(value, np.longdouble):
        return of_longdouble(value)
    if isinstance(value, np.generic) or (hasattr(value, "item") and getattr(value, "ndim", None) == 0):
        return value.item()
    return value
