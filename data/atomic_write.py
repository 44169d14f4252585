"""Files and folders that are whole or absent: they are written beside their place and then moved there.

With `durable`, what was moved stays after a power cut: the file, or every folder of a tree, and the list of names that
it is moved into are synced. Files inside a tree are synced by whoever writes them.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["atomic_write", "atomic_write_bytes", "sync"]


def sync(path: Path) -> None:
    """Put a file, or a folder's list of names, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_write(path: Path, *, durable: bool, beside: Path | None = None) -> Iterator[Path]:
    """Yield a new path at which to write a file or a folder, which then takes the place of `path`.

    The new path is hidden and lies in the same folder as `path`, or in the folder `beside`, of the same file system. A
    file replaces the one that is at `path`; a folder replaces an empty one at most. If the block raises, what it wrote
    is removed.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with atomic_write(path, durable=True) as new:
        ...     _ = new.write_text("done")
        >>> path.read_text(), len(list(path.parent.iterdir()))
        ('done', 1)

    Raises:
        OSError: it cannot be written or moved.
    """
    name = f".{path.name}.{uuid.uuid4().hex[:12]}"
    new = path.with_name(name) if beside is None else beside / name
    try:
        yield new
        if durable:
            for one in (new, *(found for found in new.rglob("*") if found.is_dir())):
                sync(one)
        new.replace(path)
    except BaseException:
        with suppress(OSError):
            if new.is_dir():
                shutil.rmtree(new, ignore_errors=True)
            else:
                new.unlink(missing_ok=True)
        raise
    if durable:
        sync(path.absolute().parent)


def atomic_write_bytes(path: Path, content: bytes, *, durable: bool, beside: Path | None = None) -> None:
    """Write a file that is whole or absent; see `atomic_write`.

    Raises:
        OSError: it cannot be written.
    """
    with atomic_write(path, durable=durable, beside=beside) as new:
        new.write_bytes(content)
