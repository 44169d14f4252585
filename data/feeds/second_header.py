"""Tables with several header lines, the last of which has the names that a program reads, as in Amazon's flat files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from lookalike.data.feeds.export_format import text_of_cell
from lookalike.data.feeds.header import distinct_names
from lookalike.data.feeds.known_exports import export_of
from lookalike.data.feeds.table import Row, Table
from lookalike.data.item import Rejected

__all__ = ["with_last_header", "without_selectors"]

_HEADER_LINES = 5
_SELECTOR = re.compile(r"\[[a-z_]+=[^\]]*\]|#\d+")


def without_selectors(name: str) -> str:
    """Return the name of an attribute without its market and language.

    >>> without_selectors("item_name[marketplace_id=ATVPDKIKX0DER][language_tag=en_US]#1.value")
    'item_name'
    >>> without_selectors("Red [Non Editable]")
    'Red [Non Editable]'
    """
    bare = _SELECTOR.sub("", name)
    return bare.removesuffix(".value") if bare != name and bare.count(".") == 1 else bare


def with_last_header(table: Table) -> Table:
    """Return a table of texts whose columns have the names of a known export, if one of its first rows has them.

    Rows down to that one are not rows of the table. Other tables are returned as they are.
    """
    if export_of(table.columns) is not None:
        return table
    first = [row for row in islice(table.read(), _HEADER_LINES) if isinstance(row, Row)]
    for row in first:
        cells = [without_selectors(text_of_cell(row.values.get(column))) for column in table.columns]
        if export_of(cells) is not None:
            return _renamed(table, cells, row.number)
    return table


def _renamed(table: Table, cells: list[str], above: int) -> Table:
    filled = [False] * len(cells)
    for row in table.read():
        if isinstance(row, Row) and row.number > above:
            filled = [
                before or bool(text_of_cell(row.values.get(one)))
                for before, one in zip(filled, table.columns, strict=True)
            ]
    names = distinct_names(cells, filled)
    renamed = {column: name for column, name in zip(table.columns, names, strict=True) if name is not None}

    def read() -> Iterator[Row | Rejected]:
        for row in table.read():
            if isinstance(row, Rejected):
                if row.row > above:
                    yield replace(row, row=row.row - above)
                continue
            if row.number <= above:
                continue
            values = {renamed[column]: value for column, value in row.values.items() if column in renamed}
            yield Row(row.number - above, values, row.warnings)

    note = f"The last of {above + 1} header lines names the columns."
    return replace(
        table, columns=tuple(renamed.values()), count=table.count - above, read=read, notes=(*table.notes, note)
    )
