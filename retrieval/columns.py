"""The fields of all items as columns: row i is item i. Filters, facets and ranges are answered without the records.

On disk it is an uncompressed Arrow IPC file of one batch. A column's type in it says the field's type: text, 64-bit
integers, float64, booleans, microseconds, lists of text; JSON is kept as bytes. Beside the fields stand the columns
`key` and `title`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from data.errors import CatalogDamaged, UsageError
from data.field_type import FieldType
from data.item import Json, Value
from retrieval.filters.conditions import Condition
from retrieval.filters.nodes import COLUMN_TYPES
from retrieval.schema import BUILT_IN, Schema

__all__ = ["Bin", "Columns", "Mask"]

Mask = NDArray[np.bool_]
"""True where the item passes; shape [items]."""

CHUNK_ROWS = 4_096
"""Rows parsed at a time: few enough that Python's garbage collector stays out of the way."""

_FACETED = (FieldType.STRING, FieldType.BOOL, FieldType.STRINGS)
_RANGED = (FieldType.INT, FieldType.FLOAT, FieldType.TIMESTAMP)


@dataclass(frozen=True, slots=True)
class Bin:
    """One bar of a histogram: `low <= value < high`, and the last one has `high` too.

    A timestamp's are in seconds since 1970 UTC.
    """

    low: float
    high: float
    count: int


class Columns:
    """The columns of one snapshot; immutable. Constructed from a frame that has the schema's columns exactly."""

    __slots__ = ("_fields", "_frame", "_places", "schema")

    def __init__(self, frame: pl.DataFrame, schema: Schema) -> None:
        expected = {name: COLUMN_TYPES[kind] for name, kind in schema.filterable.items()}
        if dict(frame.schema) != expected:
            raise CatalogDamaged(f"The columns are {dict(frame.schema)}, not {expected}.")
        self.schema = schema
        self._fields = schema.filterable
        self._frame = frame
        self._places = {name: place for place, name in enumerate(frame.columns)}

    @classmethod
    def from_json(
        cls, schema: Schema, keys: Sequence[str], titles: Sequence[str | None], json_texts: Sequence[bytes | str]
    ) -> Columns:
        """Build the columns from stored rows: per item its key, its title, and its fields as a JSON object.

        Raises:
            CatalogDamaged: a row is not what the schema says.
        """
        if not len(keys) == len(titles) == len(json_texts):
            raise CatalogDamaged(f"{len(keys)} keys, {len(titles)} titles and {len(json_texts)} rows of fields.")
        frames = [
            _frame_of(schema, keys[start:stop], titles[start:stop], json_texts[start:stop])
            for start, stop in ((start, start + CHUNK_ROWS) for start in range(0, max(len(keys), 1), CHUNK_ROWS))
        ]
        return cls(pl.concat(frames, rechunk=True), schema)

    @classmethod
    def open(cls, path: Path) -> Columns:
        """Read the file at `path`, whole: Polars 2 maps no files into memory.

        Raises:
            CatalogDamaged: it is not such a file.
        """
        try:
            frame = pl.read_ipc(path)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise CatalogDamaged(f"{path.name} cannot be read: {error}") from error
        kinds = {str(dtype): kind for kind, dtype in COLUMN_TYPES.items()}
        unknown = [name for name, dtype in frame.schema.items() if str(dtype) not in kinds]
        if unknown:
            raise CatalogDamaged(f"{path.name} has columns of types that are not ours: {', '.join(unknown)}.")
        fields = {name: kinds[str(dtype)] for name, dtype in frame.schema.items() if name not in BUILT_IN}
        return cls(frame, Schema(fields))

    def write(self, path: Path) -> None:
        """Write the Arrow IPC file at `path`; the caller renames and syncs."""
        self._frame.write_ipc(path, compression="uncompressed", record_batch_size=max(len(self), 1))

    def aligned(self, schema: Schema) -> Columns:
        """Give the same rows under a later schema: fields that came since are null, widened ones are cast."""
        columns = [
            self.values(name).alias("value").cast(dtype).alias(name)
            if name in self._places
            else pl.repeat(None, len(self), dtype=dtype, eager=True).alias(name)
            for name, dtype in ((name, COLUMN_TYPES[kind]) for name, kind in schema.filterable.items())
        ]
        return self if schema == self.schema else Columns(pl.DataFrame(columns), schema)

    def __len__(self) -> int:
        return self._frame.height

    def mask(self, condition: Condition) -> Mask:
        """Find which items satisfy a bound condition.

        Raises:
            FilterError: the condition does not fit the fields.
        """
        passes = self.evaluate(condition.fit(self._fields).to_polars(self))
        return passes.fill_null(False).to_numpy()

    def count(self, condition: Condition) -> int:
        """Count the items that satisfy a bound condition."""
        return int(np.count_nonzero(self.mask(condition)))

    def values(self, name: str) -> pl.Series:
        """Give one column, null where the item has no value."""
        return self._frame.to_series(self._place(name))

    def rows(self, places: Sequence[int]) -> list[dict[str, Value]]:
        """Give whole rows by place, the key and the title among them, values as the caller gave them."""
        chosen = self._frame[list(places)]
        columns = [self._restored(name, chosen.to_series(place).alias("value")) for name, place in self._places.items()]
        return [dict(zip(self._places, values, strict=True)) for values in zip(*columns, strict=True)]

    def facets(self, name: str, mask: Mask | None = None, *, limit: int = 20) -> list[tuple[str | bool, int]]:
        """Count the items of each value of a text, boolean or list field, the most frequent first, then by value.

        Raises:
            UsageError: there is no such field, or it has another type.
        """
        values = self._chosen(name, mask, _FACETED)
        if isinstance(values.dtype, pl.List):
            values = values.list.unique().explode()
        counts = values.drop_nulls().alias("value").value_counts(name="count")
        ranked = counts.sort("count", "value", descending=[True, False]).head(limit)
        return [(value, count) for value, count in ranked.iter_rows()]

    def range(self, name: str, mask: Mask | None = None) -> tuple[Value, Value] | None:
        """Find the least and greatest value of a number or timestamp field; None where no item has one.

        Raises:
            UsageError: there is no such field, or it has another type.
        """
        values = self._chosen(name, mask, _RANGED).to_physical()
        low, high = cast(float | None, values.min()), values.max()
        if low is None:
            return None
        return self.schema.restore(name, low), self.schema.restore(name, cast(float, high))

    def histogram(self, name: str, mask: Mask | None = None, *, bins: int = 20) -> list[Bin]:
        """Count the items in equal steps from the least to the greatest value of a number or timestamp field.

        Raises:
            UsageError: there is no such field, or it has another type.
        """
        values = self._chosen(name, mask, _RANGED).drop_nulls().to_physical().to_numpy().astype(np.float64)
        if self.schema[name] is FieldType.TIMESTAMP:
            values = values / 1e6
        if not len(values):
            return []
        low, high = float(values.min()), float(values.max())
        edges = np.linspace(low, high, bins + 1)
        if low == high or not np.isfinite(edges).all():  # one value, or a span that float64 cannot hold
            return [Bin(low, high, len(values))]
        counts, _ = np.histogram(values, edges)
        return [Bin(float(edges[place]), float(edges[place + 1]), int(count)) for place, count in enumerate(counts)]

    def column(self, name: str) -> pl.Expr:
        """Give the column as an expression; by its place, because Polars reads some names as patterns."""
        return pl.nth(self._place(name))

    def evaluate(self, expression: pl.Expr) -> pl.Series:
        """Compute an expression over the columns; one of constants only gives one value."""
        return self._frame.select(expression.alias("result")).to_series()

    def _restored(self, name: str, values: pl.Series) -> list[Value]:
        """Give a column's values as the caller gave them."""
        if values.dtype == pl.Datetime:
            return [self.schema.restore(name, value) for value in values.to_physical().to_list()]
        if values.dtype == pl.Binary:
            return [None if value is None else orjson.loads(value) for value in values.to_list()]
        return values.to_list()

    def _place(self, name: str) -> int:
        if name not in self._places:
            raise UsageError(f"There is no field {name!r}; the fields are {', '.join(self._places)}.")
        return self._places[name]

    def _chosen(self, name: str, mask: Mask | None, kinds: Sequence[FieldType]) -> pl.Series:
        """Give the column's values where the mask is true, if the column's type is one of `kinds`."""
        values = self.values(name)
        kind = self._fields[name]
        if kind not in kinds:
            allowed = " or ".join(allowed.words for allowed in kinds)
            raise UsageError(f"The field {name!r} holds {kind.words}; this needs a field that holds {allowed}.")
        values = values.alias("value")  # Polars would read some names as patterns
        return values if mask is None else values.filter(pl.Series(mask))


