"""Repair of a catalog: rebuilds derived data, sets aside damaged items, and reports the problems that remain.

Nothing is thrown away: an item that is set aside is first written to `quarantine/<time>.jsonl`. Records that SQLite
cannot read are not touched; their readable part becomes a new catalog beside the old one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import orjson

from lookalike.data.catalog_layout import CATALOG_FILE, GENERATIONS, INDEX_LOCK, QUARANTINE, RECORDS, THUMBNAILS
from lookalike.data.counted import counted
from lookalike.data.errors import CatalogDamaged
from lookalike.data.record_files import is_held
from lookalike.retrieval.files.storage import failing, locked
from lookalike.retrieval.maintenance.salvage import salvage_records
from lookalike.retrieval.maintenance.thumbnail_repair import remake_thumbnails
from lookalike.retrieval.maintenance.verification import Problem, ProblemKind, Verification, verify
from lookalike.retrieval.progress import Progress, silent
from lookalike.retrieval.search.newest_state import NewestState
from lookalike.retrieval.spaces.catalog_file import CatalogFile
from lookalike.retrieval.store.records import Records

__all__ = ["RepairReport", "repair"]


@dataclass(slots=True)
class RepairReport:
    """The repairs, in words; the keys set aside, and their file; the data lost from damaged records; what is left."""

    mended: list[str] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)
    quarantine: str | None = None
    recovered: Path | None = None
    lost: list[str] = field(default_factory=list)
    left: list[Problem] = field(default_factory=list)


def repair(catalog: Path, *, pictures: Path | None = None, progress: Progress = silent) -> RepairReport:
    """Repair the problems that `verify` finds; thumbnails are rebuilt from files in the folder `pictures`, if given.

    Raises:
        CatalogNotFound: there is no catalog.
        CatalogFormat: a newer version wrote it.
        CatalogBusy: another process is indexing into it or optimizing it.
    """
    found = verify(catalog, progress=progress)
    report = RepairReport()
    by_kind: dict[ProblemKind, list[Problem]] = {}
    for problem in found.problems:
        by_kind.setdefault(problem.kind, []).append(problem)
    if ProblemKind.CATALOG_FILE in by_kind:
        report.left = found.problems
        return report
    if ProblemKind.RECORDS in by_kind:
        report.left = found.problems
        _recover(catalog, report, progress)
        return report
    if not found.problems:
        return report
    file = CatalogFile.read(catalog)
    records = Records.open(catalog / RECORDS)
    try:
        with locked(catalog / INDEX_LOCK, "indexing into"):
            _quarantine(catalog, records, found, by_kind.get(ProblemKind.ITEM, ()), report)
            _end_loose(records, by_kind, report)
            wanted = [problem.sha256 for problem in by_kind.get(ProblemKind.THUMBNAIL, ()) if problem.sha256]
            made = remake_thumbnails(catalog, pictures, wanted)
            if made:
                report.mended.append(f"Rebuilt {counted(made, 'thumbnail')}.")
        if set(by_kind) - {ProblemKind.THUMBNAIL, ProblemKind.LACKING}:
            progress("Building the search index", 0, 1)
            name = NewestState(records, file).optimize(retrain=True)
            report.mended.append(f"The generation was rebuilt: {name}.")
            for name in {Path(problem.where).parts[1] for problem in by_kind.get(ProblemKind.GENERATION, ())} - {".."}:
                shutil.rmtree(catalog / GENERATIONS / name, ignore_errors=True)
    finally:
        records.close()
    report.left = verify(catalog, progress=progress).problems
    return report


def _quarantine(
    catalog: Path, records: Records, found: Verification, problems: Sequence[Problem], report: RepairReport
) -> None:
    """Set aside items that cannot be searched or read: write them to a file, and delete them from the records."""
    reasons: dict[int, list[str]] = {}
    for problem in problems:
        reasons.setdefault(problem.id, []).append(problem.what)
    if not reasons:
        return
    images = records.images(reasons)
    lines = [
        {
            "key": item.key,
            "title": item.title,
            "fields": _readable(item.fields),
            "images": [image.source for image in images.get(item.id, ())],
            "reasons": reasons[item.id],
        }
        for item in records.items(np.array(sorted(reasons), dtype=np.int64))
    ]
    report.quarantine = _put_aside(catalog, lines)
    records.delete(reasons, as_of=found.commit, summary="quarantine")
    report.quarantined = [str(line["key"]) for line in lines]
    report.mended.append(
        f"Set aside: {counted(len(lines), 'item')}. To restore them, index them again from their feed."
    )


def _end_loose(
    records: Records,
    by_kind: dict[ProblemKind, list[Problem]],
    report: RepairReport,
) -> None:
    """End the life of vectors and images that belong to nothing; the rows stay in the records' history."""
    vectors = {problem.id for problem in by_kind.get(ProblemKind.LOOSE_VECTOR, ())}
    images = {problem.id for problem in by_kind.get(ProblemKind.LOOSE_IMAGE, ())}
    if vectors:
        records.end_loose("vectors", vectors, summary="repair")
        report.mended.append(f"No longer used, since they belong to nothing: {counted(len(vectors), 'vector')}.")
    if images:
        records.end_loose("images", images, summary="repair")
        report.mended.append(f"No longer used, since they belong to nothing: {counted(len(images), 'image')}.")


def _recover(catalog: Path, report: RepairReport, progress: Progress) -> None:
    """Save the readable part of damaged records as a new catalog beside the old one, and repair it."""
    place = catalog.absolute()
    beside = place.with_name(f"{place.name}.recovered-{_now()}")
    try:
        with failing(place.parent, "written to"):
            beside.mkdir()
            saved = salvage_records(catalog / RECORDS, beside / RECORDS, progress=progress)
            shutil.copy2(catalog / CATALOG_FILE, beside / CATALOG_FILE)
            if (catalog / THUMBNAILS).is_dir():
                shutil.copytree(catalog / THUMBNAILS, beside / THUMBNAILS, ignore=_record_files)
    except CatalogDamaged as error:
        shutil.rmtree(beside, ignore_errors=True)
        report.lost.append(str(error))
        return
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    report.recovered = beside
    report.lost += saved.lost
    report.mended.append(
        f"The readable part is a new catalog, {beside.name}: {counted(saved.saved.get('items', 0), 'item')}."
    )
    inner = repair(beside, progress=progress)
    report.mended += inner.mended
    report.quarantined, report.quarantine = inner.quarantined, inner.quarantine
    report.lost += [f"{problem.where}: {problem.what}" for problem in inner.left]


def _record_files(folder: str, names: Sequence[str]) -> list[str]:
    """Return the files in a folder that are records under another name."""
    return [name for name in names if is_held(Path(folder, name))]


def _put_aside(catalog: Path, lines: Sequence[dict[str, object]]) -> str:
    folder = catalog / QUARANTINE
    path = folder / f"{_now()}.jsonl"
    with failing(folder, "written to"):
        folder.mkdir(exist_ok=True)
        _write_lines(path, lines)
    return path.relative_to(catalog).as_posix()


def _write_lines(path: Path, lines: Sequence[dict[str, object]]) -> None:
    with path.open("xb") as file:
        file.writelines(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)
        file.flush()
        os.fsync(file.fileno())


def _readable(fields: str) -> object:
    try:
        return orjson.loads(fields)
    except orjson.JSONDecodeError:
        return fields


def _now() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
