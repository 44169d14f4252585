"""The vectors of a segment on a GPU, searched exactly for many queries at a time.

Besides `gpu_lists.py`, this is the only file outside `models` that imports torch; it is imported only when needed.
Nothing in it is specific to one kind of device: on CPU tensors it computes the same results.

A pass over all vectors, in pieces that fit into memory, compares in float32 and keeps more candidates than are wanted.
These are scored again in float64 from the same stored halves. The rounding error of float32 has a known bound, so an
answer is either proven correct or searched for again among more candidates.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lookalike.data.errors import UsageError
from lookalike.retrieval.vector_index import Metric, Selection, Vectors

__all__ = ["CELLS", "GpuVectors", "best_of", "cuda_device", "depth_for", "has_room", "or_memory_error"]

Scores = NDArray[np.float32]
Rows = NDArray[np.int64]

CELLS = 1 << 26
"""Approximate limit on the numbers in a working tensor: 256 MB in float32."""

SHARE_OF_MEMORY = 0.8
"""Share of a device's free memory that vectors may take. A search needs some memory too."""

_MOST_QUERIES = 4096
_MORE_CANDIDATES = 16
_FLOAT32_STEP = 2.0**-24

P = ParamSpec("P")
T = TypeVar("T")


def cuda_device(name: str) -> torch.device | None:
    """Return the device with this name, or for "auto" the first CUDA device, or None if there is none.

    Raises:
        UsageError: this machine does not have the named device.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    number = int(name.partition(":")[2] or 0)
    if number < count:
        return torch.device("cuda", number)
    if name == "auto":
        return None
    there = "no CUDA device" if not count else ", ".join(f"cuda:{one}" for one in range(count))
    raise UsageError(
        f"There is no device {name!r} here; torch finds {there}.", remedy="Use auto or cpu, which always work."
    )


def has_room(device: torch.device, vectors: Vectors) -> bool:
    """Return whether the vectors fit into `SHARE_OF_MEMORY` of the free memory, which includes torch's own reserve."""
    if device.type != "cuda":
        return True
    free = torch.cuda.mem_get_info(device)[0]
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return vectors.count * (vectors.dim * 2 + 8) <= free * SHARE_OF_MEMORY


def depth_for(k: int) -> int:
    """Return how many candidates to compare in float64 to find the best k."""
    return max(2 * k, k + _MORE_CANDIDATES)


def or_memory_error(run: Callable[P, T]) -> Callable[P, T]:
    """Raise MemoryError instead of torch's error when a device is full: callers do not know torch."""

    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            with torch.inference_mode():
                return run(*args, **kwargs)
        except torch.OutOfMemoryError as error:
            raise MemoryError(str(error)) from error

    return checked


