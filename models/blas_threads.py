"""Linear algebra of NumPy on one thread, for products that are too small to divide.

By default OpenBLAS divides a product of a few million operations among all processors, and its threads wait for each
other in busy loops. On a machine with other work, the forward pass of a query took five times as long that way.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np  # noqa: F401  # loads the library that is limited

from lookalike.models.lazy import Lazy

__all__ = ["one_blas_thread"]


_SET_BY_THREADPOOLCTL = "KMP_DUPLICATE_LIB_OK"
"""The environment variable that importing threadpoolctl sets; importing Lookalike leaves the environment as it is."""


class _Limit:
    """The limit, which holds from the first of several threads that ask for it until the last is done.

    Libraries that use OpenMP, like the one in Faiss, are left alone: each thread has its own limit there.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        before = os.environ.get(_SET_BY_THREADPOOLCTL)
        from threadpoolctl import ThreadpoolController

        if before is None:
            os.environ.pop(_SET_BY_THREADPOOLCTL, None)
        openblas = ThreadpoolController().select(internal_api="openblas").lib_controllers
        self._libraries = [library for library in openblas if library.threading_layer == "pthreads"]
        self._counts: list[int] = []

    def enter(self) -> None:
        with self._lock:
            if not self._users:
                self._counts = [library.get_num_threads() for library in self._libraries]
                self._set([1] * len(self._libraries))
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._set(self._counts)

    def _set(self, counts: list[int]) -> None:
        for library, count in zip(self._libraries, counts, strict=True):
            library.set_num_threads(count)
            library.clear_controlling_thread()  # the last thread to leave is not always the first to enter


_limit = Lazy(_Limit)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Run NumPy's linear algebra on one thread meanwhile; the limit holds for every thread of the process.

    Example:
        >>> import numpy as np
        >>> with one_blas_thread():
        ...     (np.ones((2, 3)) @ np.ones((3, 2))).tolist()
        [[3.0, 3.0], [3.0, 3.0]]
    """
    limit = _limit.get()
    limit.enter()
    try:
        yield
    finally:
        limit.leave()
