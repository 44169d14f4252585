"""A filter as the rest of the project uses it: parsed once, then checked, evaluated and described."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from lookalike.data.errors import FilterError
from lookalike.retrieval.filters.conditions import Condition
from lookalike.retrieval.filters.grammar import parse
from lookalike.retrieval.filters.nodes import Parameters
from lookalike.retrieval.filters.operands import Parameter
from lookalike.retrieval.schema import Schema

__all__ = ["Filter"]


class _Columns(Protocol):
    def mask(self, condition: Condition) -> NDArray[np.bool_]: ...


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition whose parameters are bound. Filters are equal and hashed by their canonical `text`."""

    condition: Condition = field(compare=False)
    text: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", self.condition.to_milvus())

    @classmethod
    def parse(cls, text: str, params: Parameters | None = None) -> Self:
        """Read a filter and replace its `{name}` parameters with the values in `params`.

        The values are never pasted into the text, so no value can change what the filter means.

        Raises:
            FilterError: the text cannot be read, or its parameters are not the ones in `params`.
        """
        if not params:
            return cls._of_text(text)
        condition = parse(text)
        return cls(_bound(condition, params))

    @classmethod
    @lru_cache(maxsize=1024)
    def _of_text(cls, text: str) -> Self:
        return cls(_bound(parse(text), {}))

    def check(self, schema: Schema) -> Filter:
        """Check the filter against the fields of a catalog, and return it with date texts turned into timestamps.

        Raises:
            FilterError: a field does not exist, or cannot be compared in this way.
        """
        return Filter(self.condition.fit(schema.filterable))

    def mask(self, columns: _Columns) -> NDArray[np.bool_]:
        """Return which items pass, bool [items]: those for which the condition is true, neither false nor unknown.

        Raises:
            FilterError: the filter does not fit the columns.
        """
        return columns.mask(self.condition)

    def to_milvus(self) -> str:
        """Return the canonical text, which reads back as the same filter."""
        return self.text

    def describe(self) -> str:
        """Return the filter in words: `category is "shoes" and price is below 80`."""
        return self.condition.describe()

    def __str__(self) -> str:
        return self.text


def _bound(condition: Condition, params: Parameters) -> Condition:
    used = {node.name for node in condition.walk() if isinstance(node, Parameter)}
    for names, problem in ((used - params.keys(), "no value"), (params.keys() - used, "no place in the filter")):
        if names:
            raise FilterError(f"The parameter {', '.join(f'{{{name}}}' for name in sorted(names))} has {problem}.")
    return condition.bind(params) if used else condition
