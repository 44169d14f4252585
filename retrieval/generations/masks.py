"""Masks of filters, combined in NumPy: which rows satisfy a condition.

Most conditions compare a field with constants, and are answered by the lookup beside its column: codes, ranks or
postings. Others read the values; they are evaluated last, on the rows that the conditions before them left.

A condition is true, false or unknown for a row, and a mask is where it is true or where it is false. So nothing need be
stored about unknown rows: `not` asks its condition for the other mask, and with `and` all conditions must be true, or
one false.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lookalike.data.field_type import FieldType
from lookalike.retrieval.filters.arithmetic import Length
from lookalike.retrieval.filters.conditions import And, Condition, Not, Or, Predicate
from lookalike.retrieval.filters.operands import Constant, Field
from lookalike.retrieval.filters.predicates import Comparison, Contains, IsNull, Like, Membership
from lookalike.retrieval.generations.lookups import Lookup, Numbers
from lookalike.retrieval.generations.postings import Postings
from lookalike.retrieval.generations.ranks import Ranks
from lookalike.retrieval.generations.stored_texts import Dictionary

__all__ = ["Mask", "mask_of"]

Mask = NDArray[np.bool_]
"""True where the item passes, bool [items]."""

Rows = NDArray[np.int64]

_NARROW = 2
"""Conditions that leave less than 1/2 of the rows restrict the rows whose values the next condition reads."""

_LISTED_TEXTS = 64
"""With more texts than this, finding each of them among the ranks takes too long."""

_COMPARE: Mapping[str, Callable[[Any, Any], Mask]] = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
_OPPOSITES = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_COMPARED = (FieldType.INT, FieldType.FLOAT, FieldType.BOOL, FieldType.TIMESTAMP)


class _Columns(Protocol):
    def values(self, name: str) -> pl.Series: ...

    def numbers(self, name: str) -> Numbers: ...

    def lengths(self, name: str) -> Numbers: ...

    def lookup(self, name: str) -> Lookup | None: ...


class _Question(NamedTuple):
    """One condition to evaluate: `ask` returns which of some rows pass (None: all rows); `dear` if it reads values."""

    dear: bool
    ask: Callable[..., Mask]


@dataclass(frozen=True, slots=True)
class _Table:
    """Columns of one length, over which the expression of a condition is computed."""

    read: Callable[[str], pl.Series]

    def column(self, name: str) -> pl.Expr:
        """Return the column of a field."""
        return pl.lit(self.read(name))

    def evaluate(self, expression: pl.Expr) -> pl.Series:
        """Compute an expression over the columns; an expression of constants alone returns one value."""
        return pl.select(expression.alias("result")).to_series()


def mask_of(condition: Condition, columns: _Columns, rows: Rows | None = None, *, opposite: bool = False) -> Mask:
    """Return for which of `rows`, by default all, a fitted condition is true, or false if `opposite` is set."""
    match condition:
        case Not():
            return mask_of(condition.condition, columns, rows, opposite=not opposite)
        case And() | Or():
            if isinstance(condition, And) is not opposite:
                return _all_of(_questions(condition.conditions, columns, opposite), rows)
            return _any_of(condition.conditions, columns, rows, opposite)
        case Comparison(symbol, left, right) if opposite:
            return _of_predicate(Comparison(_OPPOSITES[symbol], left, right), columns, rows, False)
        case Predicate():
            return _of_predicate(condition, columns, rows, opposite)
    raise AssertionError(f"{condition} is neither a predicate nor joins them")


def _questions(conditions: Sequence[Condition], columns: _Columns, opposite: bool) -> list[_Question]:
    """Return the questions for conditions that must all be true, or false with `opposite`, the dear ones last.

    Several comparisons of one field, such as a price band, become one question if ranks can answer them as one run.
    """
    bands: dict[str, tuple[Ranks, list[Comparison]]] = {}
    questions: list[_Question] = []
    for one in conditions:
        match one:
            case Comparison(symbol, Field() as field, Constant() as constant) if (
                isinstance(ranks := _kept(one, columns), Ranks)
                and (symbol := _OPPOSITES[symbol] if opposite else symbol) != "!="
            ):
                bands.setdefault(field.name, (ranks, []))[1].append(Comparison(symbol, field, constant))
            case _:
                questions.append(_Question(_is_dear(one, columns), partial(mask_of, one, columns, opposite=opposite)))
    questions += [_Question(False, partial(_of_band, ranks, band, columns)) for ranks, band in bands.values()]
    return sorted(questions, key=lambda question: question.dear)


def _of_band(ranks: Ranks, band: Sequence[Comparison], columns: _Columns, rows: Rows | None) -> Mask:
    def look(some: Rows) -> Mask:
        return np.asarray(np.logical_and.reduce([_by_values(one, columns, some, False) for one in band]))

    values = _constants(tuple(one.right for one in band))
    return ranks.within([(one.symbol, value) for one, value in zip(band, values, strict=True)], rows, look)


def _all_of(questions: Sequence[_Question], rows: Rows | None) -> Mask:
    first, *others = questions
    mask = first.ask(rows=rows)
    for place, other in enumerate(others):
        if other.dear and int(np.count_nonzero(mask)) * _NARROW < len(mask):
            left = np.flatnonzero(mask)
            mask[left] = _all_of(others[place:], left if rows is None else rows[left])
            return mask
        mask &= other.ask(rows=rows)
    return mask


def _any_of(conditions: Sequence[Condition], columns: _Columns, rows: Rows | None, opposite: bool) -> Mask:
    first, *others = conditions
    mask = mask_of(first, columns, rows, opposite=opposite)
    for other in others:
        mask |= mask_of(other, columns, rows, opposite=opposite)
    return mask


def _is_dear(condition: Condition, columns: _Columns) -> bool:
    """Return whether a condition reads the values of rows."""
    match condition:
        case And() | Or():
            return any(_is_dear(part, columns) for part in condition.conditions)
        case Not():
            return _is_dear(condition.condition, columns)
        case Predicate():
            return _kept(condition, columns) is None and _numbers(condition, columns) is None
    return True


def _numbers(condition: Predicate, columns: _Columns) -> Numbers | None:
    """Return the column that a predicate compares with a number or boolean, which NumPy does quickly for all rows."""
    match condition:
        case Comparison(_, Field() as field, Constant() as constant):
            compared = field.kind in _COMPARED and constant.kind in _COMPARED
            return columns.numbers(field.name) if compared else None
        case Comparison(_, Length(field), Constant()):
            return columns.lengths(field.name)
    return None


def _kept(condition: Predicate, columns: _Columns) -> Lookup | None:
    """Return the lookup of the predicate's field if it can answer the predicate, else None."""
    match condition:
        case Comparison(_, Field() as field, Constant()) | Membership(Field() as field, tuple()):
            pass
        case Like(Field() as field, _) | IsNull(field) | Contains(_, field, _):
            pass
        case _:
            return None
    lookup = columns.lookup(field.name)
    if isinstance(lookup, Ranks):
        match condition:
            case Like():
                return lookup if condition.start is not None else None
            case Membership(_, tuple() as values):
                return lookup if field.kind is not FieldType.STRING or len(values) <= _LISTED_TEXTS else None
    return lookup


