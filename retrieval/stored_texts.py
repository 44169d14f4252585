"""Text columns in forms that can be mapped from files, and are quick to compare and to read at a few rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from data.errors import CatalogDamaged

__all__ = ["Dictionary", "Texts", "mapped"]

MOST_VALUES = 50_000
_FEW_VALUES = 8


class Dictionary:
    """A column of few different values.

    Row i has the value `values[codes[i]]`, or none where `codes[i]` is the last place; uint8 to uint32 [rows].
    """

    __slots__ = ("_places", "codes", "has_nulls", "values")

    def __init__(self, values: Sequence[str], codes: NDArray[np.unsignedinteger], has_nulls: bool) -> None:
        self.values: list[str | None] = [*values, None]
        self.codes = codes
        self.has_nulls = has_nulls
        self._places = {value: place for place, value in enumerate(values)}

    @classmethod
    def of(cls, column: pl.Series) -> Dictionary | None:
        """Make the dictionary of a text column; None where there are too many values for it to be worth it."""
        column = column.alias("value")  # Polars would read some names as patterns
        values = column.unique().drop_nulls()
        if len(values) > min(MOST_VALUES, max(len(column) // 4, 256)):
            return None
        values = values.sort()
        numbers = column.cast(pl.Enum(values)).to_physical().fill_null(len(values)) if len(values) else None
        codes = np.zeros(len(column), dtype=np.uint8) if numbers is None else numbers.to_numpy()
        return cls(values.to_list(), codes.astype(np.min_scalar_type(len(values))), column.null_count() > 0)

    def mask(
        self, values: Sequence[str], rows: NDArray[np.int64] | None = None, *, opposite: bool = False
    ) -> NDArray[np.bool_]:
        """Find which of some rows, by default of all, have one of some values, or with `opposite` have another one."""
        codes = self.codes if rows is None else self.codes[rows]
        wanted = [self._places[value] for value in values if value in self._places]
        if 0 < len(wanted) <= _FEW_VALUES and not opposite:  # as many comparisons are quicker than a table
            mask = np.asarray(codes == wanted[0], dtype=np.bool_)
            for code in wanted[1:]:
                mask |= codes == code
            return mask
        passing = np.full(len(self.values), opposite, dtype=np.bool_)
        passing[wanted] = not opposite
        passing[-1] = False  # none
        return np.take(passing, codes)

    def is_one_of(self, values: Sequence[str]) -> pl.Series:
        """Find the rows that have one of some values; null where a row has none."""
        mask = pl.Series(self.mask(values))
        return mask.set(pl.Series(self.codes == len(self.values) - 1), None) if self.has_nulls else mask

    def at(self, rows: NDArray[np.int64]) -> list[str | None]:
        """Return the values of some rows."""
        return [self.values[code] for code in self.codes[rows].tolist()]

    def write(self, values: Path, codes: Path) -> None:
        """Write the two files."""
        values.write_bytes(orjson.dumps({"values": self.values[:-1], "has_nulls": self.has_nulls}))
        np.save(codes, self.codes)

    @classmethod
    def open(cls, values: Path, codes: Path) -> Dictionary:
        """Open what `write` wrote, the codes mapped.

        Raises:
            CatalogDamaged: they do not fit together.
        """
        read = orjson.loads(values.read_bytes())
        numbers = mapped(codes)
        if not np.issubdtype(numbers.dtype, np.unsignedinteger) or numbers.ndim != 1:
            raise CatalogDamaged(f"{codes.name} holds no codes.")
        return cls(read["values"], numbers, bool(read["has_nulls"]))


class Texts:
    """Texts of any length one after another: `offsets` int64 [rows + 1] into `content`, UTF-8."""

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

    def write(self, offsets: Path, content: Path) -> None:
        """Write the two files."""
        np.save(offsets, self._offsets)
        np.save(content, np.frombuffer(self._content, dtype=np.uint8))

    @classmethod
    def open(cls, offsets: Path, content: Path) -> Texts:
        """Map what `write` wrote."""
        return cls(mapped(offsets), mapped(content))


def mapped(path: Path) -> NDArray[Any]:
    """Map an array from its file; a plain array, which is read quicker than NumPy's own kind of mapped ones."""
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return np.asarray(array)
