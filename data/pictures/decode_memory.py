"""Memory for decoding, shared by all threads. A picture waits until enough of it is free."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["MAX_DECODE_BYTES", "DecodeMemory", "decode_memory"]

MAX_DECODE_BYTES = 1536 * 1024 * 1024
"""Memory in bytes for all pictures being decoded together; a picture that needs more by itself is refused."""


class DecodeMemory:
    """A budget of `size` bytes, granted in order of arrival."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.reset()

    def reset(self) -> None:
        """Free all bytes, as in the child of a fork, where the threads that had reserved some no longer exist."""
        self._free = self.size
        self._changed = threading.Condition()
        self._turn = threading.Lock()

    @contextmanager
    def reserve(self, count: int) -> Iterator[None]:
        """Wait until `count` bytes (at most `size`) are free, and reserve them while the block runs."""
        with self._turn, self._changed:  # one waits at a time, or small pictures could starve a large one
            self._changed.wait_for(lambda: self._free >= count)
            self._free -= count
        try:
            yield
        finally:
            with self._changed:
                self._free += count
                self._changed.notify_all()


decode_memory = DecodeMemory(MAX_DECODE_BYTES)
os.register_at_fork(after_in_child=decode_memory.reset)
