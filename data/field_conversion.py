"""Convert a stored value of one field type to another type, as a change of a field's type does.

to string    numbers as written, "true" or "false", ISO 8601, list elements joined by "|", JSON as JSON text
from string  parsed like a cell of a CSV file; text that stands for no value ("", "n/a") becomes null
to json      every value, unchanged; datetimes become ISO 8601 text
otherwise    integers, floats and booleans (0 and 1) where nothing is lost; JSON according to the type of each value
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import orjson

from lookalike.data.exact_numbers import exact_number
from lookalike.data.field_type import FieldType, datetime_of, in_words
from lookalike.data.item import Json, Value
from lookalike.data.values.column_guess import LIST_SEPARATOR, parse_cell

__all__ = ["converted"]

_TOO_LARGE = "a whole number too large for a float to hold exactly"


def converted(value: Json, old: FieldType, new: FieldType) -> Json:
    """Return `value`, stored as type `old`, in the stored form of type `new`.

    Raises:
        ValueError: the conversion would lose information. The message completes "the value is ...".
    """
    plain: Value = datetime_of(value) if old is FieldType.TIMESTAMP and isinstance(value, int) else value
    if plain is None or new is FieldType.JSON:
        return new.coerce(plain)
    if new is FieldType.STRING:
        return _text(plain)
    if isinstance(plain, str):
        if new is FieldType.FLOAT and _is_whole_and_long(plain):
            raise ValueError(_TOO_LARGE)
        return new.coerce(_parsed(new, plain))
    if isinstance(plain, bool) and new in (FieldType.INT, FieldType.FLOAT):
        return new.coerce(int(plain))
    if new is FieldType.BOOL and isinstance(plain, int | float) and plain in (0, 1):
        return bool(plain)
    if new is FieldType.FLOAT and isinstance(plain, int) and float(plain) != plain:
        raise ValueError(_TOO_LARGE)
    return new.coerce(plain)


def _is_whole_and_long(text: str) -> bool:
    """Return whether a text is the digits of a whole number that no float64 equals.

    With an exponent it is the text of a float64, which may be shorter than the number.
    """
    if "e" in text.lower():
        return False
    try:
        number = exact_number(text)
    except ValueError:
        return False
    return isinstance(number, Decimal) and number == int(number)


def _parsed(kind: FieldType, text: str) -> Value:
    try:
        return parse_cell(kind, text)
    except ValueError:
        raise ValueError(in_words(text)) from None


def _text(value: Value) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case datetime():
            return value.isoformat()
        case list() if all(isinstance(part, str) for part in value):
            parts = [str(part) for part in value]
            if any(LIST_SEPARATOR in part for part in parts):
                raise ValueError(f"a list with a text that contains {LIST_SEPARATOR}")
            return LIST_SEPARATOR.join(parts)
    return orjson.dumps(value).decode()
