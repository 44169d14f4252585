"""What every part of a filter's tree can do, what it is computed over, and the limits of the tree."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, Self, TypeAlias

import polars as pl

from lookalike.data.errors import FilterError
from lookalike.data.field_type import FieldType

__all__ = ["COLUMN_TYPES", "MAX_DEPTH", "Fields", "Node", "Parameters", "Table"]

MAX_DEPTH = 200

Fields: TypeAlias = Mapping[str, FieldType]
Parameters: TypeAlias = Mapping[str, object]


COLUMN_TYPES: Mapping[FieldType, pl.DataType] = {
    FieldType.STRING: pl.String(),
    FieldType.INT: pl.Int64(),
    FieldType.FLOAT: pl.Float64(),
    FieldType.BOOL: pl.Boolean(),
    FieldType.TIMESTAMP: pl.Datetime("us"),
    FieldType.STRINGS: pl.List(pl.String()),
    FieldType.JSON: pl.Binary(),
}
"""How a column holds each type; a timestamp's zone is UTC and goes without saying."""


class Table(Protocol):
    """What a filter is computed over: columns of one length."""

    def column(self, name: str) -> pl.Expr:
        """Give the column of a field."""

    def evaluate(self, expression: pl.Expr) -> pl.Series:
        """Compute an expression over the columns; one of constants only gives one value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node(ABC):
    """One part of the tree; a value. `depth` is the number of levels, this one and those below."""

    depth: int = field(init=False, compare=False, repr=False, default=1)

    def __post_init__(self) -> None:
        depth = 1 + max((part.depth for part in self.parts()), default=0)
        if depth > MAX_DEPTH:
            raise FilterError(f"The filter is nested more than {MAX_DEPTH} levels deep.")
        object.__setattr__(self, "depth", depth)

    @abstractmethod
    def parts(self) -> tuple[Node, ...]:
        """Give the nodes right below."""

    @abstractmethod
    def bind(self, parameters: Parameters) -> Self | Node:
        """Put values in the place of parameters.

        Raises:
            FilterError: a value has the wrong type.
        """

    @abstractmethod
    def to_milvus(self) -> str:
        """Write it in the filter language; read again, the text gives the same tree."""

    @abstractmethod
    def describe(self) -> str:
        """Say it in words."""

    def walk(self) -> Iterator[Node]:
        """Give this node and all below it."""
        yield self
        for part in self.parts():
            yield from part.walk()
