"""Index feeds into a catalog with a progress bar; open the catalog with the models asked for, or make it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Unpack

import typer

from lookalike import Catalog
from lookalike.data.counted import counted
from lookalike.data.errors import CatalogNotFound, SyncRefused
from lookalike.data.feeds.feed import Feed
from lookalike.data.fetch.settings import FetchSettings
from lookalike.data.field_type import FieldType
from lookalike.models import choose_model
from lookalike.retrieval.ingest.index_run import IndexReport, IndexRun, RunOptions
from lookalike.ui.cli.index_view import fetched_words
from lookalike.ui.cli.progress_bar import now_and_then, progress
from lookalike.ui.cli.terminal import err, plain

__all__ = ["opened_or_created", "opened_to_compare", "run_index", "types_of", "warn_of_empty"]


def types_of(folder: Path) -> Mapping[str, FieldType] | None:
    """Return the field types of the catalog at `folder`, or None if there is no catalog."""
    try:
        with Catalog.open(folder) as catalog:
            return catalog.schema
    except CatalogNotFound:
        return None


@contextmanager
def opened_or_created(folder: Path, model: str | None, appearance: str | None = None) -> Iterator[Catalog]:
    """Open the catalog at `folder`, or create one with these models if there is none.

    Raises:
        UsageError: the catalog was made with other models.
    """
    try:
        catalog = Catalog.open(folder)
    except CatalogNotFound:
        choice = choose_model() if model in (None, "auto") else None
        catalog = Catalog.create(folder, model=model if choice is None else choice.name, appearance=appearance)
        if choice is not None:
            err.print(f"New catalog with the model {choice.name}: {choice.reason}.", highlight=False)
    with catalog:
        catalog.check_models(model, appearance)
        yield catalog


@contextmanager
def opened_to_compare(folder: Path, model: str | None, appearance: str | None) -> Iterator[Catalog]:
    """Open the catalog at `folder`, or an empty temporary one if there is none.

    Raises:
        UsageError: the catalog was made with other models.
    """
    try:
        catalog = Catalog.open(folder)
    except CatalogNotFound:
        with tempfile.TemporaryDirectory() as place, Catalog.create(Path(place) / "empty", dim=1) as empty:
            yield empty
        return
    with catalog:
        catalog.check_models(model, appearance)
        yield catalog


def run_index(
    catalog: Catalog, feeds: Sequence[Feed], *, fetch: FetchSettings | None = None, **options: Unpack[RunOptions]
) -> list[IndexRun]:
    """Index feeds one after the other with one progress bar, then fold the new items into a generation.

    The finished runs have the order of `feeds`.
    """
    for feed in feeds:
        if feed.notes:
            err.print(plain(" ".join(feed.notes)), highlight=False)
        if feed.columns:
            columns = ", ".join(f"{name} ({taken_for})" for name, taken_for in feed.columns.items())
            err.print(f"Columns{plain(f' of {feed.name}' * (len(feeds) > 1))}: {plain(columns)}", highlight=False)
    retry = options.get("retry", False)
    counts = [catalog.count_to_retry(feed.name) if retry else feed.count for feed in feeds]
    if retry and not any(counts):
        err.print("No row is rejected in the ledger: there is nothing to try again.", highlight=False)
    warn_of_empty(feeds)
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
                for report in now_and_then(run):
                    bar.update(task, completed=before + report.rows, rate=_rate(reports))
    except KeyboardInterrupt:
        err.print(
            f"Stopped with {counted(sum(one.added + one.updated for one in reports), 'item')} written and safe. "
            "Run the same command again to go on."
        )
        raise typer.Exit(1) from None
    except SyncRefused:
        _optimize(catalog, reports)
        raise
    _optimize(catalog, reports)
    return runs


def warn_of_empty(feeds: Sequence[Feed]) -> None:
    """Print a line for each feed that has no rows, which is seldom meant."""
    for feed in feeds:
        if not feed.count:
            err.print(
                f"[yellow]{plain(feed.name)} has no rows.[/] Check that its export ran to the end, and that it does "
                "not filter out every product.",
                highlight=False,
            )


def _optimize(catalog: Catalog, reports: Sequence[IndexReport]) -> None:
    if any(report.added or report.updated or report.renamed or report.deleted for report in reports):
        with err.status("Building the search index"):
            catalog.optimize()


def _rate(reports: Sequence[IndexReport]) -> str:
    """Describe the speed of the last run, and how many rows were rejected in all runs."""
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
