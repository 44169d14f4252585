"""Where the pictures are that a feed names by paths and addresses."""

from __future__ import annotations

import html
import os
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path, PureWindowsPath
from urllib.parse import quote, unquote, urljoin, urlsplit

from lookalike.data.feeds.picture_lists import WEB
from lookalike.data.item import ItemImage
from lookalike.data.pictures.picture_sources import Address, Unreadable, is_address

__all__ = ["Resolve", "feed_folder_resolver", "found_as"]

Resolve = Callable[[str], ItemImage]
"""Returns the picture that a name in a feed stands for, and where its bytes are."""

_FILE = "file://"
_LISTED_FOLDERS = 256


def feed_folder_resolver(folder: Path, base: str | None = None) -> Resolve:
    """Return a function that finds pictures relative to a folder, or to `base`, a folder or a web address.

    Names may have backslashes, percent signs (`%20`) or entities (`&amp;`) where the file has none, letters in the
    other case, and accents as letters of their own. With `base`, a path that begins with a slash is relative too, as
    Magento writes it; without it, one that does not exist. An absolute path is shown by its file name alone.
    """
    to_web = base is not None and base.lower().startswith(WEB)
    root = folder if base is None or to_web else Path(base)

    def resolve(source: str) -> ItemImage:
        if source.lower().startswith(_FILE):
            return _of_file_address(source)
        if is_address(source):
            return ItemImage(source, Address(source))
        if to_web and base is not None:
            return ItemImage(source.lstrip("/"), Address(_joined(base, source)))
        path = Path(source)
        if PureWindowsPath(source).drive:  # the feed comes from another machine
            return ItemImage(PureWindowsPath(source).name, path)
        if path.is_absolute():
            if base is None and path.exists():
                return ItemImage(path.name, path)
            beneath = _existing(root, source.lstrip("/"))
            if beneath is None and base is None:
                return ItemImage(path.name, path)
            return ItemImage(source.lstrip("/"), beneath or root / source.lstrip("/"))
        return ItemImage(source, _existing(root, source) or root / source)

    return resolve


def found_as(image: ItemImage) -> str | None:
    """Return the name of a picture's file if it differs from the name in the feed by case or accents only."""
    if not isinstance(image.place, Path):
        return None
    name, wanted = image.place.name, PureWindowsPath(image.source).name
    return name if name != wanted and _folded(name) == _folded(wanted) else None


def _of_file_address(source: str) -> ItemImage:
    parts = urlsplit(source)
    path = unquote(parts.path)
    windows = PureWindowsPath(path.lstrip("/"))
    if parts.netloc not in ("", "localhost"):
        return ItemImage(windows.name, Unreadable(f"The file is on another machine ({parts.netloc})."))
    return ItemImage(windows.name, Path(windows) if windows.drive else Path(path))


def _joined(base: str, source: str) -> str:
    """Return the address of a picture that is named relative to another one."""
    name = source.replace("\\", "/").lstrip("/")
    quoted = name if "%" in name else quote(name, safe="/?=&+,;:@~!$'()*")
    return urljoin(base if base.endswith("/") else f"{base}/", f"./{quoted}")


def _existing(root: Path, source: str) -> Path | None:
    """Return the file that a name stands for, or None if there is none."""
    names = list(_readings(source))
    for name in names:
        if os.path.exists(root / name):  # noqa: PTH110  # false for names that no file can have
            return root / name
    return next((path for name in names if (path := _in_other_case(root, name)) is not None), None)


def _readings(source: str) -> Iterator[str]:
    """Yield the names that a name in a feed may stand for, most likely first."""
    seen: set[str] = set()
    for name in (source, source.replace("\\", "/"), unquote(source), html.unescape(source)):
        if name not in seen and "\0" not in name:
            seen.add(name)
            yield name


def _in_other_case(root: Path, name: str) -> Path | None:
    """Return the only file whose path differs by case or accents, or None."""
    place = root
    for part in Path(name).parts:
        if part in (os.curdir, os.pardir) or os.path.exists(place / part):  # noqa: PTH110
            place = place / part
            continue
        alike = _names_in(place).get(_folded(part), ())
        if len(alike) != 1:
            return None
        place = place / alike[0]
    return place


@lru_cache(maxsize=_LISTED_FOLDERS)
def _listed(folder: Path, _changed_ns: int) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name in (entry.name for entry in folder.iterdir()):
        found[_folded(name)] = (*found.get(_folded(name), ()), name)
    return found


def _names_in(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return the names in a folder by their folded form; empty if the folder cannot be listed."""
    try:
        return _listed(folder, folder.stat().st_mtime_ns)
    except (OSError, ValueError):
        return {}


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
