"""The derived search snapshot of a catalog on disk: one segment, built under a temporary name and then renamed.

A generation can be deleted at any time; the records rebuild it, with the same answers.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from polars.exceptions import PolarsError

from lookalike.data.atomic_write import atomic_write_bytes, sync
from lookalike.data.errors import CatalogBusy, CatalogDamaged, StorageFailed
from lookalike.retrieval.files.storage import failing
from lookalike.retrieval.generations.columns import Columns
from lookalike.retrieval.generations.predecessor import before_of
from lookalike.retrieval.generations.segment import Segment, SpaceRows, load_columns
from lookalike.retrieval.generations.stored_texts import mapped
from lookalike.retrieval.schema import Schema
from lookalike.retrieval.spaces.space import Space
from lookalike.retrieval.store.records import Records
from lookalike.retrieval.stored_rows import VectorRows
from lookalike.retrieval.vector_index import Approximate, IndexKind, Vectors, build_approximate

__all__ = [
    "AUTO_INDEX_ROWS",
    "open_generation",
    "remove_generation",
    "remove_other_generations",
    "spaces_in",
    "write_generation",
]

FORMAT = 2
"""Since format 2 the name ends with the start of the manifest's sha256, which shows that the manifest is intact."""

AUTO_INDEX_ROWS = 50_000
"""With fewer vectors an exact scan is quick enough, and `auto` builds no index."""

SMALLEST_INDEX_ROWS = 256
"""With fewer vectors no index is built, whichever kind is asked for: there are too few to train it."""

_NAME = re.compile(r"building-.*|[0-9]{12,}-[0-9a-f]{8}")
_MANIFEST = "manifest.json"
_CHECKED = "checked.json"
_ITEMS = "items.npy"


def write_generation(
    folder: Path, records: Records, spaces: Mapping[str, Space], kind: IndexKind, before: Segment | None = None
) -> str:
    """Write everything committed as a generation with its indexes, and return its name in `folder`.

    The keys of `spaces` are stored names, as are the spaces of the generation `before`, whose training is reused where
    it still serves.

    Raises:
        StorageFailed: the generation cannot be written; nothing of it is left.
    """
    building = folder / f"building-{uuid.uuid4().hex[:8]}"
    try:
        with failing(folder, "written to"):
            folder.mkdir(exist_ok=True)
            building.mkdir()
            name = _write_files(building, records, spaces, kind, before)
            building.rename(folder / name)
            sync(folder)
            _remember_checked(folder / name, _digests(folder / name))
    except (RuntimeError, PolarsError) as error:  # how Faiss and Polars report errors of the operating system
        shutil.rmtree(building, ignore_errors=True)
        raise StorageFailed(
            f"{folder} cannot be written to: {error}. What was written before is safe; "
            "make room there, then run the same command again."
        ) from error
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return name


