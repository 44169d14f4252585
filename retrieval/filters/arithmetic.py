"""Computed operands: arithmetic over numbers, and the length of a list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from lookalike.data.errors import FilterError
from lookalike.data.field_type import FieldType
from lookalike.retrieval.filters.nodes import Fields, Node, Parameters, Table
from lookalike.retrieval.filters.operands import Constant, Field, Operand
from lookalike.retrieval.filters.operators import ARITHMETIC

__all__ = ["NUMBERS", "Arithmetic", "Length", "Negative", "negative"]

NUMBERS: Final = (FieldType.INT, FieldType.FLOAT)


@dataclass(frozen=True, slots=True)
class Arithmetic(Operand):
    """`left symbol right` over numbers."""

    symbol: str
    left: Operand
    right: Operand

    @property
    def kind(self) -> FieldType:
        """The type of the result: INT if the operator keeps whole numbers and both sides are INT, else FLOAT."""
        whole = ARITHMETIC[self.symbol].whole and self.left.kind is self.right.kind is FieldType.INT
        return FieldType.INT if whole else FieldType.FLOAT

    def parts(self) -> tuple[Node, ...]:
        """Return both sides."""
        return (self.left, self.right)

    def bind(self, parameters: Parameters) -> Arithmetic:
        """Return the expression with its parameters replaced by their values."""
        return Arithmetic(self.symbol, self.left.bind(parameters), self.right.bind(parameters))

    def fit(self, fields: Fields) -> Arithmetic:
        """Check that both sides are numbers."""
        left, right = _number(self.left, fields, self.symbol), _number(self.right, fields, self.symbol)
        if not ARITHMETIC[self.symbol].fractions and FieldType.FLOAT in (left.kind, right.kind):
            raise FilterError(f"{self.symbol} is for whole numbers; {self.to_milvus()} has a number with a fraction.")
        return Arithmetic(self.symbol, left, right)

    def to_polars(self, table: Table) -> pl.Expr:
        """Compute the result now, and return it as a constant column."""
        left, right = (table.evaluate(side.to_polars(table)) for side in (self.left, self.right))
        result = ARITHMETIC[self.symbol].apply(left, right)
        return pl.lit(result.item(), dtype=result.dtype) if len(result) == 1 else pl.lit(result)

    def to_milvus(self) -> str:
        """Return the expression in the filter language, with nested expressions in parentheses."""
        return f"{self.left.nested()} {self.symbol} {self.right.nested()}"

    def nested(self) -> str:
        """Return the expression in parentheses."""
        return f"({self.to_milvus()})"

    def describe(self) -> str:
        """Return the expression in words."""
        left, right = (
            f"({side.describe()})" if isinstance(side, Arithmetic | Negative) else side.describe()
            for side in (self.left, self.right)
        )
        return f"{left} {self.symbol} {right}"


@dataclass(frozen=True, slots=True)
class Negative(Operand):
    """`-operand`. Constants are negated directly; see `negative`."""

    operand: Operand

    @property
    def kind(self) -> FieldType:
        """The operand's type."""
        return self.operand.kind

    def parts(self) -> tuple[Node, ...]:
        """Return the operand."""
        return (self.operand,)

    def bind(self, parameters: Parameters) -> Operand:
        """Return the expression with its parameters replaced by their values."""
        return negative(self.operand.bind(parameters))

    def fit(self, fields: Fields) -> Negative:
        """Check that the operand is a number."""
        return Negative(_number(self.operand, fields, "-"))

    def to_polars(self, table: Table) -> pl.Expr:
        """Compute zero minus the operand."""
        return Arithmetic("-", Constant(FieldType.INT, 0), self.operand).to_polars(table)

    def to_milvus(self) -> str:
        """Return the expression in the filter language, with a nested expression in parentheses."""
        return f"-{self.operand.nested()}"

    def nested(self) -> str:
        """Return the expression in parentheses."""
        return f"({self.to_milvus()})"

    def describe(self) -> str:
        """Return the expression in words."""
        return self.to_milvus()


@dataclass(frozen=True, slots=True)
class Length(Operand):
    """`array_length(field)`."""

    field: Field

    @property
    def kind(self) -> FieldType:
        """The type of a length: INT."""
        return FieldType.INT

    def parts(self) -> tuple[Node, ...]:
        """Return the field."""
        return (self.field,)

    def fit(self, fields: Fields) -> Length:
        """Check that the field holds lists."""
        fitted = self.field.fit(fields)
        if fitted.kind is not FieldType.STRINGS:
            raise FilterError(f"The field {fitted.name!r} holds {fitted.kind.words}, and array_length is for lists.")
        return Length(fitted)

    def to_polars(self, table: Table) -> pl.Expr:
        """Count the values of each list."""
        return self.field.to_polars(table).list.len().cast(pl.Int64)

    def to_milvus(self) -> str:
        """Return the call in the filter language."""
        return f"array_length({self.field.to_milvus()})"

    def describe(self) -> str:
        """Return "the number of" and the field's name."""
        return f"the number of {self.field.describe()}"


def negative(operand: Operand) -> Operand:
    """Return minus the operand. A constant number is negated at once."""
    if isinstance(operand, Constant) and operand.type in NUMBERS and not isinstance(operand.value, str):
        exact = None if operand.exact is None else operand.exact.copy_negate()
        return Constant(operand.type, -operand.value, exact)
    return Negative(operand)


def _number(operand: Operand, fields: Fields, symbol: str) -> Operand:
    fitted = operand.fit(fields)
    if fitted.kind not in NUMBERS:
        raise FilterError(f"{symbol} is for numbers; {fitted.describe()} is {fitted.kind.words}.")
    return fitted
