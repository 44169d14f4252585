"""Members of a zip archive, read in any order and from any thread."""

from __future__ import annotations

import stat
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lookalike.data.archives.member_names import decoded_name, encoding_of
from lookalike.data.errors import FeedError, NotAPicture
from lookalike.data.pictures.picture_sources import Member, Unreadable, check_size

__all__ = ["ZipReader"]

_ENCRYPTED = 0x1
_NAME_IS_UTF8 = 0x800
_MADE_ON_UNIX = 3


class ZipReader:
    """An open zip archive; its members can be read in any order."""

    random_access = True

    def __init__(self, path: Path) -> None:
        """Open a zip archive and read its directory.

        Raises:
            FeedError: the archive is damaged, split into several parts, or entirely encrypted.
        """
        self._lock = threading.Lock()  # `ZipFile` counts its open members without a lock
        try:
            self._zip = zipfile.ZipFile(path)
        except Exception as error:  # a parser given hostile bytes may raise anything
            raise FeedError(f"{path.name} is not a zip archive, or is damaged: {error}.") from error
        self._encoding = encoding_of([_raw_name(info) for info in self._zip.infolist() if not _is_marked(info)])
        self._files = [info for info in self._zip.infolist() if not info.is_dir()]
        if self._files and all(info.flag_bits & _ENCRYPTED for info in self._files):
            raise FeedError(f"{path.name} is encrypted.", remedy="Unpack it with its password and index the folder.")

    def members(self) -> Iterator[Member]:
        """Yield the files in the order of the archive's directory."""
        for info in self._files:
            reason = _refusal(info)
            place = Unreadable(reason) if reason else _ZipMember(self, info)
            yield Member(self._name_of(info), place, reason)

    def _name_of(self, info: zipfile.ZipInfo) -> str:
        """Return a member's name with `/` between its parts."""
        name = info.filename if _is_marked(info) else decoded_name(_raw_name(info), self._encoding)
        return name.replace("\\", "/")

    def read(self, info: zipfile.ZipInfo, max_bytes: int) -> bytes:
        """Return the bytes of a member, up to the size that the directory declares.

        Raises:
            NotAPicture: the member is damaged, larger than `max_bytes`, or compressed by an unsupported method.
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
            raise NotAPicture(f"It is compressed by a method that is not supported ({error}).") from error
        except Exception as error:  # see above
            raise NotAPicture(f"It is damaged in the archive: {error or type(error).__name__}.") from error
        if len(content) < info.file_size:
            raise NotAPicture("It is damaged in the archive: it is shorter than the archive declares.")
        return content


@dataclass(frozen=True, slots=True, eq=False)
class _ZipMember:
    archive: ZipReader
    info: zipfile.ZipInfo

    def read(self, *, max_bytes: int) -> bytes:
        return self.archive.read(self.info, max_bytes)


def _refusal(info: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == _MADE_ON_UNIX else 0
    if info.flag_bits & _ENCRYPTED:
        return "It is encrypted; unpack the archive with its password and index the folder."
    if kind == stat.S_IFLNK:
        return "It is a link, not a file; links in archives are not followed."
    if kind not in (0, stat.S_IFREG):
        return "It is a device, a pipe or another special file, not a regular file."
    return ""


def _is_marked(info: zipfile.ZipInfo) -> bool:
    return bool(info.flag_bits & _NAME_IS_UTF8)


def _raw_name(info: zipfile.ZipInfo) -> bytes:
    return info.orig_filename.partition("\0")[0].encode("cp437", "replace")
