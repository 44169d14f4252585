"""Arguments of public calls, checked in one place: keys, texts, names, columns and numbers.

A single string is one key, text or field name. Any other iterable holds several of them and is consumed once: a list, a
set, a generator, or a column of NumPy, pandas, Polars or Arrow. Whole numbers are converted to text where text is
expected, so database ids can serve as keys; None, NaN, numbers with fractions, booleans and bytes are refused.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from contextlib import suppress
from decimal import Decimal
from os import PathLike
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from lookalike.data.column_values import plain_values
from lookalike.data.errors import FilterError, UsageError
from lookalike.data.field_type import FieldType, in_words
from lookalike.data.item import Value
from lookalike.data.shown_value import shown

__all__ = [
    "Columns",
    "Keys",
    "Texts",
    "columns_of",
    "filter_text",
    "fraction",
    "images_of",
    "keys_of",
    "mapping_of",
    "names_of",
    "parameters_of",
    "texts_of",
    "titles_of",
    "whole",
]

Keys: TypeAlias = str | int | Iterable[str] | Iterable[int]
"""One key or several. A whole number stands for its decimal text."""

Texts: TypeAlias = str | Iterable[str]
"""One text or several."""

_MOST = 2**63 - 1
"""SQLite cannot hold a greater number; a greater limit means no limit."""


class Columns(dict[str, list[Value]]):
    """The columns of fields as plain values, and in `kinds` the types that their dtypes name."""

    def __init__(self, columns: Mapping[str, list[Value]], kinds: Mapping[str, FieldType]) -> None:
        super().__init__(columns)
        self.kinds = kinds


def keys_of(keys: object, what: str = "key") -> list[str]:
    """Return one key or several as a list. Whole numbers become their decimal text.

    Raises:
        UsageError: a key is neither text nor a whole number; the message names its row.
    """
    one = _one_text(keys)
    if one is not None:
        return [one]
    values = _listed(keys, f"The {what}s are")
    if set(map(type, values)) <= {str}:
        return values  # type: ignore[return-value]  # the line before has checked
    return [_text(value, what, place) for place, value in enumerate(values)]


def texts_of(texts: object, what: str) -> list[str]:
    """Return one text, several texts or None as a list.

    Raises:
        UsageError: one of them is neither text nor a whole number.
    """
    return [] if texts is None else keys_of(texts, what)


def names_of(names: object) -> tuple[str, ...] | None:
    """Return one field name or several as a tuple, or None for None.

    Raises:
        UsageError: a name is not text.
    """
    if names is None:
        return None
    if type(names) is list and not names:
        return ()
    found = (names,) if isinstance(names, str) else tuple(_listed(names, "The field names are"))
    for name in found:
        if not isinstance(name, str):
            raise UsageError(f"The field name {shown(name)} is {in_words(name)}; a name must be text.")
    return found  # type: ignore[return-value]  # the loop has checked


def mapping_of(given: object, what: str, example: str) -> Mapping[str, Any]:
    """Return a mapping by field name, which is empty for None.

    Raises:
        UsageError: it is not a mapping, or a name is not text. The message shows `example`.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise UsageError(f"{what} is given as {in_words(given)}; give a mapping, such as {example}.")
    names_of(list(given))
    return given


def titles_of(titles: object) -> list[str | None] | None:
    """Return one title or several as a list, or None for None; `check_title` checks each of them."""
    if titles is None:
        return None
    return [titles] if isinstance(titles, str) else _listed(titles, "The titles are")  # type: ignore[return-value]


def images_of(images: object) -> list[Any]:
    """Return one picture, several or None as a list of paths, bytes and decoded pictures.

    Raises:
        UsageError: one of them is something else.
    """
    if images is None:
        return []
    one = isinstance(images, str | PathLike | bytes | bytearray | memoryview | Image.Image)
    try:
        several = [images] if one else list(images)  # type: ignore[call-overload]
    except TypeError:
        several = [images]
    for image in several:
        if not isinstance(image, str | PathLike | bytes | bytearray | memoryview | Image.Image):
            raise UsageError(
                f"The picture is {in_words(image)}; give a file's path, its bytes, or a picture that Pillow has opened."
            )
    return [bytes(image) if isinstance(image, bytearray | memoryview) else image for image in several]


