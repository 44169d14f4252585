"""The base of a filter's tree: the methods of every node, the table it is evaluated over, and its limits."""

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
"""The Polars type of each field type's column. Timestamps are in UTC, without a time zone in the type."""


class Table(Protocol):
    """The columns, all of one length, that a filter is evaluated over."""

    def column(self, name: str) -> pl.Expr:
        """Return the column of a field."""

    def evaluate(self, expression: pl.Expr) -> pl.Series:
        """Evaluate an expression over the columns; an expression of constants alone returns one value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node(ABC):
    """One part of the tree, compared by value. `depth` is the number of levels from this node down."""

    depth: int = field(init=False, compare=False, repr=False, default=1)

    def __post_init__(self) -> None:
        depth = 1 + max((part.depth for part in self.parts()), default=0)
        if depth > MAX_DEPTH:
            raise FilterError(f"The filter is nested more than {MAX_DEPTH} levels deep.")
        object.__setattr__(self, "depth", depth)

    @abstractmethod
    def parts(self) -> tuple[Node, ...]:
        """Return the node's direct children."""

    @abstractmethod
    def bind(self, parameters: Parameters) -> Self | Node:
        """Return the node with its parameters replaced by their values.

        Raises:
            FilterError: a parameter has no value, or a value has the wrong type.
        """

    @abstractmethod
    def to_milvus(self) -> str:
        """Return the node in the filter language; the text reads back as the same tree."""

    @abstractmethod
    def describe(self) -> str:
        """Return the node in words."""

    def walk(self) -> Iterator[Node]:
        """Yield this node and all nodes below it."""
        yield self
        for part in self.parts():
            yield from part.walk()
