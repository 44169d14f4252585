"""Conditions, and what joins them: and, or, not.

`fit` checks a condition against the fields of a catalog and gives a fitted one, in which texts that stand for dates are
timestamps; only a fitted one can be computed.
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
    """Something that is true, false or unknown of every item."""

    @abstractmethod
    def fit(self, fields: Fields) -> Condition:
        """Check the condition against the fields of a catalog.

        Raises:
            FilterError: it does not fit.
        """

    @abstractmethod
    def bind(self, parameters: Parameters) -> Condition:
        """Put values in the place of parameters."""

    def describe_negated(self) -> str:
        """Say the opposite in words."""
        return f"not ({self.describe()})"

    def negated_milvus(self) -> str:
        """Write the opposite in the filter language."""
        return f"not ({self.to_milvus()})"


@dataclass(frozen=True, slots=True)
class Predicate(Condition):
    """A condition that joins no others: it reads fields."""

    @abstractmethod
    def to_polars(self, table: Table) -> pl.Expr:
        """Build the expression that computes it; for a fitted one only."""


@dataclass(frozen=True, slots=True)
class _Connective(Condition):
    """Two conditions or more; those of the same kind among them are opened: `a and (b and c)` is `a and b and c`."""

    word: ClassVar[str]

    conditions: tuple[Condition, ...]

    def __post_init__(self) -> None:
        flat: list[Condition] = []
        for condition in self.conditions:
            flat.extend(condition.conditions if isinstance(condition, type(self)) else (condition,))
        object.__setattr__(self, "conditions", tuple(flat))
        Node.__post_init__(self)

    def parts(self) -> tuple[Node, ...]:
        """Give the conditions."""
        return self.conditions

    def bind(self, parameters: Parameters) -> Condition:
        """Put values in the place of parameters."""
        return type(self)(tuple(condition.bind(parameters) for condition in self.conditions))

    def fit(self, fields: Fields) -> Condition:
        """Check every condition."""
        return type(self)(tuple(condition.fit(fields) for condition in self.conditions))

    def to_milvus(self) -> str:
        """Write it, the other connective in parentheses."""
        return self._join([condition.to_milvus() for condition in self.conditions])

    def describe(self) -> str:
        """Say it in words, the other connective in parentheses."""
        return self._join([condition.describe() for condition in self.conditions])

    def _join(self, texts: list[str]) -> str:
        pairs = zip(self.conditions, texts, strict=True)
        inner = (f"({text})" if isinstance(condition, _Connective) else text for condition, text in pairs)
        return f" {self.word} ".join(inner)


@dataclass(frozen=True, slots=True)
class And(_Connective):
    """All are true."""

    word: ClassVar[str] = "and"


@dataclass(frozen=True, slots=True)
class Or(_Connective):
    """One or more are true."""

    word: ClassVar[str] = "or"


@dataclass(frozen=True, slots=True)
class Not(Condition):
    """The condition is false."""

    condition: Condition

    def parts(self) -> tuple[Node, ...]:
        """Give the condition."""
        return (self.condition,)

    def bind(self, parameters: Parameters) -> Not:
        """Put values in the place of parameters."""
        return Not(self.condition.bind(parameters))

    def fit(self, fields: Fields) -> Not:
        """Check the condition."""
        return Not(self.condition.fit(fields))

    def to_milvus(self) -> str:
        """Write it."""
        return self.condition.negated_milvus()

    def describe(self) -> str:
        """Say it in words."""
        return self.condition.describe_negated()
