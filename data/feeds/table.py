"""Rows as the files of a feed give them, whatever their format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from lookalike.data.field_type import FieldType
from lookalike.data.item import Rejected, Value
from lookalike.data.pictures.picture_sources import Stored

__all__ = ["LIST_SEPARATOR", "Cell", "Row", "Table"]

LIST_SEPARATOR = "|"
"""Between the parts of a list in a CSV cell."""

Cell = Value | Stored | bytes
"""What a row has in a column: a value, or a picture: its bytes, or a place to read them from."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its number (from 1, the header not counted) and what it has by column name."""

    number: int
    values: Mapping[str, Cell]


@dataclass(frozen=True, slots=True)
class Table:
    """A source of rows: its columns in order, how many rows it has, and a function that reads them from the start.

    `types` has the columns whose type the file itself does not say (CSV); the reader applies them. `pictures` are the
    columns that hold pictures themselves, rather than their names.
    """

    columns: tuple[str, ...]
    count: int
    types: Mapping[str, FieldType]
    read: Callable[[], Iterator[Row | Rejected]]
    pictures: tuple[str, ...] = ()
