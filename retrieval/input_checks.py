"""Converting callers' values to those that the records take: values are coerced, vectors checked and halved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import MappingProxyType
from typing import Any

import numpy as np
import orjson
from numpy.typing import ArrayLike, NDArray

from lookalike.data.counted import counted
from lookalike.data.errors import FieldTypeError, UsageError
from lookalike.data.field_type import FieldType, in_words, mixture_of, name_of_type
from lookalike.data.item import Json, Value, check_keys, check_title
from lookalike.models import Matrix, unit_rows
from lookalike.retrieval.schema import Schema
from lookalike.retrieval.spaces.space import Space
from lookalike.retrieval.stored_rows import ItemChange, VectorWrites
from lookalike.retrieval.vector_blobs import Stored, needs_float32, unit_needs_float32
from lookalike.retrieval.vector_index import Metric

__all__ = [
    "Column",
    "changes",
    "checked_rows",
    "checked_vector",
    "checked_vectors",
    "fields_json",
    "stored_rows",
    "vector_writes",
    "with_fields_of",
]

Column = Iterable[Value] | NDArray[np.generic]
"""The values of one field, one for each item, as callers give them; see `data/column_values.py`."""

_WRITE_ROWS = 20_000
_ROWS_IN_CACHE = 2_048
_QUERY = "query vector"
_SHORTEST, _LONGEST = 1e-12, 1e15
"""Rows with lengths between these can be compared as they are in float32: no product overflows or vanishes."""


def checked_rows(vectors: ArrayLike, space: Space, *, what: str = "vectors") -> Matrix:
    """Return float32 rows [count, dim] that can be stored and compared; one vector [dim] becomes one row.

    Under the cosine metric finite rows of any length are accepted. Rows whose squares float32 cannot hold are scaled
    to length 1.

    Raises:
        UsageError: the shape is not [count, dim] or a value is not finite. Under the cosine metric: a row is all
            zeros. Under other metrics: a row is too long or too short for products of float32.
    """
    given = _array_of(vectors, what)
    with np.errstate(over="ignore"):  # values beyond float32 are checked below
        rows = np.ascontiguousarray(given, dtype=np.float32)
    if rows.ndim == 1:
        rows = rows[None] if len(rows) else rows.reshape(0, space.dim)
    if given.ndim == 1 and rows.shape[1] != space.dim and what == _QUERY:
        held = counted(rows.shape[1], "number")
        raise UsageError(f"The {what} has {held}; this catalog takes vectors of {space.dim:,}.")
    if rows.ndim != 2 or rows.shape[1] != space.dim:
        raise UsageError(f"The shape of the {what} is {rows.shape}; this catalog takes [count, {space.dim}].")
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", rows, rows)
    odd = np.flatnonzero(~((squares >= _SHORTEST**2) & (squares <= _LONGEST**2)))
    if len(odd):
        odd_rows = given.astype(np.float64).reshape(rows.shape)[odd]
        _check_odd_rows(odd, odd_rows, space.metric, what)
        if space.metric is Metric.COSINE:  # only the direction counts
            rows = rows.copy()
            rows[odd] = unit_rows(odd_rows)
    return rows


def _array_of(vectors: Any, what: str) -> NDArray[np.generic]:  # noqa: ANN401  # arrays of any library
    """Return vectors as an array of numbers, from NumPy, torch, a list, or a column or table of pandas or Polars.

    Raises:
        UsageError: they are not numbers, or one of them is masked.
    """
    if isinstance(vectors, np.ma.MaskedArray):
        masked = np.argwhere(np.ma.getmaskarray(vectors))
        if len(masked):
            raise UsageError(f"Row {masked[0][0] if vectors.ndim > 1 else 0} of the {what} has a masked value.")
        vectors = vectors.data
    elif hasattr(vectors, "detach"):  # a tensor, which may have a gradient or lie on a GPU
        vectors = vectors.detach().cpu()
    elif hasattr(vectors, "to_numpy"):
        vectors = vectors.to_numpy()
    try:
        if isinstance(vectors, np.ndarray) and vectors.dtype.kind == "O" and vectors.ndim == 1 and len(vectors):
            vectors = np.stack([np.asarray(row) for row in vectors])  # a column of arrays
        found = np.asarray(vectors)
        if vectors is None:
            raise TypeError("nothing was given")
        if found.dtype.kind == "O":
            found = found.astype(np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise UsageError(f"The value given as {what} is not an array of numbers: {error}.") from error
    if found.dtype.kind not in "fiub":
        raise UsageError(f"The value given as {what} is not an array of numbers: its type is {found.dtype}.")
    return found


def _check_odd_rows(numbers: NDArray[np.int64], rows: NDArray[np.float64], metric: Metric, what: str) -> None:
    """Refuse rows, as they were given, that cannot be compared; `numbers` are their places among all rows."""
    for number, row in zip(numbers.tolist(), rows, strict=True):
        largest = float(np.abs(row).max())
        if not np.isfinite(largest):
            raise UsageError(f"Row {number} of the {what} has a value that is not a finite number.")
        if metric is Metric.COSINE and not largest:
            raise UsageError(f"Row {number} of the {what} is all zeros and has no direction.")
        if metric is not Metric.COSINE and largest:
            raise UsageError(
                f"The length of row {number} of the {what} is outside {_SHORTEST:g} to {_LONGEST:g}, where products of "
                "32-bit floats can be told apart; scale all vectors and queries alike."
            )


def checked_vectors(vectors: ArrayLike, space: Space, *, what: str = "vectors") -> Matrix:
    """Return float32 rows [count, dim] to compare with a space's vectors, of length 1 under the cosine metric.

    Raises:
        UsageError: for the same reasons as in `checked_rows`.
    """
    if type(vectors) is np.ndarray and vectors.dtype == np.float32 and vectors.shape == (space.dim,):
        squares = np.einsum("i,i->", vectors, vectors)  # without a warning if they are beyond float32
        if space.metric is Metric.COSINE and _SHORTEST**2 < squares < _LONGEST**2:
            row = vectors[None]
            unit: Matrix = row / np.sqrt(np.einsum("ij,ij->i", row, row))[:, None]  # bit for bit as `unit_rows`
            return unit
    rows = checked_rows(vectors, space, what=what)
    return unit_rows(rows) if space.metric is Metric.COSINE else rows


def checked_vector(vector: ArrayLike, space: Space) -> Matrix:
    """Return the vector of a query as float32 [1, dim], as `checked_vectors` does.

    Raises:
        UsageError: there is not exactly one vector, or `checked_vectors` refuses it.
    """
    rows = checked_vectors(vector, space, what=_QUERY)
    if len(rows) != 1:
        raise UsageError(
            f"The query is {counted(len(rows), 'vector')}; a search takes one. For several, use search_many."
        )
    return rows


def stored_rows(rows: Matrix, space: Space) -> Stored:
    """Return checked rows as the records store them: of length 1 under cosine, and in float32 where it is needed."""
    if space.metric is not Metric.COSINE:
        wide = needs_float32(rows, space.metric)
        return np.where(wide[:, None], rows, _rounded(rows)) if wide.any() else rows.astype(np.float16)
    halves = np.empty(rows.shape, dtype=np.float16)
    kept: dict[int, Matrix] = {}
    for start in range(0, len(rows), _ROWS_IN_CACHE):
        some = unit_rows(rows[start : start + _ROWS_IN_CACHE])
        halves[start : start + _ROWS_IN_CACHE] = some
        needed = unit_needs_float32(some)
        if needed.any():
            kept |= {start + place: some[place] for place in np.flatnonzero(needed).tolist()}
    if not kept:
        return halves
    stored: Matrix = halves.astype(np.float32)
    stored[list(kept)] = list(kept.values())
    return stored


def _rounded(rows: Matrix) -> Matrix:
    """Round rows to values that float16 holds. Values out of its range become infinite."""
    with np.errstate(over="ignore"):
        return rows.astype(np.float16).astype(np.float32)


def with_fields_of(
    schema: Schema, columns: Mapping[str, Sequence[Value]], kinds: Mapping[str, FieldType] = MappingProxyType({})
) -> Schema:
    """Return the schema with these fields added; INT fields widen to FLOAT if a value has a fraction.

    A new field has the type in `kinds`, which its column's dtype named, or the narrowest that holds all its values.

    Raises:
        FieldTypeError: the values of a new field have no type in common.
    """
    for name, values in columns.items():
        if name in schema:
            if schema[name] is FieldType.INT and Schema.infer(values) is FieldType.FLOAT and not _are_whole(values):
                schema = schema.widened(name, FieldType.FLOAT)
            continue
        found = kinds.get(name) or Schema.infer(values)
        if found is FieldType.JSON and (mixture := mixture_of(values)):
            raise _mixed(name, values, *mixture)
        if found is not None:
            schema = schema.extended({name: found})
    return schema


def fields_json(schema: Schema, fields: Mapping[str, Value]) -> str:
    """Return an item's fields as JSON text, coerced, without nulls.

    Raises:
        FieldTypeError: a value does not fit its field's type.
    """
    stored = {name: schema.coerce(name, value) for name, value in fields.items() if value is not None}
    return orjson.dumps({name: value for name, value in stored.items() if value is not None}).decode()


def vector_writes(
    keys: Sequence[str],
    rows: Matrix,
    fields: Mapping[str, Sequence[Value]],
    titles: Sequence[str | None] | None,
    schema: Schema,
    space: Space,
) -> Iterator[VectorWrites]:
    """Yield the writes for items that are vectors without pictures, one transaction at a time.

    Everything is checked before the first is yielded.

    Raises:
        UsageError: lengths differ, a key or a title is invalid, or a key occurs twice.
        FieldTypeError: a value does not fit its field's type.
    """
    if len(keys) != len(rows):
        raise UsageError(f"The call has {counted(len(keys), 'key')} for {counted(len(rows), 'vector')}.")
    parts = [slice(start, start + _WRITE_ROWS) for start in range(0, len(keys), _WRITE_ROWS)]
    with ThreadPoolExecutor(1) as beside:  # vectors are prepared beside texts and during writes
        submit = beside.submit if len(rows) > _ROWS_IN_CACHE else _at_once  # a thread takes longer than a few rows
        ready = submit(stored_rows, rows[:_WRITE_ROWS], space)
        check_keys(keys)
        _check_columns(keys, fields, titles)
        names = [name for name in fields if name in schema]
        columns = [_coerced(schema, name, fields[name], keys) for name in names]
        for part in parts:
            values = zip(*(column[part] for column in columns), strict=True)
            texts = [orjson.dumps(dict(zip(names, one, strict=True))).decode() for one in values]
            halves = ready.result()
            ready = submit(stored_rows, rows[part.stop : part.stop + _WRITE_ROWS], space)
            yield VectorWrites(
                keys[part],
                None if titles is None else titles[part],
                texts if names else ["{}"] * len(keys[part]),
                halves,
            )


def _at_once(call: Callable[..., Stored], *arguments: Any) -> Future[Stored]:  # noqa: ANN401  # the arguments of `call`
    """Call in this thread, and return a future as an executor's `submit` would."""
    done: Future[Stored] = Future()
    done.set_result(call(*arguments))
    return done


