"""Text columns in forms that can be mapped from files, and are quick to compare and to read at a few rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from lookalike.data.errors import CatalogDamaged

__all__ = ["MOST_VALUES", "Dictionary", "Texts", "between", "coded", "in_runs", "mapped"]

MOST_VALUES = 50_000
_FEW_RUNS = 4
"""Up to this many runs of passing codes, separate comparisons are quicker than a table."""

_LOOKED_UP = 32_768
"""Codes looked up at a time, so that NumPy's temporary arrays stay in the processor's cache."""

_COMPARED = 131_072
"""Codes compared at a time, for the same reason."""


class Dictionary:
    """A column of few different values.

    Row i has the value `values[codes[i]]`, or null if `codes[i]` is the last place; codes are uint8 to uint32 [rows].
    """

    __slots__ = ("_places", "codes", "has_nulls", "values")

    def __init__(self, values: Sequence[str], codes: NDArray[np.unsignedinteger], has_nulls: bool) -> None:
        self.values: list[str | None] = [*values, None]
        self.codes = codes
        self.has_nulls = has_nulls
        self._places = {value: place for place, value in enumerate(values)}

    @property
    def count(self) -> int:
        """The number of rows of the column."""
        return len(self.codes)

    @classmethod
    def of(cls, column: pl.Series) -> Dictionary | None:
        """Build the dictionary of a text column; None if it has too many different values to be worthwhile."""
        column = column.alias("value")  # Polars would read some names as patterns
        values = column.unique().drop_nulls()
        if len(values) > min(MOST_VALUES, max(len(column) // 4, 256)):
            return None
        values = values.sort()
        numbers = column.cast(pl.Enum(values)).to_physical().fill_null(len(values)) if len(values) else None
        codes = np.zeros(len(column), dtype=np.uint8) if numbers is None else numbers.to_numpy()
        return cls(values.to_list(), codes.astype(np.min_scalar_type(len(values))), column.null_count() > 0)

    def mask(
        self, values: Sequence[str], rows: NDArray[np.int64] | None = None, *, others: bool = False
    ) -> NDArray[np.bool_]:
        """Return which of `rows`, by default all, have one of the values, or with `others` a different value."""
        passing = np.full(len(self.values) - 1, others, dtype=np.bool_)
        passing[[self._places[value] for value in values if value in self._places]] = not others
        return self.having(passing, rows)

    def having(self, passing: NDArray[np.bool_], rows: NDArray[np.int64] | None) -> NDArray[np.bool_]:
        """Return which of `rows`, by default all, have a passing value, by `passing`, bool [values]; null does not."""
        return coded(self.codes if rows is None else self.codes[rows], np.append(passing, False))

    def missing(self, rows: NDArray[np.int64] | None) -> NDArray[np.bool_]:
        """Return which of `rows`, by default all, have no value."""
        return np.asarray((self.codes if rows is None else self.codes[rows]) == len(self.values) - 1)

    def at(self, rows: NDArray[np.int64]) -> list[str | None]:
        """Return the values of some rows."""
        return [self.values[code] for code in self.codes[rows].tolist()]

    def write(self, folder: Path, name: str) -> None:
        """Write the files, whose names begin with `name`."""
        facts = {"values": self.values[:-1], "has_nulls": self.has_nulls}
        (folder / f"{name}.values.json").write_bytes(orjson.dumps(facts))
        np.save(folder / f"{name}.codes.npy", self.codes)

    @classmethod
    def open(cls, folder: Path, name: str) -> Dictionary | None:
        """Open the files that `write` wrote, with the codes mapped; None if there are none.

        Raises:
            CatalogDamaged: the files do not fit together.
        """
        values = folder / f"{name}.values.json"
        if not values.exists():
            return None
        read = orjson.loads(values.read_bytes())
        codes = mapped(folder / f"{name}.codes.npy")
        if not np.issubdtype(codes.dtype, np.unsignedinteger) or codes.ndim != 1:
            raise CatalogDamaged(f"{name}.codes.npy holds no codes.")
        return cls(read["values"], codes, bool(read["has_nulls"]))


class Texts:
    """Texts of any length, one after another: `offsets`, int64 [rows + 1], point into `content`, which is UTF-8."""

    __slots__ = ("_content", "_offsets")

    def __init__(self, offsets: NDArray[np.int64], content: NDArray[np.uint8]) -> None:
        self._offsets = offsets
        self._content = memoryview(content.data)

    @classmethod
    def of(cls, column: pl.Series) -> Texts:
        """Copy a column without nulls."""
        lengths = column.str.len_bytes().to_numpy().astype(np.int64)
        content = np.frombuffer("".join(column.to_list()).encode(), dtype=np.uint8)
        return cls(np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]), content)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def at(self, rows: NDArray[np.int64]) -> list[str]:
        """Return the texts of some rows."""
        content = self._content
        pairs = zip(self._offsets[rows].tolist(), self._offsets[rows + 1].tolist(), strict=True)
        return [str(content[start:stop], "utf-8") for start, stop in pairs]

    def encoded(self, row: int) -> bytes:
        """Return one text as UTF-8."""
        return bytes(self._content[self._offsets[row] : self._offsets[row + 1]])

    def write(self, offsets: Path, content: Path) -> None:
        """Write the two files."""
        np.save(offsets, self._offsets)
        np.save(content, np.frombuffer(self._content, dtype=np.uint8))

    @classmethod
    def open(cls, offsets: Path, content: Path) -> Texts:
        """Map the files that `write` wrote."""
        return cls(mapped(offsets), mapped(content))


def coded(codes: NDArray[np.unsignedinteger], passing: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where a code passes; `passing`, bool [highest code + 1], holds the answer for each code."""
    most = bool(2 * np.count_nonzero(passing) > len(passing))
    edges = np.flatnonzero(np.diff(passing, prepend=most, append=most))
    if len(edges) <= 2 * _FEW_RUNS:  # a few comparisons are quicker than a table
        return in_runs(codes, edges.reshape(-1, 2).tolist(), others=most)
    mask: NDArray[np.bool_] = np.empty(codes.shape, dtype=np.bool_)
    for start in range(0, len(codes), _LOOKED_UP):
        some = slice(start, start + _LOOKED_UP)
        np.take(passing, codes[some], out=mask[some], mode="clip")  # without a check of each code
    return mask


