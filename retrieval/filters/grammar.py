"""Parsing: reads filters by `grammar.lark`, and reports unreadable ones with a sentence and a caret at the place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.resources import files
from math import isfinite
from typing import NoReturn, TypeAlias

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedToken, v_args

from lookalike.data.errors import FilterError
from lookalike.data.exact_numbers import exact_number
from lookalike.data.field_type import FieldType
from lookalike.retrieval.filters.arithmetic import Arithmetic, Length, negative
from lookalike.retrieval.filters.conditions import And, Condition, Not, Or
from lookalike.retrieval.filters.nodes import Node
from lookalike.retrieval.filters.operands import Constant, Field, Operand, Parameter
from lookalike.retrieval.filters.operators import COMPARISONS
from lookalike.retrieval.filters.predicates import Comparison, Contains, IsNull, Like, Membership, compare
from lookalike.retrieval.filters.strings import unquoted

__all__ = ["MAX_PREDICATES", "MAX_TEXT_BYTES", "parse"]

MAX_TEXT_BYTES = 65_536
MAX_PREDICATES = 1_000

Values: TypeAlias = tuple[Operand, ...] | Parameter


@lru_cache(maxsize=256)
def parse(text: str) -> Condition:
    """Read a filter, leaving its parameters unbound. Recent texts are cached, since pages repeat the same filter.

    Raises:
        FilterError: the text cannot be read; the message shows where.
    """
    if not text.strip():
        raise FilterError("The filter is empty.", remedy="Leave it out to search everything.")
    if len(text) > MAX_TEXT_BYTES or len(text.encode(errors="replace")) > MAX_TEXT_BYTES:
        raise FilterError(f"The filter is longer than {MAX_TEXT_BYTES} bytes.", remedy="Pass long lists as parameters.")
    try:
        tree: Node = _parser().parse(text)  # type: ignore[assignment]  # the transformer returns nodes, not Lark trees
        condition = _condition(tree)
    except UnexpectedCharacters as error:
        position = error.pos_in_stream or 0
        raise _pointed(_unreadable(text, position), text, position) from None
    except UnexpectedToken as error:
        position = len(text.rstrip()) if error.token.type == "$END" else error.token.start_pos or 0
        raise _pointed(_unexpected(error.token, error.expected), text, position) from None
    except FilterError as error:
        raise error if error.position is None else _pointed(str(error), text, error.position) from None
    if sum(not isinstance(node, And | Or | Not | Operand) for node in condition.walk()) > MAX_PREDICATES:
        raise FilterError(f"The filter has more than {MAX_PREDICATES} conditions; `in` takes a list of any length.")
    return condition


@cache
def _parser() -> Lark:
    grammar = files("lookalike.retrieval.filters").joinpath("grammar.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", maybe_placeholders=False, transformer=_TreeBuilder())


@v_args(inline=True)
class _TreeBuilder(Transformer[Token, Node]):
    """Builds each node from its parts. The methods are named after the grammar's rules."""

    def disjunction(self, *conditions: Node) -> Condition:
        return Or(tuple(_condition(condition) for condition in conditions))

    def conjunction(self, *conditions: Node) -> Condition:
        return And(tuple(_condition(condition) for condition in conditions))

    def negated(self, word: Token, condition: Node) -> Condition:
        return Not(_condition(condition, word))

    def comparison(self, left: Node, symbol: Token, right: Node) -> Condition:
        return compare(str(symbol), _operand(left, symbol), _operand(right, symbol))

    def chain(self, low: Node, first: Token, middle: Node, second: Token, high: Node) -> Condition:
        if first[0] != second[0] or not COMPARISONS[first].orders:
            _fail("Only ranges such as 10 < price <= 80 can be chained; join other comparisons with and.", second)
        return And((self.comparison(low, first, middle), self.comparison(middle, second, high)))

    def membership(self, operand: Node, word: Token, values: Values) -> Condition:
        found = Membership(_operand(operand, word), values)
        return found if word.type == "IN" else Not(found)

    def like(self, operand: Node, word: Token, pattern: Node) -> Condition:
        if not isinstance(pattern, Constant | Parameter):
            _fail("After like there must be a pattern in quotes, or a parameter.", word)
        found = Like(_operand(operand, word), pattern)
        return found if word.type == "LIKE" else Not(found)

    def is_null(self, operand: Node, word: Token) -> Condition:
        found = IsNull(_field(operand, word))
        return found if word.type == "IS_NULL" else Not(found)

    def contains(self, function: Token, field: Node, values: Node | Values) -> Condition:
        listed: Values
        if function.type == "CONTAINS":
            if not isinstance(values, Constant | Parameter):
                _fail(f"{function} looks for one value in quotes, or a parameter.", function)
            listed = (values,)
        else:
            assert isinstance(values, tuple | Parameter)
            listed = values
        return Contains(function.lower().replace("json", "array"), _field(field, function), listed)

    def values(self, *values: Node) -> Values:
        for value in values:
            if not isinstance(value, Constant | Parameter):
                raise FilterError(f"A list holds constants and parameters, not {value.to_milvus()}.")
        return values  # type: ignore[return-value]  # the loop has checked each

    def arithmetic(self, left: Node, symbol: Token, right: Node) -> Operand:
        return Arithmetic(str(symbol), _operand(left, symbol), _operand(right, symbol))

    def minus(self, symbol: Token, operand: Node) -> Operand:
        return negative(_operand(operand, symbol))

    def plus(self, symbol: Token, operand: Node) -> Operand:
        return _operand(operand, symbol)

    def integer(self, token: Token) -> Operand:
        if len(token) > 66:
            _fail("This number has more than 64 bits.", token)
        if re.fullmatch(r"0[0-9]+", token):
            _fail(f"A number cannot begin with 0 as {token} does.", token)
        return Constant(FieldType.INT, int(token, 0))

    def fraction(self, token: Token) -> Operand:
        number = exact_number(token)
        if not isfinite(number):
            _fail("This number is too large.", token)
        return Constant.number(number)

    def string(self, token: Token) -> Operand:
        return Constant(FieldType.STRING, unquoted(token, position=token.start_pos))

    def moment(self, word: Token, token: Token) -> Operand:
        return Constant.moment(unquoted(token, position=token.start_pos))

    def boolean(self, token: Token) -> Operand:
        return Constant(FieldType.BOOL, token.lower() == "true")

    def field(self, token: Token) -> Operand:
        return Field(str(token))

    def meta(self, token: Token) -> Operand:
        return Field(unquoted(token, position=token.start_pos))

    def parameter(self, token: Token) -> Operand:
        return Parameter(str(token))

    def length(self, function: Token, field: Node) -> Operand:
        return Length(_field(field, function))


