"""Rows of a known export as products: columns renamed, lists split, and the rows of one product joined."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from lookalike.data.counted import counted
from lookalike.data.feeds.column_names import is_image_of_several, normal_name
from lookalike.data.feeds.known_exports import Export, Merge
from lookalike.data.feeds.picture_lists import parts_of_cell
from lookalike.data.feeds.table import Cell, Row, Table
from lookalike.data.field_type import FieldType
from lookalike.data.item import Rejected
from lookalike.data.values.html_text import text_of_html

__all__ = ["Variants", "products_of"]

Variants = Literal["join", "items"]
"""What becomes of the variants of a product: one item together, or one item each."""

_DESCRIPTIONS = frozenset(
    "description; short description; body html; product description; beschreibung; descripción; descrizione".split("; ")
)
_NO_OPTION = ("title", "default title")


def products_of(table: Table, export: Export, variants: Variants = "join") -> Table:
    """Return a table of products, with the columns "key", "title" and "image" beside the fields.

    With `variants="items"`, each variant is a row of its own, whose `group` is the key of its product.
    """
    reader = _Reader(table, export)
    groups = reader.groups()
    products, several = len(set(groups.values())), sum(1 for _ in groups)
    rows = f" in {counted(several, 'row')}" if several > products else ""
    note = f"{export.name} export: {counted(products, 'product')}{rows}."
    count = products + reader.rejected if variants == "join" else table.count
    types = reader.types()
    return Table(
        ("key", "title", "image", *types),
        count,
        types,
        lambda: reader.read(groups, variants),
        words={
            field: table.words[column]
            for column, field in reader.fields.items()
            if column in table.words and types[field] is table.types.get(column)
        },
        notes=(note, *table.notes),
    )


class _Reader:
    """Reads the rows of an export as products."""

    def __init__(self, table: Table, export: Export) -> None:
        self.table, self.export = table, export
        self.names = {column: normal_name(column) for column in table.columns}
        self.rejected = 0
        used = {*export.key[:1], export.title, *export.images, *export.left_out, *sum(export.options, ())}
        self.fields = {
            column: export.fields.get(name, name.replace(" ", "_"))
            for column, name in self.names.items()
            if name not in used and not is_image_of_several(column)
        }
        self.images = [
            *(column for wanted in export.images for column, name in self.names.items() if name == wanted),
            *(
                column
                for column, name in self.names.items()
                if is_image_of_several(column) and name not in export.images and name not in export.left_out
            ),
        ]

    def types(self) -> dict[str, FieldType]:
        """Return the type of each field, as far as it is known before reading."""
        found: dict[str, FieldType] = {}
        for column, field in self.fields.items():
            found[field] = self.table.types.get(column, FieldType.STRING)
            if self.names[column] in self.export.lists or self.export.merges.get(field) is Merge.LIST:
                found[field] = FieldType.STRINGS
            if self.export.merges.get(field) is Merge.RANGE and self.export.parent is not None:
                found[f"{field}_max"] = found[field]
        return found

    def groups(self) -> dict[int, str]:
        """Return the product of each row, by the row's number, from a first reading."""
        parents: dict[int, str] = {}
        keys: dict[int, str] = {}
        by_sku: dict[str, str] = {}
        for row in self.table.read():
            if isinstance(row, Rejected):
                self.rejected += 1
                continue
            cells = self._cells(row)
            keys[row.number] = self._key(cells) or f"row {row.number}"
            if sku := str(cells.get("sku") or ""):
                by_sku.setdefault(sku, keys[row.number])
            if self.export.parent is not None and (parent := self.export.parent(cells)):
                parents[row.number] = parent
        known = set(keys.values())
        found = {}
        for number, key in keys.items():
            parent = parents.get(number, key).removeprefix("id:")
            found[number] = parent if parent in known else by_sku.get(parent, key)
        return found

    def read(self, groups: Mapping[int, str], variants: Variants) -> Iterator[Row | Rejected]:
        """Yield the products, each when its last row has been read."""
        last = {group: number for number, group in groups.items()}
        waiting: dict[str, list[Row]] = {}
        for row in self.table.read():
            if isinstance(row, Rejected):
                yield row
                continue
            group = groups[row.number]
            rows = waiting.setdefault(group, [])
            rows.append(row)
            if row.number == last[group]:
                del waiting[group]
                if variants == "join":
                    yield self._joined(group, rows)
                else:
                    yield from self._items(group, rows)

    def _cells(self, row: Row) -> dict[str, object]:
        return {self.names[column]: value for column, value in row.values.items() if column in self.names}

    def _key(self, cells: Mapping[str, object]) -> str | None:
        return next((text for name in self.export.key if (text := str(cells.get(name) or "").strip())), None)

    def _joined(self, group: str, rows: Sequence[Row]) -> Row:
        values: dict[str, Cell] = {"key": group, "title": self._title(rows), "image": self._pictures(rows)}
        parts = [self._fields(row) for row in rows]
        for field in dict.fromkeys(name for part in parts for name in part):
            found = [part[field] for part in parts if part.get(field) is not None]
            values |= _merged(field, found, self.export.merges.get(field, Merge.FIRST), self.export.parent is not None)
        values |= self._options(rows)
        warnings = tuple(warning for row in rows for warning in row.warnings)
        return Row(rows[0].number, values, warnings)

    def _items(self, group: str, rows: Sequence[Row]) -> Iterator[Row]:
        whole = self._joined(group, rows)
        own = [row for row in rows if self._fields(row).get("sku") is not None or any(self._own_options(row))]
        for place, row in enumerate(own or rows[:1], start=1):
            one = self._joined(group, [row])
            fields = {name: value for name, value in one.values.items() if value not in (None, [])}
            options = self._options([rows[0], row], last=True)
            sku = self._fields(row).get("sku")
            key = str(sku) if sku is not None else group if len(own) < 2 else f"{group}-{place}"
            values = {**whole.values, **fields, **options, "key": key, "group": group}
            yield replace(whole, number=row.number, values=values)

    def _fields(self, row: Row) -> dict[str, Cell]:
        found: dict[str, Cell] = {}
        for column, field in self.fields.items():
            value, name = row.values.get(column), self.names[column]
            if isinstance(value, str):
                if name in _DESCRIPTIONS:
                    value = text_of_html(value.replace("\\n", "\n")) or None  # as WooCommerce writes new lines
                elif name in self.export.lists:
                    parts = [text_of_html(part) for part in re.split(self.export.lists[name], value)]
                    value = [part for part in parts if part]
            found[field] = value
        return found

    def _title(self, rows: Iterable[Row]) -> Cell:
        columns = [column for column, name in self.names.items() if name == self.export.title]
        return next((row.values[one] for row in rows for one in columns if row.values.get(one) is not None), None)

    def _pictures(self, rows: Iterable[Row]) -> Cell:
        cells = [value for row in rows for column in self.images if (value := row.values.get(column)) is not None]
        parts = [part for cell in cells for part in (parts_of_cell(cell) if isinstance(cell, str) else [cell])]
        return list(dict.fromkeys(str(part) for part in parts)) or None

    def _own_options(self, row: Row) -> Iterator[str]:
        cells = self._cells(row)
        return (str(cells[value]) for _, value in self.export.options if cells.get(value) is not None)

    def _options(self, rows: Sequence[Row], *, last: bool = False) -> dict[str, Cell]:
        """Return a field for each option, named after it, with the values of all variants, or of the last row only."""
        found: dict[str, Cell] = {}
        for name_column, value_column in self.export.options:
            cells = [self._cells(row) for row in rows]
            name = next((str(one[name_column]) for one in cells if one.get(name_column) is not None), None)
            given = [
                str(one[value_column]) for one in (cells[-1:] if last else cells) if one.get(value_column) is not None
            ]
            values = dict.fromkeys(part.strip() for value in given for part in value.split(",") if part.strip())
            if name is None or (name.lower(), *(value.lower() for value in values)) == _NO_OPTION or not values:
                continue
            field = normal_name(name).replace(" ", "_") or "option"
            found[field if field not in ("key", "title", "image") else f"{field}_"] = list(values)
        return found


def _merged(field: str, values: Sequence[Cell], merge: Merge, has_variants: bool) -> dict[str, Cell]:
    """Return the field, and for a range its upper end, of the values of several rows."""
    match merge:
        case Merge.LIST:
            texts = [str(part) for value in values for part in (value if isinstance(value, list) else [value])]
            return {field: list(dict.fromkeys(texts)) or None}
        case Merge.RANGE if has_variants:
            numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
            if not numbers:
                return {field: None, f"{field}_max": None}
            return {field: min(numbers), f"{field}_max": max(numbers)}
        case Merge.SUM:
            numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
            return {field: sum(numbers) if numbers else None}
    return {field: values[0] if values else None}
