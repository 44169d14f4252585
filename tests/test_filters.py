from __future__ import annotations

import dataclasses
import math
import random
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.data.errors import FilterError
from lookalike.retrieval.filters import Filter
from lookalike.retrieval.filters.conditions import And, Not, Or
from lookalike.retrieval.filters.grammar import MAX_TEXT_BYTES, parse
from lookalike.retrieval.filters.nodes import MAX_DEPTH
from lookalike.retrieval.filters.operands import Constant, Field
from lookalike.retrieval.filters.patterns import MAX_PATTERN_LENGTH
from lookalike.retrieval.filters.predicates import Comparison
from lookalike.retrieval.filters.strings import quoted, unquoted
from lookalike.retrieval.generations.columns import Columns
from lookalike.retrieval.schema import FieldType
from tests.filter_oracle import SCHEMA

CANONICAL = [
    ('category == "shoes" and price < 80', 'category == "shoes" and price < 80'),
    ("a == 'it\\'s'", 'a == "it\'s"'),
    ("10<price<=80", "price > 10 and price <= 80"),
    ("80 > price", "price < 80"),
    ("a AND b Or NOT c", "(a == true and b == true) or not (c == true)"),
    ("a && (b && c) || d", "(a == true and b == true and c == true) or d == true"),
    ("a or (b or c)", "a == true or b == true or c == true"),
    ("! (a == 1)", "not (a == 1)"),
    ("not not a", "not (not (a == true))"),
    ("not a in [1]", "a not in [1]"),
    ("a Not  In [ 1, 'x', ]", 'a not in [1, "x"]'),
    ("a IS  NULL", "a is null"),
    ("not a is null", "a is not null"),
    ("a not like 'x%'", 'not (a like "x%")'),
    ("-2 ** 2 < a", "a > -(2 ** 2)"),
    ("(-2) ** 2 < a", "a > (-2) ** 2"),
    ("a + 2 * b - 1 > 0", "(a + (2 * b)) - 1 > 0"),
    ("- -5 < a", "a > 5"),
    ("+a > .5", "a > 0.5"),
    ("a == 1e3 or a == 1. or a == 0x1F or a == 0B11", "a == 1000.0 or a == 1.0 or a == 31 or a == 3"),
    ("a == -9223372036854775808", "a == -9223372036854775808"),
    ('$meta["odd name"] == 1', '$meta["odd name"] == 1'),
    ('$meta [ "plain" ] == 1', "plain == 1"),
    ('$meta["in"] == 1', '$meta["in"] == 1'),
    ("and_then == android", "and_then == android"),
    ("iso == ISO '2026-05-31'", '$meta["iso"] == ISO "2026-05-31T00:00:00+00:00"'),
    ("JSON_CONTAINS(a, 'x')", 'array_contains(a, "x")'),
    ("Array_Contains_All(a, ['x'])", 'array_contains_all(a, ["x"])'),
    ("array_contains == 1", "array_contains == 1"),
    ("array_length ( a ) >= 1", "array_length(a) >= 1"),
    (r'a == "\u00e9\x41\ud83d\ude00\n\t\"\\"', r'a == "éA😀\u000a\u0009\"\\"'),
    (r"a like '50\%'", r'a like "50\\%"'),
    ("a == '日本'", 'a == "日本"'),
]


@pytest.mark.parametrize(("text", "canonical"), CANONICAL)
def test_the_canonical_text(text: str, canonical: str) -> None:
    condition = parse(text)
    assert condition.to_milvus() == canonical
    assert parse(canonical) == condition


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('category == "shoes" and price < 80', 'category is "shoes" and price is below 80'),
        ("10 < price <= 80 or live", "(price is above 10 and price is at most 80) or live is true"),
        ("not (a == 1) and not (a < 1)", "a is not 1 and a is not below 1"),
        ('not (b like "x%") or not (b like "x")', 'b does not start with "x" or b does not match "x"'),
        ('a in ["x", "y", "z"] or a not in [1]', 'a is one of "x", "y" and "z" or a is none of 1'),
        ('a like "%x" or a like "%x%" or a like "x_"', 'a ends with "x" or a contains "x" or a matches "x_"'),
        ("a is null or a is not null", "a is missing or a is present"),
        ('array_contains(tags, "x") and not array_contains_any(tags, ["y"])', 'tags has "x" and tags has none of "y"'),
        ("array_length(tags) >= 2", "the number of tags is at least 2"),
        ("a in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]", "a is one of 1, 2, 3, 4, 5, 6, 7, 8 and 3 others"),
        ("a in []", "a is one of nothing"),
        ("(price + 1) * 2 != -weight", "(price + 1) * 2 is not -weight"),
        ("not (a == 1 or b == 2)", "not (a is 1 or b is 2)"),
        ('added >= ISO "2026-05-31"', "added is at least 2026-05-31"),
        ('added >= ISO "2026-05-31T12:30+02:00"', "added is at least 2026-05-31 10:30:00 UTC"),
    ],
)
def test_a_filter_says_what_it_means(text: str, words: str) -> None:
    assert Filter.parse(text).describe() == words


