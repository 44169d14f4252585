"""The interface of one side of the comparison: a database, an index library, or a catalog."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from lookalike.data.item import Value
from lookalike.models import Matrix
from lookalike.retrieval.bench.synthetic import Columns, Workload

__all__ = ["EFFORTS", "PROBES", "Peer", "PeerRows", "Setting"]

EFFORTS = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096)
"""Numbers of candidates that a graph is searched with, from the cheapest."""

PROBES = (4, 8, 16, 32, 64, 128, 256)
"""Numbers of inverted lists that are searched, from the cheapest."""

Filter = TypeVar("Filter")

Setting = Mapping[str, int]
"""Search parameters by name, as the system calls them; empty if there is nothing to choose."""


@dataclass(frozen=True, slots=True)
class PeerRows:
    """Some rows in order, from row `start` on.

    `vectors` is float32 [rows, dim], of unit length. `columns` has the fields as NumPy arrays, with numbers in place of
    names; `fields` has the same fields as lists of Python values, with the names.
    """

    start: int
    vectors: Matrix
    columns: Columns
    fields: Mapping[str, Sequence[Value]]

    @property
    def numbers(self) -> range:
        """The numbers of the rows."""
        return range(self.start, self.start + len(self.vectors))

    @property
    def records(self) -> list[dict[str, Value]]:
        """The fields of each row."""
        return [dict(zip(self.fields, values, strict=True)) for values in zip(*self.fields.values(), strict=True)]


class Peer(ABC, Generic[Filter]):
    """One side of the comparison; `Filter` is the form in which it takes a filter.

    An instance either builds its files in an empty folder, or opens and searches the files that another instance built.
    """

    @abstractmethod
    def build(self, folder: Path, rows: Iterable[PeerRows], count: int, dim: int) -> None:
        """Write everything that searching needs into `folder`, from `count` vectors of length `dim`."""

    @abstractmethod
    def open(self, folder: Path) -> None:
        """Open the files that `build` wrote."""

    @abstractmethod
    def filter_of(self, workload: Workload) -> Filter:
        """Translate a filter, once for many searches; this is not timed."""

    @abstractmethod
    def search(self, query: Matrix, limit: int, filter: Filter, setting: Setting) -> Sequence[int]:
        """Return the numbers of about the `limit` nearest rows that pass the filter, best first.

        `query` is float32 [dim], of unit length.
        """

    def ladders(self) -> Sequence[Sequence[Setting]]:
        """Return the settings to try, as one list or more, each from the cheapest setting to the most thorough."""
        return [[{}]]

    def close(self) -> None:  # most have nothing to close
        """Close the files."""
