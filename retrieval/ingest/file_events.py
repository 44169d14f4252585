"""Waiting for files to change: on notifications of the system if there are any, and otherwise for a fixed time.

Systems do not report changes that other machines make on a network drive, and they limit how much can be watched. So a
notification only ever ends the waiting sooner; the caller checks the files itself, with or without one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from types import TracebackType
from typing import Self

from watchfiles import watch

__all__ = ["Waker"]

_TICK_MS = 200
_GROUP_MS = 100
_TRY_AGAIN_S = 30.0


class Waker:
    """Waits for changes in a folder, or in the folder that some files are in. It is a context manager.

    `matters` returns whether the change of a path is worth waking up for. Setting `stop` ends any wait.
    """

    def __init__(self, folder: Path, *, recursive: bool, matters: Callable[[str], bool], stop: threading.Event) -> None:
        self._folder = folder
        self._recursive = recursive
        self._matters = matters
        self._stop = stop
        self._told: Generator[set[tuple[object, str]]] | None = None
        self._tried_at = -_TRY_AGAIN_S
        self._number: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    @property
    def is_told(self) -> bool:
        """Whether the system reports changes."""
        return self._told is not None

    def wait(self, timeout_s: float) -> bool:
        """Wait until something changes, at most `timeout_s` seconds; return whether something changed."""
        until = time.monotonic() + timeout_s
        while not self._stop.is_set() and (left := until - time.monotonic()) > 0:
            self._listen()
            if self._told is None:
                self._stop.wait(min(left, _TICK_MS / 1000))
                continue
            try:
                if any(self._matters(path) for _, path in next(self._told)):
                    return True
            except (OSError, RuntimeError, StopIteration):
                self._close()
        return False

    def _listen(self) -> None:
        """Subscribe to the system's notifications, retrying from time to time and when the folder has been replaced."""
        number = self._folder_number()
        if number != self._number:
            self._close()
            self._number, self._tried_at = number, -_TRY_AGAIN_S
        now = time.monotonic()
        if self._told is None and number is not None and now - self._tried_at >= _TRY_AGAIN_S:
            self._tried_at = now
            self._told = watch(  # type: ignore[assignment]
                self._folder,
                watch_filter=None,
                debounce=_GROUP_MS,
                step=_GROUP_MS // 2,
                rust_timeout=_TICK_MS,
                yield_on_timeout=True,
                stop_event=self._stop,
                recursive=self._recursive,
                ignore_permission_denied=True,
            )

    def _folder_number(self) -> int | None:
        try:
            return self._folder.stat().st_ino
        except OSError:
            return None

    def _close(self) -> None:
        if self._told is not None:
            self._told.close()
            self._told = None
