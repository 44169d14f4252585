"""A folder of pictures as items: the key is the path in it, the category its first folder, the title the name in words.

An archive of pictures is such a folder too.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from lookalike.data.errors import UsageError
from lookalike.data.item import Item, ItemImage, Rejected
from lookalike.data.pictures.picture_sources import Place
from lookalike.data.record_files import RECORDS

__all__ = ["is_catalog", "is_hidden", "items_of_folder", "picture_item", "readable", "walk"]

_CATALOG_FILES = ("catalog.json", RECORDS)


def items_of_folder(folder: Path, files: Sequence[bytes]) -> Iterator[Item | Rejected]:
    """Make items of files of a folder, named by their paths in it."""
    for number, relative in enumerate(files, start=1):
        yield picture_item(number, readable(relative), folder / os.fsdecode(relative))


def picture_item(number: int, key: str, place: Place) -> Item | Rejected:
    """Make the item of one picture file; `key` is its path with `/` between."""
    parts = key.split("/")
    try:
        return Item(
            key=key,
            title=_words(PurePosixPath(parts[-1]).stem),
            fields={"category": parts[0] if len(parts) > 1 else None},
            images=(ItemImage(key, place),),
            row=number,
        )
    except UsageError as error:
        return Rejected(number, str(error), source=ascii(key))


def readable(name: bytes) -> str:
    """Return a file name as text; bytes that are not UTF-8 are written in hexadecimal."""
    return name.decode("utf-8", "backslashreplace")


def is_hidden(key: str) -> bool:
    """Say whether a path has a part that begins with a dot."""
    return key.startswith(".") or "/." in key


def is_catalog(folder: bytes) -> bool:
    """Say whether a folder is a catalog of ours."""
    with contextlib.suppress(OSError):  # nobody may look into it
        return all(Path(os.fsdecode(folder), file).is_file() for file in _CATALOG_FILES)
    return False


def walk(folder: Path, on_error: Callable[[OSError], None] | None = None) -> Iterator[bytes]:
    """Yield the paths of all files below, relative, folder by folder; hidden files and catalogs are left out.

    `on_error` is told of folders that cannot be listed.
    """
    root = os.fsencode(folder)
    for parent, folders, files in os.walk(root, onerror=on_error):
        folders[:] = sorted(
            name for name in folders if not name.startswith(b".") and not is_catalog(parent + b"/" + name)
        )
        for name in sorted(files):
            if not name.startswith(b"."):
                yield os.path.relpath(parent + b"/" + name, root)


def _words(stem: str) -> str:
    return re.sub(r"[\s_\-+.]+", " ", stem).strip() or stem
