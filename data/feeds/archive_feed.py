"""Archives as feeds: either a folder of pictures, or a feed file with its pictures beside it."""

from __future__ import annotations

import posixpath
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

from lookalike.data.archives.archive import Archive, clean_name
from lookalike.data.errors import FeedError, NotAPicture
from lookalike.data.feeds.folder import picture_item
from lookalike.data.feeds.named_pictures import Resolve
from lookalike.data.feeds.table import Row, Table
from lookalike.data.feeds.tables import TABLE_SUFFIXES, open_table
from lookalike.data.field_type import FieldType
from lookalike.data.item import Item, ItemImage, Rejected
from lookalike.data.pictures.picture_sources import Address, Member, Stored, Unreadable, is_address
from lookalike.data.pictures.sidecars import Sidecars, sidecars_among
from lookalike.data.pictures.video import VIDEO_SUFFIXES

__all__ = ["ExtractedFeed", "archive_resolver", "find_feed", "items_of_archive", "rejection_of", "sidecars_of_archive"]

_MAX_FEED_BYTES = 1024**3


def sidecars_of_archive(names: Iterable[str]) -> Sidecars:
    """Return the sidecars among the files of an archive, all under their names in it."""
    by_folder: dict[str, list[str]] = {}
    for name in names:
        by_folder.setdefault(posixpath.dirname(name), []).append(posixpath.basename(name))
    of: dict[str, list[str]] = {}
    found: set[str] = set()
    for folder, files in by_folder.items():
        beside = sidecars_among(files)
        found.update(posixpath.join(folder, name) for name in beside.names)
        for picture, owned in beside.of.items():
            of[posixpath.join(folder, picture)] = [posixpath.join(folder, name) for name in owned]
    return Sidecars(of, frozenset(found))


def items_of_archive(archive: Archive, beside: Sidecars) -> Iterator[Item | Rejected]:
    """Yield one item for every file of an archive of pictures; a refused member becomes a rejected row.

    The sidecars in `beside` are left out, and are read if the archive has random access.
    """
    places: dict[str, Stored] = {}
    if archive.random_access and beside.names:
        places = {member.name: member.place for member in archive if member.name in beside.names}
    pictures = (member for member in archive if member.name not in beside.names)
    for number, member in enumerate(pictures, start=1):
        if member.refused:
            yield rejection_of(number, member)
        else:
            sidecars = tuple(places[name] for name in beside.of.get(member.name, ()) if name in places)
            yield picture_item(number, member.name, _place_of(member), sidecars)


def _place_of(member: Member) -> Stored:
    """Return where a member's bytes are. Videos are refused, because they are only decoded from files of their own."""
    if member.name.lower().endswith(VIDEO_SUFFIXES):
        return Unreadable("This is a video; videos in archives are not read. Unpack the archive and index the folder.")
    return member.place


def rejection_of(number: int, member: Member) -> Rejected:
    """Return row `number` as rejected, with the reason why its member of the archive is refused."""
    name = member.name if member.name.isprintable() else ascii(member.name)
    return Rejected(number, member.refused, source=name)


def find_feed(names: list[str], archive: str) -> str | None:
    """Return the feed file among the file names of an archive, or None.

    It lies at the top level, or in the single folder that holds all files.

    Raises:
        FeedError: there are several feed files.
    """
    folders = {name.split("/")[0] if "/" in name else "" for name in names}
    top = f"{folders.pop()}/" if len(folders) == 1 and "" not in folders else ""
    found = [
        name
        for name in names
        if name.lower().endswith(TABLE_SUFFIXES) and name.startswith(top) and "/" not in name[len(top) :]
    ]
    if len(found) > 1:
        raise FeedError(
            f"{archive} has several feeds: {', '.join(sorted(found)[:5])}.", remedy="Unpack it and index each by name."
        )
    return found[0] if found else None


class ExtractedFeed:
    """A feed file copied out of an archive into a temporary folder, which is removed with the last reference to it."""

    def __init__(self, archive: Archive, name: str) -> None:
        """Copy the member `name` out of `archive`.

        Raises:
            FeedError: the member cannot be read, or is larger than 1 GiB.
        """
        self._shown = f"{name} in {archive.name}"
        place = next(member.place for member in archive if member.name == name)
        try:
            content = place.read(max_bytes=_MAX_FEED_BYTES)
        except NotAPicture as error:
            raise FeedError(f"{self._shown} cannot be read: {error}") from error
        folder = Path(tempfile.mkdtemp(prefix="lookalike-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._path = folder / f"feed{PurePosixPath(name).suffix.lower()}"
        self._path.write_bytes(content)

    def table(self, types: Mapping[str, FieldType], text_columns: frozenset[str]) -> Table:
        """Open the feed; arguments and errors are as for `open_table`."""
        try:
            table = open_table(self._path, types=types, text_columns=text_columns)
        except FeedError as error:
            raise FeedError(str(error).replace(self._path.name, self._shown)) from error
        return replace(table, read=partial(self._read, table))

    def _read(self, table: Table) -> Iterator[Row | Rejected]:
        yield from table.read()


def archive_resolver(archive: Archive, feed: str) -> Resolve:
    """Return a function that finds pictures within an archive, by paths relative to the feed in it."""
    places = {member.name: _place_of(member) for member in reversed(list(archive))}
    folder = posixpath.dirname(feed)

    def resolve(source: str) -> ItemImage:
        if is_address(source):
            return ItemImage(source, Address(source))
        for separated in (source, source.replace("\\", "/")):
            for name in (clean_name(posixpath.join(folder, separated)), clean_name(separated)):
                if name in places:
                    return ItemImage(source, places[name])
        return ItemImage(source, Unreadable("There is no such file in the archive."))

    return resolve
