"""Plain Faiss indexes, used without a catalog, which the benchmarks compare a catalog with.

Vectors are float32 in memory, rows are numbers, and a filter is a bitmap that the caller builds.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from lookalike.retrieval.vector_index.calibration import recall_of_rows
from lookalike.retrieval.vector_index.vectors import Rows, use_threads

__all__ = ["Baseline", "BaselineKind", "BaselineSetting"]

_EFFORTS = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096, 8192, 16384)
_PROBES = (2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 2048, 4096)
_REFINED = (2, 4, 8, 16, 32)
_LISTS, _MANY_LISTS, _MANY = 1024, 4096, 500_000
_TRAINING_ROWS_A_LIST = 60
_LEAST_ROWS_A_LIST = 39
_TIMED = 50


class BaselineKind(StrEnum):
    """An index of Faiss: exhaustive, a graph, lists of vectors, or lists of 4-bit codes refined by the vectors."""

    FLAT = "faiss-flat"
    HNSW = "faiss-hnsw32"
    IVF_FLAT = "faiss-ivf-flat"
    IVF_PQ = "faiss-ivfpq-refine"

    @property
    def is_ivf(self) -> bool:
        """Whether rows are kept in lists, whose centroids are learned from a sample."""
        return self in (BaselineKind.IVF_FLAT, BaselineKind.IVF_PQ)


@dataclass(frozen=True, slots=True)
class BaselineSetting:
    """A setting and its recall: `effort` is efSearch or nprobe, `refined` the number of candidates for each hit."""

    effort: int = 0
    refined: int = 1
    recall: float = 1.0


class Baseline:
    """One Faiss index, compared by inner product."""

    def __init__(self, kind: BaselineKind, index: Any) -> None:  # noqa: ANN401  # Faiss has no types
        self.kind = kind
        self._index = index

    @classmethod
    def build(cls, kind: BaselineKind, chunks: Iterable[NDArray[np.float32]], count: int, dim: int) -> Baseline:
        """Build an index of `count` rows from chunks, float32 [rows, dim]; lists are learned from the first rows."""
        use_threads(count, dim)
        lists = min(_LISTS if count < _MANY else _MANY_LISTS, max(count // _LEAST_ROWS_A_LIST, 1))
        index = faiss.index_factory(dim, _factory_of(kind, lists, dim), faiss.METRIC_INNER_PRODUCT)
        if kind is BaselineKind.HNSW:
            index.hnsw.efConstruction = 100
        rest = iter(chunks)
        if kind.is_ivf:
            first: list[NDArray[np.float32]] = []
            while sum(map(len, first)) < min(_TRAINING_ROWS_A_LIST * lists, count):
                first.append(next(rest))
            index.train(np.concatenate(first)[: _TRAINING_ROWS_A_LIST * lists])
            rest = chain(first, rest)
        for chunk in rest:
            index.add(np.ascontiguousarray(chunk))
        return cls(kind, index)

    def write(self, path: Path) -> None:
        """Write the index to a file."""
        faiss.write_index(self._index, str(path))

    @classmethod
    def open(cls, kind: BaselineKind, path: Path) -> Baseline:
        """Read a file that `write` made into memory."""
        return cls(kind, faiss.read_index(str(path)))

    @staticmethod
    def selector(mask: NDArray[np.bool_] | None) -> Any:  # noqa: ANN401
        """Return the bitmap that Faiss tests rows by, or None if all rows may be found."""
        return None if mask is None else faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))

    def search(self, queries: NDArray[np.float32], k: int, selector: Any, setting: BaselineSetting) -> Rows:  # noqa: ANN401
        """Find about the k best rows for each query, int64 [queries, k], with -1 where no row was found."""
        use_threads(len(queries), self._index.ntotal)
        parameters = self._parameters(selector, setting)
        return np.asarray(self._index.search(np.ascontiguousarray(queries), k, params=parameters)[1], dtype=np.int64)

    def tuned(
        self, queries: NDArray[np.float32], truth: list[Rows], mask: NDArray[np.bool_] | None, recall: float
    ) -> BaselineSetting:
        """Find the cheapest setting that reaches `recall` under a filter, or the one with the best recall if none does.

        `truth` has the true rows for each query. For each number of candidates the least sufficient effort is found; of
        these settings, the one that answers single queries fastest is returned.
        """
        selector, k = self.selector(mask), max((len(rows) for rows in truth), default=1) or 1
        enough: list[tuple[float, BaselineSetting]] = []
        best = BaselineSetting(recall=-1.0)
        for ladder in self.ladders():
            for step in ladder:
                reached = recall_of_rows(self.search(queries, k, selector, step), truth)
                setting = BaselineSetting(step.effort, step.refined, round(reached, 4))
                if reached > best.recall:
                    best = setting
                if reached >= recall:
                    enough.append((self._seconds(queries, k, selector, setting), setting))
                    break
        return min(enough, key=lambda timed: timed[0])[1] if enough else best

    def ladders(self) -> list[list[BaselineSetting]]:
        """Return the settings to try, a list for each number of candidates to refine, by rising effort."""
        refined = _REFINED if self.kind is BaselineKind.IVF_PQ else (1,)
        return [[BaselineSetting(effort, some) for effort in self._efforts()] for some in refined]

    def _efforts(self) -> list[int]:
        if self.kind is BaselineKind.FLAT:
            return [0]
        if self.kind is BaselineKind.HNSW:
            return [effort for effort in _EFFORTS if effort < 2 * self._index.ntotal]
        lists = int(faiss.extract_index_ivf(self._index).nlist)
        return [*(probes for probes in _PROBES if probes < lists), lists]

    def _parameters(self, selector: Any, setting: BaselineSetting) -> Any:  # noqa: ANN401
        if self.kind is BaselineKind.FLAT:
            return None if selector is None else faiss.SearchParameters(sel=selector)
        if self.kind is BaselineKind.HNSW:
            return faiss.SearchParametersHNSW(efSearch=setting.effort, sel=selector)
        lists = faiss.SearchParametersIVF(nprobe=setting.effort, sel=selector)
        if self.kind is BaselineKind.IVF_FLAT:
            return lists
        return faiss.IndexRefineSearchParameters(k_factor=setting.refined, base_index_params=lists)

    def _seconds(
        self,
        queries: NDArray[np.float32],
        k: int,
        selector: Any,  # noqa: ANN401
        setting: BaselineSetting,
    ) -> float:
        times = []
        for place in range(min(_TIMED, len(queries))):
            started = time.perf_counter()
            self.search(queries[place : place + 1], k, selector, setting)
            times.append(time.perf_counter() - started)
        return float(np.median(times))


def _factory_of(kind: BaselineKind, lists: int, dim: int) -> str:
    match kind:
        case BaselineKind.FLAT:
            return "Flat"
        case BaselineKind.HNSW:
            return "HNSW32"
        case BaselineKind.IVF_FLAT:
            return f"IVF{lists},Flat"
        case BaselineKind.IVF_PQ:
            return f"IVF{lists},PQ{max(dim // 4, 1)}x4fs,RFlat"
