from __future__ import annotations

from collections.abc import Iterable

import pytest

from lookalike.ui.cli.progress_bar import progress


def told(steps: Iterable[tuple[float, int]], total: int) -> list[tuple[float, int, float | None]]:
    """Advance a task by steps of (seconds, rows); return the time, the rows and the time left after each step."""
    now = 0.0
    bar = progress()
    bar.disable, bar.get_time = True, lambda: now
    task = bar.add_task("Indexing", total=total, rate="")
    found = []
    for seconds, rows in steps:
        now += seconds
        bar.advance(task, rows)
        found.append((now, int(bar.tasks[0].completed), bar.tasks[0].time_remaining))
    return found


def worst_off(found: list[tuple[float, int, float | None]], ending_s: float = 10) -> float:
    """Return by how much of the true time left the column was wrong at most, from half-way to `ending_s`."""
    end, total, _ = found[-1]
    late = [(end - now, left) for now, rows, left in found if rows >= total / 2 and end - now > ending_s]
    assert len(late) > 20
    return max(abs((left or 0) - true) / true for true, left in late)


def test_the_time_left_is_true_where_rows_come_in_bursts() -> None:
    assert worst_off(told([(0.5, 0), (0.5, 0), (1.0, 400)] * 200, 80_000)) < 0.1


def test_the_time_left_is_true_on_a_machine_that_is_quick_and_slow_by_turns() -> None:
    by_turns = ([(1.0, 120)] * 40 + [(1.0, 60)] * 40) * 10
    assert worst_off(told(by_turns, 72_000), ending_s=90) < 0.2


@pytest.mark.parametrize("known", [1_000, 20_000])
def test_rows_that_were_skipped_do_not_count_for_long(known: int) -> None:
    skipped, slow = [(0.5, 1_000)] * (known // 1_000), [(1.0, 50)] * 800
    assert worst_off(told([*skipped, *slow], known + 40_000)) < 0.2


def test_nothing_is_said_before_anything_is_done() -> None:
    assert [left for _, _, left in told([(1.0, 0), (1.0, 0), (1.0, 10)], 100)] == [None, None, pytest.approx(18)]
