"""What is kept beside a column, so that a filter need not read its values."""

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
    """A column of numbers or truths: `known` says where there is a value, None if everywhere."""

    values: NDArray[Any]
    known: NDArray[np.bool_] | None


def lookup_of(kind: FieldType, column: pl.Series, numbers: Callable[[], Numbers]) -> Lookup | None:
    """Make what there can be beside a column of some type; `numbers` gives its values where they are numbers."""
    match kind:
        case FieldType.STRING:
            return Dictionary.of(column) or Ranks.of_texts(column)
        case FieldType.INT | FieldType.FLOAT | FieldType.TIMESTAMP:
            return Ranks.of_numbers(*numbers())
        case FieldType.STRINGS:
            return Postings.of(column)
    return None


def open_lookup(folder: Path, name: str, count: int) -> Lookup | None:
    """Map what was written beside a column of so many rows, if anything.

    Raises:
        CatalogDamaged: its files do not fit together, or are of another number of rows.
    """
    for kind in (Dictionary, Ranks, Postings):
        found = kind.open(folder, name)
        if found is not None:
            if found.count != count:
                raise CatalogDamaged(f"What lies beside {name} has {found.count} rows for {count} keys.")
            return found
    return None
