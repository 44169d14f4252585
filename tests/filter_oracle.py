"""Filters worked out row by row in plain Python, and random trees and rows to compare with: the oracle of the masks."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import strategies as st

from lookalike.retrieval.filters.arithmetic import Arithmetic, Length, Negative, negative
from lookalike.retrieval.filters.conditions import And, Condition, Not, Or
from lookalike.retrieval.filters.nodes import Node
from lookalike.retrieval.filters.operands import Constant, Field, Operand
from lookalike.retrieval.filters.predicates import Comparison, Contains, IsNull, Like, Membership, compare
from lookalike.retrieval.schema import FieldType, Schema

Row = Mapping[str, Any]

SCHEMA = Schema(
    {
        "brand": FieldType.STRING,
        "odd name": FieldType.STRING,
        "in": FieldType.STRING,
        "stock": FieldType.INT,
        "sold": FieldType.INT,
        "price": FieldType.FLOAT,
        "weight": FieldType.FLOAT,
        "live": FieldType.BOOL,
        "new": FieldType.BOOL,
        "added": FieldType.TIMESTAMP,
        "seen": FieldType.TIMESTAMP,
        "tags": FieldType.STRINGS,
        "notes": FieldType.JSON,
    }
)

STRINGS = [
    "",
    "a",
    "ab",
    "abc",
    "Ab",
    "a%b",
    "a_b",
    "a\\b",
    'a"b',
    "a'b",
    "a\nb",
    "é",
    "日本",
    "😀",
    "a.b",
    "null",
    "5",
]
INTS = [0, 1, 2, 3, -1, -7, 7, 2**31, 2**53, 2**53 + 1, 2**62, 2**63 - 1, -(2**63)]
BORDERS = [sign * 2**power for power in (53, 54, 62, 63) for sign in (1, -1)]
"""Beyond the first of these not every whole number has a float64 of its own; the last are where 64 bits end."""
LEAST = Constant(FieldType.INT, -(2**63))
FLOATS = [0.0, -0.0, 0.5, 1.0, 2.0, 2.5, -1.0, -7.5, 1e-300, 1e308, -1e308, 2.0**53, 2.0**63, -(2.0**63)]
TIMES = [0, 1, -1, 1_780_228_800_000_000, 1_780_228_800_000_001, -62_135_596_800_000_000, 253_402_300_799_999_999]
PATTERNS = [
    "%",
    "",
    "_",
    "a%",
    "%b",
    "%b%",
    "a_b",
    "a\\%b",
    "a\\_b",
    "a\\\\b",
    "%_",
    "__%",
    "a%b%",
    "\\",
    "%\n%",
    "é",
    "a.b",
]

WHOLE_AT_BORDERS = st.builds(operator.add, st.sampled_from(BORDERS), st.integers(-3, 3)).filter(
    lambda number: -(2**63) <= number < 2**63
)
FLOATS_AT_BORDERS = st.builds(
    lambda border, toward: math.nextafter(border, toward * math.inf) if toward else float(border),
    st.sampled_from(BORDERS),
    st.sampled_from([-1, 0, 1]),
)

VALUES: dict[FieldType, st.SearchStrategy[Any]] = {
    FieldType.STRING: st.sampled_from(STRINGS),
    FieldType.INT: st.sampled_from(INTS) | WHOLE_AT_BORDERS,
    FieldType.FLOAT: st.sampled_from(FLOATS) | FLOATS_AT_BORDERS,
    FieldType.BOOL: st.booleans(),
    FieldType.TIMESTAMP: st.sampled_from(TIMES),
    FieldType.STRINGS: st.lists(st.sampled_from(STRINGS), max_size=4),
    FieldType.JSON: st.sampled_from([1, "a", {"a": [None]}, []]),
}

rows: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.fixed_dictionaries({name: st.none() | VALUES[kind] for name, kind in SCHEMA.items()}), max_size=12
)


def fields(*kinds: FieldType) -> st.SearchStrategy[Field]:
    """Fields of these types, not fitted."""
    return st.sampled_from([Field(name) for name, kind in SCHEMA.items() if kind in kinds])


def constants(*kinds: FieldType) -> st.SearchStrategy[Constant]:
    """Constants of these types."""
    return st.one_of(*(st.builds(Constant, st.just(kind), VALUES[kind]) for kind in kinds))


def _numbers(*, whole: bool) -> st.SearchStrategy[Operand]:
    kinds = (FieldType.INT,) if whole else (FieldType.INT, FieldType.FLOAT)
    symbols = ["+", "-", "*", "%"] if whole else ["+", "-", "*", "/", "**"]
    leaves: st.SearchStrategy[Operand] = fields(*kinds) | constants(*kinds) | st.just(Length(Field("tags")))
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds(Arithmetic, st.sampled_from(symbols), inner, inner),
            inner.filter(lambda operand: operand != LEAST).map(negative),
        ),
        max_leaves=4,
    )


def _is_about_fields(sides: tuple[Operand, ...]) -> bool:
    return any(isinstance(node, Field) for side in sides for node in side.walk())


def _comparisons(symbols: list[str], sides: st.SearchStrategy[Any]) -> st.SearchStrategy[Condition]:
    return (
        st.tuples(st.sampled_from(symbols), sides, sides)
        .filter(lambda drawn: _is_about_fields(drawn[1:]))
        .map(lambda drawn: compare(*drawn))
    )


ALL = ["==", "!=", "<", "<=", ">", ">="]
numbers = _numbers(whole=False) | _numbers(whole=True)
MEMBERS: dict[FieldType, tuple[FieldType, ...]] = {
    FieldType.INT: (FieldType.INT, FieldType.FLOAT),
    FieldType.FLOAT: (FieldType.INT, FieldType.FLOAT),
}


def _memberships(kind: FieldType) -> st.SearchStrategy[Condition]:
    values = st.lists(constants(*MEMBERS.get(kind, (kind,))), max_size=8).map(tuple)
    return st.builds(Membership, fields(kind), values)


predicates: st.SearchStrategy[Condition] = st.one_of(
    _comparisons(ALL, fields(FieldType.STRING) | constants(FieldType.STRING)),
    _comparisons(["==", "!="], fields(FieldType.BOOL) | constants(FieldType.BOOL)),
    _comparisons(ALL, fields(FieldType.TIMESTAMP) | constants(FieldType.TIMESTAMP)),
    _comparisons(ALL, numbers),
    *(_memberships(kind) for kind in FieldType if kind not in (FieldType.STRINGS, FieldType.JSON)),
    st.builds(
        Membership,
        numbers.filter(lambda operand: _is_about_fields((operand,))),
        st.lists(constants(FieldType.INT, FieldType.FLOAT), max_size=3).map(tuple),
    ),
    st.builds(
        Like, fields(FieldType.STRING), st.sampled_from(PATTERNS).map(lambda text: Constant(FieldType.STRING, text))
    ),
    fields(*FieldType).map(IsNull),
    st.builds(Contains, st.just("array_contains"), fields(FieldType.STRINGS), st.tuples(constants(FieldType.STRING))),
    st.builds(
        Contains,
        st.sampled_from(["array_contains_all", "array_contains_any"]),
        fields(FieldType.STRINGS),
        st.lists(constants(FieldType.STRING), max_size=3).map(tuple),
    ),
)

conditions: st.SearchStrategy[Condition] = st.recursive(
    predicates,
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: And(tuple(parts))),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: Or(tuple(parts))),
    ),
    max_leaves=6,
)


def truth(node: Node, row: Row) -> bool | None:
    """Whether a fitted condition is true of a row; None where that is unknown."""
    match node:
        case And():
            found = [truth(part, row) for part in node.conditions]
            return False if False in found else None if None in found else True
        case Or():
            found = [truth(part, row) for part in node.conditions]
            return True if True in found else None if None in found else False
        case Not():
            inner = truth(node.condition, row)
            return None if inner is None else not inner
        case IsNull():
            return row[node.field.name] is None
        case Comparison():
            return _compared(node.symbol, value_of(node.left, row), value_of(node.right, row))
        case Membership():
            value = value_of(node.operand, row)
            members = [value_of(member, row) for member in node.values] if isinstance(node.values, tuple) else []
            return None if value is None else any(_compared("==", value, member) for member in members)
        case Like():
            value, pattern = value_of(node.operand, row), value_of(node.pattern, row)
            return None if value is None else _like(value, pattern)
        case Contains():
            held = row[node.field.name]
            wanted = [value_of(value, row) for value in node.values] if isinstance(node.values, tuple) else []
            if held is None:
                return None
            return (
                all(one in held for one in wanted)
                if node.function.endswith("all")
                else any(one in held for one in wanted)
            )
        case _:
            raise AssertionError(node)


def value_of(node: Operand, row: Row) -> Any:  # noqa: ANN401  # a value of any type
    """The value of a fitted operand for a row; None where it has none."""
    match node:
        case Field():
            return row[node.name]
        case Constant():
            return node.value
        case Length():
            held = row[node.field.name]
            return None if held is None else len(held)
        case Negative():
            return _computed("-", 0, value_of(node.operand, row))
        case Arithmetic():
            return _computed(node.symbol, value_of(node.left, row), value_of(node.right, row))
        case _:
            raise AssertionError(node)


SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _compared(symbol: str, left: Any, right: Any) -> bool | None:  # noqa: ANN401  # values of any type
    if left is None or right is None:
        return None
    return SIGNS[symbol](left, right)


def _computed(symbol: str, left: Any, right: Any) -> int | float | None:  # noqa: ANN401  # numbers or None
    if left is None or right is None:
        return None
    if type(left) is type(right) is int and symbol not in ("/", "**"):
        whole = _whole(symbol, left, right)
        return whole if whole is not None and -(2**63) <= whole < 2**63 else None
    try:
        result = _fraction(symbol, float(left), float(right))
    except (ZeroDivisionError, OverflowError, ValueError):
        return None
    return result if math.isfinite(result) else None


def _whole(symbol: str, left: int, right: int) -> int | None:
    match symbol:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case _:
            if right == 0:
                return None
            size = abs(left) % abs(right)
            return -size if left < 0 else size


def _fraction(symbol: str, left: float, right: float) -> float:
    match symbol:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            return left / right
        case _:
            return math.pow(left, right)


def _like(value: str, pattern: str) -> bool:
    expression, place = "", 0
    while place < len(pattern):
        character = pattern[place]
        if character == "\\" and pattern[place + 1 : place + 2] in ("%", "_", "\\"):
            place += 1
            expression += re.escape(pattern[place])
        else:
            expression += {"%": ".*", "_": "."}.get(character, re.escape(character))
        place += 1
    return re.fullmatch(expression, value, re.DOTALL) is not None
