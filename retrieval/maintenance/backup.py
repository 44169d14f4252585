"""Backups of a catalog while it is in use, and restoring from one.

A backup has every file of the catalog except large derived data: the generations, which are rebuilt, and pictures
fetched from the web. The records are copied as of one commit, and the thumbnails are listed after that, so that none
that the commit needs is missing. Everything is cut into chunks that are named by their content, so a second backup
writes only the changes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from lookalike.data.archives.archive import is_archive
from lookalike.data.atomic_write import atomic_write, sync
from lookalike.data.catalog_layout import CATALOG_FILE, FETCHED, GENERATIONS, RECORDS
from lookalike.data.errors import BackupDamaged, BackupNotFound, CatalogBusy, CatalogExists, UsageError
from lookalike.data.record_files import is_held, is_record_file
from lookalike.retrieval.arguments import whole
from lookalike.retrieval.files.storage import failing
from lookalike.retrieval.maintenance.backup_store import (
    CHUNK_BYTES,
    ChunkedFile,
    FolderStore,
    Snapshot,
    Store,
    TarReader,
    TarWriter,
    Writer,
)
from lookalike.retrieval.progress import Progress, silent
from lookalike.retrieval.spaces.catalog_file import CatalogFile
from lookalike.retrieval.store.database_file import copy_records, damage_of

__all__ = ["BackupReport", "Snapshot", "list_snapshots", "open_store", "restore", "write_backup"]

_DERIVED_FOLDERS = (GENERATIONS, FETCHED)
_MOST_WAITING = 64


@dataclass(slots=True)
class BackupReport:
    """The result of a backup: its snapshot, the number of new chunks, and the old snapshots that were removed."""

    snapshot: Snapshot
    chunks: int
    new_chunks: int
    new_bytes: int
    removed: Sequence[str] = ()


def write_backup(catalog: Path, target: Path, *, keep: int | None = None, progress: Progress = silent) -> BackupReport:
    """Back a catalog up into a folder of backups, or into one file if the target ends in `.tar`.

    Other processes may write to the catalog meanwhile. With `keep`, only that many of the newest snapshots are kept.

    Raises:
        CatalogNotFound: there is no such catalog.
        CatalogDamaged: its records cannot be read; no backup is made, and earlier ones stay.
        CatalogBusy: another process is writing a backup there.
        StorageFailed: the target cannot be written.
        UsageError: the target is in the catalog, is not a backup, or has the name of another kind of archive.
    """
    CatalogFile.read(catalog)
    if target.resolve().is_relative_to(catalog.resolve()):
        raise UsageError(
            "The backup would be in the catalog itself.", remedy="Keep it somewhere else, best on another disk."
        )
    if target.suffix == ".tar":
        if keep is not None:
            raise UsageError("A tar file has one snapshot.", remedy="Leave out --keep, or name a folder of backups.")
        return _write_tar(catalog, target, progress)
    if is_archive(target.name) and not target.exists():
        raise UsageError(
            f"A backup is a folder or a .tar file, and {target.name} would be neither by its name.",
            remedy="Name a file that ends in .tar, or a folder.",
        )
    if keep is not None and (keep := whole(keep, "number of snapshots to keep", 0)) == 0:
        raise UsageError("The number of snapshots to keep is 0; at least 1 is kept.")
    return _write_folder(catalog, target, keep, progress)


def list_snapshots(backup: Path) -> list[Snapshot]:
    """Return the snapshots of a folder of backups or of a tar file, oldest first.

    Raises:
        BackupNotFound: there is no backup.
        BackupDamaged: a manifest is not as it was written.
    """
    with open_store(backup) as store:
        return [store.snapshot(name) for name in store.snapshot_names()]


def restore(backup: Path, catalog: Path, *, snapshot: str | None = None, progress: Progress = silent) -> Snapshot:
    """Create a catalog from a backup: the newest snapshot, or the one whose name or id begins with `snapshot`.

    Every chunk and file is compared with its sha256 while it is written, and the records must pass SQLite's own check,
    before anything is at the catalog's place.

    Raises:
        CatalogExists: there is something at that place.
        BackupNotFound: there is no backup, or no such snapshot.
        BackupDamaged: something is missing or was changed; nothing is left at the place.
        StorageFailed: the catalog cannot be written; nothing is left at the place.
    """
    if catalog.is_symlink() or (catalog.exists() and (not catalog.is_dir() or any(catalog.iterdir()))):
        raise CatalogExists(f"There is something at {catalog} already; restore to a new place.")
    with open_store(backup) as store:
        chosen = store.snapshot(_chosen(store.snapshot_names(), snapshot))
        paths = [file.path for file in chosen.files]
        if len(set(paths)) != len(paths) or not {RECORDS, CATALOG_FILE} <= set(paths):
            raise BackupDamaged(f"The snapshot {chosen.name} does not list the files of a catalog.")
        with failing(catalog, "written to"), _built(catalog) as building:
            done = 0
            for file in chosen.files:
                _write_file(store, file, building)
                done += file.size
                progress("Restoring", done, chosen.size)
            damage = damage_of(building / RECORDS)
            if damage:
                raise BackupDamaged(f"The records in the backup are damaged: {damage[0]}.")
            CatalogFile.read(building)
    return chosen


@contextmanager
def open_store(backup: Path) -> Iterator[Store]:
    """Open a folder of backups or a tar file for reading, within a context.

    Raises:
        BackupNotFound: there is no backup.
        BackupDamaged: the tar file cannot be read.
    """
    if is_record_file(backup):
        raise BackupNotFound(f"{backup.name} is part of a catalog's records; it is not a backup.")
    if backup.is_file():
        with TarReader.open(backup) as reader:
            yield reader
        return
    store = FolderStore(backup)
    if not store.snapshot_names():
        raise BackupNotFound(f"There is no backup at {backup}.")
    yield store


@contextmanager
def _built(catalog: Path) -> Iterator[Path]:
    """Yield a folder that becomes the catalog at the end of the block, or is removed if the block raises."""
    with atomic_write(catalog.absolute(), durable=True) as building:
        building.mkdir(parents=True)
        yield building


def _chosen(names: Sequence[str], wanted: str | None) -> str:
    if wanted is None:
        return names[-1]
    found = [name for name in names if wanted and (name.startswith(wanted) or name[-12:].startswith(wanted))]
    if len(found) != 1:
        raise BackupNotFound(
            f"{len(found) or 'No'} snapshots begin with {wanted!r}; there are {', '.join(names[-10:])}."
        )
    return found[0]


def _write_file(store: Store, file: ChunkedFile, folder: Path) -> None:
    path = folder / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = hashlib.sha256()
    size = 0
    with path.open("xb") as written:
        for id_ in file.chunks:
            content = store.chunk(id_)
            whole.update(content)
            size += len(content)
            written.write(content)
        written.flush()
        os.fsync(written.fileno())
    if (size, whole.hexdigest()) != (file.size, file.sha256):
        raise BackupDamaged(f"{file.path} in the backup is not the file that was backed up.")


def _write_folder(catalog: Path, folder: Path, keep: int | None, progress: Progress) -> BackupReport:
    if folder.exists():
        with failing(folder, "read"):
            names = {path.name for path in folder.iterdir()}
        if names and not names & {"chunks", "snapshots", "building"}:
            raise UsageError(
                f"{folder} has other files in it.", remedy="Name an empty or new folder, or one of backups."
            )
    store = FolderStore(folder)
    with _building(store.building) as building:
        report = _write(catalog, store, building, progress)
        if keep is not None:
            report.removed = store.prune(keep)
    return report


def _write_tar(catalog: Path, path: Path, progress: Progress) -> BackupReport:
    if path.exists():
        raise UsageError(f"There is something at {path} already.", remedy="Choose a new name.")
    with _building(path.with_name(f".{path.name}.building")) as building, failing(path.parent, "written to"):
        whole = building / path.name
        with tarfile.open(whole, "x", format=tarfile.USTAR_FORMAT) as file:
            report = _write(catalog, TarWriter(file), building, progress)
        sync(whole)
        whole.rename(path)
        sync(path.absolute().parent)
    shutil.rmtree(building, ignore_errors=True)
    return report


@contextmanager
def _building(folder: Path) -> Iterator[Path]:
    """Yield an empty folder for the parts of an unfinished backup, to one process at a time."""
    lock = folder / "lock"
    with failing(folder.parent, "written to"):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(lock, timeout=0):
                _clear(folder, lock)
                try:
                    yield folder
                finally:
                    _clear(folder, lock)
        except Timeout as error:
            raise CatalogBusy(
                "Another process is writing a backup there.", remedy="Try again when it is done."
            ) from error


def _clear(folder: Path, lock: Path) -> None:
    for path in folder.iterdir():
        if path != lock:
            path.unlink()


def _write(catalog: Path, writer: Writer, building: Path, progress: Progress) -> BackupReport:
    """Write one snapshot: the records as of one commit, and then every other file that is not derived."""
    now = datetime.now(UTC).isoformat()
    copy = building / RECORDS
    commit, items = copy_records(catalog / RECORDS, copy, progress)
    sources = {RECORDS: copy, **_other_files(catalog)}
    files = []
    with ThreadPoolExecutor(writer.threads) as pool:
        chunks = _Chunks(writer, pool)
        for number, (name, path) in enumerate(sources.items(), start=1):
            file = _write_chunks(name, path, chunks)
            if file is not None:
                files.append(file)
            progress("Writing files", number, len(sources))
        chunks.wait(0)
    snapshot = Snapshot(now, catalog.resolve().name, commit, items, tuple(files))
    writer.put_snapshot(snapshot)
    return BackupReport(snapshot, chunks.count, chunks.new, chunks.new_bytes)


class _Chunks:
    """Passes chunks to a writer, several at a time, each of them once, and counts them."""

    def __init__(self, writer: Writer, pool: ThreadPoolExecutor) -> None:
        self.count = self.new = self.new_bytes = 0
        self._writer = writer
        self._pool = pool
        self._handed: set[str] = set()
        self._waiting: deque[tuple[Future[bool], int]] = deque()

    def put(self, content: bytes) -> str:
        """Submit a chunk to be written; return its id."""
        id_ = hashlib.sha256(content).hexdigest()
        self.count += 1
        if id_ not in self._handed:
            self._handed.add(id_)
            self._waiting.append((self._pool.submit(self._writer.put_chunk, id_, content), len(content)))
            self.wait(_MOST_WAITING)
        return id_

    def wait(self, most: int) -> None:
        """Wait until at most `most` chunks are still to be written.

        Raises:
            StorageFailed: a chunk cannot be written.
        """
        while len(self._waiting) > most:
            writing, size = self._waiting.popleft()
            if writing.result():
                self.new += 1
                self.new_bytes += size


def _other_files(catalog: Path) -> dict[str, Path]:
    """Return the files that are not derived, locks or half-written, by relative path with forward slashes."""
    found = {}
    with failing(catalog, "read"):
        for parent, folders, files in os.walk(catalog, onerror=_raise):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            if Path(parent) == catalog:
                folders[:] = [name for name in folders if name not in _DERIVED_FOLDERS]
            for name in sorted(files):
                path = Path(parent, name)
                plain = not name.startswith((".", "records.")) and not name.endswith(".lock")
                if plain and path.is_file() and not path.is_symlink() and not is_held(path):
                    found[path.relative_to(catalog).as_posix()] = path
    return found


def _raise(error: OSError) -> None:
    raise error


def _write_chunks(name: str, path: Path, written: _Chunks) -> ChunkedFile | None:
    """Write one file's chunks; return None if the file was removed since it was listed."""
    whole = hashlib.sha256()
    size = 0
    chunks = []
    try:
        with failing(path, "read"):
            source = path.open("rb")
    except Exception:
        if not path.exists():
            return None
        raise
    with source:
        while True:
            with failing(path, "read"):
                content = source.read(CHUNK_BYTES)
            if not content:
                break
            chunks.append(written.put(content))
            whole.update(content)
            size += len(content)
    return ChunkedFile(name, size, whole.hexdigest(), tuple(chunks))
