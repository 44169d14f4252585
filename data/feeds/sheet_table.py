"""Rows of spreadsheets: Excel's .xlsx, .xlsm, .xlsb and .xls, and OpenDocument's .ods, read by calamine."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from python_calamine import CalamineError, CalamineWorkbook

from lookalike.data.errors import FeedError
from lookalike.data.feeds.header import distinct_names, may_name
from lookalike.data.feeds.table import Cell, Row, Table

__all__ = ["SHEET_SUFFIXES", "open_sheet"]

SHEET_SUFFIXES = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")

_HEADER_AMONG = 20


def open_sheet(path: Path) -> Table:
    """Open the first sheet that has rows; the header is the first row that most columns have a text in.

    Raises:
        FeedError: the file is no spreadsheet, or it is empty.
    """
    try:
        workbook = CalamineWorkbook.from_path(path)
        sheets = [workbook.get_sheet_by_name(name).to_python(skip_empty_area=True) for name in workbook.sheet_names]
    except CalamineError as error:
        raise FeedError(f"{path.name} cannot be read as a spreadsheet: {error}.") from error
    names = workbook.sheet_names
    place = next((place for place, rows in enumerate(sheets) if len(rows) > 1), None)
    if place is None:
        raise FeedError(f"{path.name} has no rows; the first row of a sheet should name the columns.")
    rows = sheets[place]
    width = max(map(len, rows[:_HEADER_AMONG]))
    texts = [[_text(cell) for cell in row] for row in rows[:_HEADER_AMONG]]
    header = next((number for number, row in enumerate(texts) if may_name(row, width)), 0)
    below = [row for row in rows[header + 1 :] if any(cell != "" for cell in row)]
    filled = [any(row[place] != "" for row in below) for place in range(len(texts[header]))]
    columns = distinct_names(texts[header], filled)

    def read() -> Iterator[Row]:
        for number, row in enumerate(below, start=1):
            cells = zip(columns, row, strict=False)
            yield Row(number, {name: _value(cell) for name, cell in cells if name is not None})

    others = [name for one, name in enumerate(names) if one != place and len(sheets[one]) > 1]
    unread = f" Other sheets are not read: {', '.join(others)}." if others else ""
    note = f"Sheet {names[place]!r} of {path.name}.{unread}"
    return Table(tuple(name for name in columns if name is not None), len(below), {}, read, notes=(note,))


def _text(cell: object) -> str:
    return str(_value(cell) or "").strip()


def _value(cell: object) -> Cell:
    """Return a cell as a plain value; whole numbers, which sheets hold as fractions, are integers."""
    match cell:
        case "" | None:
            return None
        case float() if cell.is_integer() and abs(cell) < 2**53:
            return int(cell)
        case bool() | int() | float() | str():
            return cell
        case datetime():
            return cell.replace(tzinfo=UTC)
        case date():
            return datetime(cell.year, cell.month, cell.day, tzinfo=UTC)
        case time() | timedelta():
            return str(cell)
    return str(cell)
