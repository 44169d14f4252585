"""Masks of plain conditions, in NumPy: fields compared with constants, joined by and and or.

Most filters are that, and then nothing need be said about unknown values: what is unknown does not pass, and neither
`and` nor `or` makes it pass. Of several conditions that all must hold, those after a narrow one are asked of the rows
it left only, so a filter seldom looks at more than one column as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from data.field_type import FieldType
from retrieval.filters.conditions import And, Condition, Or
from retrieval.filters.operands import Constant, Field, Operand
from retrieval.filters.predicates import Comparison, Membership
from retrieval.stored_texts import Dictionary

__all__ = ["Numbers", "plain_mask"]

Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]

_NARROW = 4
"""A condition that leaves less than this part of the rows narrows those that the next are asked of."""

_COMPARE: Mapping[str, Callable[[Any, Any], Mask]] = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
_COMPARED = (FieldType.INT, FieldType.FLOAT, FieldType.BOOL, FieldType.TIMESTAMP)


class Numbers(NamedTuple):
    """A column of numbers or truths: `known` says where there is a value, None if everywhere."""

    values: NDArray[Any]
    known: Mask | None


class _Columns(Protocol):
    def __len__(self) -> int: ...

    def dictionary(self, name: str) -> Dictionary | None: ...

    def numbers(self, name: str) -> Numbers: ...


def plain_mask(condition: Condition, columns: _Columns) -> Mask | None:
    """Find which rows satisfy a fitted condition, bool [rows]; None: it is not plain."""
    return _evaluated(condition, columns, None) if _is_plain(condition, columns) else None


def _is_plain(condition: Condition, columns: _Columns) -> bool:
    match condition:
        case And() | Or():
            return all(_is_plain(part, columns) for part in condition.conditions)
        case Comparison(symbol, Field() as field, Constant() as constant):
            if field.kind is FieldType.STRING:
                return symbol in ("==", "!=") and columns.dictionary(field.name) is not None
            return field.kind in _COMPARED and constant.kind in _COMPARED
        case Membership(Field() as field, values):
            return (
                field.kind is FieldType.STRING
                and isinstance(values, tuple)
                and columns.dictionary(field.name) is not None
            )
    return False


def _evaluated(condition: Condition, columns: _Columns, rows: Rows | None) -> Mask:
    """Evaluate a plain condition over some rows, by default all."""
    match condition:
        case And():
            return _all(sorted(condition.conditions, key=_dearness), columns, rows)
        case Or():
            first, *others = condition.conditions
            mask = _evaluated(first, columns, rows)
            for other in others:
                mask |= _evaluated(other, columns, rows)
            return mask
        case Comparison(symbol, Field() as field, Constant() as constant):
            if field.kind is FieldType.STRING:
                return _one_of(columns, field.name, [constant], rows, opposite=symbol == "!=")
            values, known = columns.numbers(field.name)
            mask = _COMPARE[symbol](values if rows is None else values[rows], constant.value)
            return mask if known is None else mask & (known if rows is None else known[rows])
        case Membership(Field() as field, tuple() as values):
            return _one_of(columns, field.name, list(values), rows)
    raise AssertionError(f"{condition} is not plain")


def _all(conditions: list[Condition], columns: _Columns, rows: Rows | None) -> Mask:
    first, *others = conditions
    mask = _evaluated(first, columns, rows)
    for place, other in enumerate(others):
        left = int(np.count_nonzero(mask))
        if left * _NARROW < len(mask):
            places = np.flatnonzero(mask)
            kept = _all(others[place:], columns, places if rows is None else rows[places])
            mask[places] = kept
            return mask
        mask &= _evaluated(other, columns, rows)
    return mask


def _one_of(columns: _Columns, name: str, values: list[Operand], rows: Rows | None, *, opposite: bool = False) -> Mask:
    dictionary = columns.dictionary(name)
    assert dictionary is not None
    wanted = [str(value.value) for value in values if isinstance(value, Constant)]
    return dictionary.mask(wanted, rows, opposite=opposite)


def _dearness(condition: Condition) -> int:
    """Order conditions so that a cheap one that leaves little comes first."""
    match condition:
        case Comparison("==", left, _):
            return 0 if left.kind is FieldType.STRING else 2
        case Membership():
            return 1
        case Comparison():
            return 3
    return 4
