"""Field types: which values each type accepts, and the single form in which a value is stored.

    type        accepted values                                  stored form (JSON)
    string      str                                              string
    int         int; float or Decimal that is a whole number     integer, signed 64-bit
    float       int, float, Decimal; NaN becomes null and        number
                infinities are refused
    bool        bool                                             true or false
    timestamp   datetime (UTC if it has no time zone), date,     integer, microseconds since 1970 in UTC
                ISO 8601 text; years 1 to 9999 in UTC
    strings     list or tuple of str                             list of strings
    json        any JSON value; a datetime becomes ISO text      unchanged

Decimals, even whole ones, make a new field a float field, unless one of them is a whole number that no float64 equals.
A float field holds what is given as the nearest float64.

NumPy scalars are accepted like the Python values they stand for, and null fits every type. No type accepts a duration;
store its seconds as a number instead. (Durations in a Parquet file become text when a feed or an import reads it.)
`column_values.py` converts whole columns of other libraries to plain Python values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias, TypeGuard, cast

import numpy as np

from lookalike.data.exact_numbers import is_moved
from lookalike.data.item import Json, Value

__all__ = [
    "FINE_UNITS",
    "INT64_MAX",
    "INT64_MIN",
    "MAX_JSON_DEPTH",
    "FieldType",
    "datetime_of",
    "in_words",
    "microseconds_of",
    "mixture_of",
    "name_of_type",
]

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1
MAX_JSON_DEPTH = 32

FINE_UNITS = ("ns", "ps", "fs", "as")
"""NumPy datetime units in which every 64-bit value lies between the years 1 and 9999."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST_MICROSECOND = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST_MICROSECOND = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_NULL = type(None)
_Number: TypeAlias = int | float | np.integer | np.floating | Decimal


class FieldType(StrEnum):
    """The type of a field's values.

    >>> FieldType("int"), FieldType.INT == "int"
    (<FieldType.INT: 'int'>, True)
    """

    STRING = "string"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    TIMESTAMP = "timestamp"
    STRINGS = "strings"
    JSON = "json"

    @property
    def words(self) -> str:
        """The type as a phrase that completes "this field holds ...".

        >>> FieldType.STRINGS.words
        'lists of texts'
        """
        return _WORDS[self]

    @classmethod
    def infer(cls, values: Iterable[Value]) -> FieldType | None:
        """Return the narrowest type that holds every value, or None if all values are null.

        >>> FieldType.infer([1, 2.5, None])
        <FieldType.FLOAT: 'float'>
        """
        plain = list(values)
        types = set(map(type, plain)) - {_NULL}
        if types <= _TYPES.keys():  # fast path: other types, such as lists, need a look at each value
            kinds = {_TYPES[type_] for type_ in types}
        else:
            kinds = {_type_of(value) for value in plain if value is not None}
        if len(kinds) > 1:
            return cls.FLOAT if kinds == {cls.INT, cls.FLOAT} else cls.JSON
        return kinds.pop() if kinds else None

    def coerce(self, value: Value) -> Json:
        """Return a value in its stored form.

        >>> FieldType.TIMESTAMP.coerce("2026-05-01")
        1777593600000000

        Raises:
            ValueError: the value does not fit the type. The message completes "the value is ...".
        """
        return None if value is None else _COERCE[self](value)

    def coerce_all(self, values: Sequence[Value]) -> list[Json] | None:
        """Return values in their stored form after checking them in bulk, or None if each must be checked by itself.

        >>> FieldType.FLOAT.coerce_all([1.5, float("nan")])
        [1.5, None]
        >>> FieldType.FLOAT.coerce_all(["1.5"]) is None
        True
        """
        types = set(map(type, values)) - {_NULL}
        if types and types != {_PLAIN.get(self)}:
            return None
        present = [value for value in values if value is not None]
        match self:
            case FieldType.STRING if not _is_text("".join(cast(list[str], present))):
                return None
            case FieldType.INT if present and not _is_int64(cast(list[int], present)):
                return None
            case FieldType.FLOAT:
                numbers = np.array(present, dtype=np.float64)
                if np.isinf(numbers).any():
                    return None
                if np.isnan(numbers).any():
                    return [None if value is None or value != value else cast(float, value) for value in values]
        return cast(list[Json], list(values))


