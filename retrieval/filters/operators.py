"""The one table of operators, each with its Milvus text, its description in words, and its computation.

Logic has three values: true, false, and null for unknown. A comparison with null is unknown. Numbers compare exactly,
also whole numbers with fractions. Whole numbers add, subtract and multiply exactly; in a division or a power, or with a
number that has a fraction, both sides are float64. Arithmetic whose result is not finite, or is a whole number of more
than 64 bits, is null: unlike in Milvus, it never wraps around.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = [
    "ARITHMETIC",
    "COMPARISONS",
    "LISTS",
    "ArithmeticOperator",
    "ComparisonOperator",
    "ListOperator",
    "is_one_of",
]

FEW_VALUES = 4
"""Up to this many values, separate comparisons are quicker than a set."""

Numbers: TypeAlias = NDArray[Any]
"""An array of int64 or float64; both sides of an operation have the same type."""


@dataclass(frozen=True, slots=True)
class ComparisonOperator:
    """`left symbol right`; `mirrored` is the equivalent symbol when the sides are exchanged."""

    symbol: str
    words: str
    negated_words: str
    mirrored: str
    build: Callable[[pl.Expr, pl.Expr], pl.Expr]
    orders: bool = True


@dataclass(frozen=True, slots=True)
class ArithmeticOperator:
    """`left symbol right` over numbers.

    `whole` is whether two whole numbers give a whole number (otherwise they are converted to float64 first).
    `fractions` is whether numbers with fractions are allowed.
    """

    symbol: str
    compute: Callable[[Numbers, Numbers], Numbers]
    whole: bool = True
    fractions: bool = True

    def apply(self, left: pl.Series, right: pl.Series) -> pl.Series:
        """Compute over columns of one length, or of one value.

        This is eager rather than an expression: the overflow check needs the result twice, so nested expressions would
        double at each level.
        """
        whole = self.whole and left.dtype.is_integer() and right.dtype.is_integer()
        dtype = np.dtype(np.int64 if whole else np.float64)
        filled = (side.fill_null(1) if side.null_count() else side for side in (left, right))
        sides = [side.to_numpy().astype(dtype, copy=False) for side in filled]
        with np.errstate(all="ignore"):
            result = self.compute(*sides)
            known = _fits(self.compute, sides, result) if whole else np.isfinite(result)
        for side in (left, right):
            if side.null_count():
                known = known & side.is_not_null().to_numpy()
        values = pl.Series(result)
        return values if known.all() else values.set(pl.Series(~known), None)


@dataclass(frozen=True, slots=True)
class ListOperator:
    """`array_contains...(field, value or values)` over a field that holds lists of texts."""

    function: str
    words: str
    negated_words: str
    takes_list: bool
    build: Callable[[pl.Expr, Sequence[str]], pl.Expr]


def _fits(
    compute: Callable[[Numbers, Numbers], Numbers], sides: Sequence[Numbers], result: Numbers
) -> NDArray[np.bool_]:
    """Return where a whole result fits in 64 bits, bool [values].

    A result that wrapped around differs by about 2**64 from the same computation in float64; one that fits is near it.
    """
    if compute is _remainder:
        return np.not_equal(sides[1], 0)
    if len(result) and _is_small(compute, sides):
        return np.ones(len(result), dtype=np.bool_)
    near = compute(*(side.astype(np.float64) for side in sides))
    return np.less(np.abs(result.astype(np.float64) - near), 2.0**63)


def _is_small(compute: Callable[[Numbers, Numbers], Numbers], sides: Sequence[Numbers]) -> bool:
    """Return whether no result can need more than 64 bits, given the largest numbers on either side."""
    left, right = (max(abs(int(side.min())), abs(int(side.max()))) for side in sides)
    return (left * right if compute is np.multiply else left + right) < 2**63


def _remainder(left: Numbers, right: Numbers) -> Numbers:
    """Compute the remainder with the sign of the dividend, as in C."""
    return np.fmod(left, np.where((right == 0) | (right == -1), 1, right))


def _has_all(field: pl.Expr, values: Sequence[str]) -> pl.Expr:
    wanted = sorted(set(values))
    return field.list.set_intersection(pl.lit(pl.Series([wanted], dtype=pl.List(pl.String)))).list.len() == len(wanted)


def _has_any(field: pl.Expr, values: Sequence[str]) -> pl.Expr:
    return field.list.eval(is_one_of(pl.element(), pl.Series(values, dtype=pl.String))).list.any()


def is_one_of(operand: pl.Expr, values: pl.Series) -> pl.Expr:
    """Build the mask of `operand in values`; null where the operand is null, even if `values` is empty."""
    if 0 < len(values) <= FEW_VALUES:
        return pl.any_horizontal(*(operand == pl.lit(value, dtype=values.dtype) for value in values))
    return pl.when(operand.is_not_null()).then(operand.is_in(values.implode()))


COMPARISONS: Mapping[str, ComparisonOperator] = {
    entry.symbol: entry
    for entry in (
        ComparisonOperator("==", "is", "is not", "==", operator.eq, orders=False),
        ComparisonOperator("!=", "is not", "is", "!=", operator.ne, orders=False),
        ComparisonOperator("<", "is below", "is not below", ">", operator.lt),
        ComparisonOperator("<=", "is at most", "is not at most", ">=", operator.le),
        ComparisonOperator(">", "is above", "is not above", "<", operator.gt),
        ComparisonOperator(">=", "is at least", "is not at least", "<=", operator.ge),
    )
}

ARITHMETIC: Mapping[str, ArithmeticOperator] = {
    entry.symbol: entry
    for entry in (
        ArithmeticOperator("+", np.add),
        ArithmeticOperator("-", np.subtract),
        ArithmeticOperator("*", np.multiply),
        ArithmeticOperator("/", np.divide, whole=False),
        ArithmeticOperator("%", _remainder, fractions=False),
        ArithmeticOperator("**", np.power, whole=False),
    )
}

LISTS: Mapping[str, ListOperator] = {
    entry.function: entry
    for entry in (
        ListOperator("array_contains", "has", "does not have", False, _has_any),
        ListOperator("array_contains_all", "has all of", "does not have all of", True, _has_all),
        ListOperator("array_contains_any", "has any of", "has none of", True, _has_any),
    )
}
