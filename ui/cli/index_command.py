"""The command that indexes feeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer

from lookalike.data.errors import UsageError
from lookalike.data.feeds.feed import FeedOptions, open_feeds
from lookalike.data.fetch.settings import FetchSettings
from lookalike.retrieval.ingest.index_run import IndexReport, RunOptions
from lookalike.retrieval.store.ledger import LedgerEntry
from lookalike.ui.cli.dry_run_view import show_plans
from lookalike.ui.cli.index_view import show_report
from lookalike.ui.cli.indexing import opened_or_created, opened_to_compare, run_index, types_of, warn_of_empty
from lookalike.ui.cli.json_output import print_json_list
from lookalike.ui.cli.options import (
    AllowPrivateOption,
    BaseOption,
    CatalogArgument,
    ImageColumnOption,
    JsonOption,
    KeyColumnOption,
    TitleColumnOption,
    VariantsOption,
)
from lookalike.ui.cli.watch_view import show_watch, watch_of

__all__ = ["app"]

app = typer.Typer()

_MAX_PER_HOST: Final = 32
_FETCH: Final = FetchSettings()


@app.command()
def index(
    catalog: CatalogArgument,
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...",
            help="Feeds (CSV, TSV, JSON Lines, Parquet), folders or archives (zip, tar) of pictures, WebDataset "
            "shards, or Hugging Face datasets on disk.",
        ),
    ],
    model: Annotated[str | None, typer.Option(help="Model of a new catalog.", show_default="auto")] = None,
    appearance: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Second model of a new catalog, which compares the appearance of pictures."),
    ] = None,
    key: KeyColumnOption = None,
    image: ImageColumnOption = None,
    title: TitleColumnOption = None,
    variants: VariantsOption = None,
    base: BaseOption = None,
    feed_name: Annotated[
        str | None,
        typer.Option("--feed", metavar="NAME", help="Name of the feed in the ledger.", show_default="its file name"),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart/--resume", help="Encode all pictures again, or only new and changed ones.")
    ] = False,
    allow_private: AllowPrivateOption = False,
    fetch_per_host: Annotated[
        int,
        typer.Option(metavar="N", help="Pictures fetched from one host at the same time.", min=1, max=_MAX_PER_HOST),
    ] = _FETCH.per_host,
    fetch_timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="Longest time for fetching one picture.", min=0.1)
    ] = _FETCH.timeout_s,
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep running, and keep the catalog in step with the source until stopped.")
    ] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Read only the rows that the ledger has as rejected.")] = False,
    sync: Annotated[
        bool, typer.Option("--sync", help="Remove items that the feed brought earlier and no longer has.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --sync, remove them even if that is more than half.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Index a catalogue: write new and changed items and leave the rest alone."""
    if watch and (json or retry or dry_run or feed_name or len(sources) > 1):
        raise UsageError(
            "--watch takes all rows of one source, under its own name, and shows changes as text.",
            remedy="Leave out --json, --retry, --dry-run, --feed and all sources but one.",
        )
    if force and not sync:
        raise UsageError("--force goes with --sync.", remedy="Add --sync, or leave out --force.")
    if feed_name is not None and len(sources) > 1:
        raise UsageError(
            "--feed names one source, but there are several.",
            remedy="Leave out --feed, so that each is known by its own name, or index them one by one.",
        )
    options = RunOptions(restart=restart, retry=retry, sync=sync, force=force)
    fetch = FetchSettings(allow_private=allow_private, per_host=fetch_per_host, timeout_s=fetch_timeout)
    given = FeedOptions(key=key, image=image, title=title, variants=variants, base=base)
    feeds = open_feeds(sources, types=types_of(catalog), **given)  # before a catalog is made
    feeds = feeds if feed_name is None else [replace(feeds[0], name=feed_name, is_named=True)]
    if dry_run:
        warn_of_empty(feeds)
        with opened_to_compare(catalog, model, appearance) as opened:
            feeds = opened.feeds(feeds)
            show_plans({feed.name: opened.dry_run(feed, **options) for feed in feeds}, json=json)
        return
    with opened_or_created(catalog, model, appearance) as opened:
        feeds = opened.feeds(feeds)
        if watch:
            watched = watch_of(opened, sources[0], given, fetch)
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
    counted = ("added", "updated", "unchanged", "renamed", "deleted", "missing", "rejected", "warnings")
    return {
        **{name: sum(getattr(report, name) for report in reports) for name in counted},
        "seconds": round(seconds, 3),
        "images_per_second": round(sum(report.encoded for report in reports) / seconds, 2) if seconds else 0.0,
        "fetched": sum(report.fetched.fetched for report in reports),
        "fetched_bytes": sum(report.fetched.bytes for report in reports),
    }


def _reject_json(one: LedgerEntry) -> dict[str, object]:
    return {"feed": one.feed, "row": one.row, "reason": one.reason, "key": one.key, "image": one.source}
