"""The operands of comparisons: fields, constants and parameters; `arithmetic` has the computed ones.

`fit` checks an operand against the fields of a catalog and returns a fitted one, whose `kind` is known.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from difflib import get_close_matches
from typing import Final, TypeAlias

import polars as pl

from lookalike.data.column_values import plain_value, plain_values
from lookalike.data.errors import FilterError
from lookalike.data.exact_numbers import is_moved
from lookalike.data.field_type import INT64_MAX, INT64_MIN, FieldType, datetime_of, microseconds_of
from lookalike.retrieval.filters.nodes import COLUMN_TYPES, Fields, Node, Parameters, Table
from lookalike.retrieval.filters.strings import quoted

__all__ = [
    "RESERVED",
    "Constant",
    "Field",
    "Operand",
    "Parameter",
    "constants_of",
]

RESERVED: Final = frozenset({"and", "or", "not", "in", "like", "true", "false", "is", "null", "iso"})
"""Words, in any case, that a field's name can equal only in the form `$meta["name"]`."""

MAX_NAMES_SHOWN: Final = 30
Scalar: TypeAlias = bool | int | float | str

_EXACT_BELOW, _NO_WHOLE_FROM = 2.0**53, 2.0**64
"""Between these, the shortest text of a float64, such as 4.611686018427388e+18, can denote another whole number."""

_BARE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Operand(Node):
    """Something that has a value for every item."""

    @property
    @abstractmethod
    def kind(self) -> FieldType:
        """The type of the values; known once the operand is fitted."""

    @abstractmethod
    def fit(self, fields: Fields) -> Operand:
        """Check the operand against the fields of a catalog and return the fitted operand.

        Raises:
            FilterError: a field does not exist, or its type does not fit the expression.
        """

    @abstractmethod
    def to_polars(self, table: Table) -> pl.Expr:
        """Build the expression that computes the operand, which must be fitted."""

    def bind(self, parameters: Parameters) -> Operand:
        """Return the operand with its parameters replaced by their values."""
        return self

    def parts(self) -> tuple[Node, ...]:
        """Return the operand's direct children."""
        return ()

    def nested(self) -> str:
        """Return the operand in the filter language as it stands inside arithmetic."""
        return self.to_milvus()


@dataclass(frozen=True, slots=True)
class Field(Operand):
    """A field of the items, or the column `key` or `title`. `known` is its type once it is fitted."""

    name: str
    known: FieldType | None = None

    @property
    def kind(self) -> FieldType:
        """The type of the values."""
        assert self.known is not None, "the field is not fitted"
        return self.known

    def fit(self, fields: Fields) -> Field:
        """Find the field's type.

        Raises:
            FilterError: the field does not exist.
        """
        if self.name not in fields:
            close = get_close_matches(self.name, fields, n=3)
            hint = f"If it is a text, write it in quotes: {quoted(self.name)}."
            if self.name.lower() == "null":
                hint = "Ask for null with `is null` or `is not null`."
            elif close:
                hint = f"Did you mean {' or '.join(Field(name).to_milvus() for name in close)}? {hint}"
            raise FilterError(f"There is no field {self.name!r}. {hint} The fields are {_some(fields)}.")
        return Field(self.name, fields[self.name])

    def to_polars(self, table: Table) -> pl.Expr:
        """Return the field's column."""
        return table.column(self.name)

    def to_milvus(self) -> str:
        """Return the bare name if that can be read back, else `$meta["name"]`."""
        bare = _BARE_NAME.fullmatch(self.name) and self.name.lower() not in RESERVED
        return self.name if bare else f"$meta[{quoted(self.name)}]"

    def describe(self) -> str:
        """Return the field's name."""
        return self.name


