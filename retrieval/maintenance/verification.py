"""Verification that a catalog is as it was written. It reads everything, in batches, and changes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from lookalike.data.catalog_layout import CATALOG_FILE, RECORDS, THUMBNAILS
from lookalike.data.counted import counted
from lookalike.data.errors import CatalogDamaged, NotAPicture
from lookalike.data.pictures.image_decoder import check_thumbnail
from lookalike.data.record_files import is_held
from lookalike.retrieval.files.thumbnails import Thumbnails
from lookalike.retrieval.progress import Progress, silent
from lookalike.retrieval.spaces.catalog_file import CatalogFile
from lookalike.retrieval.spaces.space import Space
from lookalike.retrieval.spaces.space_sets import SpaceSets
from lookalike.retrieval.store import checksums
from lookalike.retrieval.store.database_file import RecordsState, damage_of
from lookalike.retrieval.vector_blobs import of_blobs
from lookalike.retrieval.vector_index import Metric

__all__ = ["UNIT_TOLERANCE", "Problem", "ProblemKind", "Verification", "verify"]

UNIT_TOLERANCE = 2e-3
"""Tolerance on the length of a unit vector: four times the error of rounding to float16."""

_BATCH = 5_000
_CHANGED = "is not as it was written: its checksum differs"
_PURGE = "lookalike purge CATALOG --older-than {}"
_REPAIR = "lookalike repair CATALOG"
_RECORDS_THEMSELVES = "it is the catalog's records under another name"
_RESTORE = "Restore a backup: lookalike restore BACKUP NEW; what can be read is saved by: lookalike repair CATALOG"


class ProblemKind(StrEnum):
    """The kinds of problems, which determine how they are repaired."""

    CATALOG_FILE = "catalog file"
    RECORDS = "records"
    ITEM = "item"
    LOOSE_VECTOR = "vector without its item or image"
    LOOSE_IMAGE = "image without its item"
    LACKING = "picture without a vector"
    HISTORY = "earlier state of an item"
    GENERATION = "generation"
    THUMBNAIL = "thumbnail"


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem: a description, its place, and how to repair it.

    `id` is the id of the item, vector or image, or 0 for other kinds; `sha256` names a thumbnail.
    """

    kind: ProblemKind
    what: str
    where: str
    mend: str = _REPAIR
    id: int = 0
    sha256: str = ""


@dataclass(slots=True)
class Verification:
    """The problems of a catalog, none if it is sound; the numbers of things checked; and the commit it is as of."""

    problems: list[Problem] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)
    commit: int = 0


def verify(catalog: Path, *, progress: Progress = silent) -> Verification:
    """Check everything in a catalog: records, vectors, the generation's checksums and counts, thumbnails.

    Raises:
        CatalogNotFound: there is no catalog.
        CatalogFormat: a newer version wrote it.
    """
    found = Verification()
    try:
        file = CatalogFile.read(catalog)
    except CatalogDamaged as error:
        found.problems.append(Problem(ProblemKind.CATALOG_FILE, str(error), CATALOG_FILE, _RESTORE))
        return found
    records = catalog / RECORDS
    progress("Checking the records", 0, 1)
    damage = damage_of(records)
    found.problems += [Problem(ProblemKind.RECORDS, one, records.name, _RESTORE) for one in damage]
    if damage:
        return found
    with RecordsState.open(records) as state:
        found.commit = int(state.value("SELECT coalesce(max(seq), 0) FROM commits"))
        found.checked["items"] = int(state.value("SELECT count(*) FROM items"))
        found.checked["vectors"] = int(state.value("SELECT count(*) FROM vectors WHERE died IS NULL"))
        try:
            sets = SpaceSets.of(file, *state.space_facts())
        except CatalogDamaged as error:
            found.problems.append(Problem(ProblemKind.RECORDS, str(error), records.name, _RESTORE))
            return found
        found.problems += _loose_ends(state, sets.stored)
        found.problems += _lacking(state, sets)
        found.problems += _bad_vectors(state, sets.known, found, progress)
        found.problems += _changed_items(state)
        found.problems += _generation_problems(catalog, state, sets, found, progress)
        if file.model is not None:
            found.problems += _thumbnail_problems(catalog, state, found, progress)
    return found


