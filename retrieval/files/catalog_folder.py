"""The folder of an open catalog: found by its path once, then identified by its device and inode."""

from __future__ import annotations

import fcntl
import os
import weakref
from contextlib import suppress
from pathlib import Path

from lookalike.data.catalog_layout import RECORDS
from lookalike.data.errors import CatalogGone, CatalogNotFound, UsageError
from lookalike.retrieval.files.storage import failing

__all__ = ["CLOSED", "CatalogFolder", "FileId", "id_of"]

CLOSED = "The catalog was closed. Open it again with Catalog.open to continue."
"""The message when a catalog is used after it was closed."""

FileId = tuple[int, int]
"""The device and inode of a file or folder."""

_PATH_ONLY = getattr(os, "O_PATH", os.O_RDONLY)


class CatalogFolder:
    """A folder that stays the same one when its path or the current directory changes.

    While it is open, a descriptor of it is held, so its inode number cannot be reused for another folder.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._id = _id(os.fstat(descriptor))
        self._let_go = weakref.finalize(self, os.close, descriptor)

    @classmethod
    def open(cls, path: Path) -> CatalogFolder:
        """Open a folder by its path, which is resolved here and nowhere else.

        Raises:
            CatalogNotFound: there is no folder at the path.
            StorageFailed: the folder cannot be read.
        """
        with failing(path, "read"):
            try:
                resolved = path.resolve(strict=True)
                return cls(resolved, os.open(resolved, _PATH_ONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            except (FileNotFoundError, NotADirectoryError) as error:
                raise CatalogNotFound(
                    f"There is no catalog at {path}.", remedy=f"Make one with: lookalike index {path} SOURCE"
                ) from error

    @property
    def path(self) -> Path:
        """The current absolute path of the folder. Reading it costs one `stat`.

        Raises:
            CatalogGone: the folder was deleted, or another one has taken its place.
            StorageFailed: the system refuses access to it.
            UsageError: the catalog was closed.
        """
        if not self._let_go.alive:
            raise UsageError(CLOSED)
        if id_of(self._path) == self._id:
            return self._path
        now = self._path_now()
        if id_of(self._path) is not None:
            where = "was deleted" if now is None else f"is now at {now}"
            raise CatalogGone(
                f"Another folder is at {self._path}; the catalog that was opened there {where}. "
                "Open the catalog that you mean by its current path."
            )
        if now is None:
            raise CatalogGone(f"{self._path} was deleted while the catalog was open; nothing was written.")
        self._path = now
        return now

    @property
    def records(self) -> Path:
        """The path of the file of records.

        Raises:
            CatalogGone, StorageFailed, UsageError: see `path`.
        """
        return self.path / RECORDS

    def close(self) -> None:
        """Close the folder. It may already be closed."""
        self._let_go()

    def _path_now(self) -> Path | None:
        """Return where the folder has been moved to, according to the system, or None if it was deleted."""
        found = None
        with suppress(OSError):
            found = str(Path(f"/proc/self/fd/{self._descriptor}").readlink())
        if found is None and hasattr(fcntl, "F_GETPATH"):  # macOS
            with suppress(OSError):
                found = os.fsdecode(fcntl.fcntl(self._descriptor, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0"))
        return Path(found) if found is not None and id_of(found) == self._id else None


def id_of(path: Path | str) -> FileId | None:
    """Return the device and inode of a file or folder, or None if there is none.

    Raises:
        StorageFailed: the system refuses access to it.
    """
    try:
        return _id(os.stat(path))  # noqa: PTH116  # a third of the time of `Path.stat`
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        with failing(Path(path), "read"):
            raise error


def _id(status: os.stat_result) -> FileId:
    return status.st_dev, status.st_ino
