"""Commands for backups: make one, list its snapshots, restore a catalog from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from lookalike import Catalog
from lookalike.data.counted import counted
from lookalike.retrieval.maintenance.backup import Snapshot, list_snapshots
from lookalike.ui.cli.json_output import print_json
from lookalike.ui.cli.options import CatalogArgument, JsonOption
from lookalike.ui.cli.progress_bar import shown_progress
from lookalike.ui.cli.terminal import err, out, plain, shown_size

__all__ = ["app"]

app = typer.Typer()

BackupArgument = Annotated[Path, typer.Argument(metavar="BACKUP", help="Folder of backups, or a .tar file.")]


@app.command()
def backup(
    catalog: CatalogArgument,
    target: Annotated[Path, typer.Argument(metavar="DEST", help="Folder of backups, or a new .tar file.")],
    keep: Annotated[
        int | None, typer.Option(help="Number of newest snapshots to keep.", show_default="all", min=1)
    ] = None,
    json: JsonOption = False,
) -> None:
    """Back up a catalog while it is in use.

    A second backup into the same folder writes only what changed.
    """
    with Catalog.open(catalog) as opened, shown_progress() as listener:
        report = opened.backup(target, keep=keep, progress=listener)
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
    removed = f" Removed {counted(len(report.removed), 'older snapshot')}." if report.removed else ""
    out.print(
        f"Snapshot {report.snapshot.name}: {counted(report.snapshot.items, 'item')}, "
        f"{shown_size(report.snapshot.size)}, {shown_size(report.new_bytes)} of it new.{removed}",
        highlight=False,
    )


@app.command()
def backups(backup: BackupArgument, json: JsonOption = False) -> None:
    """List the snapshots of a backup."""
    snapshots = list_snapshots(backup)
    if json:
        print_json([_snapshot_json(snapshot) for snapshot in snapshots])
        return
    names = (Column(name, overflow="fold") for name in ("snapshot", "catalog"))
    numbers = (Column(name, justify="right", no_wrap=True) for name in ("items", "commit", "size"))
    table = Table(next(names), Column("time (UTC)", no_wrap=True), *names, *numbers)
    for one in snapshots:
        table.add_row(
            one.name,
            one.time[:19].replace("T", " "),
            plain(one.catalog),
            f"{one.items:,}",
            str(one.commit),
            shown_size(one.size),
        )
    out.print(table)


@app.command()
def restore(
    backup: BackupArgument,
    catalog: CatalogArgument,
    snapshot: Annotated[
        str | None, typer.Option(metavar="ID", help="Beginning of a snapshot's name.", show_default="the newest")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Create a catalog from a backup, checking every byte of it."""
    with shown_progress() as listener:
        restored = Catalog.restore(backup, catalog, snapshot=snapshot, progress=listener)
    if restored.items:
        with Catalog.open(catalog) as opened, err.status("Building the search index"):
            opened.optimize()
    if json:
        print_json(_snapshot_json(restored))
    else:
        out.print(f"Restored {counted(restored.items, 'item')} as of {restored.time[:19]} UTC.", highlight=False)


def _snapshot_json(snapshot: Snapshot) -> dict[str, object]:
    return {
        "snapshot": snapshot.name,
        "time": snapshot.time,
        "catalog": snapshot.catalog,
        "commit": snapshot.commit,
        "items": snapshot.items,
        "bytes": snapshot.size,
    }
