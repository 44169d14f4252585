"""Waiting for something to happen to files: the system tells where it can, and otherwise some time passes.

Systems do not tell of what other machines do on a network drive, and have limits on how much they watch. Hence what is
told only ever ends the waiting sooner: whoever waits looks for himself, also when nothing was told.
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
    """Waits on a folder, or on the folder that some files lie in. A context manager.

    `matters` says of a changed path whether it is worth waking for. `stop` ends any waiting.
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
        """Whether the system tells of changes."""
        return self._told is not None

    def wait(self, timeout_s: float) -> bool:
        """Wait until something happens, or for so long; return whether something did."""
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
        """Ask the system to tell; once in a while again where it did not, and when the folder is another one."""
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
