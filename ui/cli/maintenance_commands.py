"""The commands that keep a catalog safe: back it up, look at all of it, mend it, carry it over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from lookalike import Catalog
from lookalike.data.errors import CatalogNotFound
from lookalike.retrieval.maintenance.backup import Snapshot, list_snapshots
from lookalike.retrieval.maintenance.parquet_import import open_vector_table
from lookalike.retrieval.maintenance.repair import repair
from lookalike.retrieval.maintenance.verification import Problem, verify
from lookalike.retrieval.new_catalog import make
from lookalike.retrieval.progress import Progress
from lookalike.retrieval.vector_index import Metric
from lookalike.ui.cli.terminal import err, out, plain, print_json, progress

__all__ = ["app"]

MAX_SHOWN_PROBLEMS = 20

app = typer.Typer()

CatalogArgument = Annotated[Path, typer.Argument(metavar="CATALOG", help="The folder of the catalog.")]
BackupArgument = Annotated[Path, typer.Argument(metavar="BACKUP", help="A folder of backups, or a .tar file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@app.command()
def backup(
    catalog: CatalogArgument,
    target: Annotated[Path, typer.Argument(metavar="DEST", help="A folder of backups, or a new .tar file.")],
    keep: Annotated[
        int | None, typer.Option(help="How many of the newest snapshots stay.", show_default="all", min=1)
    ] = None,
    json: JsonOption = False,
) -> None:
    """Back a catalog up while it is in use; a second backup writes only what changed."""
    with Catalog.open(catalog) as opened, shown_progress() as told:
        report = opened.backup(target, keep=keep, progress=told)
    facts = {
        **_snapshot_json(report.snapshot),
        "chunks": report.chunks,
        "new_chunks": report.new_chunks,
        "new_bytes": report.new_bytes,
        "removed": list(report.removed),
    }
    if json:
        print_json(facts)
        return
    removed = f" {len(report.removed):,} older snapshots were removed." if report.removed else ""
    out.print(
        f"Snapshot {report.snapshot.name}: {report.snapshot.items:,} items, {_size(report.snapshot.size)}, "
        f"{_size(report.new_bytes)} of it new.{removed}",
        highlight=False,
    )


@app.command()
def backups(backup: BackupArgument, json: JsonOption = False) -> None:
    """List the snapshots of a backup."""
    snapshots = list_snapshots(backup)
    if json:
        print_json([_snapshot_json(snapshot) for snapshot in snapshots])
        return
    table = Table(Column("snapshot", overflow="fold"), "time (UTC)", "catalog", "items", "commit", "size")
    for one in snapshots:
        table.add_row(
            one.name,
            one.time[:19].replace("T", " "),
            plain(one.catalog),
            f"{one.items:,}",
            str(one.commit),
            _size(one.size),
        )
    out.print(table)


@app.command()
def restore(
    backup: BackupArgument,
    catalog: CatalogArgument,
    snapshot: Annotated[
        str | None, typer.Option(metavar="ID", help="The beginning of a snapshot's name.", show_default="the newest")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make a catalog from a backup, checking every byte of it."""
    with shown_progress() as told:
        restored = Catalog.restore(backup, catalog, snapshot=snapshot, progress=told)
    if restored.items:
        with Catalog.open(catalog) as opened, err.status("Building the search index"):
            opened.optimize()
    if json:
        print_json(_snapshot_json(restored))
    else:
        out.print(f"Restored {restored.items:,} items as of {restored.time[:19]} UTC.", highlight=False)


@app.command(name="verify")
def verify_command(catalog: CatalogArgument, json: JsonOption = False) -> None:
    """Check everything in a catalog and change nothing; exits with 1 when something is wrong."""
    with shown_progress() as told:
        found = verify(catalog, progress=told)
    if json:
        print_json({"problems": [_problem_json(one) for one in found.problems], "checked": found.checked})
    else:
        checked = ", ".join(f"{count:,} {what}" for what, count in found.checked.items())
        out.print(f"{len(found.problems):,} problems; checked {checked or 'nothing more'}.", highlight=False)
        _show_problems(found.problems)
    if found.problems:
        raise typer.Exit(1)


