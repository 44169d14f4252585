"""The threads of an index run: one for each processor, which loads pictures and runs the model in turn.

On a CPU, loading and encoding compete for the same processors. One thread for each processor, which takes the next
piece of work, be it a picture to load or a batch to encode on this thread alone, keeps all of them busy whatever either
costs, and no two threads wait for each other in the middle of a matrix product. On a GPU, the model has a thread of its
own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import ParamSpec, TypeVar

from lookalike.models import Encoder

__all__ = ["Crew"]

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

_BATCH_ON_CPU = 16
_BATCH_ELSEWHERE = 128


class Crew:
    """The threads of one run. As a context manager, it finishes the work in progress and drops the rest on exit.

    Without an encoder, the threads only load.
    """

    def __init__(self, encoders: Encoder | Sequence[Encoder], processors: int | None = None) -> None:
        self._encoders = encoders if isinstance(encoders, Sequence) else [encoders]
        shares = any(encoder.shares_processors for encoder in self._encoders)
        self.count = processors or os.cpu_count() or 1
        self.batch_images = _BATCH_ON_CPU if shares else _BATCH_ELSEWHERE
        if shares:
            self._loading = ThreadPoolExecutor(self.count, "crew", self._use_threads, (1,))
            self._encoding = self._loading
        else:
            self._loading = ThreadPoolExecutor(self.count, "load")
            self._encoding = ThreadPoolExecutor(1, "encode")

    @property
    def most_batches(self) -> int:
        """The most batches that may wait or run; with more, loading would run too far ahead of encoding."""
        return self.count + 2

    def load(
        self, work: Callable[Arguments, Answer], *arguments: Arguments.args, **named: Arguments.kwargs
    ) -> Future[Answer]:
        """Submit work that loads pictures."""
        return self._loading.submit(work, *arguments, **named)

    def encode(
        self, work: Callable[Arguments, Answer], *arguments: Arguments.args, **named: Arguments.kwargs
    ) -> Future[Answer]:
        """Submit a batch to encode."""
        return self._encoding.submit(work, *arguments, **named)

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for pool in (self._loading, self._encoding):
            pool.shutdown(wait=True, cancel_futures=True)
        self._use_threads(self.count)

    def _use_threads(self, count: int) -> None:
        for encoder in self._encoders:
            encoder.use_threads(count)
