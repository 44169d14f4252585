"""Commands that carry items and vectors out of a catalog and into one, as Parquet files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from lookalike import Catalog
from lookalike.data.counted import counted
from lookalike.data.errors import CatalogNotFound
from lookalike.retrieval.maintenance.parquet_import import open_vector_table
from lookalike.retrieval.new_catalog import make
from lookalike.retrieval.vector_index import Metric
from lookalike.ui.cli.json_output import print_json
from lookalike.ui.cli.options import CatalogArgument, JsonOption
from lookalike.ui.cli.progress_bar import shown_progress
from lookalike.ui.cli.terminal import err, out, plain, shown_size

__all__ = ["app"]

app = typer.Typer()

_MAX_SHOWN_REJECTS: Final = 20


@app.command(name="export")
def export_command(
    catalog: CatalogArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Parquet file to write; it must not exist.")],
    filter: Annotated[str | None, typer.Option(metavar="EXPR", help="Only items that satisfy this condition.")] = None,
    vectors: Annotated[
        bool, typer.Option("--vectors/--no-vectors", help="Include vectors and thumbnails, which an import needs.")
    ] = True,
    json: JsonOption = False,
) -> None:
    """Write a catalog, or the items that match a filter, to a Parquet file."""
    with Catalog.open(catalog) as opened, shown_progress() as listener:
        count = opened.export(file, filter=filter, vectors=vectors, progress=listener)
    size = file.stat().st_size
    if json:
        print_json({"items": count, "bytes": size})
    else:
        out.print(f"{counted(count, 'item')}, {shown_size(size)}.", highlight=False)


@app.command(name="import")
def import_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Parquet file with keys and vectors.")],
    catalog: CatalogArgument,
    metric: Annotated[
        Metric, typer.Option(help="Metric of a new catalog, if the file does not name the model of its vectors.")
    ] = Metric.COSINE,
    json: JsonOption = False,
) -> None:
    """Add the items of a Parquet file to a catalog, or make a catalog of them.

    Items that the catalog has already and the file has not are left alone.
    """
    table = open_vector_table(file)
    try:
        opened = Catalog.open(catalog)
    except CatalogNotFound:
        make(catalog, table.catalog_file(metric))
        opened = Catalog.open(catalog)
    with opened:
        with shown_progress() as listener:
            report = opened.import_parquet(file, progress=listener)
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
        for one in report.rejects[:_MAX_SHOWN_REJECTS]:
            out.print(f"  row {one.row}: {plain(one.reason)}", highlight=False)
