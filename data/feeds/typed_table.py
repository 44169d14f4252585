"""Columns of text with their types, judged by all their values (`data/values/column_guess.py`).

A value that does not fit its column is left out of its row, with a warning; the row stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from lookalike.data.feeds.column_names import normal_name
from lookalike.data.feeds.table import Cell, Row, Table
from lookalike.data.field_type import FieldType
from lookalike.data.item import CellWarning, Rejected
from lookalike.data.values.column_guess import CellReader, ColumnGuess

__all__ = ["typed"]

_SHOWN_CHARACTERS = 60


def typed(
    table: Table,
    types: Mapping[str, FieldType],
    text_columns: frozenset[str],
    *,
    of_columns: Callable[[str], bool] = lambda _: True,
) -> Table:
    """Return a table whose texts are values; it is read once to find their types.

    `types` takes precedence over what the values look like, except that whole numbers may turn out to have fractions.
    Columns whose `normal_name` is in `text_columns` stay text, and those for which `of_columns` is false as they are.
    Amounts of money get a field for their currency.
    """
    guesses = {
        name: ColumnGuess(name) for name in table.columns if of_columns(name) and normal_name(name) not in text_columns
    }
    mixed: set[str] = set()
    for row in table.read():
        if isinstance(row, Rejected):
            continue
        for name, guess in guesses.items():
            cell = row.values.get(name)
            if isinstance(cell, str):
                if cell:
                    guess.add(cell)
            elif cell is not None:
                mixed.add(name)
    readers: dict[str, CellReader] = {}
    for name in filter(of_columns, table.columns):
        reader = guesses[name].reader() if name in guesses else CellReader()
        if reader.type is FieldType.STRING and name in mixed:
            continue  # lists, objects and numbers stay what they are
        wanted = types.get(name, reader.type)
        if (wanted, reader.type) == (FieldType.INT, FieldType.FLOAT):  # an int field widens
            wanted = reader.type
        readers[name] = reader.of_type(wanted)
    currencies = _currency_fields(table.columns, readers)

    def read() -> Iterator[Row | Rejected]:
        for row in table.read():
            yield row if isinstance(row, Rejected) else _typed_row(row, readers, currencies)

    return replace(
        table,
        columns=(*table.columns, *currencies),
        types={name: one.type for name, one in readers.items() if normal_name(name) not in text_columns}
        | dict.fromkeys(currencies, FieldType.STRING),
        read=read,
        words={name: reader.words for name, reader in readers.items()},
        notes=(*table.notes, *(reader.note for reader in readers.values() if reader.note)),
    )


def _currency_fields(columns: Sequence[str], readers: Mapping[str, CellReader]) -> dict[str, str]:
    """Return the fields for the currencies of amounts, each with the column that they are read from.

    The first column of amounts has `currency`; others have one of their own only if their currencies are different.
    """
    taken = {name.lower() for name in columns}
    found: dict[str, str] = {}
    first: Mapping[str, int] | None = None
    for name in columns:
        currencies = readers[name].currencies if name in readers else None
        if not currencies or (first is not None and currencies.keys() == first.keys()):
            continue
        field = "currency" if first is None else f"{name}_currency"
        first = currencies if first is None else first
        if field not in taken:
            found[field] = name
    return found


def _typed_row(row: Row, readers: Mapping[str, CellReader], currencies: Mapping[str, str]) -> Row:
    values: dict[str, Cell] = dict(row.values)
    warnings: list[CellWarning] = list(row.warnings)
    for name, reader in readers.items():
        cell = values.get(name)
        if not isinstance(cell, str):
            continue
        try:
            values[name] = reader.value(cell)
        except ValueError:
            values[name] = None
            warnings.append(
                CellWarning(name, cell.strip()[:_SHOWN_CHARACTERS], f"this column holds {reader.type.words}")
            )
    for field, name in currencies.items():
        cell = row.values.get(name)
        values[field] = readers[name].currency(cell) if isinstance(cell, str) else None
    return Row(row.number, values, tuple(warnings))
