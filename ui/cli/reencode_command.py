"""The command that changes the models of a catalog, and its comparison of the old and new ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Column, Table

from lookalike import Catalog
from lookalike.data.counted import counted
from lookalike.data.errors import UsageError
from lookalike.data.feeds.feed import Feed
from lookalike.data.fetch.settings import FetchSettings
from lookalike.retrieval.evaluation.judged_queries import read_queries
from lookalike.retrieval.evaluation.model_comparison import Comparison, Side
from lookalike.retrieval.reencode.reencode_run import ReencodeOptions, ReencodeReport, Reencoding
from lookalike.ui.cli.evaluate_command import measures_of
from lookalike.ui.cli.json_output import print_json
from lookalike.ui.cli.options import (
    AllowPrivateOption,
    CatalogArgument,
    ImageColumnOption,
    JsonOption,
    KeyColumnOption,
    TitleColumnOption,
)
from lookalike.ui.cli.progress_bar import now_and_then, progress
from lookalike.ui.cli.terminal import err, out, plain

__all__ = ["app"]

app = typer.Typer()

_SHOWN_HITS: Final = 4


@app.command()
def reencode(
    catalog: CatalogArgument,
    sources: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[SOURCE]...", help="Sources of the pictures; by default those last read from."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="New model.", show_default="the present one")] = None,
    appearance: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Second model, which compares the appearance of pictures; none removes it."),
    ] = None,
    queries: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Judged queries to compare on.", show_default="the kept ones"),
    ] = None,
    hold: Annotated[bool, typer.Option("--hold", help="Encode and compare; switch with the next run.")] = False,
    rollback: Annotated[bool, typer.Option("--rollback", help="Switch back to the previous models at once.")] = False,
    forget_it: Annotated[
        bool, typer.Option("--forget", help="Remove the vectors of models that are not in use.")
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Abandon an unfinished change and start over.")] = False,
    from_thumbnails: Annotated[
        bool, typer.Option("--from-thumbnails", help="Encode the thumbnail of a picture that is not found.")
    ] = False,
    drop_missing: Annotated[
        bool, typer.Option("--drop-missing", help="Switch even if pictures are not found; they get no vector.")
    ] = False,
    key: KeyColumnOption = None,
    image: ImageColumnOption = None,
    title: TitleColumnOption = None,
    allow_private: AllowPrivateOption = False,
    json: JsonOption = False,
) -> None:
    """Change the model of a catalog while search goes on.

    All pictures are encoded again beside the old vectors, both are compared, and then the catalog switches over.
    """
    if rollback or forget_it:
        if (rollback and forget_it) or model or appearance or sources or hold or restart:
            raise UsageError(
                "--rollback and --forget go with no model, no source and not with each other.",
                remedy="Make one call for each.",
            )
        with Catalog.open(catalog) as opened:
            _roll_back(opened, json=json) if rollback else _forget(opened, json=json)
        return
    options = ReencodeOptions(
        restart=restart,
        from_thumbnails=from_thumbnails,
        drop_missing=drop_missing,
        hold=hold,
        fetch=FetchSettings(allow_private=allow_private),
    )
    with Catalog.open(catalog) as opened:
        feeds: Sequence[Feed] = opened.feeds(sources, key=key, image=image, title=title) if sources else ()
        judged = read_queries(queries) if queries else ()
        run = opened.reencode(model=model, appearance=appearance, feeds=feeds, queries=judged, options=options)
        report = _run(run)
    if json:
        print_json(_facts(report))
    else:
        _show(report, catalog)


def _run(run: Reencoding) -> ReencodeReport:
    """Run a change with a bar that shows its phase."""
    try:
        with progress() as bar:
            task = bar.add_task(run.report.phase, total=None, rate="")
            for report in now_and_then(run):
                bar.update(task, description=report.phase, completed=report.done, total=report.total or None)
    except KeyboardInterrupt:
        err.print(
            f"Stopped with {counted(run.report.pictures, 'picture')} encoded; the catalog stays with "
            f"{plain(run.report.old)}. Run the same command again to go on.",
            highlight=False,
        )
        raise typer.Exit(1) from None
    return run.report


def _roll_back(catalog: Catalog, *, json: bool) -> None:
    report = catalog.roll_back()
    if json:
        print_json(asdict(report))
        return
    out.print(f"In use again: {plain(report.new)}, instead of {plain(report.old)}.", highlight=False)
    if report.pictures or report.titles:
        out.print(
            f"Added since, and without a vector there: {counted(report.pictures, 'picture')} and "
            f"{counted(report.titles, 'title')}. To make these vectors, run: lookalike reencode {plain(catalog.name)}",
            highlight=False,
        )


def _forget(catalog: Catalog, *, json: bool) -> None:
    with err.status("Removing vectors that are not in use"):
        count = catalog.forget()
    if json:
        print_json({"removed": count})
    else:
        out.print(f"Removed {counted(count, 'vector')}. There is no model to go back to any more.", highlight=False)


def _show(report: ReencodeReport, catalog: Path) -> None:
    """Print what was done, and the old and the new models side by side."""
    for note in report.notes:
        err.print(plain(note), style="yellow", highlight=False)
    counts = [f"{counted(report.pictures, 'picture')} and {counted(report.titles, 'title')} encoded"]
    if report.copied:
        counts.append(f"{counted(report.copied, 'vector')} copied")
    if report.thumbnails:
        counts.append(f"{counted(report.thumbnails, 'picture')} encoded from the thumbnail")
    if report.lacking:
        counts.append(f"{counted(report.lacking, 'picture')} without a vector")
    out.print(f"{', '.join(counts)} in {report.seconds:.1f} s", highlight=False)
    if report.comparison is not None:
        _show_comparison(report.comparison)
    if report.swapped:
        out.print(
            f"In use: {plain(report.new)}, instead of {plain(report.old)}. "
            f"Go back with: lookalike reencode {plain(str(catalog))} --rollback",
            highlight=False,
        )
    else:
        out.print(
            f"In use as before: {plain(report.old)}. Switch to {plain(report.new)} with: "
            f"lookalike reencode {plain(str(catalog))}",
            highlight=False,
        )


def _show_comparison(found: Comparison) -> None:
    table = Table("", Column(plain(f"old: {found.old.models}")), Column(plain(f"new: {found.new.models}")))
    sides = [_measures(side) for side in (found.old, found.new)]
    for name in sides[0]:
        table.add_row(name, *(plain(str(side[name])) for side in sides))
    for one in found.examples:
        table.add_row(plain(f"like {one.key}"), *(plain(", ".join(keys[:_SHOWN_HITS])) for keys in (one.old, one.new)))
    out.print(table)
    if found.items:
        out.print(
            f"Of the first ten hits for {counted(found.items, 'item')}, {found.overlap:.0%} are the same with both.",
            highlight=False,
        )


def _measures(side: Side) -> dict[str, object]:
    one = side.evaluation
    if side.refused is not None:
        return {"judged queries": side.refused}
    if one is None:
        return {}
    return {"judged queries": one.queries, **measures_of(one)}


def _facts(report: ReencodeReport) -> dict[str, Any]:
    facts = asdict(report)
    for name in ("phase", "done", "total"):
        del facts[name]
    found = report.comparison
    if found is not None:
        facts["comparison"] = {
            "old": {"models": found.old.models, **_measures(found.old)},
            "new": {"models": found.new.models, **_measures(found.new)},
            "items": found.items,
            "overlap": round(found.overlap, 4),
            "examples": [asdict(one) for one in found.examples],
        }
    return facts
