"""The fields of all items as columns: row i is item i. Filters, facets and ranges are answered without the records.

On disk, the columns are an uncompressed Arrow IPC file of one batch. The type of a column follows from the field's
type: text, 64-bit integers, float64, booleans, microseconds, lists of text; JSON is kept as bytes. The names are in a
separate file. The columns `key` and `title` stand beside the fields. The data that every search reads is in
memory-mapped files beside them: the keys, and each text column of few different values as numbers.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeAlias, cast

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from lookalike.data.errors import CatalogDamaged, UsageError
from lookalike.data.field_type import FieldType
from lookalike.data.item import Json, Value
from lookalike.retrieval.filters.conditions import Condition
from lookalike.retrieval.filters.exact import exact
from lookalike.retrieval.filters.nodes import COLUMN_TYPES
from lookalike.retrieval.generations.lookups import Lookup, Numbers, lookup_of, open_lookup
from lookalike.retrieval.generations.masks import Mask, mask_of
from lookalike.retrieval.generations.stored_texts import Dictionary, Texts
from lookalike.retrieval.schema import Schema

__all__ = ["Bin", "Columns", "Mask"]

CHUNK_ROWS = 4_096
"""Rows parsed at a time, few enough to keep Python's garbage collector from running."""

Reader: TypeAlias = Callable[[NDArray[np.int64]], Sequence[Value]]

_COLUMNS = "columns.arrow"
_NAMES = "columns.json"
_FACETED = (FieldType.STRING, FieldType.BOOL, FieldType.STRINGS)
_RANGED = (FieldType.INT, FieldType.FLOAT, FieldType.TIMESTAMP)


@dataclass(frozen=True, slots=True)
class Bin:
    """One bar of a histogram: `low <= value < high`, and in the last bar `high` is included.

    The bounds of timestamps are in seconds since 1970 UTC.
    """

    low: float
    high: float
    count: int


