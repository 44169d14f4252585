"""What one kind of export of a shop system looks like: what its columns mean, and which rows belong together."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = [
    "COMMAS",
    "VARIANTS",
    "Cells",
    "Export",
    "Merge",
    "first_of",
    "has_word",
    "names_of",
    "text_of_cell",
    "unless",
]

Cells = Mapping[str, object]
"""A row's values by the normal names of their columns."""


class Merge(StrEnum):
    """What becomes of the values that the rows of one product have for a field."""

    FIRST = "first"
    LIST = "list"
    RANGE = "range"
    SUM = "sum"


COMMAS = r"\s*(?<!\\),\s*"
"""The pattern between the elements of a list; a comma within an element has a backslash before it."""

_PRICES = dict.fromkeys(
    ("price", "compare_at_price", "sale_price", "special_price", "price_with_tax", "retail_price"), Merge.RANGE
)
VARIANTS = {"sku": Merge.LIST, "barcode": Merge.LIST, "gtin": Merge.LIST, "stock": Merge.SUM, **_PRICES}
"""What becomes of the fields that the variants of a product have each."""


@dataclass(frozen=True, slots=True)
class Export:
    """One kind of export. Names of columns are as `normal_name` returns them.

    `columns` are those by which it is known. `key`, `title` and `images` name columns, the first of `key` that a row
    has being its key; `own_images` are the columns of pictures that show one variant only, `images` if empty. `fields`
    renames columns, and `lists` maps columns to the pattern between the elements of their cells. `left_out` are columns
    of no use for searching, without the numbers in their names. `merges` has what becomes of a field of several rows;
    it is the first value for other fields.

    A row is part of another product if `parent` returns that product's key, if `follows` returns true (the product is
    the one above), if it has no key of its own (likewise), or if `children` of the product's row returns its key.
    `variant` returns the code of the variant that a row describes, or None for a row about the whole product, and
    `splits_variants` is whether one variant has several rows. Variants are joined unless `joins` is false.

    `options` are pairs of columns: the name of an option and its value, or values separated by commas. `attributes`
    maps columns to a pattern with the groups `name` and `value` that finds the attributes in a cell, several values
    being separated by `|` or `;`. `intervals` maps columns of two dates, separated by a slash, to the names of fields.
    """

    name: str
    columns: frozenset[str]
    key: tuple[str, ...]
    title: str
    images: tuple[str, ...]
    own_images: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()
    lists: Mapping[str, str] = field(default_factory=dict)
    merges: Mapping[str, Merge] = field(default_factory=dict)
    parent: Callable[[Cells], str | None] | None = None
    follows: Callable[[Cells], bool] | None = None
    children: Callable[[Cells], Sequence[str]] | None = None
    variant: Callable[[Cells], str | None] | None = None
    splits_variants: bool = False
    joins: bool = True
    options: tuple[tuple[str, str], ...] = ()
    attributes: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    intervals: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def has_variants(self) -> bool:
        """Whether several rows can be one product."""
        return any((self.parent, self.follows, self.children))

    def field_of(self, name: str) -> str:
        """Return the field that a column becomes."""
        return self.fields.get(name, name.replace(" ", "_"))

    def leaves_out(self, name: str) -> bool:
        """Return whether a column is of no use for searching."""
        bare = re.sub(r"^action site id .*", "action site id", name)  # eBay's column of actions names site and currency
        return re.sub(r" \d+\b", "", bare) in self.left_out


def text_of_cell(value: object) -> str:
    """Return a cell as text; a list, which a text with `|` may have become, as the text it was."""
    if isinstance(value, list):
        return "|".join(map(str, value))
    return "" if value is None else str(value).strip()


def names_of(text: str) -> frozenset[str]:
    """Return the names in a text, which are separated by semicolons."""
    return frozenset(text.split("; "))


def first_of(*names: str) -> Callable[[Cells], str | None]:
    """Return a function that returns the first value that a row has in one of the columns."""

    def value(cells: Cells) -> str | None:
        return next((text for name in names if (text := text_of_cell(cells.get(name)))), None)

    return value


def has_word(name: str, *words: str) -> Callable[[Cells], bool]:
    """Return a function that returns whether a column has one of the words, in lower case."""
    return lambda cells: text_of_cell(cells.get(name)).lower() in words


def unless(is_parent: Callable[[Cells], bool], name: str) -> Callable[[Cells], str | None]:
    """Return a function that returns the value of a column for all rows but those of parents."""
    return lambda cells: None if is_parent(cells) else first_of(name)(cells)
