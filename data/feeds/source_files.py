"""Snapshots of which files exist and when they last changed, taken without reading any of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lookalike.data.errors import FeedError
from lookalike.data.feeds.folder_walk import walk

__all__ = ["Mark", "Sighting", "look_at_files", "look_at_folder"]

Mark = tuple[int, int, int, int]
"""State of a file: size in bytes, modification time and change time in nanoseconds, and inode number.

A file with the same mark as before has not changed in between.
"""


@dataclass(frozen=True, slots=True)
class Sighting:
    """The files that were seen, and in `unclear` the paths that could not be examined, nor anything below them."""

    files: Mapping[bytes, Mark]
    unclear: tuple[bytes, ...] = ()

    def is_clear(self, file: bytes) -> bool:
        """Return whether a file that was not seen is known not to exist."""
        return not any(file == path or file.startswith(path + b"/") for path in self.unclear)


def look_at_folder(folder: Path) -> Sighting:
    """Return the state of all files of a folder except hidden ones, by their relative paths.

    Raises:
        FeedError: the folder does not exist, or cannot be listed.
    """
    root = os.fsencode(folder)
    unclear: list[bytes] = []

    def record(error: OSError) -> None:
        path = os.fsencode(error.filename)
        if path == root:
            raise FeedError(f"The folder {folder.name!r} cannot be listed: {error.strerror}.") from error
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            unclear.append(os.path.relpath(path, root))

    files: dict[bytes, Mark] = {}
    for file in walk(folder, record, with_sidecars=True):
        mark = _mark(root + b"/" + file, file, unclear)
        if mark is not None:
            files[file] = mark
    return Sighting(files, tuple(unclear))


def look_at_files(paths: Sequence[Path]) -> Sighting:
    """Return the state of the files `paths`, by their full paths."""
    unclear: list[bytes] = []
    marks = {name: _mark(name, name, unclear) for name in map(os.fsencode, paths)}
    return Sighting({name: mark for name, mark in marks.items() if mark is not None}, tuple(unclear))


def _mark(path: bytes, name: bytes, unclear: list[bytes]) -> Mark | None:
    try:
        try:
            status = os.stat(path)  # noqa: PTH116  # a path of bytes
        except FileNotFoundError:
            status = os.lstat(path)  # a broken link exists, too
    except FileNotFoundError:
        return None
    except OSError:
        unclear.append(name)
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
