"""The conditions that read fields: comparisons, membership in lists, patterns, null, and contents of list fields."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from lookalike.data.errors import FilterError
from lookalike.data.field_type import FieldType
from lookalike.retrieval.filters.arithmetic import NUMBERS
from lookalike.retrieval.filters.conditions import Predicate
from lookalike.retrieval.filters.nodes import COLUMN_TYPES, Fields, Node, Parameters, Table
from lookalike.retrieval.filters.numbers import compare_columns
from lookalike.retrieval.filters.operands import Constant, Field, Operand, Parameter, constants_of
from lookalike.retrieval.filters.operators import COMPARISONS, LISTS, is_one_of
from lookalike.retrieval.filters.patterns import LikePattern

__all__ = ["Comparison", "Contains", "IsNull", "Like", "Membership", "compare"]

MAX_VALUES_SAID = 8


@dataclass(frozen=True, slots=True)
class Comparison(Predicate):
    """`left symbol right`; `compare` puts the sides in their usual order."""

    symbol: str
    left: Operand
    right: Operand

    def __post_init__(self) -> None:
        Node.__post_init__(self)
        if not (_reads_fields(self.left) or _reads_fields(self.right)):
            raise FilterError(f"{self.to_milvus()} compares two constants; one side must name a field.")

    def parts(self) -> tuple[Node, ...]:
        """Return both sides."""
        return (self.left, self.right)

    def bind(self, parameters: Parameters) -> Comparison:
        """Return the condition with its parameters replaced by their values."""
        return Comparison(self.symbol, self.left.bind(parameters), self.right.bind(parameters))

    def fit(self, fields: Fields) -> Comparison:
        """Check that the sides can be compared in this way."""
        left, right = self.left, self.right
        if not COMPARISONS[self.symbol].orders:
            left, right = _as_key(left, right), _as_key(right, left)
        left, right = left.fit(fields), right.fit(fields)
        left, right = _comparable(left, right), _comparable(right, left)
        if left.kind is FieldType.BOOL and COMPARISONS[self.symbol].orders:
            raise FilterError(f"{_subject(left)}, which can be compared with == and != but not with {self.symbol}.")
        return Comparison(self.symbol, left, right)

    def to_polars(self, table: Table) -> pl.Expr:
        """Build the comparison; whole numbers and numbers with fractions compare exactly."""
        left, right = self.left.to_polars(table), self.right.to_polars(table)
        if self.left.kind is self.right.kind:
            return COMPARISONS[self.symbol].build(left, right)
        if self.left.kind is FieldType.INT:
            return compare_columns(self.symbol, left, right, whole_first=True)
        return compare_columns(self.symbol, right, left, whole_first=False)

    def to_milvus(self) -> str:
        """Return the comparison in the filter language."""
        return f"{self.left.to_milvus()} {self.symbol} {self.right.to_milvus()}"

    def describe(self) -> str:
        """Return the comparison in words."""
        return f"{self.left.describe()} {COMPARISONS[self.symbol].words} {self.right.describe()}"

    def describe_negated(self) -> str:
        """Return the opposite in words."""
        return f"{self.left.describe()} {COMPARISONS[self.symbol].negated_words} {self.right.describe()}"


@dataclass(frozen=True, slots=True)
class Membership(Predicate):
    """`operand in [values]`."""

    operand: Operand
    values: tuple[Operand, ...] | Parameter

    def __post_init__(self) -> None:
        Node.__post_init__(self)
        _require_field(self.operand, "in")

    def parts(self) -> tuple[Node, ...]:
        """Return the operand and the values."""
        return (self.operand, *_listed(self.values))

    def bind(self, parameters: Parameters) -> Membership:
        """Return the condition with its parameters replaced by their values."""
        return Membership(self.operand.bind(parameters), constants_of(self.values, parameters))

    def fit(self, fields: Fields) -> Membership:
        """Check that the operand can be compared with each value."""
        operand = self.operand.fit(fields)
        _refuse_lists(operand)
        values = tuple(_as_key(value, operand).fit(fields) for value in _listed(self.values))
        for value in {value.kind: value for value in values}.values():
            _comparable(operand, value)
        if operand.kind is FieldType.TIMESTAMP:
            values = tuple(_comparable(value, operand) for value in values)
        return Membership(operand, values)

    def to_polars(self, table: Table) -> pl.Expr:
        """Compare with all values at once; `exact` has given them the operand's type."""
        values = [value.value for value in _listed(self.values) if isinstance(value, Constant)]
        return is_one_of(self.operand.to_polars(table), pl.Series(values, dtype=COLUMN_TYPES[self.operand.kind]))

    def to_milvus(self) -> str:
        """Return the condition in the filter language."""
        return f"{self.operand.to_milvus()} in {_list_text(self.values)}"

    def negated_milvus(self) -> str:
        """Return the opposite in the filter language."""
        return f"{self.operand.to_milvus()} not in {_list_text(self.values)}"

    def describe(self) -> str:
        """Return the condition in words."""
        return f"{self.operand.describe()} is one of {_in_words(self.values)}"

    def describe_negated(self) -> str:
        """Return the opposite in words."""
        return f"{self.operand.describe()} is none of {_in_words(self.values)}"