@pytest.mark.parametrize(
    ("text", "message", "position"),
    [
        ("", "is empty", None),
        (" \n", "is empty", None),
        ("price <", "ends too early; expected a field, a number, or a text in quotes", 7),
        ("(price < 5", "ends too early", 10),
        ("price = 5", "equality is written ==", 6),
        ("price < 5)", r"'\)' was not expected here", 9),
        ("title lik 'x'", "'lik' was not expected here; expected a comparison", 6),
        ('brand == "abc', "it is not closed", 9),
        ("price § 5", "cannot be read at '§'", 6),
        ("2 ** 3 ** 2 < price", "parentheses", 7),
        ("5 < price > 6", "Only ranges", 10),
        ("5 == price == 6", "Only ranges", 11),
        ("price < 007", "begin with 0", 8),
        ("price < 1e999", "too large", 8),
        (r'brand == "\q"', r"\\q is not an escape", 9),
        (r'brand == "\ud800"', "half of a character", 9),
        (r'brand == "\U00110000"', "is not an escape", 9),
        ("brand like 5 + 1", "was not expected", 13),
        ("brand like other", "a pattern in quotes", 6),
        ("array_contains_all(tags, 'a')", "a list such as", 25),
        ("array_contains(tags, other)", "one value in quotes", 0),
        ("array_contains('a', 'b')", "is for a field", 0),
        ("5 is null", "is for a field", 2),
        ("(a == 1) + 1 > 2", "needs a value on either side", 9),
        ("(a == 1) == true", "needs a value on either side", 9),
        ("not 5", "is a value, not a condition", 0),
        ("{a", "was not expected|ends too early", 2),
        ("a in {}", "the name of a parameter", 6),
        ("a; drop table items", "cannot be read at ';'", 1),
        ("a == 1 // comment", "was not expected", 8),
        ("__import__('os')", "was not expected", 10),
    ],
)
def test_a_text_that_cannot_be_read_says_where(text: str, message: str, position: int | None) -> None:
    with pytest.raises(FilterError, match=message) as caught:
        parse(text)
    if position is not None:
        assert caught.value.position == position
        *_, line, caret = str(caught.value).split("\n")
        assert line[caret.index("^") :] == text[position:][:40]


def test_the_caret_stands_below_its_line_of_many() -> None:
    with pytest.raises(FilterError) as caught:
        parse("price < 5 and\n  title lik 'x' and\n  live")
    assert str(caught.value).split("\n")[1:] == ["    title lik 'x' and", "          ^"]


@pytest.mark.parametrize(
    "text",
    ["1 < 2", "'a' in ['a']", "'a' like 'a'", "5", "'a' and live", "{x}", "a in [b]", "a in [1 < 2]", "a == '\n'"]
    + ["a[0] == 1", "a == b == c", "exists a", "a & 1", "a =~ 'x'", "$meta", "$meta[5] == 1", "a == null == b"],
)
def test_what_the_language_does_not_have_is_refused(text: str) -> None:
    with pytest.raises(FilterError):
        parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prize < 5", "no field 'prize'. Did you mean price\\? If .* The fields are key, title, brand"),
        ("brand == shoes", 'write it in quotes: "shoes"'),
        ("brand == null", "is null"),
        ("price == 'x'", "'price' holds numbers and cannot be compared with \"x\", which is text"),
        ("brand < 5", "'brand' holds text"),
        ("brand == price", "the field 'price', which holds numbers"),
        ("brand in ['a', 5]", "'brand' holds text"),
        ("price in ['a']", "'price' holds numbers"),
        ("live < true", "but not with <"),
        ("live == 1", "'live' holds true or false"),
        ("brand", "'brand' holds text"),
        ("tags == 'a'", "array_contains\\(tags, ...\\)"),
        ("tags in ['a']", "array_contains"),
        ("tags in []", "array_contains"),
        ("notes == 1", "mixed types"),
        ("notes in []", "mixed types"),
        ("array_contains(brand, 'a')", "is for lists"),
        ("array_contains(tags, 5)", "cannot contain 5"),
        ("array_length(brand) > 1", "is for lists"),
        ("stock like 'a%'", "like is for text"),
        ("brand like 5", "must be text"),
        ("brand + 1 > 5", r"\+ is for numbers"),
        ("-live > 5", "- is for numbers"),
        ("added - 5 > 5", "- is for numbers"),
        ("price % 2 == 1", "whole numbers"),
        ("stock % 2.0 == 1", "whole numbers"),
        ("added > 5", "dates and times"),
        ("added > brand", "dates and times"),
        ("added > 'yesterday'", "is not a date"),
        ("added in ['2026-01-01', 'x']", "is not a date"),
        ("brand == ISO '2026-01-01'", "'brand' holds text"),
        ("stock == 9223372036854775808", "more than 64 bits"),
        ("price in [99999999999999999999]", "more than 64 bits"),
        ("$meta['nothing'] is null", "no field 'nothing'"),
        (f"brand like '{'a%' * MAX_PATTERN_LENGTH}'", "The pattern of like"),
    ],
)
def test_a_filter_that_does_not_fit_the_fields_is_refused(text: str, message: str) -> None:
    with pytest.raises(FilterError, match=message) as caught:
        Filter.parse(text).check(SCHEMA)
    assert caught.value.position is None


