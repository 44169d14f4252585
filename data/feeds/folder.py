"""Folders of pictures as items: the path is the key, its first part the category, and the file name the title.

An archive of pictures is read in the same way.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from lookalike.data.catalog_layout import CATALOG_FILE, RECORDS
from lookalike.data.errors import UsageError
from lookalike.data.item import Item, ItemImage, Rejected
from lookalike.data.pictures.picture_sources import Place

__all__ = ["is_catalog", "is_hidden", "items_of_folder", "picture_item", "readable", "walk"]

_CATALOG_FILES = (CATALOG_FILE, RECORDS)


def items_of_folder(folder: Path, files: Sequence[bytes]) -> Iterator[Item | Rejected]:
    """Yield an item for each file; `files` are paths relative to `folder`."""
    for number, relative in enumerate(files, start=1):
        yield picture_item(number, readable(relative), folder / os.fsdecode(relative))


def picture_item(number: int, key: str, place: Place) -> Item | Rejected:
    """Return the item of a picture file. `key` is its relative path with `/` between the parts."""
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
    """Return a file name as text; bytes that are not valid UTF-8 are shown as hexadecimal escapes."""
    return name.decode("utf-8", "backslashreplace")


def is_hidden(key: str) -> bool:
    """Return whether any part of a path begins with a dot."""
    return key.startswith(".") or "/." in key


def is_catalog(folder: bytes) -> bool:
    """Return whether a folder is a Lookalike catalog."""
    with contextlib.suppress(OSError):  # no permission to look into it
        return all(Path(os.fsdecode(folder), file).is_file() for file in _CATALOG_FILES)
    return False


def walk(folder: Path, on_error: Callable[[OSError], None] | None = None) -> Iterator[bytes]:
    """Yield the relative paths of all files below `folder`, folder by folder, without hidden files and catalogs.

    `on_error` is called with the error of each folder that cannot be listed.
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
