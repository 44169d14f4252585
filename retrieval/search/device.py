"""The choice of where to search a batch of queries: on a GPU, if there is one and the vectors fit, or on the CPU."""

from __future__ import annotations

import ctypes
import re
import sys
import threading
import weakref
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lookalike.data.counted import counted
from lookalike.data.errors import UsageError
from lookalike.data.shown_value import shown
from lookalike.retrieval.generations.segment import SpaceRows
from lookalike.retrieval.vector_index import EXACT, Approximate, Found, Selection, Vectors

if TYPE_CHECKING:
    from lookalike.retrieval.search.gpu_lists import GpuLists
    from lookalike.retrieval.search.gpu_vectors import GpuVectors

__all__ = ["SMALLEST_BATCH", "Device"]

SMALLEST_BATCH = 32
"""Batches of fewer queries are always searched on the CPU."""

_NAMES = re.compile(r"auto|cpu|cuda(:[0-9]{1,3})?")


class Device:
    """Searches batches on a device by name: "auto", "cpu", "cuda" or "cuda:1". Safe to use from several threads.

    Vectors are copied to a GPU with the first batch, and stay there until nothing else refers to them; the lists of
    their index follow with the first batch that need not be exact. Torch is imported at once for a named CUDA device,
    and with the first batch for "auto", if there is a driver.

    Raises:
        UsageError: the name is not a device, or this machine does not have that device.
    """

    def __init__(self, name: str = "auto") -> None:
        if not _NAMES.fullmatch(name):
            raise UsageError(
                f"There is no device {shown(name)}; use auto, cpu, cuda, or a numbered GPU such as cuda:1."
            )
        self.name = name
        self._lock = threading.Lock()
        self._copies: weakref.WeakKeyDictionary[Vectors, GpuVectors] = weakref.WeakKeyDictionary()
        self._lists: weakref.WeakKeyDictionary[Vectors, GpuLists] = weakref.WeakKeyDictionary()
        if name.startswith("cuda"):
            from lookalike.retrieval.search.gpu_vectors import cuda_device  # torch, asked for by name

            cuda_device(name)

    def search(
        self, rows: SpaceRows, queries: NDArray[np.float32], k: int, recall: float, selection: Selection | None
    ) -> Found:
        """Find the k best rows for each query, float32 [queries, dim]: on a GPU, or as `rows.search` does.

        On a GPU, all selected vectors are compared, or only those in the lists that reach the recall, if that is
        quicker.

        Raises:
            UsageError: the memory of the named device is full.
        """
        try:
            copy = None if len(queries) < SMALLEST_BATCH else self._copy(rows.vectors)
            if copy is None:
                return rows.search(queries, k, recall, selection)
            return self._on(copy, rows, queries, k, recall, selection)
        except MemoryError as error:
            if self.name != "auto":
                raise UsageError(
                    f"The vectors do not fit into the memory of the device {self.name!r}; use auto or cpu."
                ) from error
            return rows.search(queries, k, recall, selection)

    def _on(
        self,
        copy: GpuVectors,
        rows: SpaceRows,
        queries: NDArray[np.float32],
        k: int,
        recall: float,
        selection: Selection | None,
    ) -> Found:
        """Search on the device, visiting only some lists where that is quicker."""
        count = copy.count if selection is None else selection.count
        index = rows.approximate if recall < EXACT else None
        visited = None if index is None else index.lists_to_visit(recall, selection, k)
        if index is not None and visited is not None:
            lists = self._lists_of(copy, index)
            if lists.costs.lists_pay(len(queries), copy.scanned(selection), visited * lists.rows_a_list):
                among = f"{count:,} of {copy.count:,}" if count < copy.count else f"{count:,}"
                words = f"search of {visited} lists of {among} vectors on {copy.device}, recall {recall:g}"
                return Found(*lists.search(queries, k, visited, selection), False, words)
        scores, found = copy.search(queries, k, selection)
        return Found(scores, found, True, f"exact search of {counted(count, 'vector')} on {copy.device}")

    def _lists_of(self, copy: GpuVectors, index: Approximate) -> GpuLists:
        """Return the lists on the GPU, building and timing them on the first call."""
        from lookalike.retrieval.search.gpu_lists import GpuLists  # torch, which few need

        with self._lock:
            if index.vectors not in self._lists:
                self._lists[index.vectors] = GpuLists(copy, index)
            return self._lists[index.vectors]

    def _copy(self, vectors: Vectors) -> GpuVectors | None:
        """Return the vectors on the GPU, copying them on the first call, or None if they are searched on the CPU.

        Vectors kept in float32 stay on the CPU: they are compared in float64, which is slow on most GPUs.
        """
        if self.name == "cpu" or not vectors.count or vectors.wide or (self.name == "auto" and not _has_driver()):
            return None
        from lookalike.retrieval.search.gpu_vectors import GpuVectors, cuda_device, has_room  # torch, which few need

        with self._lock:
            copy = self._copies.get(vectors)
            if copy is None:
                device = cuda_device(self.name)
                if device is None or (self.name == "auto" and not has_room(device, vectors)):
                    return None
                copy = self._copies[vectors] = GpuVectors(vectors, device)
            return copy


@cache
def _has_driver() -> bool:
    """Return whether NVIDIA's driver is installed, without importing torch, which would take longer."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True