class Columns:
    """The columns of one snapshot; immutable. Columns in a file are read one by one, when first needed."""

    def __init__(self, load: Callable[[str], pl.Series], count: int, schema: Schema) -> None:
        self.schema = schema
        self._fields = schema.filterable
        self._load = load
        self._row_names = tuple(name for name in self._fields if name != "key")
        self._count = count
        self._loaded: dict[str, pl.Series] = {}
        self._lookups: dict[str, Lookup | None] = {}
        self._readers: dict[str, Reader] = {}
        self._numbers: dict[str, Numbers] = {}
        self._keys: Texts | None = None

    @classmethod
    def of(cls, frame: pl.DataFrame, schema: Schema) -> Columns:
        """Build the columns from a frame that has exactly the schema's columns.

        Raises:
            CatalogDamaged: the frame has other columns.
        """
        expected = {name: COLUMN_TYPES[kind] for name, kind in schema.filterable.items()}
        if dict(frame.schema) != expected:
            raise CatalogDamaged(f"The columns are {dict(frame.schema)}, not {expected}.")
        places = {name: place for place, name in enumerate(frame.columns)}
        return cls(lambda name: frame.to_series(places[name]), frame.height, schema)

    @classmethod
    def from_json(
        cls, schema: Schema, keys: Sequence[str], titles: Sequence[str | None], json_texts: Sequence[bytes | str]
    ) -> Columns:
        """Build the columns from stored rows: each item's key, title, and fields as a JSON object.

        Raises:
            CatalogDamaged: a row does not match the schema.
        """
        return cls.from_batches(schema, [(keys, titles, json_texts)])

    @classmethod
    def from_batches(
        cls,
        schema: Schema,
        batches: Iterable[tuple[Sequence[str], Sequence[str | None], Sequence[bytes | str]]],
    ) -> Columns:
        """Build the columns from batches of stored rows: keys, titles, fields.

        Raises:
            CatalogDamaged: a row does not match the schema.
        """
        frames = [_frame_of(schema, [], [], [])]
        for keys, titles, texts in batches:
            for at in range(0, len(keys), CHUNK_ROWS):
                stop = at + CHUNK_ROWS
                frames.append(_frame_of(schema, keys[at:stop], titles[at:stop], texts[at:stop]))
        return cls.of(pl.concat(frames, rechunk=True), schema)

    @classmethod
    def open(cls, folder: Path) -> Columns:
        """Open the columns that `write` wrote into a folder.

        Raises:
            CatalogDamaged: the files are missing, unreadable, or do not fit together.
        """
        path = folder / _COLUMNS
        with contextlib.ExitStack() as stack:
            try:  # the file is held open, as another process may delete this generation
                file = stack.enter_context(path.open("rb"))
                found = list(pl.read_ipc_schema(file).values())
                schema = Schema.from_json(orjson.loads((folder / _NAMES).read_bytes()))
                keys = Texts.open(*_key_files(folder))
            except (pl.exceptions.PolarsError, OSError, ValueError) as error:
                raise CatalogDamaged(f"{path.name} cannot be read: {error}") from error
            if found != [COLUMN_TYPES[kind] for kind in schema.filterable.values()]:
                raise CatalogDamaged(f"{path.name} has columns of the types {', '.join(map(str, found))}.")
            columns = cls._mapped(file, schema, keys)
            for place, name in enumerate(schema.filterable):
                columns._lookups[name] = open_lookup(folder, f"column{place}", len(keys))
            weakref.finalize(columns, stack.pop_all().close)
        return columns

    @classmethod
    def _mapped(cls, file: BinaryIO, schema: Schema, keys: Texts) -> Columns:
        places = {name: place for place, name in enumerate(schema.filterable)}
        lock = threading.Lock()

        def load(name: str) -> pl.Series:
            with lock:
                return _read_column(file, places[name], len(keys))

        columns = cls(load, len(keys), schema)
        columns._keys = keys
        return columns

    def write(self, folder: Path) -> None:
        """Write the columns into a folder. The caller renames and syncs it."""
        frame = pl.DataFrame([self.values(name).alias(str(place)) for place, name in enumerate(self._fields)])
        (folder / _NAMES).write_bytes(orjson.dumps(self.schema.to_json()))
        frame.write_ipc(folder / _COLUMNS, compression="uncompressed", record_batch_size=max(len(self), 1))
        Texts.of(self.values("key")).write(*_key_files(folder))
        for place, (name, kind) in enumerate(self._fields.items()):
            lookup = lookup_of(kind, self.values(name), partial(self.numbers, name))
            if lookup is not None:
                lookup.write(folder, f"column{place}")

    def aligned(self, schema: Schema) -> Columns:
        """Return the same rows under another schema: widened fields are cast, and fields of any other type are null.

        A change of a field's type or name rewrites all items that have a value of it. So rows from before the change
        that are still visible have no value of the field, and no value is read as another type.
        """
        if schema == self.schema:
            return self

        def load(name: str) -> pl.Series:
            kind = schema.filterable[name]
            held = self._fields.get(name)
            if held is kind or (held, kind) == (FieldType.INT, FieldType.FLOAT):
                return self.values(name).alias("value").cast(COLUMN_TYPES[kind]).alias(name)
            return pl.repeat(None, len(self), dtype=COLUMN_TYPES[kind], eager=True).alias(name)

        columns = Columns(load, len(self), schema)
        columns._keys = self._keys
        columns._lookups = {
            name: one for name, one in self._lookups.items() if schema.filterable.get(name) is self._fields.get(name)
        }
        return columns

    def __len__(self) -> int:
        return self._count

    def mask(self, condition: Condition) -> Mask:
        """Return which items satisfy a bound condition, bool [items].

        Raises:
            FilterError: the condition does not fit the fields.
        """
        return mask_of(exact(condition.fit(self._fields)), self)

    def count(self, condition: Condition) -> int:
        """Return the number of items that satisfy a bound condition."""
        return int(np.count_nonzero(self.mask(condition)))

    def values(self, name: str) -> pl.Series:
        """Return one column, null where the item has no value.

        Raises:
            UsageError: the field does not exist.
        """
        column = self._loaded.get(name)
        if column is None:
            if name not in self._fields:
                raise UsageError(f"There is no field {name!r}; the fields are {', '.join(self._fields)}.")
            column = self._loaded[name] = self._load(name)
        return column

    def numbers(self, name: str) -> Numbers:
        """Return a column of numbers, booleans or timestamps (in microseconds) as an array."""
        if name not in self._numbers:
            self._numbers[name] = _numbers(self.values(name).alias("value").to_physical())
        return self._numbers[name]

    def lengths(self, name: str) -> Numbers:
        """Return the number of texts in each list of a column."""
        if name not in self._numbers:
            self._numbers[name] = _numbers(self.values(name).alias("value").list.len())
        return self._numbers[name]

    def lookup(self, name: str) -> Lookup | None:
        """Return the lookup of a column. Columns that are not in a file have a dictionary or none."""
        if name not in self._lookups:
            text = self._fields.get(name) is FieldType.STRING and name != "key"
            self._lookups[name] = Dictionary.of(self.values(name)) if text else None
        return self._lookups[name]

    def keys(self, places: NDArray[np.int64]) -> list[str]:
        """Return the keys of some rows."""
        return self._keys.at(places) if self._keys is not None else self.values("key")[places].to_list()

    def rows(self, places: NDArray[np.int64], names: Sequence[str] | None = None) -> dict[str, Sequence[Value]]:
        """Return the values of fields at some rows, as they were given. `names` defaults to all fields and the title.

        Raises:
            UsageError: a field does not exist.
        """
        wanted = self._row_names if names is None else names
        return {name: (self._readers.get(name) or self._reader(name))(places) for name in wanted}

    def facets(self, name: str, mask: Mask | None = None, *, limit: int = 20) -> list[tuple[str | bool, int]]:
        """Count the items for each value of a text, boolean or list field, most frequent first, then by value.

        Raises:
            UsageError: the field does not exist, or has another type.
        """
        values = self._chosen(name, mask, _FACETED)
        if isinstance(values.dtype, pl.List):
            values = values.list.unique().explode()
        counts = values.drop_nulls().alias("value").value_counts(name="count")
        ranked = counts.sort("count", "value", descending=[True, False]).head(limit)
        return [(value, count) for value, count in ranked.iter_rows()]

    def range(self, name: str, mask: Mask | None = None) -> tuple[Value, Value] | None:
        """Return the least and the greatest value of a number or timestamp field, or None if no item has a value.

        Raises:
            UsageError: the field does not exist, or has another type.
        """
        values = self._chosen(name, mask, _RANGED).to_physical()
        low, high = cast(float | None, values.min()), values.max()
        if low is None:
            return None
        return self.schema.restore(name, low), self.schema.restore(name, cast(float, high))

    def histogram(self, name: str, mask: Mask | None = None, *, bins: int = 20) -> list[Bin]:
        """Count the items in `bins` equal steps from the least to the greatest value of a number or timestamp field.

        Raises:
            UsageError: the field does not exist, or has another type.
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

    def _reader(self, name: str) -> Reader:
        """Return the quickest function that reads a column at given places."""
        lookup = self.lookup(name)
        kind = self._fields.get(name)
        reader: Reader
        if name == "key":
            reader = self.keys
        elif isinstance(lookup, Dictionary):
            reader = lookup.at
        elif kind in (FieldType.INT, FieldType.FLOAT, FieldType.BOOL) and self.numbers(name).known is None:
            numbers = self.numbers(name).values
            reader = lambda places: numbers[places].tolist()  # noqa: E731
        else:
            reader = lambda places: self._restored(name, self.values(name)[places].alias("value"))  # noqa: E731
        self._readers[name] = reader
        return reader

    def _restored(self, name: str, values: pl.Series) -> list[Value]:
        """Return a column's values as the caller gave them."""
        if values.dtype == pl.Datetime:
            return [self.schema.restore(name, value) for value in values.to_physical().to_list()]
        if values.dtype == pl.Binary:
            return [None if value is None else orjson.loads(value) for value in values.to_list()]
        return values.to_list()

    def _chosen(self, name: str, mask: Mask | None, kinds: Sequence[FieldType]) -> pl.Series:
        """Return the column's values where the mask is true, checking that the column's type is one of `kinds`."""
        values = self.values(name)
        kind = self._fields[name]
        if kind not in kinds:
            allowed = " or ".join(allowed.words for allowed in kinds)
            raise UsageError(f"The field {name!r} holds {kind.words}; this needs a field that holds {allowed}.")
        values = values.alias("value")  # Polars would read some names as patterns
        return values if mask is None else values.filter(pl.Series(mask))


def _read_column(file: BinaryIO, place: int, count: int) -> pl.Series:
    try:
        file.seek(0)
        column = pl.read_ipc(file, columns=[place]).to_series()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise CatalogDamaged(f"{_COLUMNS} cannot be read: {error}") from error
    if len(column) != count:
        raise CatalogDamaged(f"{_COLUMNS} has {len(column)} rows for {count} keys.")
    return column


def _numbers(values: pl.Series) -> Numbers:
    known = values.is_not_null().to_numpy() if values.null_count() else None
    return Numbers((values if known is None else values.fill_null(strategy="zero")).to_numpy(), known)


def _key_files(folder: Path) -> tuple[Path, Path]:
    return folder / "keys.offsets.npy", folder / "keys.text.npy"


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
        raise CatalogDamaged(f"The stored fields do not match the schema: {error}") from error
    return pl.DataFrame(columns)


def _series(name: str, kind: FieldType, values: list[Json]) -> pl.Series:
    return _plain_series(kind, values).alias(name)  # Polars would read some names as patterns


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
