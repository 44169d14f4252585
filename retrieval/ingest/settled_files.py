"""Which files of a watched source are ready to be read, and which are gone: decided look by look, without a clock.

A file is ready when it has been seen twice, some time apart, in the same state: whoever writes it has finished, or
pauses, and then it changes again. A file is gone when it has been missing for longer: programs that save a file often
put another in its place.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lookalike.data.feeds.source_files import Mark, Sighting

__all__ = ["FEW", "Changes", "Settling"]

FEW = 20
"""With less than that, more than half may go at once, but not all."""
_UNSETTLED: Mark = (-1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be done after a look: files to read, files that are gone, and how many more are not settled yet.

    `held` says, in place of `gone`, how many are missing when that are too many to be believed.
    """

    ready: tuple[bytes, ...] = ()
    gone: tuple[bytes, ...] = ()
    unsettled: int = 0
    held: int = 0


class Settling:
    """What is known of the files of one source; `settle_s` and `missing_s` are how long to wait, in seconds."""

    def __init__(self, *, settle_s: float, missing_s: float) -> None:
        self._settle_s = settle_s
        self._missing_s = missing_s
        self._known: dict[bytes, Mark] = {}
        self._changing: dict[bytes, tuple[Mark, float]] = {}
        self._missing: dict[bytes, float] = {}

    @property
    def count(self) -> int:
        """How many files are known."""
        return len(self._known)

    def look(self, sighting: Sighting, now: float) -> Changes:
        """Compare what is seen with what is known, `now` being a time in seconds that never goes back."""
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
        """Note what has been done about the changes of the last look."""
        for file in read:
            self._known[file] = self._changing.pop(file)[0]
        for file in removed:
            del self._known[file]
            del self._missing[file]

    def know(self, sighting: Sighting, before_ns: int) -> None:
        """Take what is seen as read; what was changed at `before_ns` (of the system's clock) or later is read again."""
        self._known = {
            file: mark if max(mark[1], mark[2]) < before_ns else _UNSETTLED for file, mark in sighting.files.items()
        }
