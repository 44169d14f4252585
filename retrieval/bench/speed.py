"""How fast something answers: queries one by one and in batches, timed in a process of its own."""

from __future__ import annotations

import multiprocessing
import signal
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from lookalike.data.errors import LookalikeError
from lookalike.models import Matrix

__all__ = ["Speed", "fresh", "timed", "timed_batch"]

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

_FEWEST = 20
_FIRST_BATCH = 100
_ENDING_S = 10.0
"""Longest time for a process to end after its answer."""


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
    """Call a function of a module in a new process, which inherits nothing that was loaded or cached here.

    An interrupt from the keyboard reaches this process only, which then kills the new one.

    Raises:
        ChildProcessError: the process ended without an answer.
        Exception: whatever the function raised, with its traceback as a note.
    """
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_call, args=(sending, function, arguments, named))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()  # the new process keeps the mask
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        sending.close()
    try:
        answer, error = receiving.recv()
        process.join(_ENDING_S)
    except EOFError:
        process.join(_ENDING_S)
        message = f"A process of the benchmark ended with exit code {process.exitcode} and without an answer."
        raise ChildProcessError(message) from None
    finally:
        process.kill()
        process.join()
        receiving.close()
    if error is not None:
        raise error
    result: Answer = answer
    return result


def _call(
    sending: Connection, function: Callable[..., object], arguments: tuple[Any, ...], named: Mapping[str, Any]
) -> None:
    """Send the answer and None, or None and the error that was raised."""
    try:
        message: tuple[object, Exception | None] = (function(*arguments, **named), None)
    except Exception as error:
        shown = "".join(traceback.format_exception(error))
        error.add_note(shown)
        known = isinstance(error, LookalikeError) or type(error).__module__ == "builtins"
        message = None, error if known else ChildProcessError(shown)  # errors of other packages may not be sent
    sending.send(message)
