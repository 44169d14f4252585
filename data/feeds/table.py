"""Rows as read from a feed, whatever its format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from lookalike.data.field_type import FieldType
from lookalike.data.item import CellWarning, Rejected, Value
from lookalike.data.pictures.picture_sources import Stored

__all__ = ["Cell", "Row", "Table"]

Cell = Value | Stored | bytes
"""A cell of a row: a value, the bytes of a picture, or a place to read them from."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its number, from 1 and without the header, its cells by column name, and what could not be read."""

    number: int
    values: Mapping[str, Cell]
    warnings: tuple[CellWarning, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A source of rows: its columns in order, its row count, and a function that reads the rows from the start.

    `types` has the columns whose types the file itself does not declare (CSV); `read` applies them. `pictures` names
    the columns that hold the bytes of pictures, rather than their names. `words` describes columns beyond their types,
    and `notes` are sentences for people about how the source was read.
    """

    columns: tuple[str, ...]
    count: int
    types: Mapping[str, FieldType]
    read: Callable[[], Iterator[Row | Rejected]]
    pictures: tuple[str, ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