def between(codes: NDArray[np.unsignedinteger], first: int, stop: int) -> NDArray[np.bool_]:
    """Return where a code is at least `first` and below `stop`."""
    return in_runs(codes, [(first, stop)])


def in_runs(
    codes: NDArray[np.unsignedinteger], runs: Sequence[Sequence[int]], *, others: bool = False
) -> NDArray[np.bool_]:
    """Return where a code is in one of the half-open runs [first, stop), or with `others` in none of them."""
    runs = [run for run in runs if run[0] < run[1]]
    if not runs:
        return np.full(codes.shape, others, dtype=np.bool_)
    mask: NDArray[np.bool_] = np.empty(codes.shape, dtype=np.bool_)
    first, *more = runs
    for start in range(0, len(codes), _COMPARED):
        some, found = codes[start : start + _COMPARED], mask[start : start + _COMPARED]
        _compare(some, first, found)
        for run in more:
            also = np.empty_like(found)
            _compare(some, run, also)
            found |= also
        if others:
            np.logical_not(found, out=found)
    return mask


def _compare(codes: NDArray[np.unsignedinteger], run: Sequence[int], out: NDArray[np.bool_]) -> None:
    """Write to `out` which codes are in one run."""
    kind, (first, stop) = codes.dtype.type, run
    if stop - first == 1:
        np.equal(codes, kind(first), out=out)
    else:  # codes are unsigned: after the subtraction, codes below the run wrap around to above it
        np.less_equal(codes - kind(first) if first else codes, kind(stop - first - 1), out=out)


def mapped(path: Path) -> NDArray[Any]:
    """Map an array from its file as a plain array, which is read more quickly than NumPy's memmap class."""
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return np.asarray(array)