@app.command(name="repair")
def repair_command(
    catalog: CatalogArgument,
    pictures: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where the pictures lie, to make thumbnails from.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make anew what is derived and put aside what cannot be trusted; exits with 1 when something is left."""
    with shown_progress() as told:
        report = repair(catalog, pictures=pictures, progress=told)
    if json:
        facts = asdict(report)
        facts["recovered"] = None if report.recovered is None else str(report.recovered)
        print_json({**facts, "left": [_problem_json(one) for one in report.left]})
    else:
        for line in report.mended or ([] if report.left else ["Nothing is wrong."]):
            out.print(plain(line), highlight=False)
        if report.quarantine:
            out.print(f"What was put aside is in {report.quarantine}: {plain(', '.join(report.quarantined[:10]))}")
        for line in report.lost:
            out.print(f"Lost: {plain(line)}", highlight=False)
        if report.left:
            out.print(f"{len(report.left):,} problems are left:", highlight=False)
            _show_problems(report.left)
    if report.left:
        raise typer.Exit(1)


@app.command(name="export")
def export_command(
    catalog: CatalogArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new Parquet file.")],
    filter: Annotated[str | None, typer.Option(metavar="EXPR", help="Only the items that satisfy this.")] = None,
    vectors: Annotated[
        bool, typer.Option("--vectors/--no-vectors", help="With vectors and thumbnails, for an import, or without.")
    ] = True,
    json: JsonOption = False,
) -> None:
    """Write a catalog, or what satisfies a filter, to a Parquet file."""
    with Catalog.open(catalog) as opened, shown_progress() as told:
        count = opened.export(file, filter=filter, vectors=vectors, progress=told)
    size = file.stat().st_size
    if json:
        print_json({"items": count, "bytes": size})
    else:
        out.print(f"{count:,} items, {_size(size)}.", highlight=False)


@app.command(name="import")
def import_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A Parquet file with keys and vectors.")],
    catalog: CatalogArgument,
    metric: Annotated[
        Metric, typer.Option(help="Of a new catalog, where the file does not say what made its vectors.")
    ] = Metric.COSINE,
    json: JsonOption = False,
) -> None:
    """Add the items of a Parquet file to a catalog, or make one of them; what is there already stays."""
    table = open_vector_table(file)
    try:
        opened = Catalog.open(catalog)
    except CatalogNotFound:
        make(catalog, table.catalog_file(metric))
        opened = Catalog.open(catalog)
    with opened:
        with shown_progress() as told:
            report = opened.import_parquet(file, progress=told)
        if report.added or report.updated:
            with err.status("Building the search index"):
                opened.optimize()
    if json:
        rejects = [{"row": one.row, "reason": one.reason, "key": one.key} for one in report.rejects]
        counts = {"added": report.added, "updated": report.updated, "unchanged": report.unchanged}
        print_json({**counts, "rejected": len(rejects), "rejects": rejects})
    else:
        out.print(
            f"{report.added:,} added, {report.updated:,} updated, {report.unchanged:,} unchanged, "
            f"{len(report.rejects):,} rejected.",
            highlight=False,
        )
        for one in report.rejects[:MAX_SHOWN_PROBLEMS]:
            out.print(f"  row {one.row}: {plain(one.reason)}", highlight=False)


def _show_problems(problems: Sequence[Problem]) -> None:
    for one in problems[:MAX_SHOWN_PROBLEMS]:
        out.print(f"  {plain(one.where)}: {plain(one.what)} Mend it: {plain(one.mend)}", highlight=False)
    if len(problems) > MAX_SHOWN_PROBLEMS:
        out.print(f"  ... and {len(problems) - MAX_SHOWN_PROBLEMS:,} more; --json lists all")


def _problem_json(problem: Problem) -> dict[str, str]:
    return {"kind": problem.kind.value, "what": problem.what, "where": problem.where, "mend": problem.mend}


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """Show how far a task is, as a bar."""
    with progress() as bar:
        task = bar.add_task("Starting", total=None, rate="")
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


def _snapshot_json(snapshot: Snapshot) -> dict[str, object]:
    return {
        "snapshot": snapshot.name,
        "time": snapshot.time,
        "catalog": snapshot.catalog,
        "commit": snapshot.commit,
        "items": snapshot.items,
        "bytes": snapshot.size,
    }


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"
