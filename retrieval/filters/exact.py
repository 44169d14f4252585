"""A fitted condition as it is computed: every number is compared with constants of its own type."""

from __future__ import annotations

from operator import is_

from lookalike.retrieval.filters.arithmetic import NUMBERS
from lookalike.retrieval.filters.conditions import And, Condition, Not, Or
from lookalike.retrieval.filters.numbers import alike, exact_constant
from lookalike.retrieval.filters.operands import Constant
from lookalike.retrieval.filters.predicates import Comparison, Membership

__all__ = ["exact"]


def exact(condition: Condition) -> Condition:
    """Return a fitted condition that is true, false and unknown of the same values, and compares like with like."""
    match condition:
        case And() | Or():
            parts = tuple(map(exact, condition.conditions))
            return condition if all(map(is_, parts, condition.conditions)) else type(condition)(parts)
        case Not(inner):
            part = exact(inner)
            return condition if part is inner else Not(part)
        case Comparison(symbol, left, Constant(other, value)) if left.kind is not other and other in NUMBERS:
            symbol, number = exact_constant(symbol, left.kind, _number(value))
            return Comparison(symbol, left, Constant(left.kind, number))
        case Membership(operand, tuple() as values) if any(value.kind is not operand.kind for value in values):
            numbers = [_number(value.value) for value in values if isinstance(value, Constant)]
            return Membership(operand, tuple(Constant(operand.kind, one) for one in alike(operand.kind, numbers)))
    return condition


def _number(value: bool | int | float | str) -> int | float:
    assert isinstance(value, int | float)
    return value