class GpuVectors:
    """A copy of `Vectors` on a device. Batches fill the device, so they are searched one at a time, under `lock`.

    `halves` are the vectors, float16 [count, dim], and `squares` their squared lengths, float32 [count].

    Raises:
        MemoryError: the copy does not fit, or leaves too little memory for a search.
    """

    @or_memory_error
    def __init__(self, vectors: Vectors, device: torch.device) -> None:
        self.device = device
        self.metric = vectors.metric
        self.count, self.dim = vectors.count, vectors.dim
        self.halves = torch.empty((self.count, self.dim), dtype=torch.float16, device=device)
        self.squares = torch.empty(self.count, dtype=torch.float32, device=device)
        self.lock = threading.Lock()
        piece = max(CELLS // self.dim, 1)
        for start in range(0, self.count, piece):
            some = slice(start, min(start + piece, self.count))
            self.halves[some] = torch.tensor(vectors.stored(some), device=device)
            self.squares[some] = self.halves[some].float().square().sum(dim=1)
        self._longest = float(self.squares.max()) ** 0.5 if self.count else 0.0

    @or_memory_error
    def search(self, queries: NDArray[np.float32], k: int, selection: Selection | None = None) -> tuple[Scores, Rows]:
        """Find exactly the k best rows for each query, float32 [queries, dim], among those selected.

        As `Vectors.search`, return scores and rows, both [queries, min(k, count)], best first, with equal scores
        ordered by row, and row -1 where there are no more.
        """
        wide = min(k, self.count)
        survivors = self.count if selection is None else selection.count
        scores = np.full((len(queries), wide), -np.inf, dtype=np.float32)
        rows = np.full((len(queries), wide), -1, dtype=np.int64)
        k = min(wide, survivors)
        if k and len(queries):
            with self.lock:
                found = self._best(torch.tensor(queries, device=self.device), k, survivors, selection)
            scores[:, :k], rows[:, :k] = (one.cpu().numpy() for one in found)
        return scores, rows

    def scanned(self, selection: Selection | None) -> int:
        """Return how many rows a search compares: the selected ones if they are fewer than half, otherwise all."""
        return selection.count if selection is not None and 2 * selection.count < self.count else self.count

    def compared(self, queries: Tensor, rows: Tensor) -> Tensor:
        """Score rows, [queries, depth], in float64. Equal vectors score equally to the last bit, whatever the batch."""
        scores = torch.empty(rows.numel(), dtype=torch.float64, device=self.device)
        numbers = rows.reshape(-1)
        for places in torch.split(torch.arange(len(numbers), device=self.device), max(CELLS // 4 // self.dim, 1)):
            vectors, ones = self.halves[numbers[places]].double(), queries[places // rows.shape[1]].double()
            compared = -(vectors - ones).square_() if self.metric is Metric.L2 else vectors * ones
            scores[places] = compared.sum(dim=1)
        return scores.reshape(rows.shape)

    def _best(self, queries: Tensor, k: int, survivors: int, selection: Selection | None) -> tuple[Tensor, Tensor]:
        """Return float32 scores and rows, [queries, k], searching among more and more candidates where necessary."""
        scores = torch.empty((len(queries), k), dtype=torch.float32, device=self.device)
        rows = torch.empty((len(queries), k), dtype=torch.int64, device=self.device)
        open_queries = torch.arange(len(queries), device=self.device)
        depth = depth_for(k)
        while len(open_queries):
            depth = min(depth, survivors)
            doubtful = []
            for some in torch.split(open_queries, min(_MOST_QUERIES, max(CELLS // depth, 1))):
                near, candidates = self._candidates(queries[some], depth, selection)
                exact = self.compared(queries[some], candidates)
                if depth < survivors:
                    doubtful.append(some[~self._certain(queries[some], near, exact, k)])
                scores[some], rows[some] = best_of(exact.float(), candidates, k)
            open_queries = torch.cat(doubtful) if doubtful else open_queries[:0]
            depth *= 4
        return scores, rows

    def _candidates(self, queries: Tensor, depth: int, selection: Selection | None) -> tuple[Tensor, Tensor]:
        """Compare with all selected rows in float32; return about the best `depth` scores and rows, [queries, depth].

        L2 scores leave out the square of the query's length.
        """
        best = torch.empty((len(queries), 0), dtype=torch.float32, device=self.device)
        rows = torch.empty((len(queries), 0), dtype=torch.int64, device=self.device)
        for numbers, halves, squares, passing in self._pieces(max(CELLS // max(len(queries), self.dim), 1), selection):
            scores = queries @ halves.float().T
            if self.metric is Metric.L2:
                scores.mul_(2).sub_(squares)
            if passing is not None:
                scores.masked_fill_(~passing, -torch.inf)
            near, places = scores.topk(min(depth, len(numbers)), dim=1, sorted=False)
            best, rows = torch.cat([best, near], dim=1), torch.cat([rows, numbers[places]], dim=1)
            if best.shape[1] > depth:
                best, places = best.topk(depth, dim=1, sorted=False)
                rows = rows.gather(1, places)
        return best, rows

    def _pieces(self, size: int, selection: Selection | None) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor | None]]:
        """Yield the selected rows in pieces: numbers, halves, squares, and a mask if some rows are not selected.

        If fewer than half of the rows are selected, they are gathered; otherwise all are compared and the others
        masked.
        """
        if selection is not None and self.scanned(selection) < self.count:
            for numbers in torch.split(torch.tensor(selection.rows, device=self.device), size):
                yield numbers, self.halves.index_select(0, numbers), self.squares[numbers], None
            return
        mask = None if selection is None else torch.tensor(selection.mask, device=self.device)
        for start in range(0, self.count, size):
            some = slice(start, min(start + size, self.count))
            numbers = torch.arange(some.start, some.stop, device=self.device)
            yield numbers, self.halves[some], self.squares[some], None if mask is None else mask[some]

    def _certain(self, queries: Tensor, near: Tensor, exact: Tensor, k: int) -> Tensor:
        """Return for which queries no row outside the candidates can be in the best k or tie with the last, bool [n].

        A row that was left out scored at most as much as the lowest candidate. Its true score can exceed that by the
        rounding error of float32, whatever the order of the sum (Higham, Accuracy and Stability of Numerical
        Algorithms, 2nd edition, section 3.1). If torch is set to multiply with less precision, the margin is four times
        the largest error seen among the candidates.
        """
        lengths = queries.double().square().sum(dim=1)
        reach = lengths.sqrt() * self._longest
        near = near.double()
        if self.metric is Metric.L2:
            near = near - lengths[:, None]
            reach = (lengths.sqrt() + self._longest).square()
        rounded = reach * ((self.dim + 8) * _FLOAT32_STEP)
        seen = (near - exact).abs().amax(dim=1)
        slack = torch.where(seen > rounded, 4 * seen, rounded)
        return exact.topk(k, dim=1).values[:, -1] > near.amin(dim=1) + slack


def best_of(scores: Tensor, rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Cut candidates to the best k, best first, with equal scores ordered by row."""
    rows, order = rows.sort(dim=1)
    scores, places = scores.gather(1, order).sort(dim=1, descending=True, stable=True)
    return scores[:, :k], rows.gather(1, places[:, :k])
