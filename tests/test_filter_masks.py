from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from operator import eq, ge, gt, le, lt, ne
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.data.errors import FilterError
from lookalike.data.field_type import FieldType
from lookalike.retrieval.filters import Condition, Filter
from lookalike.retrieval.filters.arithmetic import Arithmetic
from lookalike.retrieval.filters.conditions import Not
from lookalike.retrieval.filters.grammar import parse
from lookalike.retrieval.filters.operands import Constant, Field
from lookalike.retrieval.filters.predicates import Membership, compare
from lookalike.retrieval.generations.columns import Columns
from tests.filter_oracle import FLOATS_AT_BORDERS, SCHEMA, SIGNS, WHOLE_AT_BORDERS, conditions, rows, truth

Shop = tuple[Columns, list[dict[str, Any]]]


def columns_of(table: list[dict[str, Any]]) -> Columns:
    keys = [f"k{number}" for number in range(len(table))]
    return Columns.from_json(SCHEMA, keys, [None] * len(table), [orjson.dumps(row) for row in table])


@pytest.mark.slow
@settings(max_examples=250, deadline=None, derandomize=True)
@given(conditions, rows)
def test_masks_are_what_plain_python_finds_row_by_row(condition: Condition, table: list[dict[str, Any]]) -> None:
    fitted = condition.fit(SCHEMA.filterable)
    expected = [truth(fitted, row) is True for row in table]
    assert columns_of(table).mask(condition).tolist() == expected


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(conditions, rows)
def test_masks_of_columns_in_a_file_are_what_plain_python_finds(
    condition: Condition, table: list[dict[str, Any]]
) -> None:
    fitted = condition.fit(SCHEMA.filterable)
    with TemporaryDirectory() as folder:
        columns_of(table).write(Path(folder))
        opened = Columns.open(Path(folder))
        found = opened.mask(condition).tolist()
    assert found == [truth(fitted, row) is True for row in table]


NUMBERS = [Field("stock"), Field("sold"), Field("price"), Field("weight")]
numbers_at_borders = st.builds(Constant, st.just(FieldType.INT), WHOLE_AT_BORDERS) | st.builds(
    Constant, st.just(FieldType.FLOAT), FLOATS_AT_BORDERS
)
sides = st.sampled_from(NUMBERS) | st.builds(
    Arithmetic,
    st.sampled_from(["+", "-", "*"]),
    st.sampled_from(NUMBERS),
    st.sampled_from(NUMBERS) | numbers_at_borders,
)
comparisons_at_borders = st.builds(
    compare, st.sampled_from(sorted(SIGNS)), sides, sides | numbers_at_borders
) | st.builds(Membership, sides, st.lists(numbers_at_borders, max_size=6).map(tuple))
rows_at_borders = st.lists(
    st.fixed_dictionaries(
        {
            **dict.fromkeys(SCHEMA, st.none()),
            **dict.fromkeys(("stock", "sold"), st.none() | WHOLE_AT_BORDERS),
            **dict.fromkeys(("price", "weight"), st.none() | FLOATS_AT_BORDERS),
        }
    ),
    max_size=12,
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, derandomize=True)
@given(comparisons_at_borders, rows_at_borders, st.booleans(), st.booleans())
def test_numbers_compare_exactly_where_float64_and_int64_end(
    condition: Condition, table: list[dict[str, Any]], negated: bool, in_file: bool
) -> None:
    condition = Not(condition) if negated else condition
    fitted = condition.fit(SCHEMA.filterable)
    columns = columns_of(table)
    with TemporaryDirectory() as folder:
        if in_file:
            columns.write(Path(folder))
            columns = Columns.open(Path(folder))
        found = columns.mask(condition).tolist()
    assert found == [truth(fitted, row) is True for row in table]