@dataclass(frozen=True, slots=True)
class Constant(Operand):
    """A constant. A timestamp's value is in microseconds since 1970 UTC.

    `exact` is the number as it was written, if its float64, `value`, does not lie between the same whole numbers. Whole
    numbers are compared with `exact`, and numbers with fractions with `value`.
    """

    type: FieldType
    value: Scalar
    exact: Decimal | None = None

    @classmethod
    def number(cls, value: float | Decimal) -> Constant:
        """Return a FLOAT constant; `value` must be finite as a float64."""
        rounded = float(value)
        moved = isinstance(value, Decimal) and is_moved(value, rounded)
        return cls(FieldType.FLOAT, rounded, value if isinstance(value, Decimal) and moved else None)

    @property
    def kind(self) -> FieldType:
        """The type of the value."""
        return self.type

    @classmethod
    def of(cls, value: object) -> Constant:
        """Return the constant of a Python or NumPy value.

        Raises:
            FilterError: the value has a type that no constant can have, or is out of range.
        """
        value = plain_value(value)
        kind = FieldType.infer([value]) if not isinstance(value, list | tuple) else None  # type: ignore[list-item]
        if kind is None or kind is FieldType.JSON:
            hint = "; ask with `is null` instead" if value is None else ""
            raise FilterError(f"A filter cannot compare with a value of type {type(value).__name__}{hint}.")
        try:
            stored = kind.coerce(value)  # type: ignore[arg-type]  # its kind was inferred
        except ValueError as error:
            raise FilterError(f"A filter cannot compare with {value!r}: it is {error}.") from None
        if stored is None:
            raise FilterError("A filter cannot compare with NaN.", remedy="Ask with `is null` instead.")
        assert isinstance(stored, bool | int | float | str)
        return cls.number(value) if isinstance(value, Decimal) and isinstance(stored, float) else cls(kind, stored)

    @classmethod
    def moment(cls, text: str) -> Constant:
        """Return a timestamp read from ISO 8601 text.

        Raises:
            FilterError: the text is not a date.
        """
        try:
            return cls(FieldType.TIMESTAMP, microseconds_of(text))
        except ValueError:
            raise FilterError(f"{quoted(text)} is not a date such as 2026-05-31 or 2026-05-31T12:00:00Z.") from None

    def fit(self, fields: Fields) -> Constant:
        """Check that the value can be stored at all."""
        if self.type is FieldType.INT and not INT64_MIN <= self.value <= INT64_MAX:  # type: ignore[operator]  # an int
            raise FilterError(f"{self.value} has more than 64 bits.")
        return self

    def to_polars(self, table: Table) -> pl.Expr:
        """Return the constant as an expression."""
        return pl.lit(self.value, dtype=COLUMN_TYPES[self.type])

    def to_milvus(self) -> str:
        """Return the constant in the filter language."""
        match self.type:
            case FieldType.STRING:
                return quoted(str(self.value))
            case FieldType.TIMESTAMP:
                return f'ISO "{self._datetime().isoformat()}"'
            case FieldType.BOOL:
                return "true" if self.value else "false"
            case FieldType.FLOAT:
                return _digits(float(self.value) if self.exact is None else self.exact)
            case _:
                return repr(self.value)

    def nested(self) -> str:
        """Return the constant as part of arithmetic, in parentheses if negative: `-2 ** 2` would be -(2 ** 2)."""
        text = self.to_milvus()
        return f"({text})" if text.startswith("-") else text

    def describe(self) -> str:
        """Return the value in words."""
        if self.type is not FieldType.TIMESTAMP:
            return f'"{self.value}"' if self.type is FieldType.STRING else self.to_milvus()
        moment = self._datetime()
        return f"{moment:%Y-%m-%d}" if moment.time() == time() else f"{moment.replace(tzinfo=None)} UTC"

    def _datetime(self) -> datetime:
        return datetime_of(int(self.value))


@dataclass(frozen=True, slots=True)
class Parameter(Operand):
    """`{name}`: a value that is passed beside the filter's text."""

    name: str

    @property
    def kind(self) -> FieldType:
        """Raise an error: a parameter has no type before it is bound."""
        raise self._missing()

    def bind(self, parameters: Parameters) -> Constant:
        """Return the parameter's value as a constant.

        Raises:
            FilterError: there is no value, or it is a list.
        """
        if self.name not in parameters:
            raise self._missing()
        value = parameters[self.name]
        if _is_listed(value):
            raise FilterError(f"The parameter {{{self.name}}} is a list; here one value is needed.")
        return Constant.of(value)

    def fit(self, fields: Fields) -> Operand:
        """Raise an error: only a bound filter can be checked."""
        raise self._missing()

    def to_polars(self, table: Table) -> pl.Expr:
        """Raise an error: only a bound filter can be evaluated."""
        raise self._missing()

    def to_milvus(self) -> str:
        """Return the parameter in the filter language."""
        return f"{{{self.name}}}"

    def describe(self) -> str:
        """Return the parameter as it is written."""
        return self.to_milvus()

    def _missing(self) -> FilterError:
        return FilterError(f"The parameter {{{self.name}}} has no value.")


def _digits(number: float | Decimal) -> str:
    """Return a number with enough digits to read back as the same number, and in a form that reads as FLOAT."""
    if isinstance(number, float):
        if not _EXACT_BELOW <= abs(number) < _NO_WHOLE_FROM:
            return repr(number)
        number = Decimal(number)
    text = str(number)
    return text if "." in text or "E" in text else f"{text}.0"


def _some(fields: Fields) -> str:
    names = list(fields)
    return ", ".join(names if len(names) <= MAX_NAMES_SHOWN else [*names[:MAX_NAMES_SHOWN], "..."])


def constants_of(values: tuple[Operand, ...] | Parameter, parameters: Parameters) -> tuple[Operand, ...]:
    """Bind a list of values, or a parameter that stands for a list.

    Raises:
        FilterError: the parameter has no value, or one that is not a list.
    """
    if not isinstance(values, Parameter):
        return tuple(value.bind(parameters) for value in values)
    try:
        given, _ = plain_values(parameters.get(values.name))
    except (TypeError, ValueError):
        raise FilterError(f"The parameter {{{values.name}}} must be a list of values here.") from None
    return tuple(Constant.of(value) for value in given)


def _is_listed(value: object) -> bool:
    """Return whether a parameter holds several values; an array or tensor without dimensions is one value."""
    single = isinstance(value, str | bytes | Mapping) or getattr(value, "ndim", 1) == 0
    return isinstance(value, Iterable) and not single
