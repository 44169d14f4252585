"""The memory that decoding takes, shared by all threads: a picture waits until there is enough of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["MAX_DECODE_BYTES", "DecodeMemory", "decode_memory"]

MAX_DECODE_BYTES = 1536 * 1024 * 1024
"""What all pictures that are being decoded take together, at most; one that takes more by itself is refused."""


class DecodeMemory:
    """Shares out `size` bytes, first come, first served."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.renew()

    def renew(self) -> None:
        """Let all bytes be free. The child of a fork does so: the threads that had taken some are not there."""
        self._free = self.size
        self._changed = threading.Condition()
        self._turn = threading.Lock()

    @contextmanager
    def taken(self, count: int) -> Iterator[None]:
        """Wait until `count` bytes are free, at most `size`, and keep them while the block runs."""
        with self._turn, self._changed:  # one waits at a time, or small pictures would pass a large one for ever
            self._changed.wait_for(lambda: self._free >= count)
            self._free -= count
        try:
            yield
        finally:
            with self._changed:
                self._free += count
                self._changed.notify_all()


decode_memory = DecodeMemory(MAX_DECODE_BYTES)
os.register_at_fork(after_in_child=decode_memory.renew)