def changes(
    keys: Sequence[str],
    fields: Mapping[str, Sequence[Value]],
    titles: Sequence[str | None] | None,
    title_vectors: Matrix | None,
    schema: Schema,
) -> dict[str, ItemChange]:
    """Return the change of each item by its key; `title_vectors` are the titles' rows in the title space.

    Raises:
        UsageError: lengths differ, a key or a title is invalid, or a key occurs twice.
        FieldTypeError: a value does not fit its field's type.
    """
    check_keys(keys)
    _check_columns(keys, fields, titles)
    columns = {name: _coerced(schema, name, values, keys) for name, values in fields.items() if name in schema}
    halves = None if title_vectors is None else title_vectors.astype(np.float16)
    found = {}
    for place, key in enumerate(keys):
        values = {name: column[place] for name, column in columns.items()}
        if titles is None:
            found[key] = ItemChange(values)
        else:
            vector = halves[place].tobytes() if halves is not None and titles[place] else None
            found[key] = ItemChange(values, titles[place], vector)
    return found


def _coerced(schema: Schema, name: str, values: Sequence[Value], keys: Sequence[str]) -> list[Json]:
    """Return a column in its stored form. NaN is a missing value whatever the field's type."""
    if schema[name] is not FieldType.FLOAT and float in set(map(type, values)):
        values = [None if value != value else value for value in values]
    return schema.coerce_column(name, values, keys)


def _are_whole(values: Sequence[Value]) -> bool:
    """Return whether all numbers of a column are whole. NaN counts as missing."""
    return all(not isinstance(value, float) or value.is_integer() or value != value for value in values)


def _mixed(name: str, values: Sequence[Value], first: int, second: int) -> FieldTypeError:
    places = ", ".join(f"row {place} has {in_words(values[place])}" for place in (first, second))
    return FieldTypeError(
        f"The new field {name!r} is given values of several types: {places}. Give values of one type, or declare the "
        f"field first with add_field({name!r}, ...); one of the type json holds any, but no filter can compare it.",
        field=name,
        expected=FieldType.infer(values[first : first + 1]) or FieldType.JSON,
        found=name_of_type(values[second]),
    )


def _check_columns(
    keys: Sequence[str], fields: Mapping[str, Sequence[Value]], titles: Sequence[str | None] | None
) -> None:
    for name, values in {**fields, **({} if titles is None else {"title": titles})}.items():
        if len(values) != len(keys):
            raise UsageError(f"The field {name!r} has {counted(len(values), 'value')} for {counted(len(keys), 'key')}.")
    for title in titles or ():
        check_title(title)
