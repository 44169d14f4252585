"""The types of fields: what each accepts, and the one stored form of a value.

    type        accepted                                        stored (JSON)
    string      str                                             string
    int         int; a float or Decimal that is a whole number  integer, 64 bits with sign
    float       float, int, Decimal; NaN is null, infinities    number
                are refused
    bool        bool                                            true, false
    timestamp   datetime (UTC if it has no zone), date, ISO     integer, microseconds since 1970 UTC
                8601 text, of the years 1 to 9999 in UTC
    strings     list or tuple of str                            list of strings
    json        anything JSON can say; a datetime as ISO text   as it is

NumPy's scalars are taken as Python's. Null fits every type. No type accepts a duration; give its seconds as a number.
(The durations in a Parquet file become text when a feed or an import reads it.) `given.py` reads whole columns of other
libraries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias, TypeGuard, cast

import numpy as np

from lookalike.data.item import Json, Value

__all__ = [
    "FINE_UNITS",
    "INT64_MAX",
    "INT64_MIN",
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
"""NumPy's units in which every 64-bit moment lies between the years 1 and 9999."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST_MICROSECOND = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST_MICROSECOND = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_NULL = type(None)
_Number: TypeAlias = int | float | np.integer | np.floating | Decimal


class FieldType(StrEnum):
    """What a field holds."""

    STRING = "string"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    TIMESTAMP = "timestamp"
    STRINGS = "strings"
    JSON = "json"

    @property
    def words(self) -> str:
        """The type in a sentence: "the field holds ..."."""
        return _WORDS[self]

    @classmethod
    def infer(cls, values: Iterable[Value]) -> FieldType | None:
        """Find the narrowest type that holds every value; None when all are null."""
        plain = list(values)
        types = set(map(type, plain)) - {_NULL}
        if types <= _TYPES.keys():  # all at once: a value of any other type, such as a list, must be looked at
            kinds = {_TYPES[one] for one in types}
        else:
            kinds = {_type_of(value) for value in plain if value is not None}
        if len(kinds) > 1:
            return cls.FLOAT if kinds == {cls.INT, cls.FLOAT} else cls.JSON
        return kinds.pop() if kinds else None

    def coerce(self, value: Value) -> Json:
        """Return one value in its stored form.

        Raises:
            ValueError: the value does not fit; the message completes "the value is ...".
        """
        return None if value is None else _COERCE[self](value)

    def coerce_all(self, values: Sequence[Value]) -> list[Json] | None:
        """Return many values in their stored form, checked all at once; None if they must be checked one by one."""
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
"""Python types of which every value is of one of our types."""


def microseconds_of(moment: date | str) -> int:
    """Count the microseconds since 1970 UTC of a datetime, a date (its midnight) or ISO 8601 text; no zone means UTC.

    Raises:
        ValueError: the text is not a date, or in UTC the moment is not of the years 1 to 9999.
    """
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment.strip())
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    count = (moment - _EPOCH) // _MICROSECOND
    if not _FIRST_MICROSECOND <= count <= _LAST_MICROSECOND:  # a zone can move a date out of what can be read back
        raise ValueError("not of the years 1 to 9999 in UTC")
    return count


def datetime_of(microseconds: int) -> datetime:
    """Return the UTC datetime of a stored timestamp."""
    return _EPOCH + timedelta(microseconds=microseconds)


def _type_of(value: Value) -> FieldType:
    match value:
        case bool() | np.bool_():
            return FieldType.BOOL
        case np.timedelta64():  # NumPy makes it an integer
            return FieldType.JSON
        case int() | np.integer():
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


def mixture_of(values: Sequence[Value]) -> tuple[int, int] | None:
    """Find two values of types that no field but JSON holds together, by place; None where there are none.

    Objects and lists of more than texts are JSON, and anything may stand beside them.
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


# Each takes a value that is not null; the ValueError's message completes "... is".


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(in_words(value))
    if not _is_text(value):
        raise ValueError("not valid text")
    return str.__str__(value)  # of a member of an enumeration the text, not its name


def _is_number(value: object) -> TypeGuard[_Number]:
    return isinstance(value, _Number) and not isinstance(value, bool | np.bool_ | np.timedelta64)


def _int(value: object) -> int:
    if not _is_number(value):
        raise ValueError(in_words(value))
    if isinstance(value, float | np.floating) and not float(value).is_integer():
        raise ValueError("not a whole number")
    if isinstance(value, Decimal) and not (value.is_finite() and value == int(value)):
        raise ValueError("not a whole number")
    if not INT64_MIN <= int(value) <= INT64_MAX:
        raise ValueError("more than 64 bits")
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
            raise ValueError("not of the years 1 to 9999 in UTC")
    return cast(datetime, value.astype("datetime64[us]").item())


def _strings(value: object) -> list[Json]:
    if not isinstance(value, list | tuple):
        raise ValueError(in_words(value))
    for part in value:
        if not isinstance(part, str) or not _is_text(part):
            raise ValueError("a list with parts that are not text")
    return [str(part) for part in value]


def _json(value: object, depth: int = 0) -> Json:
    if depth > MAX_JSON_DEPTH:
        raise ValueError(f"nested more than {MAX_JSON_DEPTH} deep")
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
    """Return the name of a value's Python type; NumPy's scalars count as Python's."""
    if isinstance(value, timedelta | np.timedelta64):
        return "timedelta"
    plain = value.item() if isinstance(value, np.generic) else value
    return "str" if isinstance(plain, str) else type(plain).__name__


def in_words(value: object) -> str:
    """Return what a value is, with an article: "a whole number"."""
    name = name_of_type(value)
    return _NAMES.get(name, f"a value of the type {name}")
