from __future__ import annotations

import time

import pytest

from retrieval.processors import Processors


def burn(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@pytest.mark.parametrize(
    ("count", "load_s", "encode_s", "model", "loading"),
    [
        (2, 0.010, 0.010, 1, 1),  # alike: half and half
        (2, 0.001, 0.100, 2, 1),  # a heavy model has all, loading goes on beside it
        (16, 0.030, 0.0001, 1, 15),  # heavy pictures, a light model
        (16, 0.010, 0.0030, 11, 5),
        (1, 0.010, 0.010, 1, 1),
    ],
)
def test_processors_are_shared_by_what_a_picture_costs(
    count: int, load_s: float, encode_s: float, model: int, loading: int
) -> None:
    processors = Processors(count)
    for _ in range(3):
        with processors.measured():
            burn(load_s)
    processors.note_loaded(3)
    assert not processors.note_encoded(32, encode_s * 32)
    assert processors.note_encoded(32, encode_s * 32)
    assert not processors.note_encoded(32, 0.1)
    assert abs(processors.model - model) <= (count > 2)
    assert abs(processors.loading - loading) <= (count > 2)
    assert processors.model >= 1 <= processors.loading


def test_waiting_for_a_processor_costs_nothing() -> None:
    processors = Processors(2)
    with processors.measured():
        time.sleep(0.2)
    with processors.measured():
        burn(0.02)
    processors.note_loaded(2)
    processors.note_encoded(64, 0.64)  # 10 ms each
    assert (processors.model, processors.loading) == (1, 1)
