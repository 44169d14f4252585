"""Rows of CSV and TSV files, read as a stream. A row that cannot be read is `Rejected`, not an error.

CSV has no types, so a first pass over all values infers them. A column holds numbers, booleans or timestamps if at
least 95% of its values parse as such; the rows with other values are rejected. It holds lists if a value contains `|`.
"""

from __future__ import annotations

import csv
import io
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import orjson

from lookalike.data.errors import FeedError
from lookalike.data.feeds.table import LIST_SEPARATOR, Row, Table
from lookalike.data.field_type import FieldType
from lookalike.data.item import Rejected, Value

__all__ = ["open_csv", "parse_cell"]

_NULLS = frozenset({"", "null", "none", "na", "n/a", "nan", "-"})
_TRUE, _FALSE = frozenset({"true", "yes"}), frozenset({"false", "no"})
_SHARE_THAT_FITS = 0.95
_CACHED_CELLS = 20_000
_MAX_CELL_LENGTH = 1024 * 1024


def open_csv(path: Path, types: Mapping[str, FieldType], text_columns: frozenset[str]) -> Table:
    """Open a CSV or TSV file; `types` and `text_columns` are as for `open_table`.

    Raises:
        FeedError: the file is UTF-16 text, is empty, or its first row does not name the columns.
    """
    with path.open("rb") as file:
        if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            raise FeedError(f"{path.name} is UTF-16 text.", remedy="Save the feed as UTF-8.")
    delimiter = _delimiter(path)
    columns: tuple[str, ...] = ()
    counters: dict[str, _Inference] = {}
    count = 0
    for cells in _csv_cells(path, delimiter):
        if isinstance(cells, Rejected):
            count += 1
        elif not columns:
            columns = _header(cells, path)
            counters = {name: _Inference() for name in columns if name.lower() not in text_columns}
        else:
            count += 1
            if len(cells) == len(columns):
                for name, cell in zip(columns, cells, strict=True):
                    if name in counters:
                        counters[name].add(cell)
    if not columns:
        raise FeedError(f"{path.name} is empty: its first row should name the columns.")
    found = {name: counter.decide() for name, counter in counters.items()}
    for name in found.keys() & types.keys():
        if (types[name], found[name]) != (FieldType.INT, FieldType.FLOAT):  # an int field widens to float
            found[name] = types[name]
    return Table(columns, count, found, lambda: _read_csv(path, delimiter, columns, found))


def _delimiter(path: Path) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        header = file.readline(1 << 20)
    return max(",;\t|", key=header.count)


def _header(cells: list[str], path: Path) -> tuple[str, ...]:
    names = tuple(cell.strip() for cell in cells)
    twice = {name for name in names if names.count(name) > 1}
    if twice or "" in names:
        problem = f"the column {sorted(twice)[0]!r} twice" if twice and "" not in twice else "a column without a name"
        raise FeedError(
            f"{path.name} has {problem} in its first row.", remedy="Make the names of all columns different."
        )
    return names


def _csv_cells(path: Path, delimiter: str) -> Iterator[list[str] | Rejected]:
    """Yield the rows, header first. After a row that cannot be read, continue with the next line of the file."""
    with path.open("rb") as raw:
        lines = _Lines(io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline=""))
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        number = -1
        while True:
            lines.start_row()
            try:
                cells = _next_row(reader)
            except StopIteration:
                return
            except csv.Error as error:
                number += 1
                lines.push_back_all_but_first()
                about_quotes = "unexpected end" in str(error) or "expected after" in str(error)
                reason = "a quote in it is not closed, or not doubled" if about_quotes else str(error).rstrip(".")
                yield Rejected(max(number, 1), f"The row cannot be read as CSV: {reason}.")
                continue
            if cells:  # blank lines are not rows
                number += 1
                yield cells


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
    """The lines of a file. Lines read since the last `start_row` can be pushed back and read again."""

    def __init__(self, source: Iterator[str]) -> None:
        self._source = source
        self._again: deque[str] = deque()
        self._taken: list[str] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._source)
        self._taken.append(line)
        return line

    def start_row(self) -> None:
        self._taken.clear()

    def push_back_all_but_first(self) -> None:
        self._again.extendleft(reversed(self._taken[1:]))