_LOOSE: Sequence[tuple[ProblemKind, str, str, str]] = (
    # kind, description, place, and the query for the id and the value of {} in the place
    (
        ProblemKind.ITEM,
        "The fields of the item are not a JSON object.",
        "item {!r}",
        "SELECT id, key FROM items "
        "WHERE CASE WHEN json_valid(fields) THEN json_type(fields) <> 'object' ELSE 1 END ORDER BY id",
    ),
    (
        ProblemKind.LOOSE_VECTOR,
        "The vector belongs to no item.",
        "vector {}",
        "SELECT v.id, v.id FROM vectors AS v LEFT JOIN items AS i ON i.id = v.item_id "
        "WHERE v.died IS NULL AND i.id IS NULL ORDER BY v.id",
    ),
    (
        ProblemKind.LOOSE_VECTOR,
        "The image of the vector is missing, or belongs to another item.",
        "vector {}",
        "SELECT v.id, v.id FROM vectors AS v JOIN items AS i ON i.id = v.item_id "
        "LEFT JOIN images AS m ON m.id = v.image_id WHERE v.died IS NULL AND v.image_id IS NOT NULL "
        "AND (m.id IS NULL OR m.died IS NOT NULL OR m.item_id <> v.item_id) ORDER BY v.id",
    ),
    (
        ProblemKind.LOOSE_IMAGE,
        "The image belongs to no item.",
        "image {}",
        "SELECT m.id, m.id FROM images AS m LEFT JOIN items AS i ON i.id = m.item_id "
        "WHERE m.died IS NULL AND i.id IS NULL ORDER BY m.id",
    ),
)


_NO_VECTOR = (
    "SELECT DISTINCT i.id, i.key FROM images AS m JOIN items AS i ON i.id = m.item_id WHERE m.died IS NULL "
    "AND NOT EXISTS (SELECT 1 FROM vectors AS v WHERE v.item_id = m.item_id AND v.image_id = m.id "
    "AND v.space = ? AND v.died IS NULL) ORDER BY i.id"
)


def _lacking(state: RecordsState, sets: SpaceSets) -> Iterator[Problem]:
    """Yield the items with a picture that has no vector. After a change of models, that is not damage."""
    for name in sets.active.picture_spaces:
        for id_, key in state.rows(_NO_VECTOR, (sets.active.spaces[name].stored,)):
            if not sets.version:
                what = "An image of the item has no vector, so nothing finds it."
                yield Problem(ProblemKind.ITEM, what, f"item {key!r}", id=id_)
            else:
                what = f"A picture of the item has no vector of the current model (space {name}), so it is not found."
                yield Problem(ProblemKind.LACKING, what, f"item {key!r}", "lookalike reencode CATALOG", id=id_)


def _loose_ends(state: RecordsState, spaces: Iterable[str]) -> Iterator[Problem]:
    for kind, what, where, sql in _LOOSE:
        for id_, shown in state.rows(sql):
            yield Problem(kind, what, where.format(shown), id=id_)
    unknown = "SELECT id, space FROM vectors WHERE died IS NULL AND space NOT IN (SELECT value FROM json_each(?))"
    for id_, space in state.rows(unknown, (orjson.dumps(list(spaces)).decode(),)):
        what = f"The vector is of a space {space!r}, which the catalog does not have."
        yield Problem(ProblemKind.LOOSE_VECTOR, what, f"vector {id_}", id=id_)