_WORDS = {
    FieldType.STRING: "text",
    FieldType.INT: "whole numbers",
    FieldType.FLOAT: "numbers",
    FieldType.BOOL: "true or false",
    FieldType.TIMESTAMP: "dates and times",
    FieldType.STRINGS: "lists of texts",
    FieldType.JSON: "values of mixed types",
}

_PLAIN: Mapping[FieldType, type] = {
    FieldType.STRING: str,
    FieldType.INT: int,
    FieldType.FLOAT: float,
    FieldType.BOOL: bool,
}
"""Types whose stored form is the Python value itself."""

_TYPES: Mapping[type, FieldType] = {**{python: kind for kind, python in _PLAIN.items()}, datetime: FieldType.TIMESTAMP}
"""Python types that always map to the same field type."""


def microseconds_of(moment: date | str) -> int:
    """Return the microseconds since 1970 in UTC of a datetime, a date (at midnight) or ISO 8601 text.

    A value without a time zone is taken as UTC.

    Raises:
        ValueError: the text is not a date, or the moment is outside the years 1 to 9999 in UTC.
    """
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment.strip())
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    count = (moment - _EPOCH) // _MICROSECOND
    if not _FIRST_MICROSECOND <= count <= _LAST_MICROSECOND:  # the time zone can move it out of range
        raise ValueError("outside the years 1 to 9999 in UTC")
    return count