@pytest.mark.parametrize(
    ("text", "params", "passing"),
    [
        ("stock == 9007199254740992.0", {}, [0]),
        ("stock == 9007199254740993", {}, [1]),
        ("stock > 9007199254740992.0", {}, [1, 2]),
        ("stock >= 9223372036854775808.0", {}, []),
        ("stock < 9223372036854775808.0", {}, [0, 1, 2, 3]),
        ("stock > -1e300 and stock <= 1e300", {}, [0, 1, 2, 3]),
        ("stock > 0.5 and stock < 9007199254740994.0", {}, [0, 1]),
        ("stock == 0.5", {}, []),
        ("stock != 0.5", {}, [0, 1, 2, 3]),
        ("not (stock == 0.5)", {}, [0, 1, 2, 3]),
        ("stock in [9007199254740992.0, 0.5, 1e300]", {}, [0]),
        ("stock not in [9007199254740992.0, 0.5]", {}, [1, 2, 3]),
        ("price == 9007199254740993", {}, []),
        ("price < 9007199254740993", {}, [0, 1, 3]),
        ("price <= {at}", {"at": 2**53 + 1}, [0, 1, 3]),
        ("price > {at}", {"at": 2**63 - 1}, [2]),
        ("price in {some}", {"some": [2**53, 2**53 + 1]}, [0]),
        ("stock == price", {}, [0]),
        ("stock < price", {}, [2]),
        ("price < stock", {}, [1, 3]),
        ("stock + 1 > 0", {}, [0, 1]),
        ("stock * 2 > 0", {}, [0, 1]),
        ("stock + 0.0 == 9007199254740992.0", {}, [0, 1]),  # arithmetic with fractions rounds to float64
        ("-stock > 0", {}, []),
        ("stock - 1 < 0", {}, []),
    ],
)
def test_whole_numbers_and_fractions_compare_as_in_mathematics(
    text: str, params: dict[str, Any], passing: list[int]
) -> None:
    table: list[dict[str, Any]] = [
        {"stock": 2**53, "price": 2.0**53},
        {"stock": 2**53 + 1, "price": 0.5},
        {"stock": 2**63 - 1, "price": 2.0**63},
        {"stock": -(2**63), "price": -(2.0**63) * 1.5},
        {"stock": None, "price": None},
    ]
    table = [{**dict.fromkeys(SCHEMA), **row} for row in table]
    filter = Filter.parse(text, params)
    assert np.flatnonzero(filter.mask(columns_of(table))).tolist() == passing
    fitted = filter.condition.fit(SCHEMA.filterable)
    assert [place for place, row in enumerate(table) if truth(fitted, row)] == passing


WHOLE = [0, 1, -1, 2**53 - 1, 2**53, 2**53 + 1, 2**53 + 2, 2**62, 2**63 - 1, -(2**53) - 1, -(2**63)]
FORMS: dict[str, Callable[[str], Decimal | np.longdouble]] = {
    "literal": Decimal,
    "Decimal": Decimal,
    "long double": np.longdouble,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "number",
    [
        *(f"{whole}.0" for whole in WHOLE),
        "9007199254740993.5",
        "-9007199254740992.5",
        "9007199254740991.99999999999999999999",
        "9.007199254740993e15",
        "4.611686018427388e+18",
        "9223372036854775807.5",
        "-9223372036854775808.5",
        "0.99999999999999999999999999",
        "1.00000000000000000001",
        "-1e-4000",
        "1e300",
    ],
)
def test_a_number_is_compared_with_whole_numbers_as_it_was_given(number: str, form: str) -> None:
    columns = columns_of([{**dict.fromkeys(SCHEMA), "stock": whole} for whole in WHOLE])
    value = FORMS[form](number)
    exact = Fraction(*value.as_integer_ratio())
    for symbol, holds in {"==": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge, "in": eq, "not in": ne}.items():
        several = "in" in symbol
        if form == "literal":
            filter = Filter.parse(f"stock {symbol} {f'[{number}, 0.5]' if several else number}")
        else:
            filter = Filter.parse(f"stock {symbol} {{at}}", {"at": [value, 0.5] if several else value})
        expected = [holds(whole, exact) for whole in WHOLE]
        assert filter.mask(columns).tolist() == expected, filter
        assert Filter.parse(filter.text).text == filter.text
        assert Filter.parse(filter.text).mask(columns).tolist() == expected, filter


def test_a_float_is_compared_with_whole_numbers_as_the_float_that_it_is() -> None:
    columns = columns_of([{**dict.fromkeys(SCHEMA), "stock": whole} for whole in WHOLE])
    for value in (2.0**53, 2.0**62, 2.0**63, -(2.0**63), 0.1):
        filter = Filter.parse("stock == {at}", {"at": value})
        for one in (filter, Filter.parse(filter.text)):
            assert one.mask(columns).tolist() == [whole == value for whole in WHOLE], one