def _frame_of(
    schema: Schema, keys: Sequence[str], titles: Sequence[str | None], json_texts: Sequence[bytes | str]
) -> pl.DataFrame:
    joined = b",".join(text.encode() if isinstance(text, str) else text for text in json_texts)
    try:
        rows: list[dict[str, Json]] = orjson.loads(b"[" + joined + b"]")
        if len(rows) != len(keys):
            raise ValueError(f"{len(json_texts)} texts hold {len(rows)} objects")
        columns = [pl.Series("key", keys, dtype=pl.String), pl.Series("title", titles, dtype=pl.String)]
        columns += [_series(name, kind, [row.get(name) for row in rows]) for name, kind in schema.items()]
    except (ValueError, TypeError, AttributeError, OverflowError, pl.exceptions.PolarsError) as error:
        raise CatalogDamaged(f"The stored fields are not what the schema says: {error}") from error
    return pl.DataFrame(columns)


def _series(name: str, kind: FieldType, values: list[Json]) -> pl.Series:
    return _plain_series(kind, values).alias(name)  # Polars would read some names as patterns on the way


def _plain_series(kind: FieldType, values: list[Json]) -> pl.Series:
    if kind is FieldType.JSON:
        texts = [None if value is None else orjson.dumps(value) for value in values]
        return pl.Series("value", texts, dtype=pl.Binary)
    if kind is FieldType.TIMESTAMP:
        return pl.Series("value", values, dtype=pl.Int64).cast(COLUMN_TYPES[kind])
    if kind is FieldType.STRINGS:  # Polars reads lists from JSON several times quicker than from Python
        lists = [None if value is None else orjson.dumps(value).decode() for value in values]
        return pl.Series("value", lists, dtype=pl.String).str.json_decode(COLUMN_TYPES[kind])
    return pl.Series("value", values, dtype=COLUMN_TYPES[kind])
