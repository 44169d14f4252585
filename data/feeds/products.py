"""Rows of a known export as products: columns renamed, lists split, and the rows of one product joined."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from lookalike.data.counted import counted
from lookalike.data.feeds.column_names import is_image_of_several, normal_name
from lookalike.data.feeds.export_format import Export, Merge, text_of_cell
from lookalike.data.feeds.picture_lists import parts_of_cell
from lookalike.data.feeds.table import Cell, Row, Table
from lookalike.data.field_type import FieldType
from lookalike.data.item import CellWarning, Rejected
from lookalike.data.values.html_text import text_of_html
from lookalike.data.values.words import bare, is_null
from lookalike.data.values.written_date import DateOrder, read_date
from lookalike.data.values.written_number import read_number

__all__ = ["Variants", "products_of"]


class Variants(StrEnum):
    """What becomes of the variants of a product: one item together, or one item each."""

    JOIN = "join"
    ITEMS = "items"


_DESCRIPTIONS = frozenset(
    "description; short description; body html; product description; beschreibung; descripción; descrizione".split("; ")
)
_OPTION_VALUES = re.compile(r"(?<!\\)[,|]")
_NO_OPTION = ("title", "default title")
_NEITHER = ("key", "title", "image", "group")
"""Names that a field made of an option cannot have."""

_OPTION_BEFORE_ADDRESS = re.compile(r"^[^:/?]*=(?=https?://)", re.IGNORECASE)
_NUMERIC = {Merge.RANGE: FieldType.FLOAT, Merge.SUM: FieldType.INT}


def products_of(table: Table, export: Export, variants: Variants | None = None) -> Table:
    """Return a table of products, with the columns "key", "title" and "image" beside the fields.

    With `Variants.ITEMS`, each variant is a row of its own, whose `group` is the key of its product. None stands for
    the usual way of the export: `ITEMS` for Google Merchant, whose rows have keys of their own, else `JOIN`.
    """
    apart = variants is Variants.ITEMS or (variants is None and not export.joins)
    reader = _Reader(table, export, apart)
    plan = reader.plan()
    types = reader.types()
    products, rows = len(set(plan.products.values())), len(plan.products)
    of_rows = f" in {counted(rows, 'row')}" if rows > products else ""
    each = f", {plan.variants:,} variants as items of their own" if apart and plan.variants > products else ""
    note = f"{export.name} export: {counted(products, 'product')}{of_rows}{each}."
    group = {"group": FieldType.STRING} if apart and rows > products else {}
    return Table(
        ("key", "title", "image", *types, *group),
        (plan.variants if apart else products) + plan.rejected,
        types | group,
        lambda: reader.read(plan),
        words={
            field: table.words[column]
            for column, field in reader.fields.items()
            if column in table.words and types[field] is table.types.get(column)
        },
        notes=(note, *table.notes),
    )


class _Plan:
    """Which rows belong together: the product of each row, and the variants that are in several products."""

    def __init__(self) -> None:
        self.products: dict[int, str] = {}
        self.repeated: set[str] = set()
        self.variants = self.rejected = 0


@dataclass(frozen=True, slots=True)
class _Line:
    """A row with everything that is read from it: `is_child` is whether it follows the row of its product."""

    row: Row
    cells: Mapping[str, object]
    key: str
    variant: str | None
    is_child: bool
    fields: Mapping[str, Cell]
    warnings: tuple[CellWarning, ...]


class _Reader:
    """Reads the rows of an export as products."""

    def __init__(self, table: Table, export: Export, apart: bool) -> None:
        self.table, self.export, self.apart = table, export, apart
        self.lists_codes = export.joins or not apart  # so that fields have one type, whatever becomes of variants
        self.names = {column: normal_name(column) for column in table.columns}
        listed = {name for name, field in export.fields.items() if export.merges.get(field) is Merge.LIST}
        used = {*export.key[:1], export.title, *export.images, *export.attributes, *export.intervals}
        used |= set(sum(export.options, ()))
        if export.merges.get(export.key[0].replace(" ", "_")) is Merge.LIST:
            listed.add(export.key[0])
        self.fields = {
            column: export.field_of(name)
            for column, name in self.names.items()
            if (name in listed or name not in used) and not export.leaves_out(name) and not is_image_of_several(column)
        }
        self.images = [
            *(column for wanted in export.images for column, name in self.names.items() if name == wanted),
            *(
                column
                for column, name in self.names.items()
                if is_image_of_several(column) and name not in export.images and not export.leaves_out(name)
            ),
        ]
        own = export.own_images or tuple(self.names[column] for column in self.images)
        self.own_images = [column for column in self.images if self.names[column] in own]
        present = set(self.names.values())
        self.options = [(name, value) for name, value in export.options if name in present and value in present]
        self.attributes = {name: pattern for name, pattern in export.attributes.items() if name in present}
        self.intervals = {
            column: export.intervals[name] for column, name in self.names.items() if name in export.intervals
        }
        self.titles = [column for column, name in self.names.items() if name == export.title]

    def types(self) -> dict[str, FieldType]:
        """Return the type of each field, as far as it is known before reading."""
        found: dict[str, FieldType] = {}
        for column, field in self.fields.items():
            type_ = self.table.types.get(column, FieldType.STRING)
            merge = self.export.merges.get(field)
            if type_ in (FieldType.STRING, FieldType.STRINGS) and merge in _NUMERIC:
                type_ = _NUMERIC[merge]
            if self.names[column] in self.export.lists or (merge is Merge.LIST and self.lists_codes):
                type_ = FieldType.STRINGS
            found.setdefault(field, type_)
            if merge is Merge.RANGE and self.export.has_variants and not self.apart:
                found[f"{field}_max"] = type_
        for fields in self.intervals.values():
            found |= dict.fromkeys(fields, FieldType.TIMESTAMP)
        return found

    def plan(self) -> _Plan:
        """Return which rows belong together, from a first reading."""
        plan = _Plan()
        export, rows, by_sku = self.export, list[tuple[int, str, str, str]](), dict[str, str]()
        child_of: dict[str, str] = {}
        product_above = ""
        for row in self.table.read():
            if isinstance(row, Rejected):
                plan.rejected += 1
                continue
            cells = self._cells(row)
            key = self._key(cells)
            follows = export.has_variants and (not key or (export.follows is not None and export.follows(cells)))
            parent = export.parent(cells) if export.parent is not None else None
            if follows and product_above:
                parent, key = product_above, key or product_above
            else:
                product_above = parent or key
            key = key or f"\0{row.number}"
            if sku := text_of_cell(cells.get("sku")):
                by_sku.setdefault(sku, key)
            if export.children is not None:
                child_of |= dict.fromkeys(export.children(cells), key)
            rows.append((row.number, key, (parent or "").removeprefix("id:"), self._variant(cells) or ""))
        known = {key for _, key, _, _ in rows}
        groups: dict[str, list[str]] = {}
        alone: set[str] = set()
        product_of: dict[str, str] = {}
        for number, key, parent, variant in rows:
            parent = child_of.get(key) or parent
            product = (parent if parent in known else by_sku.get(parent, parent)) if parent else key
            if product == key and not parent:
                if key in alone:
                    product = f"{key}\0{number}"  # another product, which will be rejected for its key
                alone.add(key)
            plan.products[number] = product
            of_product = groups.setdefault(product, [])
            if variant and not (self.export.splits_variants and variant in of_product):
                of_product.append(variant)
                if product_of.setdefault(variant, product.partition("\0")[0]) != product.partition("\0")[0]:
                    plan.repeated.add(variant)
        plan.variants = sum(max(len(variants), 1) for variants in groups.values())
        return plan

    def read(self, plan: _Plan) -> Iterator[Row | Rejected]:
        """Yield the products, each when its last row has been read."""
        last = {product: number for number, product in plan.products.items()}
        has_groups = len(last) < len(plan.products)
        waiting: dict[str, list[_Line]] = {}
        for row in self.table.read():
            if isinstance(row, Rejected):
                yield row
                continue
            product = plan.products[row.number]
            lines = waiting.setdefault(product, [])
            lines.append(self._line(row))
            if row.number == last[product]:
                del waiting[product]
                lines.sort(key=lambda one: one.key != product)  # the parent first
                if self.apart:
                    yield from self._items(product, lines, plan, has_groups)
                else:
                    yield self._joined(product, lines)

    def _line(self, row: Row) -> _Line:
        cells = self._cells(row)
        warnings = list(row.warnings)
        fields = self._fields(row, warnings)
        is_child = self.export.follows is not None and self.export.follows(cells)
        return _Line(row, cells, self._key(cells), self._variant(cells), is_child, fields, tuple(warnings))

    def _cells(self, row: Row) -> dict[str, object]:
        return {self.names[column]: value for column, value in row.values.items() if column in self.names}

    def _key(self, cells: Mapping[str, object]) -> str:
        for name in self.export.key:
            if text := text_of_cell(cells.get(name)):
                return re.split(self.export.lists[name], text)[0] if name in self.export.lists else text
        return ""

    def _variant(self, cells: Mapping[str, object]) -> str | None:
        return self.export.variant(cells) if self.export.variant is not None else None

    def _joined(self, product: str, lines: Sequence[_Line]) -> Row:
        values: dict[str, Cell] = {
            "key": product.partition("\0")[0] or None,
            "title": self._title(lines),
            "image": self._pictures(lines, self.images),
            **self._merged(lines),
            **self._attributes(lines),
        }
        return Row(min(one.row.number for one in lines), values, _warnings(lines))

    def _merged(self, lines: Sequence[_Line]) -> dict[str, Cell]:
        """Return the fields of several rows."""
        values: dict[str, Cell] = {}
        for field in dict.fromkeys(name for one in lines for name in one.fields):
            found = [value for one in lines if (value := one.fields.get(field)) is not None]
            merge = self.export.merges.get(field, Merge.FIRST)
            if self.apart and merge is not Merge.SUM and not (merge is Merge.LIST and self.lists_codes):
                merge = Merge.FIRST
            values |= _merged(field, found, merge, self.export.has_variants)
        return values

    def _items(self, product: str, lines: Sequence[_Line], plan: _Plan, has_groups: bool) -> Iterator[Row]:
        """Yield the variants; what belongs to one variant only is never that of another."""
        group: dict[str, Cell] = {"group": product.partition("\0")[0] or None} if has_groups else {}
        variants: dict[str, list[_Line]] = {}
        for line in lines:
            if line.variant:
                repeated = line.variant in variants and not self.export.splits_variants
                variants.setdefault(f"{line.variant}\0{line.row.number}" if repeated else line.variant, []).append(line)
        if not variants:
            whole = self._joined(product, lines)
            yield Row(whole.number, {**whole.values, **group}, whole.warnings)
            return
        warned = _warnings([line for line in lines if not line.variant])
        shared = [line for line in lines if not line.variant or line.key == product]
        of_each = {*self._attributes(lines), *self.export.merges}
        common = {name: value for name, value in self._merged(shared).items() if name not in of_each}
        pictures = self._pictures(lines, self.images)
        for name, own in variants.items():
            code = name.partition("\0")[0]
            values: dict[str, Cell] = {
                "key": f"{product}-{code}" if code in plan.repeated else code,
                "title": self._title([*own, *lines]),
                "image": self._pictures(own, self.own_images) or pictures,
                **common,
            }
            for field, value in self._merged(own).items():
                if value is not None or field not in values:
                    values[field] = value
            yield Row(own[0].row.number, {**values, **self._attributes(own, lines), **group}, _warnings(own) + warned)
            warned = ()

    def _fields(self, row: Row, warnings: list[CellWarning]) -> dict[str, Cell]:
        found: dict[str, Cell] = {}
        for column, field in self.fields.items():
            value, name = row.values.get(column), self.names[column]
            merge = self.export.merges.get(field)
            if name in self.export.lists and isinstance(value, str | list):
                parts = re.split(self.export.lists[name], text_of_cell(value))
                parts = [_text(part.replace("\\,", ",")) for part in parts]
                value = [part for part in parts if part] or None
            elif merge in _NUMERIC and isinstance(value, str | list):
                value = _number(text_of_cell(value), column, warnings)
            elif isinstance(value, str) and name in _DESCRIPTIONS:
                value = text_of_html(value.replace("\\n", "\n")) or None  # as WooCommerce writes new lines
            if value is not None or field not in found:
                found[field] = value
        for column, fields in self.intervals.items():
            found |= _interval(text_of_cell(row.values.get(column)), fields, column, warnings)
        return found

    def _title(self, lines: Sequence[_Line]) -> Cell:
        """Return the first title; a cell that has the options of a child in its place is none."""
        has_options = self.export.title in self.attributes
        named = (one.row.values for one in lines if not (has_options and one.is_child))
        return next((cell for values in named for name in self.titles if (cell := values.get(name)) is not None), None)

    def _pictures(self, lines: Sequence[_Line], columns: Sequence[str]) -> Cell:
        found: dict[str, Cell] = {}
        for column in columns:
            for line in lines:
                cell = line.row.values.get(column)
                for part in cell if isinstance(cell, list) else [cell]:
                    for one in parts_of_cell(part) if isinstance(part, str) else [part]:
                        if isinstance(one, str):
                            name = _OPTION_BEFORE_ADDRESS.sub("", one)
                            found.setdefault(name, name)
                        elif one is not None:
                            found.setdefault(repr(one), cast(Cell, one))
        found.pop("", None)
        return cast(Cell, list(found.values()) or None)

    def _attributes(self, lines: Sequence[_Line], named: Sequence[_Line] = ()) -> dict[str, Cell]:
        """Return a field for each option and attribute, named after it, with the values of all rows.

        Names of options that are not in `lines` are taken from those in `named`.
        """
        found: dict[str, dict[str, None]] = {}
        for name_column, value_column in self.options:
            names = (text_of_cell(one.cells.get(name_column)) for one in (*lines, *named))
            if not (name := next(filter(None, names), "")):
                continue
            texts = filter(None, (text_of_cell(one.cells.get(value_column)) for one in lines))
            values = [part.replace("\\,", ",").strip() for text in texts for part in _OPTION_VALUES.split(text)]
            if (name.lower(), *(value.lower() for value in values)) != _NO_OPTION:
                found.setdefault(name, {}).update(dict.fromkeys(values))
        for column, pattern in self.attributes.items():
            for line in lines:
                if column == self.export.title and not line.is_child:
                    continue
                for match in pattern.finditer(text_of_cell(line.cells.get(column))):
                    values = [part.strip() for part in re.split(r"[|;]", match["value"])]
                    found.setdefault(match["name"].strip(), {}).update(dict.fromkeys(values))
        fields: dict[str, Cell] = {}
        for name, distinct in found.items():
            field = normal_name(name).replace(" ", "_") or "option"
            if shown := [value for value in distinct if value]:
                taken = field in _NEITHER or field in self.fields.values()
                fields[f"{field}_" if taken else field] = list(shown)
        return fields


def _text(part: str) -> str:
    """Return an element of a list as text; few have entities or tags."""
    return text_of_html(part) if "&" in part or "<" in part else part.strip()


def _warnings(lines: Sequence[_Line]) -> tuple[CellWarning, ...]:
    return tuple(warning for line in lines for warning in line.warnings)


def _number(text: str, column: str, warnings: list[CellWarning]) -> float | int | None:
    """Return a number in a column of texts, such as a stock of "Unlimited" among others, or None with a warning."""
    cell = bare(text)
    if is_null(cell):
        return None
    if (number := read_number(cell)) is None:
        warnings.append(CellWarning(column, cell[:60], "this column holds numbers"))
        return None
    value = number.value(".")
    return int(value) if value == value.to_integral_value() else float(value)


def _interval(text: str, fields: tuple[str, str], column: str, warnings: list[CellWarning]) -> dict[str, Cell]:
    dates = [read_date(part.strip(), DateOrder.DAY_FIRST) for part in text.split("/")] if text else [None, None]
    if len(dates) != 2 or (text and None in dates):
        warnings.append(CellWarning(column, text[:60], "this column holds two dates separated by a slash"))
        dates = [None, None]
    return dict(zip(fields, dates, strict=True))


def _merged(field: str, values: Sequence[Cell], merge: Merge, has_range: bool) -> dict[str, Cell]:
    """Return the field, and for a range its upper end, of the values of several rows."""
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    match merge:
        case Merge.LIST:
            texts = [str(part) for value in values for part in (value if isinstance(value, list) else [value])]
            return {field: list(dict.fromkeys(texts)) or None}
        case Merge.RANGE if has_range:
            return {field: min(numbers, default=None), f"{field}_max": max(numbers, default=None)}
        case Merge.SUM:
            return {field: sum(numbers) if numbers else None}
    return {field: values[0] if values else None}
