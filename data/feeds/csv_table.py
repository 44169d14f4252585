"""Rows of CSV and TSV files, read as a stream: every row of the file comes out, as a `Row` or as `Rejected`.

CSV has no types, so a first pass over all values decides them (`data/values/column_guess.py`). A value that does not
fit its column is left out of its row, with a warning; the row stays.
"""

from __future__ import annotations

import csv
import os
import re
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lookalike.data.errors import FeedError
from lookalike.data.feeds.column_names import normal_name
from lookalike.data.feeds.dialect import Dialect, dialect_of, lines_of
from lookalike.data.feeds.table import Row, Table
from lookalike.data.field_type import FieldType
from lookalike.data.item import CellWarning, Rejected, Value
from lookalike.data.values.column_guess import CellReader, ColumnGuess
from lookalike.data.values.words import bare

__all__ = ["open_csv"]

_MAX_CELL_LENGTH = 1024 * 1024
_BAD_BYTE = re.compile("[\udc80-\udcff]")
_SHOWN_CHARACTERS = 60
_WIDE_ENOUGH = 4
"""Columns from which on a line that has as many cells as the header, quotes aside, is believed to be a row."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """The columns of a file: the names by place, and None for columns that have neither a name nor a value."""

    dialect: Dialect
    names: tuple[str | None, ...]


def open_csv(path: Path, types: Mapping[str, FieldType], text_columns: frozenset[str]) -> Table:
    """Open a CSV or TSV file; `types` and `text_columns` are as for `open_table`.

    Raises:
        FeedError: the file is empty, or no row names its columns.
    """
    dialect = dialect_of(path)
    header: list[str] | None = None
    guesses: list[ColumnGuess] = []
    filled: list[bool] = []
    count = 0
    for cells in _csv_rows(path, dialect):
        if header is None:
            if isinstance(cells, Rejected):
                raise FeedError(f"The first row of {path.name} should name the columns. {cells.reason}")
            header = [bare(cell) for cell in cells]
            guesses, filled = [ColumnGuess(name) for name in header], [False] * len(header)
            continue
        count += 1
        if not isinstance(cells, Rejected):
            for place, cell in enumerate(cells[: len(header)]):
                filled[place] = filled[place] or bool(cell.strip())
                guesses[place].add(cell)
    if not header or not any(header):
        raise FeedError(f"{path.name} is empty: its first row should name the columns.")
    names = _distinct(header, filled)
    columns = tuple(name for name in names if name is not None)
    readers = {
        name: CellReader() if normal_name(name) in text_columns else guess.reader()
        for name, guess in zip(names, guesses, strict=True)
        if name is not None
    }
    for name in readers.keys() & types.keys():
        found = readers[name].type
        if found is not types[name] and (types[name], found) != (FieldType.INT, FieldType.FLOAT):  # an int field widens
            readers[name] = readers[name].of_type(types[name])
    currencies = _currency_fields(columns, readers)
    layout = _Layout(dialect, names)
    return Table(
        (*columns, *currencies),
        count,
        {name: reader.type for name, reader in readers.items() if normal_name(name) not in text_columns}
        | dict.fromkeys(currencies, FieldType.STRING),
        lambda: _read_csv(path, layout, readers, currencies),
        words={name: reader.words for name, reader in readers.items()},
        notes=(dialect.words, *(reader.note for reader in readers.values() if reader.note)),
    )


def _distinct(header: Sequence[str], filled: Sequence[bool]) -> tuple[str | None, ...]:
    """Return a name for each column: repeated names are numbered, and so are nameless columns that have values."""
    names: list[str | None] = []
    for place, (name, has_values) in enumerate(zip(header, filled, strict=True), start=1):
        if not name and not has_values:
            names.append(None)
            continue
        base, number = name or f"column {place}", 2
        unique = base
        while unique in names or (unique != base and unique in header):
            unique, number = f"{base} {number}", number + 1
        names.append(unique)
    return tuple(names)


def _currency_fields(columns: Sequence[str], readers: Mapping[str, CellReader]) -> dict[str, str]:
    """Return the fields for the currencies of amounts, each with the column that they are read from.

    The first column of amounts has `currency`; others have one of their own only if their currencies are different.
    """
    taken = {name.lower() for name in columns}
    found: dict[str, str] = {}
    first: Mapping[str, int] | None = None
    for name in columns:
        currencies = readers[name].currencies
        if not currencies or (first is not None and currencies.keys() == first.keys()):
            continue
        field = "currency" if first is None else f"{name}_currency"
        first = currencies if first is None else first
        if field not in taken:
            found[field] = name
    return found


def _csv_rows(path: Path, dialect: Dialect) -> Iterator[list[str] | Rejected]:
    """Yield the rows, header first, each with as many cells as the header or rejected.

    Quotes that are no quotes (`12" pan`) do not join rows: a row that spans several lines, each of which has as many
    cells as the header if quotes are taken as text, is several rows. After a row that cannot be read, reading continues
    with the next line of the file.
    """
    with lines_of(path, dialect.encoding) as source:
        lines = _Lines(source)
        reader = csv.reader(lines, delimiter=dialect.separator, strict=True)
        number, width, above = -1, 0, dialect.above
        while True:
            lines.start_row()
            reason = ""
            try:
                cells = _next_row(reader)
            except StopIteration:
                return
            except csv.Error as error:
                about_quotes = "unexpected end" in str(error) or "expected after" in str(error)
                reason = "a quote in it is not closed, or not doubled" if about_quotes else str(error).rstrip(".")
                cells = []
            if not reason and not any(cell.strip() for cell in cells):
                continue  # blank lines are not rows
            if above:
                above -= 1
                lines.push_back_all_but_first()
                continue
            if width and (reason or len(lines.taken) > 1) and _are_rows(lines.taken, dialect.separator, width, reason):
                cells, reason = _plain_cells(lines.taken[0], dialect.separator), ""
                lines.push_back_all_but_first()
            number += 1
            if reason:
                lines.push_back_all_but_first()
                yield Rejected(max(number, 1), f"The row cannot be read as CSV: {reason}.")
                continue
            if not width:
                width = len(cells)
            elif len(cells) > width and any(cell.strip() for cell in cells[width:]):
                reason = f"The row has {len(cells)} cells where the header names {width}."
                yield Rejected(number, reason)
                continue
            yield [*cells[:width], *[""] * (width - len(cells))]


def _are_rows(taken: Sequence[str], separator: str, width: int, reason: str) -> bool:
    """Return whether each line is a row by itself if quotes are taken as text."""
    if width < _WIDE_ENOUGH and separator not in "\t|":
        return False
    lines = taken[:1] if reason else taken
    return width > 1 and all(len(_plain_cells(line, separator)) == width for line in lines)


def _plain_cells(line: str, separator: str) -> list[str]:
    return line.rstrip("\r\n").split(separator)


class _LimitLock:
    """A lock on `csv.field_size_limit`, which belongs to the whole process; a forked child gets a new one."""

    def __init__(self) -> None:
        self.renew()
        os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        self.lock = threading.Lock()


_LIMIT = _LimitLock()


def _next_row(reader: Iterator[list[str]]) -> list[str]:
    """Read one row with cells of up to `_MAX_CELL_LENGTH` characters, and leave the limit of `csv` as it was."""
    with _LIMIT.lock:
        before = csv.field_size_limit(_MAX_CELL_LENGTH)
        try:
            return next(reader)
        finally:
            csv.field_size_limit(before)


class _Lines:
    """The lines of a file. `taken` are those since the last `start_row`; they can be pushed back and read again."""

    def __init__(self, source: Iterator[str]) -> None:
        self._source = source
        self._again: deque[str] = deque()
        self.taken: list[str] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._source)
        self.taken.append(line)
        return line

    def start_row(self) -> None:
        self.taken.clear()

    def push_back_all_but_first(self) -> None:
        self._again.extendleft(reversed(self.taken[1:]))


def _read_csv(
    path: Path, layout: _Layout, readers: Mapping[str, CellReader], currencies: Mapping[str, str]
) -> Iterator[Row | Rejected]:
    for number, cells in enumerate(_csv_rows(path, layout.dialect)):
        if number == 0:
            continue
        if isinstance(cells, Rejected):
            yield cells
            continue
        values: dict[str, Value] = {}
        warnings: list[CellWarning] = []
        for name, cell in zip(layout.names, cells, strict=True):
            if name is None:
                continue
            if not cell.isascii() and any("\ud800" <= character <= "\udfff" for character in cell):
                cell = _BAD_BYTE.sub(lambda match: bytes([ord(match[0]) - 0xDC00]).decode("cp1252", "replace"), cell)
                warnings.append(CellWarning(name, _shown(cell), "is not in the encoding of the file"))
            try:
                values[name] = readers[name].value(cell)
            except ValueError:
                values[name] = None
                warnings.append(CellWarning(name, _shown(cell), f"this column holds {readers[name].type.words}"))
            if name in currencies.values():
                values |= {field: readers[name].currency(cell) for field, one in currencies.items() if one == name}
        yield Row(number, values, tuple(warnings))


def _shown(cell: str) -> str:
    return cell.strip()[:_SHOWN_CHARACTERS]
