"""Writing to disk so that it stays, and saying in a sentence why it could not be done."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data.errors import StorageFailed

__all__ = ["failing", "sync_folder"]


def sync_folder(folder: Path) -> None:
    """Put a folder's list of names on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def failing(path: Path, doing: str) -> Iterator[None]:
    """Turn the operating system's errors into a sentence: `path` cannot be `doing` ("read", "written to").

    Raises:
        StorageFailed: there was one.
    """
    try:
        yield
    except OSError as error:
        raise StorageFailed(f"{path} cannot be {doing}: {error.strerror or error}.") from error
