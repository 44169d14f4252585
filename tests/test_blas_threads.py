from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

from lookalike.models.blas_threads import one_blas_thread


def counts() -> set[int]:
    np.ones((2, 2)) @ np.ones((2, 2))
    return {library["num_threads"] for library in ThreadpoolController().select(threading_layer="pthreads").info()}


def test_linear_algebra_runs_on_one_thread_until_the_last_user_is_done() -> None:
    with threadpool_limits(3, user_api="blas"):
        first, second = one_blas_thread(), one_blas_thread()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert counts() == {1}
        second.__exit__(None, None, None)
        assert counts() == {3}


def test_threads_and_errors_leave_the_number_as_it_was() -> None:
    start = threading.Barrier(8)

    def use(number: int) -> None:
        start.wait()
        for _ in range(40):
            with one_blas_thread():
                assert counts() == {1}
        with pytest.raises(ZeroDivisionError), one_blas_thread():
            1 / 0  # noqa: B018

    before = counts()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(8)))
    assert counts() == before
