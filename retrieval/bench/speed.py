"""How fast something answers: queries one by one and in batches, timed in a process of its own."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from lookalike.models import Matrix

__all__ = ["Speed", "fresh", "timed", "timed_batch"]

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

_FEWEST = 20
_FIRST_BATCH = 100


@dataclass(frozen=True, slots=True)
class Speed:
    """Searches one after the other: how many, how many a second, and the milliseconds that half and 99% are within."""

    searches: int
    per_second: float
    p50_ms: float
    p99_ms: float

    @classmethod
    def of(cls, seconds: NDArray[np.float64]) -> Speed:
        """Summarise the seconds that each search took, float64 [searches]."""
        p50, p99 = (float(one) * 1000 for one in np.percentile(seconds, [50, 99]))
        return cls(len(seconds), round(1 / float(seconds.mean()), 2), round(p50, 4), round(p99, 4))


def timed(
    search: Callable[[Matrix], Answer], queries: Matrix, most_s: float
) -> tuple[list[Answer], NDArray[np.float64]]:
    """Ask queries, float32 [queries, dim], one by one, a second time; give answers and seconds of each.

    The first time, for half of `most_s` at most, brings what they need into memory: pages of a mapped file are only
    there once they were read. Stops after `most_s` seconds, though not before some were asked.
    """
    started = time.perf_counter()
    for query in queries:
        search(query)
        if time.perf_counter() - started > most_s / 2:
            break
    answers, seconds = [], []
    started = time.perf_counter()
    for query in queries:
        before = time.perf_counter()
        answers.append(search(query))
        after = time.perf_counter()
        seconds.append(after - before)
        if after - started > most_s and len(seconds) >= _FEWEST:
            break
    return answers, np.array(seconds)


def timed_batch(search: Callable[[Matrix], Answer], queries: Matrix, most_s: float) -> tuple[Answer, float]:
    """Ask a batch of queries, all if that takes no longer than about `most_s`; give answers and queries a second."""
    for some in (queries[:_FIRST_BATCH], queries):
        started = time.perf_counter()
        answers = search(some)
        seconds = time.perf_counter() - started
        if seconds / len(some) * len(queries) > most_s:
            break
    return answers, len(some) / seconds


def fresh(function: Callable[Arguments, Answer], *arguments: Arguments.args, **named: Arguments.kwargs) -> Answer:
    """Call a function of a module in a new process, which inherits nothing that was loaded or cached here."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments, **named).result()
