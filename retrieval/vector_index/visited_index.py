"""An index over the vectors of all rows, and searches that visit part of them, as a setting determines."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from lookalike.retrieval.vector_index.calibration import Calibration
from lookalike.retrieval.vector_index.coded_lists import CodedLists
from lookalike.retrieval.vector_index.codes import Codes, factor_for
from lookalike.retrieval.vector_index.kinds import IndexKind, Metric
from lookalike.retrieval.vector_index.list_spread import Lists
from lookalike.retrieval.vector_index.plans import PACKED_ROWS
from lookalike.retrieval.vector_index.quantizer import centroids
from lookalike.retrieval.vector_index.selection import Selection
from lookalike.retrieval.vector_index.stages import FIRST_STAGE
from lookalike.retrieval.vector_index.vectors import Rows, Scores, Vectors, lend, ordered, use_threads

__all__ = ["Queries", "VisitedIndex"]

Queries = NDArray[np.float32]

_MANY_QUERIES = 16
"""Number of queries from which on they are compared with the centroids together."""

_PACK_US = 0.6
"""Cost of packing one row's code, in microseconds."""

_PACKED_GAIN_US = 150.0
"""Time that each later query saves, in microseconds. Packing starts once it would have paid off."""


@dataclass(frozen=True, slots=True)
class VisitedIndex:
    """An index over `vectors`, the codes of all rows, and the calibration of both.

    `stored` is the Faiss index as it is in its file, without the vectors.
    """

    kind: IndexKind
    vectors: Vectors
    codes: Codes
    stored: Any
    calibration: Calibration
    _base: Any = field(init=False)
    _index: Any = field(init=False)
    _coded: CodedLists | None = field(init=False)
    _lists: Lists = field(init=False)
    _parameters: dict[tuple[int, int, float], Any] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        if self.kind is IndexKind.DISK:
            self.vectors.leave_on_disk()
        coded = CodedLists(self.codes, self.stored) if self.kind.has_codes else None
        if self.kind.is_graph:
            lend(self.vectors.index, self.stored)
        base = coded.by_code if coded else self.stored
        object.__setattr__(self, "_base", base)
        whole = coded.one if coded else self.codes.refined(base) if self.refines else base
        object.__setattr__(self, "_index", whole)
        object.__setattr__(self, "_coded", coded)
        object.__setattr__(self, "_lists", Lists(self.stored, self.vectors.count))

    @property
    def refines(self) -> bool:
        """Whether candidates are compared by their true vectors afterwards; the other kinds search by true vectors."""
        return self.kind in (IndexKind.IVF_PQ, IndexKind.IVF_SQ8, IndexKind.DISK)

    @property
    def lists(self) -> int:
        """The number of lists of an IVF index."""
        return int(self.stored.nlist)

    def visit(
        self,
        queries: Queries,
        k: int,
        effort: int,
        refined: int,
        selection: Selection | None,
        wide: int | None = None,
    ) -> tuple[Scores, Rows]:
        """Search the index for k rows with these settings, and with candidates for `wide` rows, by default k."""
        use_threads(len(queries), self.vectors.count)
        if self.kind is IndexKind.NSG:  # Faiss keeps the effort in the index and takes no filter
            with self._lock:
                self.stored.nsg.search_L = max(effort, k, FIRST_STAGE)
                scores, rows = self._index.search(np.ascontiguousarray(queries), k)
            return self._compared(queries, scores, rows, k)
        index, parameters = self._with_settings(k, effort, refined, selection, len(queries), wide)
        scores, rows = index.search(np.ascontiguousarray(queries), k, params=parameters)
        return self._compared(queries, scores, rows, k)

    def _compared(self, queries: Queries, scores: Scores, rows: Rows, k: int) -> tuple[Scores, Rows]:
        """Order the rows that Faiss found; wide vectors are scored again, as in a scan."""
        if self.vectors.wide:
            return self.vectors.best(queries, rows, k)
        return ordered(-scores if self.vectors.metric is Metric.L2 else scores, rows, k)

    def _with_settings(
        self,
        k: int,
        effort: int,
        refined: int,
        selection: Selection | None,
        queries: int,
        wide: int | None = None,
    ) -> tuple[Any, Any]:
        """Return the Faiss index to search for this number of `queries`, and its parameters for these settings.

        The rows of a selection that is searched often enough are packed by themselves.
        """
        coded = self._coded
        if coded is not None and selection is not None and self._worth_packing(selection, queries):
            coded = CodedLists.of_selected(self.codes, self.stored, self._lists, selection)
            selection = None
        parameters = self._parameters_for(k, effort, max(wide or k, FIRST_STAGE) * refined, selection)
        if coded is None:
            return self._index, parameters
        return coded.one if queries < _MANY_QUERIES else coded.many, parameters

    @staticmethod
    def _worth_packing(selection: Selection, queries: int) -> bool:
        paid = (selection.uses + queries) * _PACKED_GAIN_US
        return selection.count <= PACKED_ROWS and paid >= selection.count * _PACK_US

    def candidates(self, queries: Queries, count: int, effort: int, selection: Selection | None) -> Rows:
        """Find the candidates that a refining index would refine, [queries, count], best by code first, -1 for no more.

        Refining keeps the true best of them, so a prefix of them shows what the index finds with fewer candidates.
        """
        use_threads(len(queries), self.vectors.count)
        parameters = self._lists_of(max(effort, 1), selection)
        found: Rows = self._base.search(np.ascontiguousarray(queries), count, params=parameters)[1]
        return found

    def nearest_lists(self, queries: Queries, count: int) -> Rows:
        """Return the lists nearest to each query in the order in which it visits them, int64 [queries, count]."""
        use_threads(len(queries), self.vectors.count)
        queries = np.ascontiguousarray(queries)
        projected = self.codes.transform.apply(queries) if self.kind.has_codes else queries
        quantizer = self.stored.quantizer
        if self._coded is not None and len(queries) >= _MANY_QUERIES:
            quantizer = self._coded.for_many.quantizer
        found: Rows = quantizer.search(projected, count)[1]
        return found

    def list_of(self, rows: Rows) -> NDArray[np.uint16]:
        """Return the list that each row is in, uint16 [len(rows)]."""
        return self._lists.of(rows)

    def centroids(self) -> tuple[NDArray[np.float32] | None, NDArray[np.float32]]:
        """Return the projection, float32 [width, dim] or None, and the lists' centroids, float32 [lists, width]."""
        centres = centroids(self.stored)
        if not self.kind.has_codes:
            return None, centres
        return faiss.vector_to_array(self.codes.transform.A).reshape(-1, self.vectors.dim), centres

    def _parameters_for(self, k: int, effort: int, candidates: int, selection: Selection | None) -> Any:  # noqa: ANN401
        """Return Faiss's search parameters for a setting; they are cached."""
        factor = factor_for(k, candidates)
        cache = self._parameters if selection is None else selection.packed.setdefault("parameters", {})
        if (effort, k, factor) not in cache:
            cache[effort, k, factor] = self._parameters_of(max(effort, 1), k, factor, selection)
        return cache[effort, k, factor]

    def _parameters_of(self, effort: int, k: int, factor: float, selection: Selection | None) -> Any:  # noqa: ANN401
        if self.kind is IndexKind.HNSW:
            selector = None if selection is None else selection.selector
            return faiss.SearchParametersHNSW(efSearch=max(effort, k, FIRST_STAGE), sel=selector)
        lists = self._lists_of(effort, selection)
        return faiss.IndexRefineSearchParameters(k_factor=factor, base_index_params=lists) if self.refines else lists

    def _lists_of(self, effort: int, selection: Selection | None) -> Any:  # noqa: ANN401
        """Return Faiss's search parameters with the number of lists to visit, for the lists or for their projection."""
        selector = None if selection is None else selection.selector
        lists = faiss.SearchParametersIVF(nprobe=min(effort, self.lists), sel=selector)
        return lists if self._base is self.stored else faiss.SearchParametersPreTransform(index_params=lists)
