"""Files and folders that are not pictures of a collection, by their names: they are left out and counted by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum

__all__ = ["LeftOut", "kind_of_file", "kind_of_folder", "kind_of_path", "note_of"]


class LeftOut(StrEnum):
    """Why a file or folder is left out; the value is the singular of a noun phrase."""

    HIDDEN_FILE = "hidden file"
    HIDDEN_FOLDER = "hidden folder"
    SYSTEM_FILE = "file of the operating system"
    SYSTEM_FOLDER = "folder of the operating system"
    BIN = "recycle bin"
    THUMBNAILS = "folder of thumbnails"
    LIGHTROOM = "Lightroom file or folder"
    SIDECAR = "sidecar"
    CATALOG = "catalog"
    LINK = "link to a folder that is read already"


_PLURALS: Mapping[LeftOut, str] = {
    LeftOut.SYSTEM_FILE: "files of the operating system",
    LeftOut.SYSTEM_FOLDER: "folders of the operating system",
    LeftOut.THUMBNAILS: "folders of thumbnails",
    LeftOut.LIGHTROOM: "Lightroom files and folders",
    LeftOut.LINK: "links to folders that are read already",
}

_FOLDERS: Mapping[str, LeftOut] = {
    "@eadir": LeftOut.THUMBNAILS,
    "#recycle": LeftOut.BIN,
    "@recycle": LeftOut.BIN,
    "$recycle.bin": LeftOut.BIN,
    "recycler": LeftOut.BIN,
    "recycled": LeftOut.BIN,
    ".recycle": LeftOut.BIN,
    "#snapshot": LeftOut.SYSTEM_FOLDER,
    "system volume information": LeftOut.SYSTEM_FOLDER,
    "__macosx": LeftOut.SYSTEM_FOLDER,
}
_FILES = frozenset(("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", ".ds_store", ".picasa.ini"))
_LIGHTROOM_FOLDERS = (".lrdata", ".lrcat-data")
_LIGHTROOM_FILES = (".lrcat", ".lrcat-wal", ".lrcat-shm", ".lrcat.lock", ".lrprev")


def kind_of_folder(name: str) -> LeftOut | None:
    """Return the reason to leave out a folder, or None."""
    lowered = name.lower()
    if lowered.startswith(".trash"):
        return LeftOut.BIN
    if lowered in _FOLDERS:
        return _FOLDERS[lowered]
    if lowered.endswith(_LIGHTROOM_FOLDERS):
        return LeftOut.LIGHTROOM
    return LeftOut.HIDDEN_FOLDER if name.startswith(".") else None


def kind_of_file(name: str) -> LeftOut | None:
    """Return the reason to leave out a file, or None. Sidecars are known only by the files beside them."""
    lowered = name.lower()
    if lowered in _FILES or lowered.startswith("._"):
        return LeftOut.SYSTEM_FILE
    if lowered.endswith(_LIGHTROOM_FILES):
        return LeftOut.LIGHTROOM
    return LeftOut.HIDDEN_FILE if name.startswith(".") else None


def kind_of_path(path: str) -> LeftOut | None:
    """Return the reason to leave out a file of an archive, by its name or by a folder it is in, or None."""
    *folders, file = path.split("/")
    found = (kind for folder in folders if (kind := kind_of_folder(folder)) is not None)
    return next(found, None) or kind_of_file(file)


def note_of(counts: Counter[LeftOut]) -> tuple[str, ...]:
    """Return the sentence that says what was left out, or an empty tuple if nothing was."""
    parts = [f"{counts[kind]:,} {_noun(kind, counts[kind])}" for kind in LeftOut if counts[kind]]
    return (f"Left out: {', '.join(parts)}",) if parts else ()


def _noun(kind: LeftOut, count: int) -> str:
    return kind.value if count == 1 else _PLURALS.get(kind, f"{kind.value}s")
