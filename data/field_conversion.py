"""A stored value of one field type as the same value of another: what a change of a field's type does to each.

to string    numbers as they are written, true or false, ISO 8601, texts of a list joined by "|", JSON as JSON
from string  read as a cell of a CSV file is; one that says there is no value ("", n/a) becomes null
to json      everything, as it is; dates as ISO 8601 text
else         whole numbers, numbers and booleans (0 and 1) where nothing is lost; JSON by what each value is
"""

from __future__ import annotations

from datetime import datetime

import orjson

from lookalike.data.feeds.csv_table import parse_cell
from lookalike.data.feeds.table import LIST_SEPARATOR
from lookalike.data.field_type import FieldType, datetime_of, in_words
from lookalike.data.item import Json, Value

__all__ = ["converted"]


def converted(value: Json, old: FieldType, new: FieldType) -> Json:
    """Return a stored value of type `old` as one of type `new`.

    Raises:
        ValueError: it cannot be one without a loss; the message completes "the value is ...".
    """
    plain: Value = datetime_of(value) if old is FieldType.TIMESTAMP and isinstance(value, int) else value
    if plain is None or new is FieldType.JSON:
        return new.coerce(plain)
    if new is FieldType.STRING:
        return _text(plain)
    if isinstance(plain, str):
        return new.coerce(_parsed(new, plain))
    if isinstance(plain, bool) and new in (FieldType.INT, FieldType.FLOAT):
        return new.coerce(int(plain))
    if new is FieldType.BOOL and isinstance(plain, int | float) and plain in (0, 1):
        return bool(plain)
    if new is FieldType.FLOAT and isinstance(plain, int) and float(plain) != plain:
        raise ValueError("a whole number with more digits than a number with a fraction can hold")
    return new.coerce(plain)


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
                raise ValueError(f"a list with a text that has a {LIST_SEPARATOR} in it")
            return LIST_SEPARATOR.join(parts)
    return orjson.dumps(value).decode()
