from __future__ import annotations

import threading

import pytest

from lookalike.retrieval.ingest.worker_pool import Crew
from tests.fakes import ColourEncoder


def test_every_thread_of_the_crew_runs_the_model_on_one_processor_and_all_are_given_back() -> None:
    encoder = ColourEncoder()
    with Crew(encoder, 3) as crew:
        meeting = threading.Barrier(3, timeout=10)  # three at once, or this fails
        for future in [crew.load(meeting.wait), crew.encode(meeting.wait), crew.load(meeting.wait)]:
            future.result()
    assert encoder.threads == [1, 1, 1, 3]


def test_work_that_was_not_begun_is_dropped_when_a_run_ends() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert go_on.wait(10)

    with pytest.raises(KeyboardInterrupt), Crew(ColourEncoder(), 1) as crew:
        first, second = crew.load(work), crew.load(work)
        assert begun.wait(10)
        threading.Timer(0.1, go_on.set).start()
        raise KeyboardInterrupt
    assert first.done() and not first.cancelled()
    assert second.cancelled()


def test_a_model_that_runs_elsewhere_has_a_thread_of_its_own_and_larger_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared = Crew(ColourEncoder(), 2).batch_images
    monkeypatch.setattr(ColourEncoder, "shares_processors", False)
    with Crew(ColourEncoder(), 1) as crew:
        meeting = threading.Barrier(2, timeout=10)
        for future in [crew.load(meeting.wait), crew.encode(meeting.wait)]:
            future.result()
        assert crew.batch_images > shared