def datetime_of(microseconds: int) -> datetime:
    """Return the UTC datetime of a stored timestamp, given in microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=microseconds)


def _type_of(value: Value) -> FieldType:
    match value:
        case bool() | np.bool_():
            return FieldType.BOOL
        case np.timedelta64():  # a subclass of np.integer
            return FieldType.JSON
        case int() | np.integer():
            return FieldType.INT
        case Decimal() if _needs_int(cast(Decimal, value)):
            return FieldType.INT
        case float() | np.floating() | Decimal():
            return FieldType.FLOAT
        case str():
            return FieldType.STRING
        case date() | np.datetime64():
            return FieldType.TIMESTAMP
        case list() | tuple() if all(isinstance(part, str) for part in value):
            return FieldType.STRINGS
        case _:
            return FieldType.JSON


def _needs_int(value: Decimal) -> bool:
    """Return whether a number is a 64-bit whole number that no float64 equals."""
    if not (value.is_finite() and INT64_MIN <= value <= INT64_MAX):
        return False
    return is_moved(value, float(value)) and value == int(value)


def mixture_of(values: Sequence[Value]) -> tuple[int, int] | None:
    """Return the positions of two values that only a JSON field can hold together, or None if there are no such values.

    Objects and lists with elements other than texts are JSON already, so anything may accompany them.
    """
    firsts: dict[FieldType, int] = {}
    for place, value in enumerate(values):
        if value is not None:
            kind = _type_of(value)
            firsts.setdefault(FieldType.FLOAT if kind is FieldType.INT else kind, place)
    if FieldType.JSON in firsts or len(firsts) < 2:
        return None
    first, second, *_ = sorted(firsts.values())
    return first, second


def _is_int64(values: list[int]) -> bool:
    return min(values) >= INT64_MIN and max(values) <= INT64_MAX


def _is_text(value: str) -> bool:
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


# Each converter takes a value that is not null. The ValueError's message completes "the value is ...".


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(in_words(value))
    if not _is_text(value):
        raise ValueError("not valid text")
    return str.__str__(value)  # for an enum member: its text, not its name


def _is_number(value: object) -> TypeGuard[_Number]:
    return isinstance(value, _Number) and not isinstance(value, bool | np.bool_ | np.timedelta64)


def _int(value: object) -> int:
    if not _is_number(value):
        raise ValueError(in_words(value))
    if isinstance(value, Decimal) and not value.is_finite():  # math.isfinite takes no signalling NaN
        raise ValueError("not a whole number")
    if isinstance(value, float | np.floating | Decimal) and not (math.isfinite(value) and value == int(value)):
        raise ValueError("not a whole number")
    if not INT64_MIN <= int(value) <= INT64_MAX:
        raise ValueError("more than 64 bits wide")
    return int(value)


def _float(value: object) -> float | None:
    if not _is_number(value):
        raise ValueError(in_words(value))
    if isinstance(value, Decimal) and value.is_nan():
        return None
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if math.isinf(number):
        raise ValueError("infinite")
    return None if math.isnan(number) else number


def _bool(value: object) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise ValueError(in_words(value))
    return bool(value)


def _timestamp(value: object) -> int | None:
    if isinstance(value, np.datetime64):
        if np.isnat(value):
            return None
        value = _datetime_of_numpy(value)
    if not isinstance(value, date | str):
        raise ValueError(in_words(value))
    try:
        return microseconds_of(value)
    except ValueError as error:
        if "1 to 9999" in str(error):
            raise
        raise ValueError("not a date such as 2026-05-31 or 2026-05-31T12:00:00+02:00") from None


def _datetime_of_numpy(value: np.datetime64) -> datetime:
    if np.datetime_data(value)[0] not in FINE_UNITS:
        year = int(value.astype("datetime64[Y]").astype(np.int64)) + 1970
        if not 1 <= year <= 9999:
            raise ValueError("outside the years 1 to 9999 in UTC")
    return cast(datetime, value.astype("datetime64[us]").item())


def _strings(value: object) -> list[Json]:
    if not isinstance(value, list | tuple):
        raise ValueError(in_words(value))
    for part in value:
        if not isinstance(part, str) or not _is_text(part):
            raise ValueError("a list with elements that are not text")
    return [str(part) for part in value]


def _json(value: object, depth: int = 0) -> Json:
    if depth > MAX_JSON_DEPTH:
        raise ValueError(f"nested more than {MAX_JSON_DEPTH} levels deep")
    match value:
        case None:
            return None
        case bool() | np.bool_():
            return bool(value)
        case np.timedelta64():
            raise ValueError(in_words(value))
        case int() | np.integer():
            return _int(value)
        case float() | np.floating() | Decimal():
            return _float(value)
        case str():
            return _string(value)
        case date():
            return datetime_of(microseconds_of(value)).isoformat()
        case list() | tuple():
            return [_json(part, depth + 1) for part in value]
        case dict():
            return {_string(name): _json(part, depth + 1) for name, part in value.items()}
        case _:
            raise ValueError(in_words(value))


_COERCE: Mapping[FieldType, Callable[[object], Json]] = {
    FieldType.STRING: _string,
    FieldType.INT: _int,
    FieldType.FLOAT: _float,
    FieldType.BOOL: _bool,
    FieldType.TIMESTAMP: _timestamp,
    FieldType.STRINGS: _strings,
    FieldType.JSON: _json,
}

_NAMES = {
    "str": "text",
    "bool": "a boolean",
    "int": "a whole number",
    "float": "a number",
    "datetime": "a date",
    "date": "a date",
    "timedelta": "a duration",
    "list": "a list",
    "tuple": "a list",
    "dict": "an object",
    "Decimal": "a number",
    "bytes": "bytes",
    "NoneType": "None",
}


def name_of_type(value: object) -> str:
    """Return the name of a value's Python type; NumPy scalars are named like the Python values they stand for."""
    if isinstance(value, timedelta | np.timedelta64):
        return "timedelta"
    plain = value.item() if isinstance(value, np.generic) else value
    return "str" if isinstance(plain, str) else type(plain).__name__


def in_words(value: object) -> str:
    """Return a value's type in words, with an article: "a whole number"."""
    name = name_of_type(value)
    return _NAMES.get(name, f"a value of type {name}")