def _of_predicate(condition: Predicate, columns: _Columns, rows: Rows | None, opposite: bool) -> Mask:
    lookup = _kept(condition, columns)
    if lookup is None:
        return _by_values(condition, columns, rows, opposite)
    if isinstance(condition, IsNull):
        mask = lookup.missing(rows)
        return ~mask if opposite else mask
    match lookup:
        case Dictionary():
            mask = _of_dictionary(condition, lookup, rows)
        case Ranks():
            mask = _of_ranks(condition, lookup, columns, rows)
        case Postings():
            assert isinstance(condition, Contains)
            mask = lookup.having(_constants(condition.values), rows, every=condition.every)
    if opposite:
        np.logical_not(mask, out=mask)
        mask &= ~lookup.missing(rows)
    return mask


def _of_dictionary(condition: Predicate, dictionary: Dictionary, rows: Rows | None) -> Mask:
    match condition:
        case Comparison("==" | "!=" as symbol, _, Constant() as constant):
            return dictionary.mask([str(constant.value)], rows, others=symbol == "!=")
        case Membership(_, values):
            return dictionary.mask(_constants(values), rows)
    texts = pl.Series("value", dictionary.values[:-1], dtype=pl.String)
    return dictionary.having(_computed(condition, _Table(lambda _: texts), False), rows)


def _of_ranks(condition: Predicate, ranks: Ranks, columns: _Columns, rows: Rows | None) -> Mask:
    def look(some: Rows) -> Mask:
        return _by_values(condition, columns, some, False)

    match condition:
        case Comparison(symbol, _, Constant() as constant):
            return ranks.compare(symbol, constant.value, rows, look)
        case Membership(_, values):
            return ranks.one_of(_constants(values), rows, look)
        case Like():
            assert condition.start is not None
            return ranks.starting_with(condition.start, rows, look)
    raise AssertionError(f"{condition} is not answered by ranks")


def _by_values(condition: Predicate, columns: _Columns, rows: Rows | None, opposite: bool) -> Mask:
    numbers = _numbers(condition, columns)
    if numbers is not None:
        assert isinstance(condition, Comparison)
        assert isinstance(condition.right, Constant)
        values, known = numbers
        mask = _COMPARE[condition.symbol](values if rows is None else values[rows], condition.right.value)
        return mask if known is None else mask & (known if rows is None else known[rows])
    read = columns.values if rows is None else lambda name: columns.values(name)[rows]
    return _computed(condition, _Table(read), opposite)


def _computed(condition: Predicate, table: _Table, opposite: bool) -> Mask:
    truth = table.evaluate(condition.to_polars(table))
    passing = (~truth if opposite else truth).fill_null(False).to_numpy(writable=True)
    return np.asarray(passing, dtype=np.bool_)


def _constants(values: object) -> list[Any]:
    assert isinstance(values, tuple)
    return [value.value for value in values if isinstance(value, Constant)]