def _read_csv(
    path: Path, delimiter: str, columns: tuple[str, ...], types: Mapping[str, FieldType]
) -> Iterator[Row | Rejected]:
    parsers = [_PARSERS[types.get(name, FieldType.STRING)] for name in columns]
    number = 0
    for position, cells in enumerate(_csv_cells(path, delimiter)):
        if position == 0 and not isinstance(cells, Rejected):
            continue
        number += 1
        if isinstance(cells, Rejected):
            yield cells
        elif len(cells) != len(columns):
            yield Rejected(number, f"The row has {len(cells)} cells where the header names {len(columns)}.")
        elif any("\ud800" <= character <= "\udfff" for cell in cells for character in cell):
            yield Rejected(number, "The row is not UTF-8 text; save the feed as UTF-8.")
        else:
            values: dict[str, Value] = {}
            for name, cell, parse in zip(columns, cells, parsers, strict=True):
                try:
                    values[name] = parse(cell)
                except ValueError:
                    reason = f"{name} is {cell.strip()[:60]!r}; this column holds {types[name].words}."
                    yield Rejected(number, reason, cells=dict(zip(columns, cells, strict=True)))
                    break
            else:
                yield Row(number, values)


class _Inference:
    """Counts how many values of one column parse as each type."""

    def __init__(self) -> None:
        self._total = 0
        self._lists = 0
        self._fits = dict.fromkeys((FieldType.INT, FieldType.FLOAT, FieldType.BOOL, FieldType.TIMESTAMP), 0)
        self._cache: dict[str, tuple[FieldType, ...]] = {}

    def add(self, cell: str) -> None:
        if _is_null(cell):
            return
        self._total += 1
        self._lists += LIST_SEPARATOR in cell
        if cell not in self._cache:
            if len(self._cache) > _CACHED_CELLS:
                self._cache.clear()
            self._cache[cell] = tuple(type_ for type_ in self._fits if _parses_as(type_, cell))
        for type_ in self._cache[cell]:
            self._fits[type_] += 1

    def decide(self) -> FieldType:
        if not self._total:
            return FieldType.STRING
        enough = self._total * _SHARE_THAT_FITS
        whole, number = self._fits[FieldType.INT], self._fits[FieldType.FLOAT]
        if number >= enough and number > whole:
            return FieldType.FLOAT
        for type_, fits in self._fits.items():
            if fits >= enough:
                return type_
        return FieldType.STRINGS if self._lists else FieldType.STRING


def _is_null(cell: str) -> bool:
    return cell.strip().lower() in _NULLS


def _parses_as(type_: FieldType, cell: str) -> bool:
    try:
        _PARSERS[type_](cell)
    except ValueError:
        return False
    return True


def _parse_text(cell: str) -> Value:
    return cell.strip() or None


def _parse_int(cell: str) -> Value:
    if _is_null(cell):
        return None
    _refuse_article_number(cell)
    return int(cell)


def _parse_float(cell: str) -> Value:
    if _is_null(cell):
        return None
    _refuse_article_number(cell)
    value = float(cell)
    if value in (float("inf"), float("-inf")):
        raise ValueError(cell)
    return value


def _refuse_article_number(cell: str) -> None:
    """Raise ValueError for text that only looks like a number: 00123 is an article number, 1_000 a Python literal."""
    digits = cell.strip().lstrip("+-")
    if "_" in digits or (len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()):
        raise ValueError(cell)


def _parse_bool(cell: str) -> Value:
    word = cell.strip().lower()
    if word in _NULLS:
        return None
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(cell)


def _parse_timestamp(cell: str) -> Value:
    text = cell.strip()
    if text.lower() in _NULLS:
        return None
    if len(text) < 10 or text[4:5] != "-":  # `fromisoformat` accepts 20240131, which is more likely an article number
        raise ValueError(cell)
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _parse_list(cell: str) -> Value:
    text = cell.strip()
    if not text:
        return None
    return [part.strip() for part in text.split(LIST_SEPARATOR) if part.strip()]


def _parse_json(cell: str) -> Value:
    try:
        parsed: Value = orjson.loads(cell)
    except orjson.JSONDecodeError:
        return _parse_text(cell)
    return parsed


_PARSERS: dict[FieldType, Callable[[str], Value]] = {
    FieldType.STRING: _parse_text,
    FieldType.INT: _parse_int,
    FieldType.FLOAT: _parse_float,
    FieldType.BOOL: _parse_bool,
    FieldType.TIMESTAMP: _parse_timestamp,
    FieldType.STRINGS: _parse_list,
    FieldType.JSON: _parse_json,
}


def parse_cell(type_: FieldType, cell: str) -> Value:
    """Return the value that the text of a cell has as type `type_`, or None if it stands for no value.

    Raises:
        ValueError: the text is not a value of that type.
    """
    return _PARSERS[type_](cell)
