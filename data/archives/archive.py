"""Zip and tar archives, read in place: a member's name is only ever a key, never a path on this machine.

What could lead out of the archive, or to nothing (links, devices, encrypted members), is refused with the reason. Sizes
that an archive declares are not trusted: no member is read further than the limit on pictures.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from lookalike.data.archives.tar_archive import TarReader
from lookalike.data.archives.zip_archive import ZipReader
from lookalike.data.errors import FeedError
from lookalike.data.feeds.folder import is_hidden
from lookalike.data.pictures.picture_sources import Member, Nowhere
from lookalike.data.record_files import is_record_file

__all__ = ["Archive", "clean_name", "is_archive", "is_tar", "open_archive"]

_TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst")
_MAX_MEMBERS = 10_000_000
_DRIVE = re.compile(r"[A-Za-z]:(?=/)")


class Archive:
    """An archive of any kind; its files can be gone through any number of times.

    `at_random` says whether members can be read in any order, and later than the iteration comes by them; otherwise
    they are in memory when it does.
    """

    def __init__(self, name: str, reader: ZipReader | TarReader) -> None:
        self.name = name
        self.at_random = reader.at_random
        self._reader = reader

    def __iter__(self) -> Iterator[Member]:
        """Yield the files by their clean names, in the order of the archive; hidden ones are left out.

        Raises:
            FeedError: it cannot be read at all, or has more than ten million members.
        """
        for count, member in enumerate(self._reader.members(), start=1):
            if count > _MAX_MEMBERS:
                raise FeedError(f"{self.name} has more than {_MAX_MEMBERS:,} members; make several archives of it.")
            name = clean_name(member.name)
            if name is None:
                reason = "Its name leads out of the archive."
                yield Member(member.name, Nowhere(reason), reason)
            elif not is_hidden(name):
                yield Member(name, member.place, member.refused)

    def made_random(self) -> Archive:
        """Return the archive with members that can be read in any order, unpacked into a nameless file if need be.

        Raises:
            FeedError: there is no room for it, or it is damaged.
        """
        if isinstance(self._reader, TarReader) and not self.at_random:
            return Archive(self.name, self._reader.unpacked())
        return self


def is_tar(name: str) -> bool:
    """Say whether a file is a tar archive, by its name."""
    return name.lower().endswith(_TAR_SUFFIXES)


def is_archive(name: str) -> bool:
    """Say whether a file is an archive, by its name."""
    return is_tar(name) or name.lower().endswith(".zip")


def open_archive(path: Path) -> Archive:
    """Open an archive; whether it is zip or tar, and how it is compressed, is seen by its content.

    Raises:
        FeedError: there is none, or it is damaged, encrypted, or of a kind that is not read.
    """
    if is_record_file(path):
        raise FeedError(f"{path.name} belongs to a catalog's records; it is no archive.")
    try:
        with path.open("rb") as file:
            is_zip = file.read(2) == b"PK"
        is_zip = is_zip or (path.suffix.lower() == ".zip" and zipfile.is_zipfile(path))  # one that unpacks itself
        return Archive(path.name, ZipReader(path) if is_zip else TarReader(path))
    except FileNotFoundError as error:
        raise FeedError(f"There is no archive at {path.name!r}.") from error
    except OSError as error:
        raise FeedError(f"{path.name} cannot be read: {error.strerror or error}.") from error


def clean_name(raw: str) -> str | None:
    """Return a member's name without what only means something on a disk; None where it leads out of the archive.

    A leading `/` or drive, empty parts and `.` are dropped, and `a/../b` is `b`.
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
