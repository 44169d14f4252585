"""Keeping a catalog in step with a source: new and changed items are indexed, and items that go are removed.

Of a folder of pictures, only the changed files are read. Any other source is read again as a whole when one of its
files has changed. Notifications of the system only end the waiting sooner (`file_events.py`); the changes themselves
are found by looking at the files (`settled_files.py`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lookalike.data.counted import counted
from lookalike.data.errors import FeedError, LookalikeError
from lookalike.data.feeds.feed import Feed, feed_of_files, named_feed
from lookalike.data.feeds.folder import pictures_of_sidecars, readable
from lookalike.data.feeds.source_files import Sighting, look_at_files, look_at_folder
from lookalike.data.feeds.webdataset import expand
from lookalike.data.fetch.settings import FetchSettings
from lookalike.retrieval.core import Core
from lookalike.retrieval.ingest.file_events import Waker
from lookalike.retrieval.ingest.index_run import IndexReport, IndexRun
from lookalike.retrieval.ingest.settled_files import FEW, Changes, Settling

__all__ = ["Look", "Watch"]

SETTLE_S = 1.0
MISSING_S = 2.5
_CLOCKS_DIFFER_S = 2.0
_TOLD_PAUSE_S = 10.0
_UNTOLD_PAUSE_S = 2.0
_MAX_SHARE_OF_TIME = 0.05
_MOST_FILES_AT_ONCE = 1_000
_OPTIMIZE_AFTER_ITEMS = 2_000
_OPTIMIZE_AFTER_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Look:
    """The result of a look at the source.

    `report` is the run's report, or None if nothing was indexed. `removed` is the number of removed items, `files` the
    number of known files, and `unsettled` the number of files that are being written or missing so far. `trouble` is
    what keeps the catalog behind.
    """

    report: IndexReport | None = None
    removed: int = 0
    files: int = 0
    unsettled: int = 0
    trouble: str | None = None
    optimized: bool = False


class Watch:
    """Keeps a catalog in step with one source. Create it, index its `feed` (an `IndexRun`), then iterate over it.

    It yields a `Look` whenever something was done or has changed, and ends when `stop` is set. A temporary error
    (another process is writing, a drive is away) becomes a `trouble`, and the work is tried again.
    """

    def __init__(
        self,
        core: Core,
        source: Path,
        open_source: Callable[[], Feed],
        *,
        fetch: FetchSettings | None = None,
        stop: threading.Event | None = None,
        settle_s: float = SETTLE_S,
        missing_s: float = MISSING_S,
    ) -> None:
        """Look at the source for the first time.

        Raises:
            FeedError: the source does not exist, or cannot be read.
        """
        self._core = core
        self._source = source
        self._open = open_source
        self._fetch = fetch
        self._stop = stop or threading.Event()
        self._settle_s = settle_s
        self._settling = Settling(settle_s=settle_s, missing_s=missing_s)
        self._is_folder = source.is_dir()
        self._paths = [source] if source.exists() else [Path(name) for name in expand(str(source))]
        self._keys: set[str] = set()
        self._changed_items = 0
        self._look_s = 0.0
        before_ns = time.time_ns() - int(max(settle_s, _CLOCKS_DIFFER_S) * 1e9)
        opened = open_source()
        self._pictures = opened.folder
        self._settling.know(self._seen(), before_ns)
        self.feed = opened if self._pictures else opened.noting(self._keys)

    def __iter__(self) -> Iterator[Look]:
        """Watch the source, yielding looks."""
        before = None
        with self._waker() as waker:
            while not self._stop.is_set():
                look = self._look()
                if look != before:
                    yield look
                before = replace(look, report=None, removed=0, optimized=False)
                self._stop.wait(self._look_s)  # looking takes at most half of the time, however much changes
                if look.unsettled:
                    self._stop.wait(self._settle_s / 2)
                else:
                    pause_s = _TOLD_PAUSE_S if waker.is_told and not look.trouble else _UNTOLD_PAUSE_S
                    waker.wait(max(pause_s, self._look_s / _MAX_SHARE_OF_TIME))

    def _waker(self) -> Waker:
        if self._is_folder:
            return Waker(self._source, recursive=True, matters=lambda path: "/." not in path, stop=self._stop)
        names = {path.name for path in self._paths}
        folder = self._paths[0].parent
        return Waker(folder, recursive=False, matters=lambda path: Path(path).name in names, stop=self._stop)

    def _seen(self) -> Sighting:
        return look_at_folder(self._source) if self._is_folder else look_at_files(self._paths)

    def _look(self) -> Look:
        started = time.monotonic()
        try:
            sighting = self._seen()
        except FeedError as error:
            return Look(files=self._settling.count, trouble=f"{error} Nothing is removed.")
        changes = self._settling.look(sighting, started)
        self._look_s = time.monotonic() - started
        report, removed, trouble = None, 0, self._held(changes.held, self._settling.count, "file")
        try:
            if self._pictures:
                report = self._index_files(self._pictures, changes.ready)
                removed, again = self._remove_files(self._pictures, changes.gone)
                report = report or again
            elif changes.ready or changes.gone:
                report, removed, trouble = self._index_anew(changes)
            optimized = self._optimize()
        except (LookalikeError, OSError) as error:
            return Look(report, removed, self._settling.count, changes.unsettled, f"{error} It is tried again.")
        unsettled = changes.unsettled + max(len(changes.ready) - _MOST_FILES_AT_ONCE, 0) * bool(self._pictures)
        return Look(report, removed, self._settling.count, unsettled, trouble, optimized)

    def _held(self, missing: int, of: int, what: str) -> str | None:
        if not missing:
            return None
        return (
            f"{missing:,} of {counted(of, what)} {'is' if missing == 1 else 'are'} missing at once, as when a drive is "
            "away: nothing is removed. To remove them, index the source once with --sync --force."
        )

    def _index_files(self, folder: Path, ready: Sequence[bytes]) -> IndexReport | None:
        """Index changed files of a folder, at most `_MOST_FILES_AT_ONCE`; the next look is at once if more are left."""
        files = sorted(ready)[:_MOST_FILES_AT_ONCE]
        if not files:
            return None
        report = self._run(self._feed_of(folder, files), partial=True)
        if not self._stop.is_set():
            self._settling.done(read=files)
        return report

    def _feed_of(self, folder: Path, files: Sequence[bytes]) -> Feed:
        return named_feed(feed_of_files(folder, files), self.feed.name, self.feed.prefix)

    def _remove_files(self, folder: Path, gone: Sequence[bytes]) -> tuple[int, IndexReport | None]:
        """Remove the items of files that are gone, and index pictures again whose sidecars are gone."""
        if not gone:
            return 0, None
        removed = self._remove([self.feed.prefix + readable(file) for file in gone])
        pictures = pictures_of_sidecars(folder, gone)
        report = self._run(self._feed_of(folder, pictures), partial=True) if pictures else None
        self._settling.done(removed=gone)
        return removed, report

    def _index_anew(self, changes: Changes) -> tuple[IndexReport, int, str | None]:
        """Read a source again, and remove the items that it no longer has."""
        keys: set[str] = set()
        report = self._run(self._open().noting(keys))
        if self._stop.is_set():
            return report, 0, None
        self._settling.done(changes.ready, changes.gone)
        gone = self._keys - keys
        if len(gone) * 2 > len(self._keys) >= FEW or not keys:
            self._keys |= keys
            return report, 0, self._held(len(gone), len(self._keys), "item")
        self._keys = keys
        return report, self._remove(sorted(gone)), None

    def _run(self, feed: Feed, *, partial: bool = False) -> IndexReport:
        """Index a feed, or single rows of it."""
        run = IndexRun(self._core, feed, partial=partial, fetch=self._fetch)
        for _ in run:
            if self._stop.is_set():
                break
        self._changed_items += run.report.added + run.report.updated
        return run.report

    def _remove(self, keys: Sequence[str]) -> int:
        """Remove the items with these keys, except those that another feed has too."""
        records, name = self._core.records, self.feed.name
        with self._core.writer():
            items = [one.item for one in records.ledger.brought(name, keys) if one.alone]
            records.remove_missing(name, keys, items, summary=f"watch {name}")
        self._changed_items += len(items)
        return len(items)

    def _optimize(self) -> bool:
        """Fold the changes into a generation once there are many of them."""
        much = max(_OPTIMIZE_AFTER_ITEMS, int(self._core.records.count() * _OPTIMIZE_AFTER_SHARE))
        if self._changed_items < much:
            return False
        self._core.newest.optimize()
        self._changed_items = 0
        return True
