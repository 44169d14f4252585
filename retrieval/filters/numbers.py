"""Exact comparisons of whole numbers with numbers that have fractions, as in mathematics.

A 64-bit whole number beyond 2**53 may have no exact float64. So a constant is not rounded to the type of the column:
the comparison is replaced by one with a constant of that type that holds for the same values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal

import polars as pl

from lookalike.data.field_type import INT64_MAX, INT64_MIN, FieldType
from lookalike.retrieval.filters.operators import COMPARISONS

__all__ = ["alike", "compare_columns", "exact_constant"]


def exact_constant(symbol: str, kind: FieldType, value: int | float | Decimal) -> tuple[str, int | float]:
    """Return a comparison with a constant of type `kind`, INT or FLOAT, that holds for the same values of that type.

    `symbol` and `value` are the comparison to replace.
    """
    if kind is FieldType.FLOAT:
        return _of_floats(symbol, value)
    return _of_whole(symbol, value)


def alike(kind: FieldType, values: Iterable[int | float | Decimal]) -> list[int] | list[float]:
    """Return those of the values that a value of type `kind`, INT or FLOAT, can equal, converted to that type."""
    if kind is FieldType.FLOAT:
        return [float(value) for value in values if float(value) == value]
    return [int(value) for value in values if value == math.floor(value) and INT64_MIN <= value <= INT64_MAX]


def compare_columns(symbol: str, whole: pl.Expr, fractions: pl.Expr, *, whole_first: bool) -> pl.Expr:
    """Build the comparison of whole numbers with float64 numbers; `whole_first` is whether `whole` is on the left.

    Rounding keeps the order, so float64 decides unless both sides round to the same number. In that case both are whole
    and are compared as whole numbers. Only 2**63 is a float64 that no 64-bit whole number reaches.
    """
    build = COMPARISONS[symbol].build
    rounded = whole.cast(pl.Float64)
    same = rounded == fractions
    exact = fractions.cast(pl.Int64, strict=False)
    beyond = pl.when(same).then(pl.lit(math.inf)).otherwise(fractions)
    pairs = [(whole, exact), (rounded, beyond)]
    as_whole, as_floats = (build(*pair) if whole_first else build(*reversed(pair)) for pair in pairs)
    return pl.when(same & exact.is_not_null()).then(as_whole).otherwise(as_floats)


def _of_whole(symbol: str, value: int | float | Decimal) -> tuple[str, int]:
    always, never = (">=", INT64_MIN), ("<", INT64_MIN)
    if symbol in ("==", "!="):
        found = alike(FieldType.INT, [value])
        return (symbol, int(found[0])) if found else never if symbol == "==" else always
    bound = math.floor(value) if symbol in ("<=", ">") else math.ceil(value)
    if INT64_MIN <= bound <= INT64_MAX:
        return symbol, bound
    return always if (bound > 0) == (symbol in ("<", "<=")) else never


def _of_floats(symbol: str, value: int | float | Decimal) -> tuple[str, float]:
    nearest = float(value)
    if nearest == value:
        return symbol, nearest
    always, never = (">=", -math.inf), ("<", -math.inf)
    match symbol:
        case "==":
            return never
        case "!=":
            return always
        case "<" | "<=":
            return ("<" if nearest > value else "<="), nearest
    return (">=" if nearest > value else ">"), nearest
