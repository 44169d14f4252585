"""Progress bars on stderr, gone when their work is done."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from lookalike.retrieval.progress import Progress as Listener
from lookalike.ui.cli.terminal import err

__all__ = ["now_and_then", "progress", "shown_progress"]

_SHOWN_EVERY_S: Final = 0.1
_SPEED_PERIOD_S: Final = 160.0
"""The time left is estimated from the speed over this period, or over the last 1,000 updates if they span less."""

StepT = TypeVar("StepT")


def progress() -> Progress:
    """Build a bar with a count, the time left and a rate."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[rate]}"),
        console=err,
        transient=True,
        speed_estimate_period=_SPEED_PERIOD_S,
    )


@contextmanager
def shown_progress() -> Iterator[Listener]:
    """Show a bar; the caller gets the function that moves it."""
    with progress() as bar:
        task = bar.add_task("Starting", total=None, rate="")
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


def now_and_then(steps: Iterable[StepT]) -> Iterator[StepT]:
    """Yield the first of `steps`, then at most one every 0.1 seconds, so that showing them costs no time."""
    shown = 0.0
    for step in steps:
        if time.monotonic() - shown >= _SHOWN_EVERY_S:
            shown = time.monotonic()
            yield step
