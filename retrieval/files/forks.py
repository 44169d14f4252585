"""Cleaning up after a fork: SQLite connections must not be inherited, nor locks that a thread of the parent may hold.

SQLite forbids using a connection in the child of a fork (https://www.sqlite.org/howtocorrupt.html, section 2.6), and
even a new connection of the child would rely on locks that only the parent holds while an old one is open. So:

- before a fork, wait until no thread is inside SQLite or in a transaction that writes;
- in the child, close the inherited connections, which changes nothing in the file because the parent's locks prevent
  it, and let every catalog open new connections when it is next used;
- if a thread did not finish in time, leave the inherited connections as they are, and open no file in the child.

Searching takes the threads of Polars and of OpenMP, which a child does not inherit and cannot restart: it would wait
for them for ever. So the child of a process that has searched can read and write items, but not search.

A thread that imports a module holds a lock of Python's import system, which would stay locked in the child for good. So
modules that NumPy and the standard library import on first use are imported together with this one.

`subprocess` does not run any of this: a program that replaces the process inherits neither descriptors nor locks.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol

from lookalike.data.errors import UsageError

__all__ = [
    "ForkSafeLock",
    "Inherited",
    "depth",
    "in_child",
    "is_safe",
    "needs_threads",
    "opening",
    "register",
    "registered",
]

_WAIT_S = 10.0
_IMPORTED_EARLY = (
    "encodings.utf_8_sig",
    "importlib.readers",
    "importlib.resources._itertools",
    "importlib.resources.readers",
    "numpy.ma",
    "numpy.random",
)


class ForkSafeLock:
    """A reentrant lock that is free in the child of a fork, whichever thread held it in the parent."""

    __slots__ = ("__weakref__", "_lock", "_renewed")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._renewed = False
        _locks.add(self)

    def acquire(self, timeout: float = -1) -> bool:
        """Wait for the lock, at most `timeout` seconds unless it is negative; return whether it was acquired."""
        return self._lock.acquire(timeout=timeout)

    def release(self) -> None:
        """Release the lock. In a child it may be free already, if the forking thread held it."""
        try:
            self._lock.release()
        except RuntimeError:
            if not self._renewed:
                raise

    def renew(self) -> None:
        """Free the lock. Only the child of a fork may do so, where no other thread is left."""
        self._lock, self._renewed = threading.RLock(), True

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Inherited(Protocol):
    """A connection to a file."""

    calls: ForkSafeLock
    """Held by a thread that is inside SQLite or in a transaction that writes."""
    writing: bool
    """Whether a transaction that writes is under way."""

    def abandon(self, *, close: bool) -> None:
        """Abandon the connection in the child of a fork: close it, or leave it as it is for good."""

    def close_now(self) -> None:
        """Close the connection, which no other thread may be using."""


class _Fork(threading.local):
    """The fork that the current thread is making."""

    def __init__(self) -> None:
        self.acquired: list[ForkSafeLock] = []
        self.quiet = True
        self.has_searched = False


_locks: weakref.WeakSet[ForkSafeLock] = weakref.WeakSet()
_connections: weakref.WeakSet[Inherited] = weakref.WeakSet()
_in_child: list[Callable[[], None]] = []
_fork = _Fork()
_safe = True
_can_search = True
_depth = 0

opening = ForkSafeLock()
"""Held while a connection is opened or closed."""


def register(connection: Inherited) -> None:
    """Register a connection to be abandoned in the child of a fork. Call this with `opening` held."""
    _connections.add(connection)


def registered() -> list[Inherited]:
    """Return the open connections. Call this with `opening` held."""
    return list(_connections)


def in_child(call: Callable[[], None]) -> None:
    """Register a function to be called in the child of every fork, after inherited connections were abandoned."""
    _in_child.append(call)


def depth() -> int:
    """Return the number of forks between this process and the one that imported this module."""
    return _depth


def is_safe() -> bool:
    """Return False in a child that was forked while another thread was writing or inside SQLite."""
    return _safe


def needs_threads() -> None:
    """Raise an error if this process lacks threads that searching would wait for for ever.

    Raises:
        UsageError: it is the child of a process that has searched.
    """
    if not _can_search:
        raise UsageError(
            "This process was forked from one that has searched, so it lacks the threads that searching and indexing "
            "take. Fork before the first search, or start the process with multiprocessing's spawn method."
        )


def _before() -> None:
    _fork.has_searched = _has_threads_of_polars()
    deadline = time.monotonic() + _WAIT_S
    _fork.quiet = opening.acquire(timeout=_WAIT_S)
    if not _fork.quiet:
        return
    _fork.acquired.append(opening)
    for connection in registered():
        if connection.calls.acquire(timeout=max(deadline - time.monotonic(), 0.0)):
            _fork.acquired.append(connection.calls)
            _fork.quiet &= not connection.writing  # the thread that forks may be writing itself
        else:
            _fork.quiet = False


def _after_in_parent() -> None:
    while _fork.acquired:
        _fork.acquired.pop().release()


def _after_in_child() -> None:
    global _safe, _can_search, _depth
    _depth += 1
    _can_search = _can_search and not _fork.has_searched
    _fork.acquired.clear()
    for lock in list(_locks):
        lock.renew()
    _safe = _safe and _fork.quiet
    for connection in registered():
        connection.abandon(close=_fork.quiet)
    _connections.clear()
    for call in _in_child:
        call()


def _has_threads_of_polars() -> bool:
    """Return whether the thread pool of Polars runs or, if that cannot be determined, whether Polars is loaded."""
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        return "polars" in sys.modules
    names = []
    for task in tasks.iterdir():
        with suppress(OSError):  # it has ended meanwhile
            names.append((task / "comm").read_text())
    return any(re.match(r"polars-\d", name) for name in names)


for _name in _IMPORTED_EARLY:
    with suppress(ImportError):  # an implementation detail of another version
        importlib.import_module(_name)
os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
