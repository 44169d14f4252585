"""The members of a zip archive, read at any place and by any thread."""

from __future__ import annotations

import contextlib
import stat
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lookalike.data.errors import FeedError, NotAPicture
from lookalike.data.pictures.picture_sources import Member, Nowhere, check_size

__all__ = ["ZipReader"]

_ENCRYPTED = 0x1
_NAME_IS_UTF8 = 0x800
_MADE_ON_UNIX = 3


class ZipReader:
    """A zip archive."""

    at_random = True

    def __init__(self, path: Path) -> None:
        """Open a zip archive and read its directory.

        Raises:
            FeedError: it is damaged, of several parts, or encrypted as a whole.
        """
        self._lock = threading.Lock()  # `ZipFile` counts its open members without one
        try:
            self._zip = zipfile.ZipFile(path)
        except Exception as error:  # a parser given hostile bytes may raise anything
            raise FeedError(f"{path.name} is not a zip archive, or is damaged: {error}.") from error
        self._files = [info for info in self._zip.infolist() if not info.is_dir()]
        if self._files and all(info.flag_bits & _ENCRYPTED for info in self._files):
            raise FeedError(f"{path.name} is encrypted; unpack it with its password and index the folder.")

    def members(self) -> Iterator[Member]:
        """Yield the files in the order of the archive's directory."""
        for info in self._files:
            reason = _why_refused(info)
            place = Nowhere(reason) if reason else _Zipped(self, info)
            yield Member(_name_of(info), place, reason)

    def read(self, info: zipfile.ZipInfo, max_bytes: int) -> bytes:
        """Read a member whole, as far as the directory says that it goes.

        Raises:
            NotAPicture: it is damaged, larger than `max_bytes`, or compressed in a way that is not read here.
        """
        check_size(info.file_size, max_bytes)
        try:
            with self._lock:
                file = self._zip.open(info)
            try:
                content = file.read(max_bytes)
            finally:
                with self._lock:
                    file.close()
        except NotImplementedError as error:
            raise NotAPicture(f"It is compressed in a way that is not read here ({error}).") from error
        except Exception as error:  # as above
            raise NotAPicture(f"It is damaged in the archive: {error or type(error).__name__}.") from error
        if len(content) < info.file_size:
            raise NotAPicture("It is damaged in the archive: it is shorter than the archive says.")
        return content


@dataclass(frozen=True, slots=True, eq=False)
class _Zipped:
    archive: ZipReader
    info: zipfile.ZipInfo

    def read(self, *, max_bytes: int) -> bytes:
        return self.archive.read(self.info, max_bytes)


def _why_refused(info: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == _MADE_ON_UNIX else 0
    if info.flag_bits & _ENCRYPTED:
        return "It is encrypted; unpack the archive with its password and index the folder."
    if kind == stat.S_IFLNK:
        return "It is a link, not a file; links in archives are not followed."
    if kind not in (0, stat.S_IFREG):
        return "It is a device, a pipe or the like, not a file."
    return ""


def _name_of(info: zipfile.ZipInfo) -> str:
    """Return a member's name with `/` between its parts; without a mark it is UTF-8 where it reads as that."""
    name = info.filename
    if not info.flag_bits & _NAME_IS_UTF8:
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")
