"""Who gets the processors during an index run: the threads that load pictures, or the model.

Both at once on every processor is slow, since each waits for the other in the middle of its work: two threads of each
on two processors indexed 102 pictures a second where one of each indexed 133. So what a picture costs on either side
is measured at the start of a run, and the processors are shared out by it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Processors"]

_MEASURED_PICTURES = 64


class Processors:
    """Shares `count` processors: half for loading at first, then by what the first pictures cost."""

    def __init__(self, count: int) -> None:
        self.count = max(count, 1)
        self.model = max(self.count - self.count // 2, 1)
        self.loading = max(self.count - self.model, 1)
        self._lock = threading.Lock()
        self._load_s = 0.0
        self._loaded = 0
        self._encode_s = 0.0
        self._encoded = 0
        self._settled = False

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Count the time that a loading thread really runs."""
        started = time.thread_time()
        yield
        ran = time.thread_time() - started
        with self._lock:
            self._load_s += ran

    def note_loaded(self, pictures: int) -> None:
        """Count pictures that were decoded."""
        with self._lock:
            self._loaded += pictures

    def note_encoded(self, pictures: int, seconds: float) -> bool:
        """Count pictures that the model took so long for; return whether the shares have just been settled."""
        self._encode_s += seconds * self.model
        self._encoded += pictures
        if self._settled or self._encoded < _MEASURED_PICTURES or not self._loaded:
            return False
        self._settled = True
        load, encode = self._load_s / self._loaded, self._encode_s / self._encoded
        self.model = min(max(round(self.count * encode / (encode + load)), 1), self.count)
        self.loading = max(self.count - self.model, 1)
        return True
