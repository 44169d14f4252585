"""Values that are made at first use, once, by whichever thread comes first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Lazy"]

ValueT = TypeVar("ValueT")


class Lazy(Generic[ValueT]):
    """A value that a function makes at first use; if the function raises, the next use calls it again."""

    def __init__(self, make: Callable[[], ValueT]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._value: ValueT | None = None

    @property
    def made(self) -> bool:
        """Whether the value has been made."""
        return self._value is not None

    def get(self) -> ValueT:
        """Return the value; a thread that finds another one making it waits."""
        if self._value is None:
            with self._lock:
                if self._value is None:
                    self._value = self._make()
        return self._value
