"""What the cells of a column of text stand for, judged by all of them together and by the column's name.

A column holds numbers, dates or booleans only if all but a few of its values do: a value that does not fit is lost, so
in doubt a column is text, which loses nothing. Codes (GTIN, SKU, telephone numbers) are text even if all look like
numbers, because `00123` and `1E2` would not survive as numbers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

import orjson

from lookalike.data.field_type import INT64_MAX, FieldType
from lookalike.data.item import Value
from lookalike.data.values.words import bare, boolean, is_marked_as_text, is_null
from lookalike.data.values.written_date import DateOrder, read_date
from lookalike.data.values.written_number import WrittenNumber, read_number

__all__ = ["LIST_SEPARATOR", "CellReader", "ColumnGuess", "is_amount_name", "is_code_name", "parse_cell"]

LIST_SEPARATOR = "|"
"""Separates the elements of a list in a cell of text."""

_SHARE_THAT_FITS, _SHARE_OF_AMOUNTS = 0.99, 0.9
"""Share of the values that must fit a type: in any column, and in one whose name says that it holds amounts."""

_WORDS = re.compile(r"[^\W_]+")
_DIGIT = re.compile(r"\d")
_PLAIN_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,10})(\.(?:\d{1,2}|\d{4,}))?")
"""The most common numbers, which need no closer look: their decimal mark is plain, and they are too short for codes."""

_JUDGED_EARLY = 5_000
"""Values after which a column of which hardly any is a number, a date or a boolean is known to be text."""

_CODE_NAMES = frozenset(
    "gtin gtin8 gtin12 gtin13 gtin14 ean ean8 ean13 upc upca isbn isbn10 isbn13 issn jan itf barcode mpn sku asin tel "
    "phone telephone fax mobile zip zipcode postcode postalcode postal plz iban vat hs tariff serial hash code codes "
    "artikelnummer artnr bestellnummer".split()
)
_AMOUNT_NAMES = frozenset(
    "price prices preis prix precio prezzo prijs pris cena amount cost msrp rrp uvp total tax shipping discount".split()
)


class _Facts(NamedTuple):
    """What one text may stand for."""

    number: WrittenNumber | None
    boolean: bool | None
    day_first: datetime | None
    month_first: datetime | None
    is_code: bool


@lru_cache(maxsize=100_000)
def _facts(text: str) -> _Facts:
    if not _DIGIT.search(text):
        return _Facts(None, boolean(text), None, None, False)
    number = read_number(text)
    if number is not None and number.mark == "" and abs(number.value(".")) > INT64_MAX:
        number = None
    days, months = (read_date(text, order) for order in DateOrder) if number is None else (None, None)
    return _Facts(number, None, days, months, _is_gtin(text))


def _is_gtin(text: str) -> bool:
    """Return whether a text is a GTIN of 12 to 14 digits with the right check digit (GS1 General Specifications)."""
    if not (12 <= len(text) <= 14 and text.isascii() and text.isdigit()):
        return False
    digits = [int(digit) for digit in reversed(text)]
    return (sum(digits[::2]) + 3 * sum(digits[1::2])) % 10 == 0


@dataclass(frozen=True, slots=True)
class CellReader:
    """Turns the cells of one column into values of one type.

    `decimal_mark` and `date_order` decide where a cell alone cannot. `unit` follows every number. `currencies` counts
    the currencies of the cells, and `note` says, in a sentence, what is doubtful about the column.
    """

    type: FieldType = FieldType.STRING
    decimal_mark: str = "."
    date_order: DateOrder = DateOrder.DAY_FIRST
    unit: str | None = None
    currencies: Mapping[str, int] | None = None
    note: str | None = None

    @property
    def words(self) -> str:
        """The type of the column, with the unit or currencies of its numbers, in words."""
        detail = " and ".join(self.currencies or ()) or self.unit
        return f"{self.type} ({detail})" if detail else str(self.type)

    def of_type(self, type_: FieldType) -> CellReader:
        """Return a reader for the same column that returns values of another type."""
        return CellReader(type_, self.decimal_mark, self.date_order, self.unit, self.currencies, self.note)

    def value(self, cell: str) -> Value:
        """Return the value of a cell, or None if it stands for no value.

        Raises:
            ValueError: the text is not a value of the type.
        """
        return _READERS[self.type](bare(cell), self)

    def currency(self, cell: str) -> str | None:
        """Return the currency of an amount of money, if its cell names one."""
        number = read_number(bare(cell))
        return number.currency if number else None


class ColumnGuess:
    """Counts what the cells of one column may stand for."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._total = self._lists = self._marked = self._codes = self._points = 0
        self._numbers = self._whole = self._booleans = self._days = self._months = self._either = 0
        self._marks: Counter[str] = Counter()
        self._currencies: Counter[str] = Counter()
        self._units: Counter[str] = Counter()

    def add(self, cell: str) -> None:
        """Count one more cell."""
        text = bare(cell)
        if is_null(text):
            return
        self._total += 1
        self._lists += LIST_SEPARATOR in text
        if plain := _PLAIN_NUMBER.fullmatch(text):
            self._numbers += 1
            if plain[1]:
                self._points += 1
            else:
                self._whole += 1
            self._marked += text != cell and is_marked_as_text(cell)
            return
        if self._total > _JUDGED_EARLY and self._is_text():
            return
        self._marked += text != cell and is_marked_as_text(cell)
        number, yes_or_no, day_first, month_first, is_code = _facts(text)
        if number is not None:
            self._numbers += 1
            self._codes += is_code
            if number.mark:
                self._marks[(number.doubtful and f"?{number.doubtful}") or number.mark] += 1
            else:
                self._whole += 1
            if number.currency:
                self._currencies[number.currency] += 1
            if number.unit:
                self._units[number.unit] += 1
        elif yes_or_no is not None:
            self._booleans += 1
        else:
            self._days += day_first is not None
            self._months += month_first is not None
            self._either += day_first is not None and day_first == month_first

    def _is_text(self) -> bool:
        """Return whether most values so far are neither numbers, nor dates, nor booleans."""
        return max(self._numbers, self._booleans, self._days, self._months) * 2 < self._total

    def reader(self) -> CellReader:
        """Return the reader for the column, judged by the cells so far."""
        has_money = bool(self._currencies) or is_amount_name(self._name)
        enough = self._total * (_SHARE_OF_AMOUNTS if has_money else _SHARE_THAT_FITS)
        mark, note = self._decimal_mark()
        if not self._total or is_code_name(self._name) or self._marked or self._codes > self._total / 2:
            return CellReader()
        if self._numbers >= enough:
            unit, ofunit = next(iter(self._units.most_common(1)), (None, 0))
            if unit is not None and ofunit < self._numbers:
                units = ", ".join(sorted(self._units))
                return CellReader(note=f"{self._name} is text, because its numbers have different units: {units}.")
            fractions = self._numbers - self._whole - sum(self._marks[f"?{one}"] for one in ".," if one != mark)
            type_ = FieldType.FLOAT if fractions or self._currencies else FieldType.INT
            several = f"{self._name} has amounts in {' and '.join(self._currencies)}." * (len(self._currencies) > 1)
            return CellReader(
                type_,
                mark,
                unit=unit,
                currencies=self._currencies or None,
                note=" ".join(filter(None, (note, several))) or None,
            )
        if self._booleans >= enough:
            return CellReader(FieldType.BOOL)
        if max(self._days, self._months) >= enough:
            if self._days == self._months > self._either:
                return CellReader(note=f"{self._name} is text, because its dates may have the day or the month first.")
            order = DateOrder.DAY_FIRST if self._days >= self._months else DateOrder.MONTH_FIRST
            return CellReader(FieldType.TIMESTAMP, date_order=order)
        return CellReader(FieldType.STRINGS if self._lists else FieldType.STRING)

    def _decimal_mark(self) -> tuple[str, str]:
        """Return the decimal mark for numbers that do not show theirs, and a sentence if the column does not either."""
        points, commas = self._points + self._marks["."], self._marks[","]
        doubtful = self._marks["?."] + self._marks["?,"]
        if points != commas or not doubtful:
            return ("," if commas > points else "."), ""
        grouped = "." if self._marks["?."] and self._currencies else "," if self._marks["?,"] else ""
        mark = "," if grouped == "." else "."
        example = f"1{'.' if self._marks['?.'] else ','}234"
        meaning = "1234" if grouped else "1.234"
        return mark, f"{self._name}: a number such as {example} is read as {meaning}."


