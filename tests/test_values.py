from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.data.field_type import FieldType
from lookalike.data.item import Value
from lookalike.data.values.column_guess import CellReader, ColumnGuess
from lookalike.data.values.html_text import text_of_html
from lookalike.data.values.words import bare
from lookalike.data.values.written_date import DateOrder, read_date
from lookalike.data.values.written_number import read_number

PRICES: list[tuple[str, str | None, str | None]] = [
    ("9.90", "9.90", None),
    ("9,90", "9.90", None),
    ("$9.90", "9.90", "$"),
    ("9.90$", "9.90", "$"),
    ("$ 1,299.00", "1299.00", "$"),
    ("US$10.00", "10.00", "USD"),
    ("USD 10", "10", "USD"),
    ("10.99 USD", "10.99", "USD"),
    ("10.99USD", "10.99", "USD"),
    ("usd 5", "5", "USD"),
    ("€ 12", "12", "EUR"),
    ("€12,50", "12.50", "EUR"),
    ("12 €", "12", "EUR"),
    ("12,50€", "12.50", "EUR"),
    ("12 EUR", "12", "EUR"),
    ("EUR 1.299,00", "1299.00", "EUR"),
    ("1.299,00 €", "1299.00", "EUR"),
    ("1 299,00 €", "1299.00", "EUR"),
    ("1\u00a0299,00\u00a0€", "1299.00", "EUR"),
    ("1\u202f299,00 €", "1299.00", "EUR"),
    ("12,- €", "12", "EUR"),
    ("12,-", "12", None),
    ("12.--", "12", None),
    ("1'299.-", "1299", None),
    ("CHF 1'299.50", "1299.50", "CHF"),
    ("CHF 1’299.50", "1299.50", "CHF"),
    ("Fr. 12.-", "12", "CHF"),
    ("199:-", "199", None),
    ("199 kr", "199", "kr"),
    ("kr. 1.299,00", "1299.00", "kr"),
    ("1 299 SEK", "1299", "SEK"),
    ("£5", "5", "GBP"),
    ("£1,000,000", "1000000", "GBP"),
    ("￥199", "199", "¥"),
    ("¥19,800", "19800", "¥"),
    ("19800円", "19800", "JPY"),
    ("199元", "199", "CNY"),
    ("₩12,000", "12000", "KRW"),
    ("₹12,34,567.00", "1234567.00", "INR"),
    ("Rs. 499", "499", "INR"),
    ("R$ 1.234,56", "1234.56", "BRL"),
    ("1 299,50 zł", "1299.50", "PLN"),
    ("249 Kč", "249", "CZK"),
    ("4990 Ft", "4990", "HUF"),
    ("99 lei", "99", "RON"),
    ("1 990 ₽", "1990", "RUB"),
    ("1990 руб.", "1990", "RUB"),
    ("A$15", "15", "AUD"),
    ("HK$88", "88", "HKD"),
    ("₺249,90", "249.90", "TRY"),
    ("-5.00", "-5.00", None),
    ("−5.00", "-5.00", None),
    ("(12.50)", "-12.50", None),
    ("$-3", "-3", "$"),
    (".99", "0.99", None),
    ("0,99", "0.99", None),
    ("0.00", "0.00", None),
    ("1,234,567.89", "1234567.89", None),
    ("1.234.567,89", "1234567.89", None),
    ("1.5e3", "1500", None),
    ("Call us", None, None),
    ("9.90-12.90", None, None),
    ("from 9.90", None, None),
    ("9.90 / 2", None, None),
    ("00123", None, None),
    ("1E2", None, None),
    ("1_000", None, None),
    ("1.2.3", None, None),
    ("12.34,5.6", None, None),
    ("1,23,4", None, None),
    ("€ 12 USD", None, None),
    ("12 blorp", None, None),
    ("inf", None, None),
    ("nan", None, None),
    ("", None, None),
]


@pytest.mark.parametrize(("text", "value", "currency"), PRICES, ids=[text for text, *_ in PRICES])
def test_amounts_are_read_in_every_common_writing(text: str, value: str | None, currency: str | None) -> None:
    number = read_number(text)
    if value is None:
        assert number is None
        return
    assert number is not None
    doubtful = {"¥19,800": ".", "₩12,000": "."}
    assert number.value(doubtful.get(text, ".")) == Decimal(value)
    assert number.currency == currency


def reader_of(name: str, cells: list[str]) -> CellReader:
    guess = ColumnGuess(name)
    for cell in cells:
        guess.add(cell)
    return guess.reader()


def values_of(name: str, cells: list[str]) -> list[Value]:
    reader = reader_of(name, cells)
    return [reader.value(cell) for cell in cells]


def test_the_column_decides_what_one_number_leaves_open() -> None:
    assert values_of("price", ["1.299", "19,90"]) == [1299.0, 19.9]
    assert values_of("price", ["1.299", "19.90"]) == [1.299, 19.9]
    assert values_of("stock", ["1,200", "5"]) == [1200, 5]
    assert values_of("length", ["1.250", "2.125"]) == [1.25, 2.125]
    assert values_of("price", ["€ 1.299", "€ 2.499"]) == [1299.0, 2499.0]
    assert "1.234" in (reader_of("price", ["€ 1.299", "€ 2.499"]).note or "")
    assert reader_of("price", ["1.299", "19,90"]).note is None


