"""Folders of pictures as items: the path is the key, its folders the category and the levels, its name the title.

An archive of pictures is read in the same way. Metadata of the pictures is read later, when their bytes are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from lookalike.data.errors import UsageError
from lookalike.data.feeds.file_names import folder_levels, title_of
from lookalike.data.item import Item, ItemImage, Rejected
from lookalike.data.pictures.picture_sources import Place
from lookalike.data.pictures.sidecars import Sidecars, sidecars_among

__all__ = ["items_of_folder", "picture_item", "pictures_beside", "pictures_of_sidecars", "readable", "readable_path"]


def items_of_folder(folder: Path, files: Sequence[bytes]) -> Iterator[Item | Rejected]:
    """Yield an item for each file; `files` are paths relative to `folder`."""
    listed = b"/"
    beside = Sidecars()
    for number, relative in enumerate(files, start=1):
        parent, _, name = relative.rpartition(b"/")
        if parent != listed:
            listed, beside = parent, _sidecars_in(folder, parent)
        place = folder / os.fsdecode(relative)
        owned = beside.of.get(os.fsdecode(name), ()) if beside.of else ()
        sidecars = tuple(place.parent / one for one in owned)
        yield picture_item(number, readable(relative), place, sidecars)


def picture_item(number: int, key: str, place: Place, sidecars: tuple[Place, ...] = ()) -> Item | Rejected:
    """Return the item of a picture file. `key` is its relative path with `/` between the parts."""
    *folders, file = key.split("/")
    try:
        return Item(
            key=key,
            title=title_of(PurePosixPath(file).stem),
            fields={"category": folders[0] if folders else None, "folder": folder_levels(folders), "file": file},
            images=(ItemImage(key, place, sidecars),),
            row=number,
        )
    except UsageError as error:
        return Rejected(number, str(error), source=ascii(key))


def pictures_beside(folder: Path, files: Sequence[bytes]) -> list[bytes]:
    """Return files of a folder without their sidecars, and with the pictures that those sidecars are about.

    `files` are paths relative to `folder`.
    """
    found: dict[bytes, None] = {}
    for parent, names in _by_parent(files).items():
        beside = _sidecars_in(folder, parent).names
        found.update((os.path.join(parent, name), None) for name in names if os.fsdecode(name) not in beside)  # noqa: PTH118
    return list(found | dict.fromkeys(pictures_of_sidecars(folder, files)))


def pictures_of_sidecars(folder: Path, files: Sequence[bytes]) -> list[bytes]:
    """Return the pictures in a folder that the sidecars among `files` are about, or were about before they went."""
    found: dict[bytes, None] = {}
    for parent, names in _by_parent(files).items():
        asked = {os.fsdecode(name) for name in names}
        for picture, owned in _sidecars_in(folder, parent, also=names).of.items():
            path = os.path.join(parent, os.fsencode(picture))  # noqa: PTH118  # a path of bytes
            if not asked.isdisjoint(owned) and os.path.lexists(os.path.join(os.fsencode(folder), path)):  # noqa: PTH118
                found[path] = None
    return list(found)


def readable(name: bytes) -> str:
    """Return a file name as text; bytes that are not valid UTF-8 are shown as hexadecimal escapes."""
    return name.decode("utf-8", "backslashreplace")


def readable_path(path: Path) -> str:
    """Return a path as text with `/` between its parts; see `readable`."""
    return readable(os.fsencode(path.as_posix()))


def _by_parent(files: Sequence[bytes]) -> dict[bytes, list[bytes]]:
    by_parent: dict[bytes, list[bytes]] = {}
    for relative in files:
        parent, _, name = relative.rpartition(b"/")
        by_parent.setdefault(parent, []).append(name)
    return by_parent


def _sidecars_in(folder: Path, parent: bytes, also: Sequence[bytes] = ()) -> Sidecars:
    try:
        names = os.listdir(os.path.join(os.fsencode(folder), parent))  # noqa: PTH118, PTH208  # a path of bytes
    except OSError:  # it is gone, and so are its pictures
        names = []
    return sidecars_among(os.fsdecode(name) for name in {*names, *also})
