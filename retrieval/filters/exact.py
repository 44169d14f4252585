"""Rewriting a fitted condition for evaluation, so that every number is compared with constants of its own type."""

from __future__ import annotations

from decimal import Decimal
from operator import is_

from lookalike.data.field_type import FieldType
from lookalike.retrieval.filters.arithmetic import NUMBERS
from lookalike.retrieval.filters.conditions import And, Condition, Not, Or
from lookalike.retrieval.filters.numbers import alike, exact_constant
from lookalike.retrieval.filters.operands import Constant
from lookalike.retrieval.filters.predicates import Comparison, Membership

__all__ = ["exact"]


def exact(condition: Condition) -> Condition:
    """Return an equivalent condition, with the same true, false and unknown items, that compares equal types only."""
    match condition:
        case And() | Or():
            parts = tuple(map(exact, condition.conditions))
            return condition if all(map(is_, parts, condition.conditions)) else type(condition)(parts)
        case Not(inner):
            part = exact(inner)
            return condition if part is inner else Not(part)
        case Comparison(symbol, left, Constant(other) as constant) if left.kind is not other and other in NUMBERS:
            symbol, number = exact_constant(symbol, left.kind, _number(constant))
            return Comparison(symbol, left, Constant(left.kind, number))
        case Membership(operand, tuple() as values) if any(value.kind is not operand.kind for value in values):
            numbers = [
                _number(value, rounded=operand.kind is FieldType.FLOAT)
                for value in values
                if isinstance(value, Constant)
            ]
            return Membership(operand, tuple(Constant(operand.kind, one) for one in alike(operand.kind, numbers)))
    return condition


def _number(constant: Constant, *, rounded: bool = False) -> int | float | Decimal:
    """Return the number that a constant was written as, or with `rounded`, its float64 if it has a fraction."""
    assert isinstance(constant.value, int | float)
    return constant.value if constant.exact is None or rounded else constant.exact