@dataclass(frozen=True, slots=True)
class Like(Predicate):
    """`operand like "pattern"`."""

    operand: Operand
    pattern: Operand

    def __post_init__(self) -> None:
        Node.__post_init__(self)
        _require_field(self.operand, "like")

    def parts(self) -> tuple[Node, ...]:
        """Return the operand and the pattern."""
        return (self.operand, self.pattern)

    def bind(self, parameters: Parameters) -> Like:
        """Return the condition with its parameters replaced by their values."""
        return Like(self.operand.bind(parameters), self.pattern.bind(parameters))

    def fit(self, fields: Fields) -> Like:
        """Check that both sides are text."""
        operand, pattern = self.operand.fit(fields), self.pattern.fit(fields)
        if operand.kind is not FieldType.STRING:
            raise FilterError(f"{_subject(operand)}, and like is for text.")
        if pattern.kind is not FieldType.STRING:
            raise FilterError(f"The pattern after like must be text, not {pattern.describe()}.")
        self._read(pattern)
        return Like(operand, pattern)

    @property
    def start(self) -> str | None:
        """The prefix that texts must have to match, if the pattern asks nothing else; otherwise None."""
        return self._read(self.pattern).start

    def to_polars(self, table: Table) -> pl.Expr:
        """Build the mask of the texts that match."""
        return self._read(self.pattern).to_polars(self.operand.to_polars(table))

    def to_milvus(self) -> str:
        """Return the condition in the filter language."""
        return f"{self.operand.to_milvus()} like {self.pattern.to_milvus()}"

    def describe(self) -> str:
        """Return the condition in words."""
        return f"{self.operand.describe()} {self._read(self.pattern).describe()}"

    def describe_negated(self) -> str:
        """Return the opposite in words."""
        return f"{self.operand.describe()} {self._read(self.pattern).describe(negated=True)}"

    @staticmethod
    def _read(pattern: Operand) -> LikePattern:
        return LikePattern.read(str(pattern.value) if isinstance(pattern, Constant) else pattern.to_milvus())


@dataclass(frozen=True, slots=True)
class IsNull(Predicate):
    """`field is null`; never unknown."""

    field: Field

    def parts(self) -> tuple[Node, ...]:
        """Return the field."""
        return (self.field,)

    def bind(self, parameters: Parameters) -> IsNull:
        """Return the condition itself, which has no parameters."""
        return self

    def fit(self, fields: Fields) -> IsNull:
        """Check that the field exists; it may have any type."""
        return IsNull(self.field.fit(fields))

    def to_polars(self, table: Table) -> pl.Expr:
        """Build the mask of the missing values."""
        return self.field.to_polars(table).is_null()

    def to_milvus(self) -> str:
        """Return the condition in the filter language."""
        return f"{self.field.to_milvus()} is null"

    def negated_milvus(self) -> str:
        """Return the opposite in the filter language."""
        return f"{self.field.to_milvus()} is not null"

    def describe(self) -> str:
        """Return the condition in words."""
        return f"{self.field.describe()} is missing"

    def describe_negated(self) -> str:
        """Return the opposite in words."""
        return f"{self.field.describe()} is present"


