"""The column of a progress bar that says how long it will still take."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from math import ceil

from rich.progress import ProgressColumn, Task, TaskID
from rich.text import Text

__all__ = ["TimeLeftColumn"]

_SHARE, _SHORTEST_S = 0.5, 30.0
_STEP = 0.005


class TimeLeftColumn(ProgressColumn):
    """The time left, by the speed over the latter half of the time so far, or 30 seconds where that is more.

    Rich looks back 30 seconds only, in which a machine that does something else besides is twice as quick or half; the
    whole time would count, of a run that goes on where another was stopped, the rows that there was nothing to do for.
    """

    max_refresh = 0.5

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[TaskID, deque[tuple[float, float]]] = {}

    def seconds_left(self, task: Task) -> float | None:
        """Reckon the time left of a task as it stands now; None while nothing can be said."""
        elapsed = task.elapsed
        if elapsed is None or task.total is None:
            return None
        seen = self._seen.setdefault(task.id, deque([(0.0, 0.0)]))
        if elapsed - seen[-1][0] >= _STEP * elapsed:
            seen.append((elapsed, task.completed))
        start = elapsed - max(elapsed * _SHARE, _SHORTEST_S)
        while len(seen) > 1 and seen[1][0] <= start:
            seen.popleft()
        since, before = seen[0]
        if elapsed <= since or task.completed <= before:
            return None
        return (task.total - task.completed) * (elapsed - since) / (task.completed - before)

    def render(self, task: Task) -> Text:
        """Show it as 0:01:23."""
        left = 0.0 if task.finished else self.seconds_left(task)
        return Text("-:--:--" if left is None else str(timedelta(seconds=ceil(left))), style="progress.remaining")
