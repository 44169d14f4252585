"""The lists of an index on a GPU: a batch compares each query with the vectors in the lists nearest to it.

This is the algorithm of Faiss's IVF_FLAT (Johnson, Douze and Jégou, arXiv:1702.08734), over the vectors that are on the
device already: a list is the numbers of its rows, so nothing is stored twice. The number of lists that reaches a recall
was measured when the index was built. Since the true vectors are compared, no good row in these lists is missed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lookalike.retrieval.search.gpu_vectors import CELLS, GpuVectors, best_of, depth_for, or_memory_error
from lookalike.retrieval.vector_index import Approximate, Metric, Selection

__all__ = ["Costs", "GpuLists"]

Scores = NDArray[np.float32]
Rows = NDArray[np.int64]

_TIMED_BATCHES = (32, 256)
_TIMED_LISTS = 8
_TIMED_HITS = 10


@dataclass(frozen=True, slots=True)
class Costs:
    """Measured costs on a device, in seconds, of comparing everything and of visiting lists.

    Comparing everything costs `scan` for each row and `compare` for each row and query. Visiting lists costs `fixed`,
    and `visit` for each row and query.
    """

    scan: float
    compare: float
    fixed: float
    visit: float

    def lists_pay(self, queries: int, scanned: int, visited: float) -> bool:
        """Return whether visiting `visited` rows for each query takes less time than comparing all `scanned` rows."""
        return self.fixed + self.visit * queries * visited < scanned * (self.scan + self.compare * queries)


class GpuLists:
    """The lists of an IVF index whose `vectors` are on a device. `costs` are measured at construction.

    Raises:
        MemoryError: the lists do not fit, or leave too little memory for a search.
    """

    @or_memory_error
    def __init__(self, vectors: GpuVectors, index: Approximate) -> None:
        self._vectors = vectors
        projection, centres = index.centroids()
        self._projection = None if projection is None else torch.tensor(projection, device=vectors.device)
        self._centres = torch.tensor(centres, device=vectors.device)
        lists = torch.tensor(index.list_of(np.arange(vectors.count)).astype(np.int32), device=vectors.device)
        self._rows = lists.argsort(stable=True).int()
        self._sizes = torch.bincount(lists, minlength=len(centres))
        self._starts = self._sizes.cumsum(0) - self._sizes
        self.costs = self._measured()

    @property
    def rows_a_list(self) -> float:
        """The expected number of rows in a visited list: above the average, as large lists are visited more often."""
        return float(self._sizes.double().square().sum() / max(self._vectors.count, 1))

    @or_memory_error
    def search(
        self, queries: NDArray[np.float32], k: int, lists: int, selection: Selection | None = None
    ) -> tuple[Scores, Rows]:
        """Find the k best rows for each query in the `lists` lists nearest to it, among those selected.

        Takes and returns the same as `GpuVectors.search`, which also answers the queries whose lists hold fewer than k
        rows.
        """
        vectors = self._vectors
        wide = min(k, vectors.count)
        k = min(wide, vectors.count if selection is None else selection.count)
        scores = np.full((len(queries), wide), -np.inf, dtype=np.float32)
        rows = np.full((len(queries), wide), -1, dtype=np.int64)
        if not k or not len(queries):
            return scores, rows
        with vectors.lock:
            mask = None if selection is None else torch.tensor(selection.mask, device=vectors.device)
            asked = torch.tensor(queries, device=vectors.device)
            for some, visited in self._visits(asked, lists):
                near, numbers = self._best(asked[some], k, visited, mask)
                scores[some, : near.shape[1]], rows[some, : near.shape[1]] = near.cpu().numpy(), numbers.cpu().numpy()
        short = scores[:, k - 1] == -np.inf
        if short.any():
            scores[short], rows[short] = vectors.search(queries[short], wide, selection)
        return scores, rows

    def _visits(self, queries: Tensor, lists: int) -> Iterator[tuple[slice, Tensor]]:
        """Yield slices of the queries, each with the lists nearest to its queries, [queries, lists], nearest first."""
        batch = max(CELLS // len(self._centres), 1)
        for start in range(0, len(queries), batch):
            projected = queries[start : start + batch]
            if self._projection is not None:
                projected = projected @ self._projection.T
            near = projected @ self._centres.T
            if self._vectors.metric is Metric.L2:
                near.mul_(2).sub_(self._centres.square().sum(dim=1))
            nearest = near.topk(min(lists, len(self._centres)), dim=1).indices
            most = int(self._sizes[nearest].sum(dim=1).max())
            size = max(CELLS // max(most * self._vectors.dim, 1), 1)
            for first in range(0, len(nearest), size):
                visited = nearest[first : first + size]
                yield slice(start + first, start + first + len(visited)), visited

    def _best(self, queries: Tensor, k: int, visited: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the k best rows in the lists of each query: float32 scores, -inf for no row, and row numbers."""
        vectors = self._vectors
        near = torch.empty((len(queries), 0), dtype=torch.float32, device=vectors.device)
        candidates = torch.empty((len(queries), 0), dtype=torch.int64, device=vectors.device)
        for rows, there in self._rows_in(visited, max(CELLS // (len(queries) * vectors.dim), 1)):
            some = torch.bmm(vectors.halves[rows].float(), queries[:, :, None])[:, :, 0]
            if vectors.metric is Metric.L2:
                some.mul_(2).sub_(vectors.squares[rows])
            some.masked_fill_(~(there if mask is None else there & mask[rows]), -torch.inf)
            near, candidates = torch.cat([near, some], dim=1), torch.cat([candidates, rows], dim=1)
            near, places = near.topk(min(depth_for(k), near.shape[1]), dim=1, sorted=False)
            candidates = candidates.gather(1, places)
        exact = vectors.compared(queries, candidates).masked_fill_(near == -torch.inf, -torch.inf)
        scores, rows = best_of(exact.float(), candidates, k)
        return scores, rows.masked_fill_(scores == -torch.inf, -1)

    def _rows_in(self, lists: Tensor, width: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the rows of each query's lists, [queries, any], at most `width` rows of each query at a time.

        Rows are int64 [queries, width]; a mask marks the ones that exist, since some queries have fewer than others.
        """
        sizes = self._sizes[lists]
        ends = sizes.cumsum(dim=1)
        shift = self._starts[lists] - (ends - sizes)
        for places in torch.split(torch.arange(int(ends[:, -1].max()), device=lists.device), width):
            which = torch.searchsorted(ends, places.expand(len(lists), -1).contiguous(), right=True)
            there = which < lists.shape[1]
            which.clamp_(max=lists.shape[1] - 1)
            yield self._rows[(shift.gather(1, which) + places).clamp_(max=len(self._rows) - 1)].long(), there

    def _measured(self) -> Costs:
        """Time both ways with some of the vectors as queries, discarding the first run of each."""
        vectors = self._vectors
        step = max(vectors.count // max(_TIMED_BATCHES), 1)
        queries = vectors.halves[::step][: max(_TIMED_BATCHES)].float().cpu().numpy()
        scanned, visited = [], []
        for count in (_TIMED_BATCHES[0], *_TIMED_BATCHES):
            some = np.resize(queries, (count, vectors.dim))
            started = time.perf_counter()
            vectors.search(some, _TIMED_HITS)
            between = time.perf_counter()
            self.search(some, _TIMED_HITS, _TIMED_LISTS)
            scanned.append(between - started)
            visited.append(time.perf_counter() - between)
        few, many = _TIMED_BATCHES
        compare = max(scanned[2] - scanned[1], 0) / ((many - few) * vectors.count)
        visit = max(visited[2] - visited[1], 0) / ((many - few) * self.rows_a_list * _TIMED_LISTS)
        return Costs(
            scan=max(scanned[1] / vectors.count - compare * few, 0),
            compare=compare,
            fixed=max(visited[1] - visit * few * self.rows_a_list * _TIMED_LISTS, 0),
            visit=visit,
        )
