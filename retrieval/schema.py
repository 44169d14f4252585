"""Field names and their types. Values are coerced to their stored form once, on entry (see `field_type`)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from lookalike.data.column_values import plain_values
from lookalike.data.errors import FieldTypeError, UsageError
from lookalike.data.field_type import FieldType, datetime_of, name_of_type
from lookalike.data.item import Json, Value
from lookalike.data.shown_value import shown

__all__ = ["BUILT_IN", "FieldType", "Schema"]

BUILT_IN: Mapping[str, FieldType] = MappingProxyType({"key": FieldType.STRING, "title": FieldType.STRING})
"""Columns that every catalog has. Filters can name them like fields, and no field may take their names."""


class Schema(Mapping[str, FieldType]):
    """The fields of a catalog and their types, in order. It is immutable: changes return a new schema."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, FieldType] | None = None) -> None:
        self._fields = dict(fields or {})
        for name in self._fields:
            _check_name(name)

    def __getitem__(self, name: str) -> FieldType:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __hash__(self) -> int:
        return hash(frozenset(self._fields.items()))

    def __repr__(self) -> str:
        return f"Schema({self.to_json()})"

    @property
    def filterable(self) -> Mapping[str, FieldType]:
        """The columns that a filter may name: the built-in ones, then the fields."""
        return {**BUILT_IN, **self._fields}

    @staticmethod
    def infer(values: Iterable[Value]) -> FieldType | None:
        """Return the narrowest type that holds every value, or None if all are null."""
        return FieldType.infer(values)

    def coerce(self, name: str, value: Value) -> Json:
        """Return one value in its stored form.

        Raises:
            FieldTypeError: the value does not fit the field's type.
            UsageError: the field does not exist.
        """
        kind = self._type_of(name)
        try:
            return kind.coerce(value)
        except ValueError as error:
            found = name_of_type(value)
            message = f"The field {name!r} holds {kind.words}; {shown(value)} is {error}."
            if found == "timedelta":
                message = f"The field {name!r} is given the duration {shown(value)}; give its seconds as a number."
            raise FieldTypeError(message, field=name, expected=kind.value, found=found) from None

    def coerce_column(
        self, name: str, values: Sequence[Value] | NDArray[np.generic], keys: Sequence[str] | None = None
    ) -> list[Json]:
        """Return many values in their stored form; columns of one Python or NumPy type are checked all at once.

        Raises:
            FieldTypeError: a value does not fit the field's type; the message names the row if `keys` are given.
            UsageError: the field does not exist.
        """
        kind = self._type_of(name)
        plain: Sequence[Value] = plain_values(values)[0] if isinstance(values, np.ndarray) else values
        at_once = kind.coerce_all(plain)
        return self._coerced_one_by_one(name, plain, keys) if at_once is None else at_once

    def _coerced_one_by_one(self, name: str, values: Sequence[Value], keys: Sequence[str] | None) -> list[Json]:
        coerced = []
        for place, value in enumerate(values):
            try:
                coerced.append(self.coerce(name, value))
            except FieldTypeError as error:
                if keys is None:
                    raise
                raise FieldTypeError(
                    f"Row {place} (key {keys[place]!r}): {error}",
                    field=error.field,
                    expected=error.expected,
                    found=error.found,
                ) from None
        return coerced

    def restore(self, name: str, stored: Json) -> Value:
        """Return a stored value as a value of the field's type.

        Timestamps become `datetime` again. Whole numbers that were stored before their field was widened become floats,
        as they are in columns.
        """
        if type(stored) is int:
            match self._type_of(name):
                case FieldType.TIMESTAMP:
                    return datetime_of(stored)
                case FieldType.FLOAT:
                    return float(stored)
        return stored

    def widened(self, name: str, kind: FieldType) -> Schema:
        """Return the schema in which the field `name` can hold `kind` too; only INT widens, to FLOAT.

        Raises:
            FieldTypeError: the field cannot hold both.
        """
        current = self._type_of(name)
        if kind == current or (current, kind) == (FieldType.FLOAT, FieldType.INT):
            return self
        if (current, kind) == (FieldType.INT, FieldType.FLOAT):
            return Schema({**self._fields, name: kind})
        raise FieldTypeError(
            f"The field {name!r} holds {current.words} and cannot hold {kind.words} as well.",
            field=name,
            expected=current.value,
            found=kind.value,
        )

    def extended(self, fields: Mapping[str, FieldType]) -> Schema:
        """Return the schema with more fields. A field that exists already must have the same type.

        Raises:
            FieldTypeError: a field exists with another type.
        """
        for name, kind in fields.items():
            if self._fields.get(name, kind) != kind:
                raise FieldTypeError(
                    f"The field {name!r} holds {self[name].words}, not {kind.words}.",
                    field=name,
                    expected=self[name].value,
                    found=kind.value,
                )
        return Schema({**self._fields, **fields})

    def only(self, names: Collection[str]) -> Schema:
        """Return the schema of those fields that are among `names`."""
        return Schema({name: kind for name, kind in self._fields.items() if name in names})

    def to_json(self) -> dict[str, str]:
        """Return field name -> type name, as in `catalog.json`."""
        return {name: kind.value for name, kind in self._fields.items()}

    @classmethod
    def from_json(cls, fields: Mapping[str, str]) -> Schema:
        """Read what `to_json` wrote."""
        return cls({name: FieldType(kind) for name, kind in fields.items()})

    def _type_of(self, name: str) -> FieldType:
        if name not in self._fields:
            raise UsageError(f"There is no field {name!r}; the fields are {', '.join(self._fields) or 'none yet'}.")
        return self._fields[name]


def _check_name(name: str) -> None:
    if not name or not name.strip():
        raise UsageError("A field's name is empty.")
    if name in BUILT_IN:
        raise UsageError(f"A field cannot be called {name!r}: every item has its own {name}.")
    if any(character < " " or "\ud800" <= character <= "\udfff" for character in name):
        raise UsageError(f"The field name {name!r} has characters that are not text.")
