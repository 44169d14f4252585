"""A column of lists, inverted: for each text, the rows whose list contains it, so that a filter reads only these."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from lookalike.data.errors import CatalogDamaged
from lookalike.retrieval.generations.stored_texts import MOST_VALUES, mapped

__all__ = ["Postings"]

Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]


class Postings:
    """`rows[starts[i]:starts[i + 1]]` are the rows whose lists contain `values[i]`, ascending; the last have no list.

    `rows` are uint32 or uint64, `starts` is int64 [values + 2], and `count` is the number of rows of the column.
    """

    __slots__ = ("_places", "_rows", "_starts", "_values", "count")

    def __init__(
        self, values: Sequence[str], starts: NDArray[np.int64], rows: NDArray[np.unsignedinteger], count: int
    ) -> None:
        self._values = values
        self._places = {value: place for place, value in enumerate(values)}
        self._starts = starts
        self._rows = rows
        self.count = count

    @classmethod
    def of(cls, column: pl.Series) -> Postings | None:
        """Collect the rows of each value of a column of lists of texts; None if it has too many different values."""
        column = column.alias("value")  # Polars would read some names as patterns
        filled = column.list.len().fill_null(0).to_numpy()
        texts = column.filter(pl.Series(filled > 0)).explode()
        values = texts.unique().sort()
        if len(values) > MOST_VALUES:
            return None
        codes = texts.cast(pl.Enum(values)).to_physical().to_numpy() if len(values) else np.empty(0, dtype=np.int64)
        rows = np.repeat(np.arange(len(column)), filled)
        pairs = np.sort(codes.astype(np.int64) * len(column) + rows)  # by value, then by row
        pairs = pairs[np.diff(pairs, prepend=-1) > 0]  # a list may have a text twice
        starts = np.searchsorted(pairs, np.arange(len(values) + 1) * len(column))
        missing = np.flatnonzero(column.is_null().to_numpy())
        grouped = np.concatenate([pairs % max(len(column), 1), missing])
        dtype = np.uint32 if len(column) <= np.iinfo(np.uint32).max else np.uint64
        return cls(values.to_list(), np.append(starts, len(grouped)), grouped.astype(dtype), len(column))

    def having(self, values: Sequence[str], rows: Rows | None, *, every: bool) -> Mask:
        """Return which of `rows`, by default all, have a list with at least one of the values, or all with `every`.

        With `every` and no values, every list matches.
        """
        groups = [self._group(self._places.get(value)) for value in values]
        if not every:
            mask = self._marked(groups)
        elif groups:
            mask = self._marked([min(groups, key=len)])
            for group in groups:
                mask &= self._marked([group])
        else:
            mask = ~self.missing(None)
        return mask if rows is None else mask[rows]

    def missing(self, rows: Rows | None) -> Mask:
        """Return which of `rows`, by default all, have no list."""
        mask = self._marked([self._group(len(self._values))])
        return mask if rows is None else mask[rows]

    def write(self, folder: Path, name: str) -> None:
        """Write the files, whose names begin with `name`."""
        facts = {"values": self._values, "starts": self._starts.tolist(), "count": self.count}
        (folder / f"{name}.postings.json").write_bytes(orjson.dumps(facts))
        np.save(folder / f"{name}.postings.npy", self._rows)

    @classmethod
    def open(cls, folder: Path, name: str) -> Postings | None:
        """Map the files that `write` wrote, or return None if there are none.

        Raises:
            CatalogDamaged: the files do not fit together.
        """
        facts_file, rows_file = folder / f"{name}.postings.json", folder / f"{name}.postings.npy"
        if not facts_file.exists():
            return None
        facts = orjson.loads(facts_file.read_bytes())
        rows, starts = mapped(rows_file), np.array(facts["starts"], dtype=np.int64)
        if len(starts) != len(facts["values"]) + 2 or int(starts[-1]) != len(rows):
            raise CatalogDamaged(f"{rows_file.name} does not fit {facts_file.name}.")
        return cls(facts["values"], starts, rows, int(facts["count"]))

    def _group(self, place: int | None) -> NDArray[np.unsignedinteger]:
        return self._rows[:0] if place is None else self._rows[self._starts[place] : self._starts[place + 1]]

    def _marked(self, groups: Sequence[NDArray[np.unsignedinteger]]) -> Mask:
        mask = np.zeros(self.count, dtype=np.bool_)
        for group in groups:
            mask[group] = True
        return mask