def test_currencies_are_counted_and_mixtures_said() -> None:
    reader = reader_of("price", ["$9.90", "€ 12", "$3"])
    assert reader.type is FieldType.FLOAT
    assert dict(reader.currencies or {}) == {"$": 2, "EUR": 1}
    assert "$ and EUR" in (reader.note or "")
    assert [reader.currency(cell) for cell in ("$9.90", "12", "€ 1")] == ["$", None, "EUR"]


def test_units_are_kept_if_all_numbers_have_the_same() -> None:
    assert (reader_of("weight", ["300 g", "1,5 g"]).words, values_of("weight", ["300 g", "1,5 g"])) == (
        "float (g)",
        [300.0, 1.5],
    )
    mixed = reader_of("weight", ["300 g", "0.3 kg"])
    assert mixed.type is FieldType.STRING
    assert "g, kg" in (mixed.note or "")
    assert values_of("discount", ["20%", "5%"]) == [20, 5]


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("gtin", ["4006381333931", "4006381333948"]),
        ("Produkt EAN", ["4006381333931"]),
        ("nummer", ["4006381333931", "4006381333948"]),  # by their check digits
        ("model", ["1E2", "2E3"]),
        ("ean20", ["100000000000000000000"]),
        ("batch", ["100", "inf", "105"]),
        ("size", ["36", "37", "XL"]),
        ("phone", ["0301234567", "301234567"]),
        ("item", ['="00123"', '="124"']),
        ("item", ["'00123", "'124"]),
        ("released", ["20240131"] * 2 + ["x"]),
        ("range", ["1-2", "3-4"]),
    ],
)
def test_codes_and_mixtures_stay_text(name: str, cells: list[str]) -> None:
    assert values_of(name, cells) == [bare(cell) for cell in cells]


def test_dates_are_read_by_the_order_that_the_column_shows() -> None:
    assert values_of("added", ["05/04/2025", "31/12/2025"]) == [
        datetime(2025, 4, 5, tzinfo=UTC),
        datetime(2025, 12, 31, tzinfo=UTC),
    ]
    assert values_of("added", ["05/04/2025", "12/31/2025"])[0] == datetime(2025, 5, 4, tzinfo=UTC)
    assert values_of("added", ["05.04.2025", "06.04.2025"])[0] == datetime(2025, 4, 5, tzinfo=UTC)
    assert values_of("added", ["2025/4/5", "2025-04-06"])[0] == datetime(2025, 4, 5, tzinfo=UTC)
    doubtful = reader_of("added", ["05/04/2025", "06/04/2025"])
    assert doubtful.type is FieldType.STRING
    assert "day or the month first" in (doubtful.note or "")


@given(st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31)), st.sampled_from(list(DateOrder)))
def test_dates_survive_every_writing(moment: datetime, order: DateOrder) -> None:
    moment = moment.replace(microsecond=0)
    slashes = "%d/%m/%Y %H:%M:%S" if order is DateOrder.DAY_FIRST else "%m/%d/%Y %I:%M:%S %p"
    for writing in (slashes, "%d.%m.%Y %H:%M:%S", "%Y/%m/%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"):
        assert read_date(f"{moment:{writing}}", order) == moment.replace(tzinfo=UTC), writing


@given(
    st.decimals(-(10**9), 10**9, places=2),
    st.sampled_from(["", "€", "USD"]),
    st.sampled_from([(",", "."), (".", ","), (" ", ","), ("'", ".")]),
)
def test_numbers_survive_every_writing(value: Decimal, currency: str, marks: tuple[str, str]) -> None:
    group, mark = marks
    written = f"{value:,.2f}".replace(",", "\0").replace(".", mark).replace("\0", group)
    number = read_number(f"{written} {currency}".strip())
    assert number is not None
    assert number.value(mark) == value


def test_words_for_yes_and_no_are_booleans_in_many_languages() -> None:
    assert values_of("sold", ["Yes", "no"]) == [True, False]
    assert values_of("verkauft", ["ja", "Nein", ""]) == [True, False, None]
    assert values_of("vendu", ["oui", "non", "n/a"]) == [True, False, None]


def test_html_is_read_as_a_person_reads_it() -> None:
    assert text_of_html("<p>Wool&nbsp;hat</p>\n<style>p{}</style><br>new") == "Wool hat new"
    assert text_of_html("Tom &amp; Jerry") == "Tom & Jerry"
    for plain in ("5 < 6 > 4", "a & b", "I <3 you", "<not a tag", "AT&T; fine"):
        assert text_of_html(plain) == plain


@given(st.text(max_size=60))
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert isinstance(text_of_html(text), str)
    reader = reader_of("x", [text])
    reader.value(text)
    read_date(text, DateOrder.DAY_FIRST)
