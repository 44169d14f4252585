"""Index feeds into a catalog with a progress bar; open the catalog with the models asked for, or make it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Unpack

import typer

from lookalike.data.errors import CatalogNotFound, SyncRefused, UsageError
from lookalike.data.feeds.feed import Feed
from lookalike.data.fetch.settings import FetchSettings
from lookalike.models import choose_model, full_name, load_encoder, local_weights
from lookalike.retrieval import Catalog
from lookalike.retrieval.ingest.index_run import IndexReport, IndexRun, RunOptions
from lookalike.retrieval.schema import Schema
from lookalike.ui.cli.index_view import fetched_words
from lookalike.ui.cli.progress_bar import now_and_then, progress
from lookalike.ui.cli.terminal import err, plain

__all__ = ["opened_or_created", "opened_to_compare", "run_index", "types_of"]


def types_of(folder: Path) -> Schema | None:
    """Return the field types of the catalog at `folder`, or None if there is no catalog."""
    try:
        with Catalog.open(folder) as catalog:
            return catalog.records.schema()
    except CatalogNotFound:
        return None


@contextmanager
def opened_or_created(folder: Path, model: str | None, looks: str | None = None) -> Iterator[Catalog]:
    """Open the catalog at `folder`, or create one with these models if there is none.

    Raises:
        UsageError: the catalog was made with other models.
    """
    try:
        catalog = Catalog.open(folder)
    except CatalogNotFound:
        choice = choose_model() if model in (None, "auto") else None
        catalog = Catalog.create(folder, model=model if choice is None else choice.name, looks=looks)
        if choice is not None:
            err.print(f"New catalog with the model {choice.name}: {choice.reason}.", highlight=False)
    with _checked(catalog, model, looks):
        yield catalog


@contextmanager
def opened_to_compare(folder: Path, model: str | None, looks: str | None) -> Iterator[Catalog]:
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
    with _checked(catalog, model, looks):
        yield catalog


@contextmanager
def _checked(catalog: Catalog, model: str | None, looks: str | None) -> Iterator[None]:
    with catalog:
        _check_model(catalog, model)
        _check_looks(catalog, looks)
        yield


def _check_looks(catalog: Catalog, looks: str | None) -> None:
    """Refuse a second model that is not the catalog's."""
    if looks is None:
        return
    made_with = (catalog.file.looks_model or {}).get("name")
    if looks != made_with and full_name(looks) != made_with:
        has = "has no second model" if made_with is None else f"compares looks by the model {made_with}"
        raise UsageError(
            f"The catalog {has}, not {looks}.",
            remedy=f"Change the second model with: lookalike reencode {catalog.name} --looks {looks}",
        )


def _check_model(catalog: Catalog, model: str | None) -> None:
    """Refuse a model that is not the catalog's; None, and "auto" for a catalog with a model, match any."""
    if model is None:
        return
    made_with = (catalog.file.model or {}).get("name")
    if model == made_with or (model == "auto" and made_with is not None):
        return
    try:
        wanted = full_name(model)
    except UsageError:  # there is no such model, but that it is not the catalog's matters more
        wanted = None
    if made_with is None or made_with != wanted:
        raise UsageError(
            f"The catalog was made with the model {made_with}, not {model}.",
            remedy=f"Index into a new catalog with: lookalike index NEW SOURCE --model {model}, or change the model of "
            f"this one with: lookalike reencode {catalog.name} --model {model}",
        )
    if local_weights(model) is not None:
        catalog.file.check(load_encoder(model).spec)


def run_index(
    catalog: Catalog, feeds: Sequence[Feed], *, fetch: FetchSettings | None = None, **options: Unpack[RunOptions]
) -> list[IndexReport]:
    """Index feeds one after the other with one progress bar, then fold the new items into a generation.

    The reports have the order of `feeds`.
    """
    for feed in feeds:
        if feed.columns:
            columns = ", ".join(f"{name} ({taken_for})" for name, taken_for in feed.columns.items())
            err.print(f"Columns{plain(f' of {feed.name}' * (len(feeds) > 1))}: {plain(columns)}", highlight=False)
    ledger = catalog.records.ledger
    counts = [ledger.count_to_retry(feed.name) if options.get("retry") else feed.count for feed in feeds]
    if not any(counts):
        err.print("No row is rejected in the ledger: there is nothing to try again.", highlight=False)
    reports: list[IndexReport] = []
    try:
        with progress() as bar:
            task = bar.add_task("Indexing", total=sum(counts), rate="")
            for feed in feeds:
                before = sum(report.rows for report in reports)
                run = IndexRun(catalog, feed, fetch=fetch, **options)
                reports.append(run.report)
                for report in now_and_then(run):
                    bar.update(task, completed=before + report.rows, rate=_rate(reports))
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
    return reports


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
