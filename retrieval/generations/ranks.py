"""A column by rank: where each value stands among some thousands of steps, in one or two bytes a row.

A comparison with a constant becomes a comparison of small numbers, eight or thirty-two at a time in a register; only
the rows on the step that contains the constant are compared by value. The steps are values of the column, chosen so
that each has about the same number of rows (an equi-depth histogram: Piatetsky-Shapiro and Connell, 1984,
doi:10.1145/602259.602294). If a column has few different values, each is a step, and no row is compared by value.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lookalike.data.errors import CatalogDamaged
from lookalike.data.field_type import FieldType
from lookalike.retrieval.filters.numbers import exact_constant
from lookalike.retrieval.generations.stored_texts import Texts, between, coded, in_runs, mapped

__all__ = ["Ranks"]

Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]
Look = Callable[[Rows], Mask]
"""Returns which of some rows pass, by comparing their values."""

MOST_STEPS = 65_534
MOST_TEXT_STEPS = 8_192
"""Texts have fewer steps, because each step stores a whole text."""

_FEW_DIVIDED = 2


class Ranks:
    """Row i stands on step `codes[i]`: its value is not below that step, but below the next. The last code is null.

    `steps` are ascending numbers or texts; `codes` are uint8 or uint16 [rows]. `alone`, bool [steps], is whether a step
    holds no other value than its own.
    """

    def __init__(
        self, steps: NDArray[Any] | Texts, codes: NDArray[np.unsignedinteger], alone: NDArray[np.bool_]
    ) -> None:
        self._steps = steps
        self._codes = codes
        self._alone = alone

    @classmethod
    def of_numbers(cls, values: NDArray[Any], known: Mask | None, *, most: int = MOST_STEPS) -> Ranks:
        """Rank numbers, int64 or float64 without NaN [rows], where they are known, on at most `most` steps."""
        present = values if known is None else values[known]
        ordered = np.sort(present)
        firsts = np.flatnonzero(np.concatenate([np.ones(len(ordered[:1]), np.bool_), ordered[1:] != ordered[:-1]]))
        chosen, alone = _chosen(firsts, len(ordered), most)
        steps = ordered[firsts[chosen]]
        return cls(steps, _codes(np.searchsorted(steps, present, side="right") - 1, len(steps), known), alone)

    @classmethod
    def of_texts(cls, column: pl.Series, *, most: int = MOST_TEXT_STEPS) -> Ranks:
        """Rank texts, in the order of their characters, on at most `most` steps."""
        column = column.alias("value")  # Polars would read some names as patterns
        known = column.is_not_null().to_numpy() if column.null_count() else None
        present = column.drop_nulls()
        ordered = present.sort()
        firsts = np.flatnonzero((ordered != ordered.shift(1)).fill_null(True).to_numpy())
        chosen, alone = _chosen(firsts, len(ordered), most)
        steps = ordered[firsts[chosen]]
        codes = steps.search_sorted(present, side="right").to_numpy().astype(np.int64) - 1
        return cls(Texts.of(steps), _codes(codes, len(steps), known), alone)

    def compare(self, symbol: str, value: Any, rows: Rows | None, look: Look) -> Mask:  # noqa: ANN401
        """Return which of `rows`, by default all, compare with `value` by `symbol`; rows without a value do not.

        `look` is asked about the rows on a step that `value` divides.
        """
        if symbol != "!=":
            return self.within([(symbol, value)], rows, look)
        below, through = self._standing(value)
        codes = self._of(rows)
        mask = in_runs(codes, [(0, below), (through, len(self._steps))])
        return self._looked(mask, codes, [below - 1, through - 1], rows, look)

    def within(self, comparisons: Sequence[tuple[str, Any]], rows: Rows | None, look: Look) -> Mask:
        """Return which of `rows`, by default all, satisfy all comparisons, whose symbols are any but `!=`.

        `look` is asked about the rows on the steps that the values divide.
        """
        first, stop = 0, len(self._steps)
        divided: list[int] = []
        for symbol, value in comparisons:
            below, through = self._standing(value)
            if symbol in (">", ">=", "=="):
                first = max(first, through if symbol == ">" else below)
            if symbol in ("<", "<=", "=="):
                stop = min(stop, below if symbol == "<" else through)
            if symbol in ("<", ">=", "=="):
                divided.append(below - 1)
            if symbol in ("<=", ">", "=="):
                divided.append(through - 1)
        codes = self._of(rows)
        return self._looked(between(codes, first, stop), codes, divided, rows, look)

    def one_of(self, values: Sequence[Any], rows: Rows | None, look: Look) -> Mask:
        """Return which of `rows`, by default all, have one of the values."""
        passing = np.zeros(len(self._steps) + 1, dtype=np.bool_)
        divided = []
        for value in values:
            below, through = self._standing(value)
            passing[below:through] = True
            divided += [below - 1, through - 1]
        codes = self._of(rows)
        return self._looked(coded(codes, passing), codes, divided, rows, look)

    def starting_with(self, start: str, rows: Rows | None, look: Look) -> Mask:
        """Return which of `rows`, by default all, have a text that starts with `start`."""
        text, places = start.encode(), range(len(self._steps))
        below = self._standing(start)[0]
        through = bisect_left(places, True, key=lambda place: self._bytes(place)[: len(text)] > text)
        codes = self._of(rows)
        return self._looked(between(codes, below, through), codes, [below - 1, through - 1], rows, look)

    def missing(self, rows: Rows | None) -> Mask:
        """Return which of `rows`, by default all, have no value."""
        return np.asarray(self._of(rows) == len(self._steps))

    def write(self, folder: Path, name: str) -> None:
        """Write the files, whose names begin with `name`."""
        np.save(folder / f"{name}.ranks.npy", self._codes)
        np.save(folder / f"{name}.alone.npy", self._alone)
        if isinstance(self._steps, Texts):
            self._steps.write(*_text_files(folder, name))
        else:
            np.save(folder / f"{name}.steps.npy", self._steps)

    @classmethod
    def open(cls, folder: Path, name: str) -> Ranks | None:
        """Map the files that `write` wrote, or return None if there are none.

        Raises:
            CatalogDamaged: the files do not fit together.
        """
        path = folder / f"{name}.ranks.npy"
        if not path.exists():
            return None
        texts = _text_files(folder, name)
        steps = Texts.open(*texts) if texts[0].exists() else mapped(folder / f"{name}.steps.npy")
        codes, alone = mapped(path), mapped(folder / f"{name}.alone.npy")
        if not np.issubdtype(codes.dtype, np.unsignedinteger) or codes.ndim != 1 or len(alone) != len(steps):
            raise CatalogDamaged(f"{path.name} holds no ranks among {len(steps)} steps.")
        return cls(steps, codes, alone)

    @property
    def count(self) -> int:
        """The number of rows of the column."""
        return len(self._codes)

    def _of(self, rows: Rows | None) -> NDArray[np.unsignedinteger]:
        return self._codes if rows is None else self._codes[rows]

    def _standing(self, value: Any) -> tuple[int, int]:  # noqa: ANN401
        """Return the number of steps below a value, and the number of steps not above it."""
        if isinstance(self._steps, Texts):
            places, text = range(len(self._steps)), str(value).encode()
            return bisect_left(places, text, key=self._bytes), bisect_right(places, text, key=self._bytes)
        kind = FieldType.FLOAT if self._steps.dtype.kind == "f" else FieldType.INT
        if isinstance(value, float) is (kind is FieldType.FLOAT):
            return self._count("<", value), self._count("<=", value)
        return self._count(*exact_constant("<", kind, value)), self._count(*exact_constant("<=", kind, value))

    def _count(self, symbol: str, value: int | float) -> int:
        """Count the steps below a number of their type, or with `<=` those not above it; with `>=`, all steps."""
        if symbol == ">=":  # the value is the least of its type
            return len(self._steps)
        steps = cast(NDArray[Any], self._steps)
        return int(np.searchsorted(steps, value, side="left" if symbol == "<" else "right"))

    def _bytes(self, place: int) -> bytes:
        assert isinstance(self._steps, Texts)
        return self._steps.encoded(place)

    def _looked(
        self, mask: Mask, codes: NDArray[np.unsignedinteger], divided: Sequence[int], rows: Rows | None, look: Look
    ) -> Mask:
        """Correct a mask on the rows of divided steps, by their values."""
        several = {step for step in divided if step >= 0 and not self._alone[step]}
        if not several:
            return mask
        if len(several) > _FEW_DIVIDED:
            passing = np.zeros(len(self._steps) + 1, dtype=np.bool_)
            passing[list(several)] = True
            places = np.flatnonzero(coded(codes, passing))
        else:
            places = np.concatenate([np.flatnonzero(codes == codes.dtype.type(step)) for step in several])
        mask[places] = look(places if rows is None else rows[places])
        return mask


def _chosen(firsts: Rows, count: int, most: int) -> tuple[Rows, Mask]:
    """Choose which of the different values are steps; return their places and which have a step to themselves.

    `firsts` are the places where a new value begins among `count` sorted values. A value of many rows becomes a step,
    and so does the value after it.
    """
    different = len(firsts)
    chosen = np.arange(different)
    if different > most:
        places = np.arange(0, count, -(-count // (most // 2)))
        sampled = np.searchsorted(firsts, places, side="right") - 1
        chosen = np.unique(np.concatenate([sampled, np.minimum(sampled + 1, different - 1)]))
    return chosen, np.diff(chosen, append=different) == 1


def _codes(present: Rows, steps: int, known: Mask | None) -> NDArray[np.unsignedinteger]:
    dtype = np.min_scalar_type(steps)
    if known is None:
        return present.astype(dtype)
    codes = np.full(len(known), steps, dtype=dtype)
    codes[known] = present
    return codes


def _text_files(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"{name}.steps.offsets.npy", folder / f"{name}.steps.text.npy"
