"""The stage of an index run that fetches pictures behind addresses, in its own threads, ahead of the decoding threads.

The threads are daemons and are not waited for when a run is broken off: a name server or a host that does not answer
cannot keep the run from ending.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue

from lookalike.data.fetch.fetched import FetchCounts, Fetched
from lookalike.data.fetch.settings import FetchSettings
from lookalike.retrieval.files.storage import failing

__all__ = ["Fetching"]

_PATIENCE_S = 1.0


class Fetching:
    """Fetches submitted pictures, the earliest first. `folder` keeps the pictures for the next run."""

    def __init__(self, folder: Path, settings: FetchSettings) -> None:
        from lookalike.data.fetch.cache import FetchCache
        from lookalike.data.fetch.fetcher import Fetcher  # the HTTP client is loaded when a feed has an address

        self._folder = folder
        self._settings = settings
        self._fetcher = Fetcher(FetchCache(folder, max_bytes=settings.cache_bytes), settings)
        self._waiting: SimpleQueue[tuple[Future[Fetched], str, Collection[bytes]] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    @property
    def counts(self) -> FetchCounts:
        """Counts of the pictures fetched so far."""
        return self._fetcher.counts

    def submit(self, url: str, known: Collection[bytes]) -> Future[Fetched]:
        """Submit a picture to fetch, without a file if its SHA-256 is `known`. The future may hold a `FetchFailed`."""
        future: Future[Fetched] = Future()
        self._waiting.put((future, url, known))
        if len(self._threads) < self._settings.threads:
            thread = threading.Thread(target=self._work, name=f"fetch-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def let_go(self, fetched: Fetched) -> None:
        """Release the file of a fetched picture once it has been read."""
        self._fetcher.release(fetched)

    def close(self) -> None:
        """Stop fetching, and tidy up the folder."""
        self._fetcher.stop()
        for _ in self._threads:
            self._waiting.put(None)
        until = time.monotonic() + _PATIENCE_S
        for thread in self._threads:
            thread.join(max(until - time.monotonic(), 0))
        with failing(self._folder, "written to"):
            self._fetcher.close()

    def _work(self) -> None:
        while task := self._waiting.get():
            future, url, known = task
            try:
                with failing(self._folder, "written to"):
                    future.set_result(self._fetcher.fetch(url, known=known))
            except BaseException as error:  # raised again where the result is used
                future.set_exception(error)
