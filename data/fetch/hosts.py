"""Request limits for each host: how many at a time, pauses the host asks for, and giving up on a silent host."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from lookalike.data.errors import FetchFailed

__all__ = ["Hosts", "Stopped"]

_SILENT_REQUESTS = 16


class Stopped(Exception):  # not an error: the caller no longer wants the picture
    """Fetching was stopped while a request was waiting or reading."""


class Hosts:
    """Admits requests to hosts: at most `per_host` at a time for each host.

    A host that leaves `_SILENT_REQUESTS` consecutive requests unanswered, over at least `patience_s` seconds, is given
    up: all further requests to it fail at once.
    """

    def __init__(self, per_host: int, *, patience_s: float) -> None:
        self._per_host = per_host
        self._patience_s = patience_s
        self._changed = threading.Condition()
        self._stopped = False
        self._running: Counter[str] = Counter()
        self._paused_until: dict[str, float] = {}
        self._silent: dict[str, tuple[int, float]] = {}
        self._given_up: dict[str, str] = {}

    @contextmanager
    def turn(self, host: str) -> Iterator[None]:
        """Wait until `host` may be asked, and count as one of its requests while the block runs.

        Raises:
            FetchFailed: the host was given up.
            Stopped: `stop` was called.
        """
        with self._changed:
            while (wait_s := self._wait_s(host)) is not None:
                self._changed.wait(wait_s or None)
            self._running[host] += 1
        try:
            yield
        finally:
            with self._changed:
                self._running[host] -= 1
                if not self._running[host]:
                    del self._running[host]
                self._changed.notify_all()

    def pause(self, host: str, seconds: float) -> None:
        """Send no request to `host` for the next `seconds`."""
        with self._changed:
            self._paused_until[host] = max(self._paused_until.get(host, 0.0), time.monotonic() + seconds)

    def give_up(self, host: str, reason: str) -> None:
        """Send no more requests to `host`; those that wait for it fail with `reason`."""
        with self._changed:
            self._given_up.setdefault(host, reason)
            self._changed.notify_all()

    def note_answer(self, host: str) -> None:
        """Record that the host answered, whatever the answer was."""
        with self._changed:
            self._silent.pop(host, None)

    def note_silence(self, host: str) -> None:
        """Record that the host did not answer, or broke off the connection."""
        now = time.monotonic()
        with self._changed:
            count, since = self._silent.get(host, (0, now))
            self._silent[host] = count + 1, since
        if count + 1 >= _SILENT_REQUESTS and now - since >= self._patience_s:
            self.give_up(
                host, f"{host} has not answered {count + 1} requests in a row; it is not asked again this time."
            )

    def sleep(self, seconds: float) -> None:
        """Sleep for `seconds`.

        Raises:
            Stopped: `stop` was called, before or during the sleep.
        """
        until = time.monotonic() + seconds
        with self._changed:
            while not self._stopped and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            if self._stopped:
                raise Stopped

    def stop(self) -> None:
        """End every wait, present and future."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _wait_s(self, host: str) -> float | None:
        """Return how long to wait for a turn, in seconds: None not at all, 0 until another request ends."""
        if self._stopped:
            raise Stopped
        if host in self._given_up:
            raise FetchFailed(self._given_up[host], temporary=True)
        pause_s = self._paused_until.get(host, 0.0) - time.monotonic()
        if pause_s > 0:
            return pause_s
        return 0.0 if self._running[host] >= self._per_host else None
