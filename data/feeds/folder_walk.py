"""The files of a folder of pictures, with those of linked folders and without those that are left out."""

from __future__ import annotations

import contextlib
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path

from lookalike.data.catalog_layout import CATALOG_FILE, RECORDS
from lookalike.data.feeds.left_out import LeftOut, kind_of_file, kind_of_folder
from lookalike.data.pictures.sidecars import sidecars_among

__all__ = ["is_catalog", "walk"]

_CATALOG_FILES = (CATALOG_FILE, RECORDS)


def is_catalog(folder: bytes) -> bool:
    """Return whether a folder is a Lookalike catalog."""
    with contextlib.suppress(OSError):  # no permission to look into it
        return all(Path(os.fsdecode(folder), file).is_file() for file in _CATALOG_FILES)
    return False


def walk(
    folder: Path,
    on_error: Callable[[OSError], None] | None = None,
    *,
    left_out: Counter[LeftOut] | None = None,
    with_sidecars: bool = False,
) -> Iterator[bytes]:
    """Yield the relative paths of the files below `folder`, folder by folder, each folder's files before its folders.

    Linked folders are followed after all others, and every folder is read once, whatever leads to it. What is left out
    is counted in `left_out`; `with_sidecars` yields sidecars like other files. `on_error` is called with the error of
    each folder that cannot be listed.
    """
    counts: Counter[LeftOut] = Counter() if left_out is None else left_out
    root = os.fsencode(folder)
    seen: set[tuple[int, int]] = set()
    linked: deque[bytes] = deque()
    waiting = [b""]
    while waiting or linked:
        inner = waiting.pop() if waiting else linked.popleft()
        path = root + b"/" + inner if inner else root
        try:
            status = os.stat(path)  # noqa: PTH116  # a path of bytes
            with os.scandir(path) as entries:
                folders, links, files = _sorted(entries)
        except OSError as error:
            if on_error is not None:
                on_error(error)
            continue
        if status.st_ino and (status.st_dev, status.st_ino) in seen:
            counts[LeftOut.LINK] += 1
            continue
        seen.add((status.st_dev, status.st_ino))
        before = inner + b"/" if inner else b""
        for name in _kept(files, counts, with_sidecars=with_sidecars):
            yield before + name
        waiting += [before + name for name in reversed(folders) if _is_kept(path, name, counts)]
        linked += [before + name for name in links if _is_kept(path, name, counts)]


def _sorted(entries: Iterator[os.DirEntry[bytes]]) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """Return the names of folders, of links to folders, and of files, each sorted."""
    folders: list[bytes] = []
    links: list[bytes] = []
    files: list[bytes] = []
    for entry in entries:
        try:
            is_folder = entry.is_dir()
        except OSError:  # a link in a circle
            is_folder = False
        kind = files if not is_folder else links if entry.is_symlink() else folders
        kind.append(entry.name)
    return sorted(folders), sorted(links), sorted(files)


def _kept(files: list[bytes], counts: Counter[LeftOut], *, with_sidecars: bool) -> list[bytes]:
    kinds = [kind_of_file(os.fsdecode(name)) for name in files]
    counts.update(kind for kind in kinds if kind is not None)
    kept = [name for name, kind in zip(files, kinds, strict=True) if kind is None]
    if with_sidecars:
        return kept
    beside = {os.fsencode(name) for name in sidecars_among(map(os.fsdecode, kept)).names}
    counts[LeftOut.SIDECAR] += len(beside)
    return [name for name in kept if name not in beside] if beside else kept


def _is_kept(parent: bytes, name: bytes, counts: Counter[LeftOut]) -> bool:
    kind = kind_of_folder(os.fsdecode(name)) or (LeftOut.CATALOG if is_catalog(parent + b"/" + name) else None)
    if kind is not None:
        counts[kind] += 1
    return kind is None