@dataclass(frozen=True, slots=True)
class Contains(Predicate):
    """`array_contains(field, value)`, or `array_contains_all` or `_any` with `(field, [values])`."""

    function: str
    field: Field
    values: tuple[Operand, ...] | Parameter

    @property
    def every(self) -> bool:
        """Whether the list must have all the values, rather than one of them."""
        return self.function == "array_contains_all"

    def parts(self) -> tuple[Node, ...]:
        """Return the field and the values."""
        return (self.field, *_listed(self.values))

    def bind(self, parameters: Parameters) -> Contains:
        """Return the condition with its parameters replaced by their values."""
        return Contains(self.function, self.field, constants_of(self.values, parameters))

    def fit(self, fields: Fields) -> Contains:
        """Check that the field holds lists, and that the values are text."""
        field = self.field.fit(fields)
        if field.kind is not FieldType.STRINGS:
            raise FilterError(f"{_subject(field)}, and {self.function} is for lists.")
        values = tuple(value.fit(fields) for value in _listed(self.values))
        for value in values:
            if value.kind is not FieldType.STRING:
                raise FilterError(f"{_subject(field)}; it cannot contain {value.describe()}.")
        return Contains(self.function, field, values)

    def to_polars(self, table: Table) -> pl.Expr:
        """Build the mask of the lists that contain the values."""
        values = [str(value.value) for value in _listed(self.values) if isinstance(value, Constant)]
        return LISTS[self.function].build(self.field.to_polars(table), values)

    def to_milvus(self) -> str:
        """Return the condition in the filter language."""
        values = _list_text(self.values) if LISTS[self.function].takes_list else _listed(self.values)[0].to_milvus()
        return f"{self.function}({self.field.to_milvus()}, {values})"

    def describe(self) -> str:
        """Return the condition in words."""
        return f"{self.field.describe()} {LISTS[self.function].words} {_in_words(self.values)}"

    def describe_negated(self) -> str:
        """Return the opposite in words."""
        return f"{self.field.describe()} {LISTS[self.function].negated_words} {_in_words(self.values)}"


def compare(symbol: str, left: Operand, right: Operand) -> Comparison:
    """Return the comparison with the side that names a field on the left: `80 > price` is `price < 80`."""
    if _reads_fields(right) and not _reads_fields(left):
        return Comparison(COMPARISONS[symbol].mirrored, right, left)
    return Comparison(symbol, left, right)


def _reads_fields(operand: Operand) -> bool:
    return any(isinstance(node, Field) for node in operand.walk())


def _require_field(operand: Operand, word: str) -> None:
    if not _reads_fields(operand):
        raise FilterError(f"Before {word} there must be a field, not {operand.to_milvus()}.")


def _subject(operand: Operand) -> str:
    if isinstance(operand, Field):
        return f"The field {operand.name!r} holds {operand.kind.words}"
    return f"{operand.describe()} {'is' if isinstance(operand, Constant) else 'gives'} {operand.kind.words}"


def _beside(operand: Operand) -> str:
    if isinstance(operand, Field):
        return f"the field {operand.name!r}, which holds {operand.kind.words}"
    return f"{operand.describe()}, which is {operand.kind.words}"


def _refuse_lists(operand: Operand) -> None:
    if operand.kind is FieldType.STRINGS:
        raise FilterError(
            f"{_subject(operand)}.", remedy=f"Ask with array_contains({operand.to_milvus()}, ...) instead."
        )
    if operand.kind is FieldType.JSON:
        raise FilterError(f"{_subject(operand)}; a filter can only ask whether it is null.")


def _comparable(operand: Operand, other: Operand) -> Operand:
    """Return the operand as it is compared with `other`: a text beside a timestamp is read as a date."""
    _refuse_lists(operand)
    _refuse_lists(other)
    if other.kind is FieldType.TIMESTAMP and isinstance(operand, Constant) and operand.type is FieldType.STRING:
        return Constant.moment(str(operand.value))
    text_beside_date = operand.kind is FieldType.TIMESTAMP and isinstance(other, Constant)
    if text_beside_date and other.kind in (FieldType.STRING, FieldType.TIMESTAMP):
        return operand
    if operand.kind is not other.kind and not (operand.kind in NUMBERS and other.kind in NUMBERS):
        raise FilterError(f"{_subject(operand)} and cannot be compared with {_beside(other)}.")
    return operand


def _as_key(operand: Operand, other: Operand) -> Operand:
    """Return the operand as it is compared with `other`: a whole number beside the key becomes its decimal text."""
    is_key = isinstance(other, Field) and other.name == "key"
    if is_key and isinstance(operand, Constant) and operand.type is FieldType.INT:
        return Constant(FieldType.STRING, str(operand.value))
    return operand


def _listed(values: tuple[Operand, ...] | Parameter) -> tuple[Operand, ...]:
    return (values,) if isinstance(values, Parameter) else values


def _list_text(values: tuple[Operand, ...] | Parameter) -> str:
    if isinstance(values, Parameter):
        return values.to_milvus()
    return f"[{', '.join(value.to_milvus() for value in values)}]"


def _in_words(values: tuple[Operand, ...] | Parameter) -> str:
    listed = _listed(values)
    texts = [value.describe() for value in listed[:MAX_VALUES_SAID]]
    if len(listed) > MAX_VALUES_SAID:
        texts.append(f"{len(listed) - MAX_VALUES_SAID} others")
    return " and ".join([", ".join(texts[:-1]), texts[-1]]) if len(texts) > 1 else "".join(texts) or "nothing"