@pytest.mark.parametrize(
    ("text", "params", "message"),
    [
        ("a == {x}", None, "{x} has no value"),
        ("a == {x} and b in {y}", {"x": 1}, "{y} has no value"),
        ("a == 1", {"x": 1}, "{x} has no place"),
        ("a == {x}", {"x": None}, "is null"),
        ("a == {x}", {"x": [1]}, "is a list"),
        ("a == {x}", {"x": math.nan}, "NaN"),
        ("a == {x}", {"x": math.inf}, "infinite"),
        ("a == {x}", {"x": 2**63}, "64 bits"),
        ("a == {x}", {"x": {"b": 1}}, "dict"),
        ("a == {x}", {"x": object()}, "object"),
        ("a == {x}", {"x": "\ud800"}, "not valid text"),
        ("a in {x}", {"x": "abc"}, "must be a list"),
        ("a in {x}", {"x": [[1]]}, "type list"),
        ("a in [{x}]", {"x": [1]}, "is a list"),
        ("array_contains(a, {x})", {"x": ["b"]}, "is a list"),
        ("a like {x}", {"x": ["b"]}, "is a list"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(text: str, params: Mapping[str, object] | None, message: str) -> None:
    with pytest.raises(FilterError, match=re.escape(message)):
        Filter.parse(text, params)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (np.bool_(False), "false"),
        (np.int64(5), "5"),
        (-5, "-5"),
        (np.float32(0.5), "0.5"),
        (np.str_('a"b'), r'"a\"b"'),
        (datetime(2026, 5, 31, tzinfo=UTC), 'ISO "2026-05-31T00:00:00+00:00"'),
        ('x" or true or a == "', r'"x\" or true or a == \""'),
        ("\\", r'"\\"'),
        ('\\" or 1', r'"\\\" or 1"'),
        ("a\nb\x00\u2028", r'"a\u000ab\u0000\u2028"'),
    ],
)
def test_a_parameter_is_written_as_one_constant(value: object, text: str) -> None:
    bound = Filter.parse("a == {x}", {"x": value})
    assert bound.text == f"a == {text}"
    assert Filter.parse(bound.text) == bound
    assert Filter.parse("a in {x}", {"x": [value, value]}).text == f"a in [{text}, {text}]"


def test_an_array_is_a_list_of_values() -> None:
    assert Filter.parse("a in {x}", {"x": np.array([1, 2])}).text == "a in [1, 2]"


@pytest.mark.slow
@settings(max_examples=500, derandomize=True)
@given(st.text())
def test_any_text_survives_quoting(text: str) -> None:
    assert unquoted(quoted(text)) == text
    bound = Filter.parse("a == {x}", {"x": text})
    assert bound.condition == Comparison("==", Field("a"), Constant(FieldType.STRING, text))
    assert Filter.parse(bound.text) == bound


@settings(max_examples=200, derandomize=True)
@given(st.text(min_size=1))
def test_any_field_can_be_named(name: str) -> None:
    field = Field(name)
    assert parse(f"{field.to_milvus()} is null").parts() == (field,)


def test_filters_are_equal_and_hash_by_what_they_say() -> None:
    assert Filter.parse("a<1") == Filter.parse("1 > a") == Filter.parse("a < {x}", {"x": 1})
    different = [Filter.parse(f"a == {text}") for text in ("1", "1.0", "true", '"1"')]
    assert len(set(different)) == 4
    with pytest.raises(dataclasses.FrozenInstanceError):
        different[0].text = "b == 1"  # type: ignore[misc]  # that is the test


def test_a_checked_filter_has_its_dates() -> None:
    checked = Filter.parse('added > "2026-05-31" and added in ["2026-06-01T00:00:00.5Z"]').check(SCHEMA)
    first, second = "2026-05-31T00:00:00+00:00", "2026-06-01T00:00:00.500000+00:00"
    assert checked.to_milvus() == f'added > ISO "{first}" and added in [ISO "{second}"]'


@pytest.mark.slow
def test_depth_and_length_are_limited() -> None:
    def check(text: str) -> None:
        with pytest.raises(FilterError, match="levels deep|longer than|more than"):
            parse(text)

    check("not " * 10_000 + "a")
    check("-" * 30_000 + "a < 1")
    check("+".join(["a"] * 10_000) + " > 1")
    check("(" * 10_000 + "not (" * 300 + "a" + ")" * 10_300)
    check("a or " * 10_000 + "a")
    check('a == "' + "x" * MAX_TEXT_BYTES + '"')
    check('a == "' + "é" * (MAX_TEXT_BYTES // 2) + '"')
    check("a < " + "9" * 5_000)
    assert parse("(" * 10_000 + "a" + ")" * 10_000) == parse("a")
    tree = parse("a")
    with pytest.raises(FilterError, match="levels deep"):
        for _ in range(MAX_DEPTH):
            tree = Not(Or((And((Not(tree), parse("b"))), parse("c"))))


WORDS = "and or not in like is_null ( ) [ ] , {x} { } == != < <= > >= + - * / % ** ! && || = 1 2.5 0x 1e . 'a' \"b%\""
NAMES = (
    "true ISO brand stock price live added tags notes $meta $meta['odd_name'] array_contains( array_length(tags) null"
)
OTHERS = ["is null", "is not null", "array_contains_all(tags, ", "json_contains(tags,", "ISO '2026-01-01'", "\n", "\0"]
PIECES = [
    *WORDS.split(),
    *NAMES.split(),
    *OTHERS,
    "é",
    "😀",
    "#",
    "'",
    '"',
    "\\",
    ";",
    "--",
    "$",
    "@",
    "9223372036854775808",
]
VALID = [
    'brand == "a" and 1 < stock <= 3 or not live and price in [1, 2.5]',
    'brand like "a%" or array_contains_all(tags, ["a", "b"]) and array_length(tags) % 2 == 1',
    'added > "2026-01-01" and (price * 2 - 1) / weight ** 2 >= -stock or $meta["odd name"] is not null',
    'brand in ["a", "b"]',
    "live",
    "stock * 2 + 1 > sold",
]
EMPTY = Columns.from_json(SCHEMA, ["k"], [None], ["{}"])


def _random_text(generator: random.Random) -> str:
    if generator.random() < 0.5:
        return generator.choice(["", " "]).join(generator.choices(PIECES, k=generator.randint(1, 12)))
    text = list(generator.choice(VALID))
    for _ in range(generator.randint(1, 4)):
        place = generator.randrange(len(text) + 1)
        match generator.randrange(4):
            case 0:
                text[place:place] = generator.choice(PIECES)
            case 1:
                del text[place : place + generator.randint(1, 5)]
            case 2:
                text[place:place] = chr(generator.choice([*range(128), 0x2028, 0xFEFF, 0x1F600, 0xD800]))
            case _:
                text = text[place:] + text[:place]
    return "".join(text)


def test_random_texts_raise_nothing_but_filter_errors() -> None:
    generator = random.Random(5)
    read = fitted = 0
    for _ in range(4_000):
        text = _random_text(generator)
        try:
            condition = parse(text)
            read += 1
            assert parse(condition.to_milvus()) == condition
            found = Filter.parse(text).mask(EMPTY)
            fitted += 1
        except FilterError as error:
            assert str(error)
        else:
            assert found.shape == (1,)
    assert read > 200
    assert fitted > 50


@pytest.mark.slow
@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.text(), st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.lists(st.floats())))
def test_any_text_and_any_parameters_raise_nothing_but_filter_errors(text: str, params: dict[str, Any]) -> None:
    with pytest.raises(FilterError):
        Filter.parse(text + " §", params)