def open_generation(path: Path, spaces: Mapping[str, Space], *, to_search: bool = True) -> Segment:
    """Open a generation for searching, verifying every file that may have changed since it was last verified.

    If `to_search` is false, the generation is opened for reuse: every file is verified, and spaces may be missing.

    Raises:
        CatalogDamaged: a file is missing, was changed, or does not fit the others.
    """
    try:
        content = (path / _MANIFEST).read_bytes()
        manifest = orjson.loads(content)
        if manifest["format"] != FORMAT:
            raise CatalogDamaged(f"It has format {manifest['format']}.")
        if not path.name.endswith(f"-{hashlib.sha256(content).hexdigest()[:8]}"):
            raise CatalogDamaged(f"{_MANIFEST} has changed since it was written.")
        _check_files(path, manifest["files"], compare_all=not to_search)
        item_ids = mapped(path / _ITEMS)
        columns = Columns.open(path)
        facts = manifest["spaces"]
        missing = [space.stored for space in spaces.values() if space.stored not in facts]
        if missing and to_search:
            raise CatalogDamaged(f"It lacks the space {missing[0]}.")
        rows = {
            name: _open_space(path, space, facts[space.stored], to_search)
            for name, space in spaces.items()
            if space.stored not in missing
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CatalogDamaged(f"It cannot be read: {error}") from error
    if not len(item_ids) == len(columns) == manifest["items"]:
        raise CatalogDamaged(f"It has {len(item_ids)} ids and {len(columns)} rows for {manifest['items']} items.")
    return Segment(manifest["seq"], item_ids, columns, rows)


def spaces_in(path: Path) -> frozenset[str]:
    """Return the stored names of the spaces in a generation, or an empty set if it cannot be read."""
    try:
        return frozenset(orjson.loads((path / _MANIFEST).read_bytes())["spaces"])
    except (OSError, ValueError, KeyError, TypeError):
        return frozenset()


def remove_other_generations(folder: Path, keep: str) -> None:
    """Delete all generations but one, and remains of killed builds. Processes that have one open keep its files."""
    for path in folder.iterdir():
        if path.name != keep and _NAME.fullmatch(path.name):  # including one whose removal was interrupted
            shutil.rmtree(path, ignore_errors=True)


def remove_generation(folder: Path, name: str) -> None:
    """Delete one generation, which must not be in use."""
    shutil.rmtree(folder / name, ignore_errors=True)


def _write_files(
    building: Path, records: Records, spaces: Mapping[str, Space], kind: IndexKind, before: Segment | None
) -> str:
    """Write the files of a generation and sync them to disk; return its name.

    The columns are read in a separate thread, and the files of vectors are synced, while indexes are built.
    """
    failed = threading.Event()
    with ThreadPoolExecutor(1) as beside:
        try:
            with records.snapshot():
                seq, schema = records.version()[0], records.schema()
                rows = {name: _write_vectors(building, records, space) for name, space in spaces.items()}
            reading = beside.submit(_columns_as_of, records, schema, seq, failed.is_set)
            put = {path.name: beside.submit(_put_on_disk, path) for path in sorted(building.iterdir())}
            others: list[Future[Any]] = [reading, *put.values()]
            facts = {}
            for name, space in spaces.items():
                old = None if before is None else before.spaces.get(name)
                index = _write_index(building, space, rows[name].ids, kind, old, partial(wait, others))
                facts[name] = {"dim": space.dim, "metric": space.metric, "count": len(rows[name].ids), "index": index}
            item_ids, columns = reading.result()
            columns.write(building)
            np.save(building / _ITEMS, item_ids)
            for name, read in rows.items():
                items = np.searchsorted(item_ids, read.item_ids)
                np.save(building / f"{name}.rows.npy", np.stack([read.ids, read.image_ids, items]))
            written = sorted(path for path in building.iterdir() if path.name not in put)
            put |= {path.name: beside.submit(_put_on_disk, path) for path in written}
            digests = {name: put[name].result() for name in sorted(put)}
        except BaseException:
            failed.set()
            raise
    manifest = {"format": FORMAT, "seq": seq, "items": len(item_ids), "spaces": facts, "files": digests}
    content = orjson.dumps(manifest | {"made": uuid.uuid4().hex}, option=orjson.OPT_INDENT_2)
    (building / _MANIFEST).write_bytes(content)
    for path in (building / _MANIFEST, building):
        sync(path)
    return f"{seq:012d}-{hashlib.sha256(content).hexdigest()[:8]}"


def _columns_as_of(
    records: Records, schema: Schema, seq: int, stopped: Callable[[], bool]
) -> tuple[NDArray[np.int64], Columns]:
    """Read the ids and the columns of all items as of a commit, whatever has been committed since.

    Raises:
        CatalogBusy: the state has been purged meanwhile.
    """
    with records.snapshot():
        if records.purged_before() > seq:
            raise CatalogBusy("Another process purged the state that was being optimized; run the same command again.")
        as_of = None if records.version()[0] == seq else seq
        return load_columns(records, schema, as_of=as_of, stopped=stopped)


def _put_on_disk(path: Path) -> str:
    """Sync a file to disk, and return its checksum."""
    sync(path)
    return _sha256(path)


def _digests(path: Path) -> Mapping[str, str]:
    files: Mapping[str, str] = orjson.loads((path / _MANIFEST).read_bytes())["files"]
    return files


def _write_vectors(building: Path, records: Records, space: Space) -> VectorRows:
    """Write the vectors of a space to their file. Call this within a snapshot."""
    room = partial(Vectors.allocate, _vectors_file(building, space.stored), space.dim, space.metric)
    return records.vectors(space.stored, space.dim, room=room)


def _write_index(
    building: Path,
    space: Space,
    vector_ids: NDArray[np.int64],
    kind: IndexKind,
    before: SpaceRows | None,
    quiet: Callable[[], object],
) -> IndexKind:
    """Write the index of vectors that are already written, and return its kind; `quiet` waits for other work to end."""
    vectors = Vectors.open(_vectors_file(building, space.stored), space.metric)
    if kind is IndexKind.AUTO:
        kind = _auto_kind(vectors)
    if kind is IndexKind.FLAT or vectors.count < SMALLEST_INDEX_ROWS:
        return IndexKind.FLAT
    built = build_approximate(vectors, kind, before_of(before, vector_ids, vectors), quiet=quiet)
    built.write(*_index_files(building, space.stored))
    return kind


def _auto_kind(vectors: Vectors) -> IndexKind:
    """Choose a kind: none for few vectors, and DISK for vectors that would take more than half of the memory."""
    if vectors.count < AUTO_INDEX_ROWS:
        return IndexKind.FLAT
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return IndexKind.DISK if vectors.count * vectors.dim * vectors.dtype.itemsize > memory / 2 else IndexKind.IVF_PQ


def _open_space(path: Path, space: Space, facts: Mapping[str, object], to_search: bool) -> SpaceRows:
    vectors = Vectors.open(_vectors_file(path, space.stored), space.metric)
    rows = mapped(path / f"{space.stored}.rows.npy")
    if (
        rows.shape != (3, vectors.count)
        or vectors.count != facts["count"]
        or (vectors.dim, space.metric) != (space.dim, facts["metric"])
    ):
        raise CatalogDamaged(f"{space.stored} has {vectors.count} vectors and rows {rows.shape} for {facts['count']}.")
    vector_ids, image_ids, items = rows
    opened = SpaceRows(vectors, vector_ids, image_ids, items)
    kind = IndexKind(str(facts["index"]))
    if kind is IndexKind.FLAT:
        return opened
    index = Approximate.open(kind, vectors, *_index_files(path, space.stored), to_search=to_search)
    return replace(opened, approximate=index)


def _vectors_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.vectors.faiss"


def _index_files(folder: Path, name: str) -> tuple[Path, Path, Path]:
    """Return the files of an index: the index itself, the codes, and the calibration."""
    return folder / f"{name}.index.faiss", folder / f"{name}.codes.faiss", folder / f"{name}.calibration.json"


def _check_files(path: Path, digests: Mapping[str, str], *, compare_all: bool) -> None:
    """Compare every file with its checksum, or only those that changed since they were last compared.

    A change shows in the size, the inode, or the times of the last change; programs cannot set the time of the last
    status change.
    """
    try:
        checked = orjson.loads((path / _CHECKED).read_bytes())
    except (OSError, ValueError):
        checked = {}
    if not compare_all and all(checked.get(name) == _state(path / name) for name in digests):
        return
    for name, digest in digests.items():
        if Path(name).name != name:
            raise CatalogDamaged(f"The manifest names {name!r}, which is not a file of the generation.")
        if _sha256(path / name) != digest:
            raise CatalogDamaged(f"{name} has changed since it was written.")
    _remember_checked(path, digests)


def _remember_checked(path: Path, digests: Mapping[str, str]) -> None:
    """Record the state in which the files were verified. Without this record they are read again."""
    with contextlib.suppress(OSError):
        states = orjson.dumps({name: _state(path / name) for name in digests})
        atomic_write_bytes(path / _CHECKED, states, durable=False)


def _state(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
