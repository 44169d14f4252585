"""Conditions, and the connectives that join them: and, or, not.

`fit` checks a condition against the fields of a catalog and returns a fitted one, in which texts compared with dates
have become timestamps. Only a fitted condition can be evaluated.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from lookalike.retrieval.filters.nodes import Fields, Node, Parameters, Table

__all__ = ["And", "Condition", "Not", "Or", "Predicate"]


@dataclass(frozen=True, slots=True)
class Condition(Node):
    """Something that is true, false or unknown for every item."""

    @abstractmethod
    def fit(self, fields: Fields) -> Condition:
        """Check the condition against the fields of a catalog and return the fitted condition.

        Raises:
            FilterError: a field does not exist, or its type does not fit the condition.
        """

    @abstractmethod
    def bind(self, parameters: Parameters) -> Condition:
        """Return the condition with its parameters replaced by their values."""

    def describe_negated(self) -> str:
        """Return the opposite in words."""
        return f"not ({self.describe()})"

    def negated_milvus(self) -> str:
        """Return the opposite in the filter language."""
        return f"not ({self.to_milvus()})"


@dataclass(frozen=True, slots=True)
class Predicate(Condition):
    """A condition that reads fields and joins no other conditions."""

    @abstractmethod
    def to_polars(self, table: Table) -> pl.Expr:
        """Build the expression that evaluates the condition, which must be fitted."""


@dataclass(frozen=True, slots=True)
class _Connective(Condition):
    """Two or more conditions. Nested ones of the same kind are merged: `a and (b and c)` is `a and b and c`."""

    word: ClassVar[str]

    conditions: tuple[Condition, ...]

    def __post_init__(self) -> None:
        flat: list[Condition] = []
        for condition in self.conditions:
            flat.extend(condition.conditions if isinstance(condition, type(self)) else (condition,))
        object.__setattr__(self, "conditions", tuple(flat))
        Node.__post_init__(self)

    def parts(self) -> tuple[Node, ...]:
        """Return the conditions."""
        return self.conditions

    def bind(self, parameters: Parameters) -> Condition:
        """Return the connective with its parameters replaced by their values."""
        return type(self)(tuple(condition.bind(parameters) for condition in self.conditions))

    def fit(self, fields: Fields) -> Condition:
        """Check every condition."""
        return type(self)(tuple(condition.fit(fields) for condition in self.conditions))

    def to_milvus(self) -> str:
        """Return the text in the filter language, with the other connective in parentheses."""
        return self._join([condition.to_milvus() for condition in self.conditions])

    def describe(self) -> str:
        """Return the description, with the other connective in parentheses."""
        return self._join([condition.describe() for condition in self.conditions])

    def _join(self, texts: list[str]) -> str:
        pairs = zip(self.conditions, texts, strict=True)
        inner = (f"({text})" if isinstance(condition, _Connective) else text for condition, text in pairs)
        return f" {self.word} ".join(inner)


@dataclass(frozen=True, slots=True)
class And(_Connective):
    """True if all conditions are true."""

    word: ClassVar[str] = "and"


@dataclass(frozen=True, slots=True)
class Or(_Connective):
    """True if at least one condition is true."""

    word: ClassVar[str] = "or"


@dataclass(frozen=True, slots=True)
class Not(Condition):
    """True if the condition is false."""

    condition: Condition

    def parts(self) -> tuple[Node, ...]:
        """Return the condition."""
        return (self.condition,)

    def bind(self, parameters: Parameters) -> Not:
        """Return the condition with its parameters replaced by their values."""
        return Not(self.condition.bind(parameters))

    def fit(self, fields: Fields) -> Not:
        """Check the condition."""
        return Not(self.condition.fit(fields))

    def to_milvus(self) -> str:
        """Return the negated condition in the filter language."""
        return self.condition.negated_milvus()

    def describe(self) -> str:
        """Return the negated condition in words."""
        return self.condition.describe_negated()
