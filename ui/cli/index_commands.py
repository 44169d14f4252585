"""The command that takes a catalogue in, and what goes on on the screen meanwhile."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Unpack

import typer

from lookalike import Catalog
from lookalike.data.errors import CatalogNotFound, SyncRefused, UsageError
from lookalike.data.feeds.feed import Feed, open_feeds
from lookalike.data.fetch.settings import FetchSettings
from lookalike.data.field_type import FieldType
from lookalike.models import choose_model
from lookalike.retrieval.ingest.index_run import IndexReport, IndexRun, RunOptions
from lookalike.retrieval.store.ledger import LedgerEntry
from lookalike.ui.cli import ledger_commands
from lookalike.ui.cli.dry_run_view import show_plans
from lookalike.ui.cli.options import CatalogArgument, JsonOption
from lookalike.ui.cli.terminal import err, fetched_words, plain, print_json_list, progress, show_report
from lookalike.ui.cli.watch_view import Columns, show_watch, watch_of

__all__ = ["opened_or_created", "register", "run_index", "types_of"]

MAX_PER_HOST = 32

_FETCH = FetchSettings()
_SHOWN_EVERY_S = 0.1


def index(
    catalog: CatalogArgument,
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...",
            help="Feeds (CSV, TSV, JSON Lines, Parquet), folders or archives (zip, tar) of pictures, WebDataset "
            "shards, Hugging Face datasets on disk.",
        ),
    ],
    model: Annotated[str | None, typer.Option(help="The model of a new catalog.", show_default="auto")] = None,
    looks: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Of a new catalog: a second model, that pictures are compared by."),
    ] = None,
    key: Annotated[str | None, typer.Option(help="The column with the key.", show_default="found by name")] = None,
    image: Annotated[
        str | None, typer.Option(help="The column with the pictures.", show_default="found by name")
    ] = None,
    title: Annotated[str | None, typer.Option(help="The column with the title.", show_default="found by name")] = None,
    feed_name: Annotated[
        str | None, typer.Option("--feed", metavar="NAME", help="The feed in the ledger.", show_default="its file name")
    ] = None,
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
    watch: Annotated[
        bool, typer.Option("--watch", help="Stay, and keep the catalog in step with the source until stopped.")
    ] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Take only the rows that the ledger has as rejected.")] = False,
    sync: Annotated[bool, typer.Option("--sync", help="Remove what the feed brought earlier and has no more.")] = False,
    force: Annotated[bool, typer.Option("--force", help="With --sync: also where it would be more than half.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Index a catalogue: what is new or changed is written, the rest is left as it is."""
    if watch and (json or retry or dry_run or feed_name or len(sources) > 1):
        raise UsageError(
            "--watch takes all of one source, under its own name, and shows what happens rather than printing --json."
        )
    if force and not sync:
        raise UsageError("--force goes with --sync.")
    if feed_name is not None and len(sources) > 1:
        raise UsageError("--feed names one source; several are known by their own names.")
    options = RunOptions(restart=restart, retry=retry, sync=sync, force=force)
    fetch = FetchSettings(allow_private=allow_private, per_host=fetch_per_host, timeout_s=fetch_timeout)
    columns = Columns(key=key, image=image, title=title)
    feeds = open_feeds(sources, **columns, types=types_of(catalog))  # before a catalog is made
    feeds = feeds if feed_name is None else [replace(feeds[0], name=feed_name)]
    if dry_run:
        with opened_to_look(catalog, model, looks) as opened:
            show_plans({feed.name: opened.dry_run(feed, **options) for feed in feeds}, json=json)
        return
    with opened_or_created(catalog, model, looks) as opened:
        if watch:
            watched = watch_of(opened, sources[0], columns, fetch)
            show_report(*(run.report for run in run_index(opened, [watched.feed], fetch=fetch, **options)))
            show_watch(watched)
            return
        runs = run_index(opened, feeds, fetch=fetch, **options)
        reports = [run.report for run in runs]
        if json:
            rejects = (one for run in runs for one in run.rejects())
            print_json_list("rejects", map(_reject_json, rejects), lambda: _facts(reports))
            return
    for feed, report in zip(feeds, reports, strict=True):
        show_report(report, name=feed.name if len(feeds) > 1 else None)


def _facts(reports: Sequence[IndexReport]) -> dict[str, object]:
    seconds = sum(report.seconds for report in reports)
    counted = ("added", "updated", "unchanged", "renamed", "deleted", "missing", "rejected")
    return {
        **{name: sum(getattr(report, name) for report in reports) for name in counted},
        "seconds": round(seconds, 3),
        "images_per_second": round(sum(report.encoded for report in reports) / seconds, 2) if seconds else 0.0,
        "fetched": sum(report.fetched.fetched for report in reports),
        "fetched_bytes": sum(report.fetched.bytes for report in reports),
    }