def _bad_vectors(
    state: RecordsState, spaces: Mapping[str, Space], found: Verification, progress: Progress
) -> Iterator[Problem]:
    """Yield a problem for each item and space with a vector that is invalid, or not as it was written."""
    last = done = 0
    loose = {problem.id for problem in found.problems if problem.kind is ProblemKind.LOOSE_VECTOR}
    sql = (
        f"SELECT v.id, v.space, i.id, i.key, v.vector, coalesce(v.image_id, 0), {_checksum_of(state, 'v')} "
        "FROM vectors AS v JOIN items AS i ON i.id = v.item_id WHERE v.died IS NULL AND v.id > ? ORDER BY v.id LIMIT ?"
    )
    while batch := list(state.rows(sql, (last, _BATCH))):
        last = batch[-1][0]
        done += len(batch)
        for name, space in spaces.items():
            rows = [row for row in batch if row[1] == name]
            faults = dict(_faults([row[4] for row in rows], space))
            sound = [at for at, row in enumerate(rows) if row[6] and at not in faults and row[0] not in loose]
            faults |= dict.fromkeys(_changed_vectors([rows[at] for at in sound], sound), _CHANGED)
            for place, why in faults.items():
                what = f"A vector of the item (space {name}) {why}."
                yield Problem(ProblemKind.ITEM, what, f"item {rows[place][3]!r}", id=rows[place][2])
        progress("Checking vectors", done, found.checked["vectors"])


def _changed_vectors(rows: Sequence[Any], places: Sequence[int]) -> Iterator[int]:
    """Yield the places of the vectors whose checksum differs from the stored one."""
    items, images, known = (np.array([row[at] for row in rows], dtype=np.int64) for at in (2, 5, 6))
    for at in np.flatnonzero(checksums.of_blobs(items, images, [row[4] for row in rows]) != known).tolist():
        yield places[at]


def _changed_items(state: RecordsState) -> Iterator[Problem]:
    """Yield the items, and their earlier states, that are not as they were written; those set aside are left out."""
    current = f"SELECT id, key, title, fields, {_checksum_of(state, 'items')} FROM items"
    for *item, checksum in state.rows(current):
        if checksum and not _is_as_written(item, checksum) and _is_object(item[3]):
            yield Problem(ProblemKind.ITEM, f"The content of the item {_CHANGED}.", f"item {item[1]!r}", id=item[0])
    earlier = (
        f"SELECT item_id, key, title, fields, {_checksum_of(state, 'history')}, died FROM history "
        "WHERE died NOT IN (SELECT seq FROM commits WHERE summary = 'quarantine')"
    )
    for *item, checksum, died in state.rows(earlier):
        if checksum and not _is_as_written(item, checksum):
            where = f"item {item[1]!r} before commit {died}"
            yield Problem(ProblemKind.HISTORY, f"The earlier state {_CHANGED}.", where, _PURGE.format(died), id=item[0])


def _checksum_of(state: RecordsState, table: str) -> str:
    """Return the column of checksums; records of an older format, not migrated yet, have none."""
    known = state.value("SELECT count(*) FROM pragma_table_info('items') WHERE name = 'checksum'")
    return f"coalesce({table}.checksum, 0)" if known else "0"


def _is_as_written(item: Sequence[Any], checksum: int) -> bool:
    try:
        return checksums.of_item(*item) == checksum
    except (AttributeError, UnicodeError):  # not even text
        return False


def _is_object(fields: object) -> bool:
    """Return whether fields are a JSON object; others have been reported already."""
    try:
        return isinstance(orjson.loads(fields), dict)  # type: ignore[arg-type]
    except orjson.JSONDecodeError:
        return False


