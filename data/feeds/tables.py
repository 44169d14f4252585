"""Rows of CSV, TSV, spreadsheets, JSON, XML and Parquet files.

A row that cannot be read is `Rejected`, not an error. JSON and Parquet declare their types; those of texts in the
other formats are inferred (`typed_table.py`), and of amounts of money in JSON too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl
import polars.selectors as cs
from polars.datatypes import DataTypeClass

from lookalike.data.errors import FeedError
from lookalike.data.feeds.csv_table import open_csv
from lookalike.data.feeds.json_table import open_json
from lookalike.data.feeds.sheet_table import SHEET_SUFFIXES, open_sheet
from lookalike.data.feeds.table import Row, Table
from lookalike.data.feeds.text_file import feed_suffix
from lookalike.data.feeds.typed_table import typed
from lookalike.data.feeds.xml_table import open_xml
from lookalike.data.field_type import FieldType
from lookalike.data.record_files import is_record_file
from lookalike.data.values.column_guess import is_amount_name

__all__ = ["TABLE_SUFFIXES", "holds_bytes", "open_table", "parquet_frames", "rows_of"]

_CSV_SUFFIXES = (".csv", ".tsv", ".tab", ".txt")
_JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
_XML_SUFFIXES = (".xml", ".rss", ".atom")
_PARQUET_SUFFIXES = (".parquet", ".pq")

TABLE_SUFFIXES = tuple(
    {*_CSV_SUFFIXES, *_JSON_SUFFIXES, *_PARQUET_SUFFIXES, *_XML_SUFFIXES, *SHEET_SUFFIXES} - {".txt", ".json", ".xml"}
)
"""Lower-case suffixes by which a feed is recognised among other files."""

_CHUNK_ROWS = 20_000
_CHUNK_ROWS_WITH_PICTURES = 32


def open_table(path: Path, *, types: Mapping[str, FieldType], text_columns: frozenset[str] = frozenset()) -> Table:
    """Open a file of rows; its suffix decides the format.

    `types` takes precedence over inferred types, except that whole numbers may turn out to have fractions. Columns
    whose `normal_name` is in `text_columns` stay text.

    Raises:
        FeedError: the file is missing, empty, of an unsupported format, or cannot be read at all.
    """
    if not path.is_file():
        raise FeedError(f"There is no feed at {str(path)!r}.")
    if is_record_file(path):
        raise FeedError(
            f"{path.name} is part of a catalog's records, not a feed.",
            remedy="To copy its items, use lookalike export and lookalike import.",
        )
    suffix = feed_suffix(path)
    try:
        if suffix in _CSV_SUFFIXES:
            return typed(open_csv(path), types, text_columns)
        if suffix in _XML_SUFFIXES:
            return typed(open_xml(path), types, text_columns)
        if suffix in SHEET_SUFFIXES:
            return typed(open_sheet(path), types, text_columns)
        if suffix in _JSON_SUFFIXES:
            return typed(open_json(path), types, text_columns, of_columns=is_amount_name)
        if suffix in _PARQUET_SUFFIXES:
            return _open_parquet(path)
    except (OSError, EOFError, pl.exceptions.PolarsError) as error:
        raise FeedError(f"{path.name} cannot be read: {error}") from error
    raise FeedError(
        f"{path.name} is not in a supported format: use .csv, .tsv, .xlsx, .ods, .json, .jsonl, .xml or .parquet, "
        "a .zip or .tar archive, or a folder."
    )


def _open_parquet(path: Path) -> Table:
    frame = pl.scan_parquet(path)
    count = frame.select(pl.len()).collect().item()
    schema = frame.collect_schema()
    pictures = tuple(name for name, type_ in schema.items() if holds_bytes(type_))
    return Table(tuple(schema.names()), count, {}, lambda: _read_parquet(path, bool(pictures)), pictures)


def _read_parquet(path: Path, pictures: bool) -> Iterator[Row]:
    number = 0
    for chunk in parquet_frames(path, pictures=pictures):
        yield from rows_of(chunk, number)
        number += chunk.height


def parquet_frames(path: Path, *, pictures: bool) -> Iterator[pl.DataFrame]:
    """Yield a Parquet file a few rows at a time, fewer if the rows hold pictures."""
    size = _CHUNK_ROWS_WITH_PICTURES if pictures else _CHUNK_ROWS
    yield from pl.scan_parquet(path).collect_batches(chunk_size=size)


def rows_of(frame: pl.DataFrame, before: int) -> Iterator[Row]:
    """Yield the rows of a frame, numbered from `before` + 1; decimals become floats, times and durations text."""
    frame = frame.with_columns(
        cs.decimal().cast(pl.Float64), cs.time().cast(pl.String), cs.duration().dt.to_string("polars")
    )
    for offset, values in enumerate(frame.iter_rows(named=True, buffer_size=_CHUNK_ROWS_WITH_PICTURES)):
        yield Row(before + offset + 1, values)


def holds_bytes(type_: pl.DataType | DataTypeClass) -> bool:
    """Return whether a column of this type holds bytes: alone, in a list, or in a struct with other fields."""
    if isinstance(type_, pl.List | pl.Array):
        return holds_bytes(type_.inner)
    if isinstance(type_, pl.Struct):
        return any(holds_bytes(field.dtype) for field in type_.fields)
    return type_ == pl.Binary