def _reject_json(one: LedgerEntry) -> dict[str, object]:
    return {"feed": one.feed, "row": one.row, "reason": one.reason, "key": one.key, "image": one.source}


def register(app: typer.Typer) -> None:
    """Add the commands to an app."""
    app.command()(index)
    ledger_commands.register(app)


def types_of(folder: Path) -> Mapping[str, FieldType] | None:
    """Return the types that the fields of a catalog have; None where there is no catalog."""
    try:
        with Catalog.open(folder) as catalog:
            return catalog.schema
    except CatalogNotFound:
        return None


@contextlib.contextmanager
def opened_or_created(folder: Path, model: str | None, looks: str | None = None) -> Iterator[Catalog]:
    """Open a catalog, or make one with these models where there is none."""
    try:
        catalog = Catalog.open(folder)
    except CatalogNotFound:
        choice = choose_model() if model in (None, "auto") else None
        catalog = Catalog.create(folder, model=model if choice is None else choice.name, appearance=looks)
        if choice is not None:
            err.print(f"New catalog with the model {choice.name}: {choice.reason}.", highlight=False)
    with catalog:
        catalog.check_models(model, looks)
        yield catalog


@contextlib.contextmanager
def opened_to_look(folder: Path, model: str | None, looks: str | None) -> Iterator[Catalog]:
    """Open a catalog to compare with, an empty one elsewhere where there is none."""
    try:
        catalog = Catalog.open(folder)
    except CatalogNotFound:
        with tempfile.TemporaryDirectory() as place, Catalog.create(Path(place) / "empty", dim=1) as empty:
            yield empty
        return
    with catalog:
        catalog.check_models(model, looks)
        yield catalog


def run_index(
    catalog: Catalog, feeds: Sequence[Feed], *, fetch: FetchSettings | None = None, **options: Unpack[RunOptions]
) -> list[IndexRun]:
    """Run the indexer over feeds, with one progress bar, then fold what is new into a generation."""
    for feed in feeds:
        if feed.columns:
            columns = ", ".join(f"{name} ({taken_for})" for name, taken_for in feed.columns.items())
            err.print(f"Columns{plain(f' of {feed.name}' * (len(feeds) > 1))}: {plain(columns)}", highlight=False)
    counts = [catalog.count_to_retry(feed.name) if options.get("retry") else feed.count for feed in feeds]
    if not any(counts):
        err.print("No row is rejected in the ledger: there is nothing to try again.", highlight=False)
    runs: list[IndexRun] = []
    reports: list[IndexReport] = []
    try:
        with progress() as bar:
            task = bar.add_task("Indexing", total=sum(counts), rate="")
            for feed in feeds:
                before = sum(report.rows for report in reports)
                run = catalog.index(feed, fetch=fetch, **options)
                runs.append(run)
                reports.append(run.report)
                for report in _now_and_then(run):
                    bar.update(task, completed=before + report.rows, rate=_shown_rate(reports))
    except KeyboardInterrupt:
        err.print(
            f"Stopped: {sum(report.added + report.updated for report in reports):,} items are written and safe. "
            "Run the same command again to go on."
        )
        raise typer.Exit(1) from None
    except SyncRefused:
        _optimize(catalog, reports)
        raise
    _optimize(catalog, reports)
    return runs


def _optimize(catalog: Catalog, reports: Sequence[IndexReport]) -> None:
    if any(report.added or report.updated or report.renamed or report.deleted for report in reports):
        with err.status("Building the search index"):
            catalog.optimize()


def _now_and_then(run: IndexRun) -> Iterator[IndexReport]:
    """Yield a run's reports at intervals that the bar can reckon the time left by, and the last."""
    shown = 0.0
    for report in run:
        if time.monotonic() - shown >= _SHOWN_EVERY_S:
            shown = time.monotonic()
            yield report
    yield run.report


def _shown_rate(reports: Sequence[IndexReport]) -> str:
    """Say how the last run goes, and how much is rejected in all."""
    report = reports[-1]
    rejected = sum(one.rejected for one in reports)
    parts = []
    if report.encoded:
        parts.append(f"{report.images_per_second:.0f} pictures a second")
    if report.fetched.requested:
        parts.append(fetched_words(report.fetched))
    if rejected:
        parts.append(f"{rejected:,} rejected")
    return ", ".join(parts)