def _condition(node: Node, token: Token | None = None) -> Condition:
    """Return a node as a condition. A field alone stands for `field == true`."""
    if isinstance(node, Condition):
        return node
    if isinstance(node, Field):
        return Comparison("==", node, Constant(FieldType.BOOL, True))
    position = None if token is None else token.start_pos
    raise FilterError(f"{node.to_milvus()} is a value, not a condition; compare it with something.", position=position)


def _operand(node: Node, token: Token) -> Operand:
    if isinstance(node, Operand):
        return node
    _fail(f"{token} needs a value on either side, not the condition {node.to_milvus()}.", token)


def _field(node: Node, token: Token) -> Field:
    if isinstance(node, Field):
        return node
    _fail(f"{token} is for a field, not {node.to_milvus()}.", token)


def _fail(message: str, token: Token) -> NoReturn:
    raise FilterError(message, position=token.start_pos)


def _unreadable(text: str, position: int) -> str:
    match text[position]:
        case "'" | '"':
            return "The filter cannot be read here; if a text begins with this quote, it is not closed."
        case "=":
            return "The filter cannot be read here; equality is written ==."
        case character:
            return f"The filter cannot be read at {character!r}."


def _unexpected(token: Token, expected: Sequence[str] | set[str]) -> str:
    what = "The filter ends too early" if token.type == "$END" else f"{str(token)!r} was not expected here"
    if token.type == "POWER":
        return f"{what}; put one of the two ** in parentheses."
    if "NAME" in expected and "STRING" in expected:
        return f"{what}; expected a field, a number, or a text in quotes."
    if "NAME" in expected:
        return f"{what}; expected the name of a parameter."
    if "COMPARE" in expected:
        return f"{what}; expected a comparison such as ==, in or like, or else and, or."
    if "LSQB" in expected:
        return f'{what}; expected a list such as ["a", "b"], or a parameter that is one.'
    if "STRING" in expected:
        return f"{what}; expected a text in quotes."
    return f"{what}."


def _pointed(message: str, text: str, position: int) -> FilterError:
    """Return an error with `message`, the line of the text, and a caret below the position."""
    start = max(text.rfind("\n", 0, position) + 1, position - 60)
    line = re.split(r"[\r\n]", text[start : position + 40], maxsplit=1)[0].replace("\t", " ")
    return FilterError(f"{message}\n  {line}\n  {' ' * (position - start)}^", position=position)
