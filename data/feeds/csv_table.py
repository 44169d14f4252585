"""Rows of CSV and TSV files, read as a stream: every row of the file comes out, as a `Row` or as `Rejected`."""

from __future__ import annotations

import csv
import os
import re
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from lookalike.data.errors import FeedError
from lookalike.data.feeds.dialect import Dialect, dialect_of, lines_of
from lookalike.data.feeds.header import distinct_names
from lookalike.data.feeds.table import Row, Table
from lookalike.data.item import CellWarning, Rejected
from lookalike.data.values.words import bare

__all__ = ["open_csv"]

_MAX_CELL_LENGTH = 1024 * 1024
_BAD_BYTE = re.compile("[\udc80-\udcff]")
_WIDE_ENOUGH = 4
"""Columns from which on a line that has as many cells as the header, quotes aside, is believed to be a row."""


def open_csv(path: Path) -> Table:
    """Open a CSV or TSV file as a table of texts.

    Raises:
        FeedError: the file is empty, or no row names its columns.
    """
    dialect = dialect_of(path)
    header: list[str] | None = None
    filled: list[bool] = []
    count = 0
    for cells in _csv_rows(path, dialect):
        if header is None:
            if isinstance(cells, Rejected):
                raise FeedError(f"The first row of {path.name} should name the columns. {cells.reason}")
            header = [bare(cell) for cell in cells]
            filled = [bool(name) for name in header]
            continue
        count += 1
        if not isinstance(cells, Rejected) and not all(filled):
            filled = [before or bool(cell.strip()) for before, cell in zip(filled, cells, strict=True)]
    if not header or not any(header):
        raise FeedError(f"{path.name} is empty: its first row should name the columns.")
    names = distinct_names(header, filled)
    columns = tuple(name for name in names if name is not None)
    return Table(columns, count, {}, lambda: _read_csv(path, dialect, names), notes=(dialect.sentence,))


def _csv_rows(path: Path, dialect: Dialect, names: Sequence[str | None] = ()) -> Iterator[list[str] | Rejected]:
    """Yield the rows, header first, each with as many cells as the header or rejected.

    Quotes that are no quotes (`12" pan`) do not join rows: a row that spans several lines, each of which has as many
    cells as the header if quotes are taken as text, is several rows. After a row that cannot be read, reading continues
    with the next line of the file. With `names`, a rejected row has its cells.
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
            if not reason and not "".join(cells).strip():
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
                named = {name: cell for name, cell in zip(names, cells, strict=False) if name is not None}
                yield Rejected(number, reason, cells=named)
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


def _read_csv(path: Path, dialect: Dialect, names: Sequence[str | None]) -> Iterator[Row | Rejected]:
    for number, cells in enumerate(_csv_rows(path, dialect, names)):
        if number == 0:
            continue
        if isinstance(cells, Rejected):
            yield cells
            continue
        warnings: list[CellWarning] = []
        for place, cell in enumerate(cells):
            if not cell.isascii() and _BAD_BYTE.search(cell):
                cells[place] = mended = _BAD_BYTE.sub(_in_western_europe, cell)
                name = names[place] or f"column {place + 1}"
                warnings.append(CellWarning(name, mended.strip()[:60], "it has bytes of another encoding"))
        yield Row(
            number, {name: cell for name, cell in zip(names, cells, strict=True) if name is not None}, tuple(warnings)
        )


def _in_western_europe(bad: re.Match[str]) -> str:
    """Return what a byte that could not be decoded is in Windows-1252, the most common encoding after UTF-8."""
    return bytes([ord(bad[0]) - 0xDC00]).decode("cp1252", "replace")
