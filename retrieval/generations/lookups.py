"""Data kept beside a column, so that a filter need not read the column's values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lookalike.data.errors import CatalogDamaged
from lookalike.data.field_type import FieldType
from lookalike.retrieval.generations.postings import Postings
from lookalike.retrieval.generations.ranks import Ranks
from lookalike.retrieval.generations.stored_texts import Dictionary

__all__ = ["Lookup", "Numbers", "lookup_of", "open_lookup"]

Lookup: TypeAlias = Dictionary | Ranks | Postings


class Numbers(NamedTuple):
    """A column of numbers or booleans; `known` is where there is a value, or None if there is one everywhere."""

    values: NDArray[Any]
    known: NDArray[np.bool_] | None


def lookup_of(kind: FieldType, column: pl.Series, numbers: Callable[[], Numbers]) -> Lookup | None:
    """Build the lookup for a column of some type, if there is one; `numbers` returns the values of a numeric column."""
    match kind:
        case FieldType.STRING:
            return Dictionary.of(column) or Ranks.of_texts(column)
        case FieldType.INT | FieldType.FLOAT | FieldType.TIMESTAMP:
            return Ranks.of_numbers(*numbers())
        case FieldType.STRINGS:
            return Postings.of(column)
    return None


def open_lookup(folder: Path, name: str, count: int) -> Lookup | None:
    """Map the lookup that was written beside a column of `count` rows, or return None if there is none.

    Raises:
        CatalogDamaged: its files do not fit together, or have another number of rows.
    """
    for kind in (Dictionary, Ranks, Postings):
        found = kind.open(folder, name)
        if found is not None:
            if found.count != count:
                raise CatalogDamaged(f"The lookup of {name} has {found.count} rows for {count} keys.")
            return found
    return None
