"""The command that takes a catalogue in, and what goes on on the screen meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from data.errors import CatalogNotFound, UsageError
from data.feed import Feed, open_feed
from data.fetch.settings import FetchSettings
from models import choose_model, full_name, load_encoder, local_weights
from retrieval import Catalog
from retrieval.indexing import IndexReport, IndexRun
from retrieval.schema import Schema
from ui.options import CatalogArgument, JsonOption
from ui.terminal import err, fetched_words, plain, print_json, progress, show_report

__all__ = ["opened_or_created", "register", "run_index", "types_of"]

MAX_PER_HOST = 32

_FETCH = FetchSettings()


def index(
    catalog: CatalogArgument,
    source: Annotated[Path, typer.Argument(help="A CSV, TSV, JSON Lines or Parquet feed, or a folder of pictures.")],
    model: Annotated[str | None, typer.Option(help="The model of a new catalog.", show_default="auto")] = None,
    key: Annotated[str | None, typer.Option(help="The column with the key.", show_default="found by name")] = None,
    image: Annotated[
        str | None, typer.Option(help="The column with the pictures.", show_default="found by name")
    ] = None,
    title: Annotated[str | None, typer.Option(help="The column with the title.", show_default="found by name")] = None,
    restart: Annotated[
        bool, typer.Option("--restart/--resume", help="Encode all pictures anew, or only new and changed ones.")
    ] = False,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Fetch from addresses of this machine and its own network, too.")
    ] = False,
    fetch_per_host: Annotated[
        int, typer.Option(metavar="N", help="Pictures fetched from one host at a time.", min=1, max=MAX_PER_HOST)
    ] = _FETCH.per_host,
    fetch_timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long fetching one picture may take.", min=0.1)
    ] = _FETCH.timeout_s,
    json: JsonOption = False,
) -> None:
    """Index a catalogue: what is new or changed is written, the rest is left as it is."""
    fetch = FetchSettings(allow_private=allow_private, per_host=fetch_per_host, timeout_s=fetch_timeout)
    feed = open_feed(source, key=key, image=image, title=title, types=types_of(catalog))  # before a catalog is made
    with opened_or_created(catalog, model) as opened:
        report = run_index(opened, feed, restart=restart, fetch=fetch)
    if json:
        rejects = [
            {"row": one.row, "reason": one.reason, "key": one.key, "image": one.source} for one in report.rejects
        ]
        print_json(
            {
                "added": report.added,
                "updated": report.updated,
                "unchanged": report.unchanged,
                "rejected": len(report.rejects),
                "seconds": round(report.seconds, 3),
                "images_per_second": round(report.images_per_second, 2),
                "fetched": report.fetched.fetched,
                "fetched_bytes": report.fetched.bytes,
                "rejects": rejects,
            }
        )
    else:
        show_report(report)


def register(app: typer.Typer) -> None:
    """Add the command to an app."""
    app.command()(index)


def types_of(folder: Path) -> Schema | None:
    """Return the types that the fields of a catalog have; None where there is no catalog."""
    try:
        with Catalog.open(folder) as catalog:
            return catalog.records.schema()
    except CatalogNotFound:
        return None


@contextlib.contextmanager
def opened_or_created(folder: Path, model: str | None) -> Iterator[Catalog]:
    """Open a catalog, or make one with that model where there is none."""
    try:
        catalog = Catalog.open(folder)
    except CatalogNotFound:
        choice = choose_model() if model in (None, "auto") else None
        catalog = Catalog.create(folder, model=model if choice is None else choice.name)
        if choice is not None:
            err.print(f"New catalog with the model {choice.name}: {choice.reason}.", highlight=False)
    with catalog:
        if model is not None:
            _check_model(catalog, model)
        yield catalog


def _check_model(catalog: Catalog, model: str) -> None:
    """Refuse another model than the one that made the catalog, "auto" being whichever that is."""
    made_with = (catalog.file.model or {}).get("name")
    if model == "auto" and made_with is not None:
        return
    if made_with != full_name(model):
        raise UsageError(
            f"The catalog was made with the model {made_with}, not {model}. "
            f"Index into a new catalog with: lookalike index NEW SOURCE --model {model}"
        )
    if local_weights(model) is not None:
        catalog.file.check(load_encoder(model).spec)


def run_index(catalog: Catalog, feed: Feed, *, restart: bool, fetch: FetchSettings | None = None) -> IndexReport:
    """Run the indexer with a progress bar, then fold what is new into a generation."""
    if feed.columns:
        columns = ", ".join(f"{name} ({taken_for})" for name, taken_for in feed.columns.items())
        err.print(f"Columns: {plain(columns)}", highlight=False)
    run = IndexRun(catalog, feed, restart=restart, fetch=fetch)
    try:
        with progress() as bar:
            task = bar.add_task("Indexing", total=feed.count, rate="")
            for report in run:
                bar.update(task, completed=report.rows, rate=_shown_rate(report))
    except KeyboardInterrupt:
        err.print(
            f"Stopped: {run.report.added + run.report.updated:,} items are written and safe. "
            "Run the same command again to go on."
        )
        raise typer.Exit(1) from None
    if run.report.added or run.report.updated:
        with err.status("Building the search index"):
            catalog.optimize()
    return run.report


def _shown_rate(report: IndexReport) -> str:
    parts = []
    if report.encoded:
        parts.append(f"{report.images_per_second:.0f} pictures a second")
    if report.fetched.requested:
        parts.append(fetched_words(report.fetched))
    if report.rejects:
        parts.append(f"{len(report.rejects):,} rejected")
    return ", ".join(parts)
