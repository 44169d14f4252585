"""How hard each host is asked: so many requests at a time, a pause when it asks for one, no more once it is silent."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from lookalike.data.errors import FetchFailed

__all__ = ["Hosts", "Stopped"]

_SILENT_REQUESTS = 16


class Stopped(Exception):  # not an error: nobody waits for the picture any more
    """Fetching was stopped while this was waiting or reading."""


class Hosts:
    """Gives turns to the threads that ask: `per_host` at a time for each host.

    A host that has not answered `_SILENT_REQUESTS` requests running, over at least `patience_s`, is given up: what
    else there is to fetch from it fails at once.
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
        """Wait until the host may be asked, and count as asking it meanwhile.

        Raises:
            FetchFailed: the host is given up.
            Stopped: no more is to be asked.
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
        """Ask the host nothing for so long."""
        with self._changed:
            self._paused_until[host] = max(self._paused_until.get(host, 0.0), time.monotonic() + seconds)

    def give_up(self, host: str, reason: str) -> None:
        """Ask the host nothing more; what waits for it fails for that reason."""
        with self._changed:
            self._given_up.setdefault(host, reason)
            self._changed.notify_all()

    def note_answer(self, host: str) -> None:
        """Count that the host answered, whatever it was."""
        with self._changed:
            self._silent.pop(host, None)

    def note_silence(self, host: str) -> None:
        """Count that the host did not answer, or broke off."""
        now = time.monotonic()
        with self._changed:
            count, since = self._silent.get(host, (0, now))
            self._silent[host] = count + 1, since
        if count + 1 >= _SILENT_REQUESTS and now - since >= self._patience_s:
            self.give_up(
                host, f"{host} has not answered {count + 1} requests running; it is not asked again this time."
            )

    def sleep(self, seconds: float) -> None:
        """Wait.

        Raises:
            Stopped: no more is to be asked.
        """
        until = time.monotonic() + seconds
        with self._changed:
            while not self._stopped and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            if self._stopped:
                raise Stopped

    def stop(self) -> None:
        """End all waiting, now and in future."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _wait_s(self, host: str) -> float | None:
        """Say how long a turn has to wait: None not at all, 0 until another ends."""
        if self._stopped:
            raise Stopped
        if host in self._given_up:
            raise FetchFailed(self._given_up[host], temporary=True)
        pause_s = self._paused_until.get(host, 0.0) - time.monotonic()
        if pause_s > 0:
            return pause_s
        return 0.0 if self._running[host] >= self._per_host else None