def test_fractions_are_compared_with_the_float_that_a_number_is_nearest_to() -> None:
    values = [0.1, 1e23, 2.0**53, 0.3, 1 - 2**-53]
    columns = columns_of([{**dict.fromkeys(SCHEMA), "price": value} for value in values])
    for text, found in {
        "0.1": [0],
        "1e23": [1],
        "9007199254740993.0": [2],
        "0.30000000000000000001": [3],
        "0.99999999999999988898": [4],
    }.items():
        for filter in (Filter.parse(f"price == {text}"), Filter.parse("price == {at}", {"at": float(text)})):
            assert np.flatnonzero(filter.mask(columns)).tolist() == found, filter
        assert np.flatnonzero(Filter.parse(f"price in [{text}, 7]").mask(columns)).tolist() == found, text


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Columns in a file, of enough rows that some conditions leave few of them."""
    random = np.random.default_rng(3)
    table = [
        {
            "brand": None if random.random() < 0.1 else f"b{random.integers(40)}",
            "stock": None if random.random() < 0.1 else int(random.integers(100)),
            "price": float(random.integers(1000)) / 8,
            "live": bool(random.random() < 0.5),
            "tags": [f"t{random.integers(50)}"],
        }
        for _ in range(2000)
    ]
    folder = tmp_path_factory.mktemp("many")
    columns_of(table).write(folder)
    return Columns.open(folder), table


@pytest.mark.parametrize(
    "text",
    [
        'brand == "b3" and price >= 10 and price < 60.5',
        'price >= 10 and brand == "b3" and stock != 7 and 60.5 > price',
        'live == true and brand in ["b3", "b4"] and stock > 20 and stock <= 70 and stock != 33',
        'brand == "b3" and not (price < 20 or price > 100 or stock is null)',
        'not (brand != "b3" or price < 20 or price > 100)',
        'not (brand == "b3" and price < 60)',
        "10 < price < 30 and 5 <= stock < 9",
        'stock == 5 and stock < 9 and brand != "b1" and price * 2 > 30',
        'array_contains(tags, "t3") and price < 60 and brand like "b%3" and stock >= 10',
        'brand == "nobody" and price < 60 and stock > 3',
        'price < 60 and price > 80 and brand == "b3"',
        '(brand == "b3" or brand == "b4") and (price < 20 or price > 100) and live == false',
    ],
)
def test_bands_joined_with_other_conditions(many: Shop, text: str) -> None:
    columns, table = many
    fitted = parse(text).fit(SCHEMA.filterable)
    assert columns.mask(fitted).tolist() == [truth(fitted, row) is True for row in table]


@settings(max_examples=250, deadline=None, derandomize=True)
@given(conditions)
def test_the_text_of_a_tree_reads_as_the_same_tree(condition: Condition) -> None:
    again = parse(condition.to_milvus())
    assert again == condition
    assert again.to_milvus() == condition.to_milvus()
    assert condition.describe()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(conditions)
def test_a_fitted_filter_reads_as_itself(condition: Condition) -> None:
    fitted = Filter(condition).check(SCHEMA)
    assert Filter.parse(fitted.text).check(SCHEMA) == fitted


ROWS: list[dict[str, Any]] = [
    {"brand": "Ada", "stock": 3, "price": 10.0, "live": True, "tags": ["new", "sale"], "added": 1_767_225_600_000_000},
    {"brand": "Bo", "stock": 0, "price": 20.5, "live": False, "tags": [], "added": 1_767_312_000_000_000},
    {"brand": "50% off", "stock": -7, "price": None, "live": None, "tags": ["sale"], "added": None},
    {"brand": None, "stock": None, "price": 80.0, "live": True, "tags": None, "added": 1_767_225_600_000_001},
    {"brand": "ada", "stock": 2**53 + 1, "price": 0.0, "live": True, "tags": ["sale", "sale"]},
]
TABLE = columns_of(ROWS)


@pytest.fixture(scope="module", params=["in memory", "in a file"])
def table(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Columns:
    if request.param == "in memory":
        return TABLE
    folder = tmp_path_factory.mktemp("columns")
    TABLE.write(folder)
    return Columns.open(folder)


@pytest.mark.parametrize(
    ("text", "passing"),
    [
        ('brand == "Ada"', [0]),
        ('brand != "Ada"', [1, 2, 4]),
        ('not (brand == "Ada")', [1, 2, 4]),
        ('not brand == "Ada"', [1, 2, 4]),
        ('! brand == "Ada"', [1, 2, 4]),
        ('brand == "Ada" or brand is null', [0, 3]),
        ('brand == "Ada" || not (brand is not null)', [0, 3]),
        ("price < 20.5", [0, 4]),
        ("10 < price <= 80", [1, 3]),
        ("80 >= price > 10", [1, 3]),
        ("80 > price && price >= 10", [0, 1]),
        ("price == 10", [0]),
        ("price in [10, 80.0, 7]", [0, 3]),
        ("price not in [10, 80.0]", [1, 4]),
        ("price in []", []),
        ("price not in []", [0, 1, 3, 4]),
        ("stock == 9007199254740993", [4]),
        ("stock == 9007199254740992", []),
        ("stock in [9007199254740992, 3]", [0]),
        ("stock in [9007199254740992, 3, 4, 5, 6]", [0]),
        ("stock == 0x3", [0]),
        ("stock < 2.5", [1, 2]),
        ("stock == 3.0", [0]),
        ("stock in [3.0, 2.5]", [0]),
        ("stock % 3 == -1", [2]),
        ("stock % 0 == 0", []),
        ("stock / 2 == 1.5", [0]),
        ("1 / stock > 0", [0, 4]),
        ("not (1 / stock > 0)", [2]),
        ("stock * 2 - 1 == 5", [0]),
        ("stock * 4611686018427387904 > 0", []),
        ("-stock > 0", [2]),
        ("2 ** stock == 8", [0]),
        ("-2 ** 2 == stock - 7", [0]),
        ("stock ** -1 > 0.3", [0]),
        ("price > stock", [0, 1]),
        ("live", [0, 3, 4]),
        ("not live", [1]),
        ("live == false", [1]),
        ("live != TRUE and price > 0", [1]),
        ("live in [true]", [0, 3, 4]),
        ('brand like "A%"', [0]),
        ('brand like "%a"', [0, 4]),
        ('brand like "_da"', [0, 4]),
        ('brand like "%d%"', [0, 4]),
        (r'brand like "50\%%"', [2]),
        (r'brand like "%\\%%"', [2]),
        ('brand like "%"', [0, 1, 2, 4]),
        ('brand like ""', []),
        ('brand not like "%a"', [1, 2]),
        ('array_contains(tags, "sale")', [0, 2, 4]),
        ('ARRAY_CONTAINS_ALL(tags, ["sale", "new"])', [0]),
        ('json_contains_any(tags, ["x", "new"])', [0]),
        ("array_contains_all(tags, [])", [0, 1, 2, 4]),
        ("array_contains_any(tags, [])", []),
        ('not array_contains(tags, "sale")', [1]),
        ("array_length(tags) == 2", [0, 4]),
        ("array_length(tags) * 2 > 2 and live", [0, 4]),
        ('added > "2026-01-01"', [1, 3]),
        ('added == "2026-01-01T01:00:00+01:00"', [0]),
        ('ISO "2026-01-01" < added', [1, 3]),
        ('"2026-01-01" <= added < "2026-01-02"', [0, 3]),
        ("added in [\"2026-01-01\", iso '2026-01-02']", [0, 1]),
        ('$meta["brand"] == "Bo" and $meta["odd name"] is null', [1]),
        ('key == "k2" or key in ["k4"]', [2, 4]),
        ("title is null and stock IS NOT NULL", [0, 1, 2, 4]),
        ('brand < "a"', [0, 1, 2]),
        ("notes is null", [0, 1, 2, 3, 4]),
    ],
)
def test_which_rows_pass(table: Columns, text: str, passing: list[int]) -> None:
    assert [number for number, passes in enumerate(Filter.parse(text).mask(table)) if passes] == passing


@pytest.mark.parametrize(
    ("text", "params", "passing"),
    [
        ("brand == {name}", {"name": "Ada"}, [0]),
        ("brand == {name}", {"name": '" or true or brand == "'}, []),
        ("brand == {name}", {"name": "{name}"}, []),
        ("brand in {names}", {"names": ["Ada", "Bo", '"] or live or brand in ["']}, [0, 1]),
        ("brand in [{first}, 'Bo']", {"first": "Ada"}, [0, 1]),
        ("price < {most} and live", {"most": 20}, [0, 4]),
        ("{low} < price <= {high}", {"low": 10, "high": 80.0}, [1, 3]),
        ("brand like {pattern}", {"pattern": "%d%"}, [0, 4]),
        ("array_contains(tags, {tag})", {"tag": "new"}, [0]),
        ("array_contains_all(tags, {tags})", {"tags": ("new", "sale")}, [0]),
        ("stock * {twice} == 6", {"twice": 2}, [0]),
        ("live == {yes}", {"yes": True}, [0, 3, 4]),
    ],
)
def test_parameters_are_values(text: str, params: dict[str, object], passing: list[int]) -> None:
    bound = Filter.parse(text, params)
    assert [number for number, passes in enumerate(bound.mask(TABLE)) if passes] == passing
    assert Filter.parse(bound.text) == bound


def test_a_large_list_is_compared_all_at_once() -> None:
    bound = Filter.parse("stock in {values}", {"values": list(range(1, 10_000))})
    assert bound.mask(TABLE).tolist() == [True, False, False, False, False]


def test_many_conditions_make_one_mask() -> None:
    text = " or ".join(f"stock == {number}" for number in range(1_000))
    assert Filter.parse(text).mask(TABLE).tolist() == [True, True, False, False, False]
    with pytest.raises(FilterError, match="more than 1000 conditions"):
        Filter.parse(text + " or live")


def test_deep_arithmetic_is_computed_once_a_level() -> None:
    text = "+".join(["stock"] + ["1"] * 150)
    assert Filter.parse(f"{text} == 153").mask(TABLE).tolist() == [True, False, False, False, False]
    deep = "not (" * 150 + "live" + ")" * 150
    assert Filter.parse(deep).mask(TABLE).tolist() == [True, False, False, True, True]


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        'title == "Red hat 77"',
        'title != "Red hat 77"',
        'not (title == "Red hat 77")',
        'title in ["Red hat 77", "Blue hat 78", "Blue hat", ""]',
        'title not in ["Red hat 77", "Blue hat 78"]',
        'title >= "Blue hat 5" and title < "Red hat 33"',
        'title like "Red%"',
        'title not like "Red hat 1%"',
        'title like "%"',
        'title like "Rex%" or title like "A%" or title like "Zebra%"',
        'title like "%hat 7%" and key like "k1%"',
        'title is null or key == "k8000"',
        'stock >= 100 and title like "Blue%" and not (stock * 2 > 300)',
        "title in {many} and stock < 9",
    ],
)
def test_texts_that_nearly_all_differ_are_found_too(
    long_table: tuple[Columns, list[dict[str, Any]]], text: str
) -> None:
    columns, table = long_table
    params = {"many": [f"Red hat {number}" for number in range(100)]} if "{many}" in text else None
    filter = Filter.parse(text, params)
    fitted = filter.check(SCHEMA).condition
    expected = [number for number, row in enumerate(table) if truth(fitted, row) is True]
    assert np.flatnonzero(filter.mask(columns)).tolist() == expected


@pytest.fixture(scope="module")
def long_table(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Columns in a file whose keys and titles have more values than there are steps."""
    numbers = range(20_000)
    titles = [None if number % 11 == 0 else f"{('Red', 'Blue')[number % 2]} hat {number}" for number in numbers]
    keys, stocks = [f"k{number}" for number in numbers], [number % 997 for number in numbers]
    folder = tmp_path_factory.mktemp("columns")
    Columns.from_json(SCHEMA, keys, titles, [orjson.dumps({"stock": stock}) for stock in stocks]).write(folder)
    rows = zip(keys, titles, stocks, strict=True)
    return Columns.open(folder), [{"key": key, "title": title, "stock": stock} for key, title, stock in rows]