def _faults(blobs: Sequence[Any], space: Space) -> Iterator[tuple[int, str]]:
    sizes = [space.dim * 2, space.dim * 4]
    whole = [place for place, blob in enumerate(blobs) if isinstance(blob, bytes) and len(blob) in sizes]
    for place in set(range(len(blobs))) - set(whole):
        blob = blobs[place]
        held = counted(len(blob) // 2, "value") if isinstance(blob, bytes) else "something else"
        yield place, f"has {held} instead of {space.dim}"
    vectors = of_blobs([blobs[place] for place in whole], space.dim)
    lengths = np.linalg.norm(vectors.astype(np.float32), axis=1)
    finite = np.isfinite(vectors).all(axis=1)
    for at in np.flatnonzero(~finite):
        yield whole[at], "has a value that is not a finite number"
    if space.metric is Metric.COSINE:
        for at in np.flatnonzero(finite & (np.abs(lengths - 1) > UNIT_TOLERANCE)):
            yield whole[at], f"has the length {lengths[at]:.4g} instead of 1"


def _generation_problems(
    catalog: Path, state: RecordsState, sets: SpaceSets, found: Verification, progress: Progress
) -> Iterator[Problem]:
    """Yield the problems of the generation in use: files that differ from its manifest, counts from the records."""
    whole = {space.stored for file in (sets.active, sets.previous) if file for space in file.spaces.values()}
    name = state.value("SELECT (SELECT name FROM generation)")
    if name is None:
        return
    place = f"generations/{name}"
    try:
        text = _content(catalog / place / "manifest.json")
        if not name.endswith(f"-{hashlib.sha256(text).hexdigest()[:8]}"):
            raise ValueError("it has changed since it was written")
        manifest = orjson.loads(text)
        files: Mapping[str, str] = dict(manifest["files"])
        if any(Path(file).name != file for file in files):
            raise ValueError("it names a file outside of the generation")
        seq = int(manifest["seq"])
        counts = {name: int(facts["count"]) for name, facts in dict(manifest["spaces"]).items() if name in whole}
        counts["items"] = int(manifest["items"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"The manifest of the generation cannot be read: {getattr(error, 'strerror', None) or error}."
        yield Problem(ProblemKind.GENERATION, what, f"{place}/manifest.json")
        return
    for number, (file, digest) in enumerate(files.items(), start=1):
        progress("Checking the generation", number, len(files))
        try:
            if is_held(catalog / place / file):
                raise OSError(0, _RECORDS_THEMSELVES)
            with (catalog / place / file).open("rb") as content:
                if hashlib.file_digest(content, "sha256").hexdigest() != digest:
                    yield Problem(
                        ProblemKind.GENERATION, "The file has changed since it was written.", f"{place}/{file}"
                    )
        except OSError as error:
            yield Problem(ProblemKind.GENERATION, f"The file cannot be read: {error.strerror}.", f"{place}/{file}")
    found.checked["generation files"] = len(files)
    for what, present in counts.items():
        known = _count_as_of(state, what, seq)
        # the records may have fewer rows of an older commit: deleted rows can be purged
        if seq > found.commit or known > present or (known < present and seq == found.commit):
            sentence = f"The generation has {present:,} {what} as of commit {seq}, the records {known:,}."
            yield Problem(ProblemKind.GENERATION, sentence, place)


def _count_as_of(state: RecordsState, what: str, seq: int) -> int:
    if what == "items":
        sql = (
            "SELECT (SELECT count(*) FROM items WHERE born <= ?1) "
            "+ (SELECT count(*) FROM history WHERE born <= ?1 AND died > ?1)"
        )
        return int(state.value(sql, (seq,)))
    sql = "SELECT count(*) FROM vectors WHERE space = ?2 AND born <= ?1 AND (died IS NULL OR died > ?1)"
    return int(state.value(sql, (seq, what)))


def _thumbnail_problems(
    catalog: Path, state: RecordsState, found: Verification, progress: Progress
) -> Iterator[Problem]:
    thumbnails = Thumbnails(catalog / THUMBNAILS)
    count = int(state.value("SELECT count(DISTINCT sha256) FROM images WHERE died IS NULL"))
    mend = f"{_REPAIR} --pictures FOLDER, with a folder that has the pictures, or index the feed with --restart"
    done = 0
    for digest, source in state.rows("SELECT sha256, min(source) FROM images WHERE died IS NULL GROUP BY sha256"):
        done += 1
        if done % 50 == 0 or done == count:
            progress("Checking thumbnails", done, count)
        what = _thumbnail_fault(thumbnails.path(digest.hex()))
        if what:
            where = f"thumbnails/{digest.hex()[:2]}/{digest.hex()}.webp, of {source}"
            yield Problem(ProblemKind.THUMBNAIL, what, where, mend, sha256=digest.hex())
    found.checked["thumbnails"] = done


def _content(path: Path) -> bytes:
    """Read a file of the catalog.

    Raises:
        OSError: it cannot be read, or is the records under another name.
    """
    if is_held(path):
        raise OSError(0, _RECORDS_THEMSELVES)
    return path.read_bytes()


def _thumbnail_fault(path: Path | None) -> str | None:
    if path is None:
        return "The thumbnail is missing."
    try:
        check_thumbnail(_content(path))
    except (OSError, NotAPicture) as error:
        return f"The thumbnail cannot be shown: {error}"
    return None