def columns_of(fields: object) -> Columns:
    """Return {name: values} as plain values, from a mapping or a table of pandas, Polars or Arrow.

    Raises:
        UsageError: it is neither, a name is not text or occurs twice, or a column is a single value.
    """
    if fields is None:
        return Columns({}, {})
    columns: dict[str, list[Value]] = {}
    kinds: dict[str, FieldType] = {}
    for name, values in _named(fields):
        if not isinstance(name, str):
            raise UsageError(f"The field name {shown(name)} is {in_words(name)}; a name must be text.")
        if name in columns:
            raise UsageError(f"The field {name!r} is given twice.")
        try:
            columns[name], kind = plain_values(values)
        except TypeError:
            raise UsageError(
                f"The field {name!r} is given {shown(values)}; give a list of values, one for each key."
            ) from None
        except ValueError as error:
            raise UsageError(f"The column of the field {name!r} cannot be read: {error}.") from None
        if kind is not None:
            kinds[name] = kind
    return Columns(columns, kinds)


def whole(value: object, what: str, least: int = 1, most: int | None = None) -> int:
    """Return a whole number of any library as an int, within `least` and `most`.

    Raises:
        UsageError: the value is not a whole number, or is out of range.
    """
    allowed = f"{least} or more" if most is None else f"{least} to {most:,}"
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]  # the call tests this
    except TypeError:
        raise UsageError(f"The {what} is {shown(value)}; it must be a whole number, {allowed}.") from None
    if number < least or (most is not None and number > most):
        raise UsageError(f"The {what} is {number}; it can be {allowed}.")
    return min(number, _MOST)


def fraction(value: object, what: str) -> float:
    """Return a finite or infinite number of any library as a float.

    Raises:
        UsageError: the value is not a number, or is NaN.
    """
    number = float("nan")
    kinds = int | float | np.integer | np.floating | Decimal
    if isinstance(value, kinds) and not isinstance(value, bool | np.timedelta64):
        with suppress(ValueError, OverflowError):  # a signalling NaN, or a number beyond float64
            number = float(value)
    if number != number:
        raise UsageError(f"The {what} is {shown(value)}; it must be a number.")
    return number


def filter_text(filter: object) -> str:
    """Return the text of a filter.

    Raises:
        FilterError: it is not text.
    """
    if not isinstance(filter, str):
        raise FilterError(f"The filter is {in_words(filter)}; give it as text, and values as parameters.")
    return filter


def parameters_of(params: object) -> Mapping[str, object] | None:
    """Return the values of a filter's parameters.

    Raises:
        FilterError: they are not a mapping by name.
    """
    if params is not None and not (isinstance(params, Mapping) and all(isinstance(name, str) for name in params)):
        raise FilterError('The parameters of a filter are given by name, such as {"most": 80}.')
    return params


def _named(fields: Any) -> Iterable[tuple[Any, object]]:  # noqa: ANN401  # a mapping, or a table of some library
    if isinstance(fields, Mapping) or (hasattr(fields, "items") and hasattr(fields, "columns")):
        pairs: Iterable[tuple[Any, object]] = fields.items()
        return pairs
    if hasattr(fields, "get_columns"):  # a frame of Polars
        return ((column.name, column) for column in fields.get_columns())
    if hasattr(fields, "column_names") and hasattr(fields, "columns"):  # a table of Arrow
        return zip(fields.column_names, fields.columns, strict=True)
    raise UsageError(f"The fields are given as {in_words(fields)}; give {{name: one value for each key}}.")


def _one_text(value: object) -> str | None:
    """Return the text of a string or whole number, or None for anything else."""
    if isinstance(value, str):
        return str.__str__(value)  # for an enum member, its value rather than its name
    if isinstance(value, int | np.integer) and not isinstance(value, bool | np.timedelta64):
        return str(int(value))
    return None


def _text(value: object, what: str, place: int) -> str:
    found = _one_text(value)
    if found is not None:
        return found
    if value is None:
        raise UsageError(f"The {what} in row {place} is missing (None or NaN).")
    raise UsageError(
        f"The {what} in row {place} is {shown(value)}, {in_words(value)}; it can be a text or a whole number."
    )


def _listed(values: object, are: str) -> list[Value]:
    try:
        return plain_values(list(values) if isinstance(values, Mapping) else values)[0]
    except TypeError:
        raise UsageError(f"{are} given as {in_words(values)}; give one text, or a list of them.") from None
    except ValueError as error:
        raise UsageError(f"{are} given as a column that cannot be read: {error}.") from None
