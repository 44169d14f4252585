"""Which files of a watched source are ready to be read, and which are gone: decided at each look, without a clock.

A file is ready when it has been seen twice, some time apart, in the same state: its writer has finished, or pauses, in
which case it will change again. A file is gone when it has been missing for longer, since programs that save a file
often replace it with another one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lookalike.data.feeds.source_files import Mark, Sighting

__all__ = ["FEW", "Changes", "Settling"]

FEW = 20
"""With fewer files, more than half may go at once, but not all."""
_UNSETTLED: Mark = (-1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Changes:
    """The result of a look: files to read, files that are gone, and the number of files that are not settled yet.

    `held` replaces `gone` when so many files are missing that it is not plausible, and is their number.
    """

    ready: tuple[bytes, ...] = ()
    gone: tuple[bytes, ...] = ()
    unsettled: int = 0
    held: int = 0


class Settling:
    """The known files of one source; `settle_s` and `missing_s` are how long to wait, in seconds."""

    def __init__(self, *, settle_s: float, missing_s: float) -> None:
        self._settle_s = settle_s
        self._missing_s = missing_s
        self._known: dict[bytes, Mark] = {}
        self._changing: dict[bytes, tuple[Mark, float]] = {}
        self._missing: dict[bytes, float] = {}

    @property
    def count(self) -> int:
        """The number of known files."""
        return len(self._known)

    def look(self, sighting: Sighting, now: float) -> Changes:
        """Compare a sighting with the known files; `now` is a monotonic time in seconds."""
        changing: dict[bytes, tuple[Mark, float]] = {}
        ready = []
        for file, mark in sighting.files.items():
            if self._known.get(file) != mark:
                before, since = self._changing.get(file, (mark, now))
                changing[file] = (mark, since if before == mark else now)
                if now - changing[file][1] >= self._settle_s:
                    ready.append(file)
        self._changing = changing
        self._missing = {
            file: self._missing.get(file, now)
            for file in self._known.keys() - sighting.files.keys()
            if sighting.is_clear(file)
        }
        gone = tuple(file for file, since in self._missing.items() if now - since >= self._missing_s)
        unsettled = len(changing) - len(ready) + len(self._missing) - len(gone)
        if len(gone) == self.count or (len(gone) * 2 > self.count >= FEW):
            return Changes(tuple(ready), (), unsettled, held=len(gone))
        return Changes(tuple(ready), tuple(sorted(gone)), unsettled)

    def done(self, read: Iterable[bytes] = (), removed: Iterable[bytes] = ()) -> None:
        """Record which changes of the last look have been handled."""
        for file in read:
            self._known[file] = self._changing.pop(file)[0]
        for file in removed:
            del self._known[file]
            del self._missing[file]

    def know(self, sighting: Sighting, before_ns: int) -> None:
        """Mark the files seen as read, except those changed at or after `before_ns` (system clock), to be reread."""
        self._known = {
            file: mark if max(mark[1], mark[2]) < before_ns else _UNSETTLED for file, mark in sighting.files.items()
        }
