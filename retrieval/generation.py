"""The derived search snapshot of a catalog on disk: one segment, built under a temporary name and renamed when whole.

Everything here can be deleted at any time; the records make it again, with the same answers.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson

from data.errors import CatalogDamaged
from retrieval.columns import Columns
from retrieval.segment import Segment, Space, SpaceRows
from retrieval.vector_index import Approximate, IndexKind, Vectors, build_approximate

__all__ = ["AUTO_INDEX_ROWS", "open_generation", "remove_other_generations", "write_generation"]

FORMAT = 1

AUTO_INDEX_ROWS = 50_000
"""Below this many vectors an exact scan is quick enough, and `auto` builds no index."""

SMALLEST_INDEX_ROWS = 256
"""Of fewer vectors no index is built, whatever kind is asked for: there is nothing to learn from them."""

_MANIFEST = "manifest.json"
_COLUMNS = "columns.arrow"
_ITEMS = "items.npy"


def write_generation(folder: Path, segment: Segment, spaces: Mapping[str, Space], kind: IndexKind) -> str:
    """Write a segment as a generation with its indexes; return its name in `folder`."""
    folder.mkdir(exist_ok=True)
    name = f"{segment.seq:012d}-{uuid.uuid4().hex[:8]}"
    building = folder / f"building-{name}"
    building.mkdir()
    try:
        indexes = {space: _write_space(building, space, rows, kind) for space, rows in segment.spaces.items()}
        segment.columns.write(building / _COLUMNS)
        np.save(building / _ITEMS, segment.item_ids)
        manifest = {
            "format": FORMAT,
            "seq": segment.seq,
            "items": len(segment.item_ids),
            "spaces": {
                space: {"dim": spaces[space].dim, "metric": spaces[space].metric, "count": rows.vectors.count}
                | indexes[space]
                for space, rows in segment.spaces.items()
            },
            "files": {path.name: _sha256(path) for path in sorted(building.iterdir())},
        }
        (building / _MANIFEST).write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
        for path in (*building.iterdir(), building):
            _sync(path)
        building.rename(folder / name)
        _sync(folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return name


def open_generation(path: Path, spaces: Mapping[str, Space]) -> Segment:
    """Open a generation, checking every file against the manifest.

    Raises:
        CatalogDamaged: something is missing, was changed, or does not fit together.
    """
    try:
        manifest = orjson.loads((path / _MANIFEST).read_bytes())
        if manifest["format"] != FORMAT:
            raise CatalogDamaged(f"It has format {manifest['format']}.")
        for name, digest in manifest["files"].items():
            if _sha256(path / name) != digest:
                raise CatalogDamaged(f"{name} has changed since it was written.")
        item_ids = np.load(path / _ITEMS, allow_pickle=False)
        columns = Columns.open(path / _COLUMNS)
        rows = {name: _open_space(path, space, manifest["spaces"][name]) for name, space in spaces.items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CatalogDamaged(f"It cannot be read: {error}") from error
    if not len(item_ids) == len(columns) == manifest["items"]:
        raise CatalogDamaged(f"It has {len(item_ids)} ids and {len(columns)} rows for {manifest['items']} items.")
    return Segment(manifest["seq"], item_ids, columns, rows)


def remove_other_generations(folder: Path, keep: str) -> None:
    """Delete all generations but one, and what a killed build left; processes that have one open keep it."""
    for path in folder.iterdir():
        if path.name != keep and (path.name.startswith("building-") or (path / _MANIFEST).exists()):
            shutil.rmtree(path, ignore_errors=True)


def _write_space(building: Path, name: str, rows: SpaceRows, kind: IndexKind) -> dict[str, object]:
    rows.vectors.write(building / f"{name}.vectors.faiss")
    np.save(building / f"{name}.rows.npy", np.stack([rows.vector_ids, rows.image_ids, rows.items], axis=1))
    if kind is IndexKind.AUTO:
        kind = IndexKind.IVF_PQ if rows.vectors.count >= AUTO_INDEX_ROWS else IndexKind.FLAT
    if kind is IndexKind.FLAT or rows.vectors.count < SMALLEST_INDEX_ROWS:
        return {"index": IndexKind.FLAT, "effort": {}}
    approximate = build_approximate(rows.vectors, kind)
    approximate.write(building / f"{name}.index.faiss")
    return {"index": kind, "effort": {str(recall): effort for recall, effort in approximate.effort.items()}}


def _open_space(path: Path, space: Space, facts: Mapping[str, object]) -> SpaceRows:
    vectors = Vectors.open(path / f"{space.name}.vectors.faiss", space.metric)
    rows = np.load(path / f"{space.name}.rows.npy", allow_pickle=False)
    if not vectors.count == len(rows) == facts["count"] or (vectors.dim, space.metric) != (space.dim, facts["metric"]):
        raise CatalogDamaged(f"{space.name} has {vectors.count} vectors and {len(rows)} rows for {facts['count']}.")
    vector_ids, image_ids, items = (np.ascontiguousarray(rows[:, column]) for column in range(3))
    opened = SpaceRows(vectors, vector_ids, image_ids, items)
    kind = IndexKind(str(facts["index"]))
    if kind is IndexKind.FLAT:
        return opened
    effort = {float(recall): int(setting) for recall, setting in dict(facts["effort"]).items()}  # type: ignore[call-overload]
    return replace(opened, approximate=Approximate.open(path / f"{space.name}.index.faiss", kind, vectors, effort))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