@lru_cache(maxsize=10_000)
def is_code_name(column: str) -> bool:
    """Return whether the name of a column says that it holds codes, such as GTINs and telephone numbers."""
    return not is_amount_name(column) and not _CODE_NAMES.isdisjoint(_WORDS.findall(column.lower()))


@lru_cache(maxsize=10_000)
def is_amount_name(column: str) -> bool:
    """Return whether the name of a column says that it holds amounts of money."""
    return not _AMOUNT_NAMES.isdisjoint(_WORDS.findall(column.lower()))


def parse_cell(type_: FieldType, cell: str) -> Value:
    """Return the value that the text of a cell has as type `type_`, or None if it stands for no value.

    Raises:
        ValueError: the text is not a value of that type.
    """
    return CellReader(type_).value(cell)


def _text(text: str, _: CellReader) -> Value:
    return text or None


def _int(text: str, reader: CellReader) -> Value:
    if (plain := _PLAIN_NUMBER.fullmatch(text)) and not plain[1]:
        return int(text)
    if is_null(text):
        return None
    value = _number(text).value(reader.decimal_mark)
    if value != value.to_integral_value():
        raise ValueError(text)
    return int(value)


def _float(text: str, reader: CellReader) -> Value:
    if _PLAIN_NUMBER.fullmatch(text):
        return float(text)
    if is_null(text):
        return None
    return float(_number(text).value(reader.decimal_mark))


def _number(text: str) -> WrittenNumber:
    number = read_number(text)
    if number is None:
        raise ValueError(text)
    return number


def _bool(text: str, _: CellReader) -> Value:
    if is_null(text):
        return None
    found = boolean(text)
    if found is None:
        raise ValueError(text)
    return found


def _timestamp(text: str, reader: CellReader) -> Value:
    if is_null(text):
        return None
    found = read_date(text, reader.date_order)
    if found is None:
        raise ValueError(text)
    return found


def _list(text: str, _: CellReader) -> Value:
    parts = [part.strip() for part in text.split(LIST_SEPARATOR)]
    return [part for part in parts if part] or None


def _json(text: str, _: CellReader) -> Value:
    try:
        parsed: Value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text or None
    return parsed


_READERS: Mapping[FieldType, Callable[[str, CellReader], Value]] = {
    FieldType.STRING: _text,
    FieldType.INT: _int,
    FieldType.FLOAT: _float,
    FieldType.BOOL: _bool,
    FieldType.TIMESTAMP: _timestamp,
    FieldType.STRINGS: _list,
    FieldType.JSON: _json,
}
