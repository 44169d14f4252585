"""Zip and tar archives, read in place. A member's name is only ever a key, never a path on this machine.

Members that point outside the archive, or that hold no readable bytes (links, devices, encrypted members), are refused
with a reason. Declared sizes are not trusted: no member is read beyond the size limit for pictures.
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from lookalike.data.archives.tar_archive import TarReader
from lookalike.data.archives.zip_archive import ZipReader
from lookalike.data.errors import FeedError
from lookalike.data.feeds.left_out import LeftOut, kind_of_path
from lookalike.data.pictures.picture_sources import Member, Unreadable
from lookalike.data.record_files import is_record_file

__all__ = ["Archive", "clean_name", "is_archive", "is_tar", "open_archive"]

_TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst")
_MAX_MEMBERS = 10_000_000
_DRIVE = re.compile(r"[A-Za-z]:(?=/)")


class Archive:
    """An archive of any supported kind. Its files can be iterated any number of times.

    `random_access` tells whether members can be read in any order and after the iteration has passed them. Otherwise
    the iteration holds each member's bytes in memory.
    """

    def __init__(self, name: str, reader: ZipReader | TarReader) -> None:
        self.name = name
        self.random_access = reader.random_access
        self.left_out: Counter[LeftOut] = Counter()
        self._reader = reader

    def __iter__(self) -> Iterator[Member]:
        """Yield the files under their cleaned names, in archive order, without those that are left out by their names.

        A complete iteration counts these in `left_out`.

        Raises:
            FeedError: the archive cannot be read at all, or has more than ten million members.
        """
        left_out: Counter[LeftOut] = Counter()
        for count, member in enumerate(self._reader.members(), start=1):
            if count > _MAX_MEMBERS:
                raise FeedError(
                    f"{self.name} has more than {_MAX_MEMBERS:,} members.", remedy="Split it into several archives."
                )
            name = clean_name(member.name)
            if name is None:
                reason = "Its name points outside the archive."
                yield Member(member.name, Unreadable(reason), reason)
            elif (kind := kind_of_path(name)) is not None:
                left_out[kind] += 1
            else:
                yield Member(name, member.place, member.refused)
        self.left_out = left_out

    def with_random_access(self) -> Archive:
        """Return an archive whose members can be read in any order; it is unpacked into an unnamed file if necessary.

        Raises:
            FeedError: there is not enough disk space, or the archive is damaged.
        """
        if isinstance(self._reader, TarReader) and not self.random_access:
            return Archive(self.name, self._reader.unpacked())
        return self


def is_tar(name: str) -> bool:
    """Return whether a file name has the suffix of a tar archive, compressed or not."""
    return name.lower().endswith(_TAR_SUFFIXES)


def is_archive(name: str) -> bool:
    """Return whether a file name has the suffix of an archive."""
    return is_tar(name) or name.lower().endswith(".zip")


def open_archive(path: Path) -> Archive:
    """Open an archive. Its format and compression are detected from its content.

    Raises:
        FeedError: there is no such file, or it is damaged, encrypted or of an unsupported format.
    """
    if is_record_file(path):
        raise FeedError(f"{path.name} is part of a catalog's records, not an archive.")
    try:
        with path.open("rb") as file:
            is_zip = file.read(2) == b"PK"
        is_zip = is_zip or (path.suffix.lower() == ".zip" and zipfile.is_zipfile(path))  # self-extracting archives
        return Archive(path.name, ZipReader(path) if is_zip else TarReader(path))
    except FileNotFoundError as error:
        raise FeedError(f"There is no archive at {path.name!r}.") from error
    except OSError as error:
        raise FeedError(f"{path.name} cannot be read: {error.strerror or error}.") from error


def clean_name(raw: str) -> str | None:
    """Return a member's name with `/` between its parts, or None if it points outside the archive.

    A leading `/` or drive letter, empty parts and `.` are dropped, and `a/../b` becomes `b`.
    """
    parts: list[str] = []
    for part in _DRIVE.sub("", raw).split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts) or None
