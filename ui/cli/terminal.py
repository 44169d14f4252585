"""What the command line shows: progress, tables, reports, JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Column, Table

from lookalike import Results
from lookalike.data.fetch.fetched import FetchCounts
from lookalike.retrieval.ingest.index_run import IndexReport
from lookalike.ui.cli.time_left import TimeLeftColumn
from lookalike.ui.page.clock import clock_of

__all__ = [
    "err",
    "fetched_words",
    "out",
    "plain",
    "print_json",
    "print_json_list",
    "progress",
    "show_report",
    "show_results",
]

MAX_SHOWN_REJECTS = 10
SHOWN_FIELDS = 4

out = Console()
err = Console(stderr=True)


def progress(*, shown: bool = True) -> Progress:
    """Make a bar with a count, the time left and the rate; gone when done."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeLeftColumn(),
        TextColumn("{task.fields[rate]}"),
        console=err,
        transient=True,
        disable=not shown,
    )


def show_report(report: IndexReport, *, name: str | None = None) -> None:
    """Print what became of a feed, and the first rejects and renames; `name` is that of one of several."""
    counts = [f"[bold]{report.added:,}[/] added, [bold]{report.updated:,}[/] updated, {report.unchanged:,} unchanged"]
    more = {"renamed": report.renamed, "deleted": report.deleted}
    counts += [f"[bold]{count:,}[/] {what}" for what, count in more.items() if count]
    out.print(
        (f"{plain(name)}: " if name else "")
        + f"{', '.join(counts)}, [bold]{report.rejected:,}[/] rejected in {report.seconds:.1f} s"
        + (f" ({report.images_per_second:.0f} pictures a second)" if report.encoded else ""),
        highlight=False,
    )
    if report.fetched.requested:
        out.print(f"{fetched_words(report.fetched)}", highlight=False)
    for one in report.rejects[:MAX_SHOWN_REJECTS]:
        where = f" ({one.source})" if one.source else ""
        out.print(f"  row {one.row}{plain(where)}: {plain(one.reason)}", highlight=False)
    if report.rejected > MAX_SHOWN_REJECTS:
        more_rejects = report.rejected - MAX_SHOWN_REJECTS
        out.print(f"  ... and {more_rejects:,} more: lookalike ledger CATALOG --state rejected", highlight=False)
    for rename in report.renames[:MAX_SHOWN_REJECTS]:
        out.print(f"  {plain(rename.old)} is {plain(rename.new)} now", highlight=False)
    if report.missing:
        out.print(
            f"{report.missing:,} items that this feed brought are no longer in it; they stay in the catalog. "
            "Remove those that no other feed has with --sync.",
            highlight=False,
        )


def fetched_words(counts: FetchCounts) -> str:
    """Say what was fetched."""
    unchanged = f", {counts.unchanged:,} unchanged there" if counts.unchanged else ""
    return f"{counts.fetched:,} pictures fetched ({counts.bytes / 1e6:,.1f} MB){unchanged}"


def show_results(results: Results, *, filtered: bool) -> None:
    """Print hits as a table; `filtered` says that there was a filter, for the words when there is none."""
    if not results.hits:
        if results.total:
            out.print("Nothing found.")
        else:
            out.print("No item satisfies the filter." if filtered else "The catalog is empty.")
        return
    names = _columns_worth_showing(results)
    table = Table("", "score", Column("key", overflow="fold"), Column("title", overflow="fold"), *names)
    for rank, hit in enumerate(results, start=1):
        values = (_shown(hit.fields.get(name)) for name in ("title", *names))
        clock = clock_of(hit.image)
        key = f"{hit.key} at {clock}" if clock else hit.key
        table.add_row(str(rank), f"{hit.score:.3f}", plain(key), *map(plain, values))
    out.print(table)
    kind = "exact" if results.exact else "approximate"
    out.print(f"{results.total:,} items searched, {kind}, {results.took_ms:.0f} ms", style="dim", highlight=False)
    for notice in results.notices:
        out.print(notice, style="yellow", highlight=False)


def _columns_worth_showing(results: Results) -> list[str]:
    """Choose fields for a table as wide as the terminal: short values first, lists and long texts left out."""
    widths = {
        name: max(len(name), *(len(_shown(hit.fields.get(name))) for hit in results))
        for name in results[0].fields
        if name != "title" and not any(isinstance(hit.fields.get(name), list | dict) for hit in results)
    }
    room = out.width - 64
    chosen = []
    for name in sorted(widths, key=lambda name: widths[name])[:SHOWN_FIELDS]:
        room -= widths[name] + 3
        if room >= 0:
            chosen.append(name)
    return [name for name in widths if name in chosen]


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="minutes")
    return f"{value:g}" if isinstance(value, float) else str(value)


def plain(text: str) -> str:
    """Escape what Rich would read as markup, and what the terminal cannot print."""
    encodable = text.encode(sys.stdout.encoding or "utf-8", "replace").decode(sys.stdout.encoding or "utf-8")
    return encodable.replace("[", "\\[")


def print_json_list(name: str, items: Iterable[object], facts: Callable[[], Mapping[str, object]]) -> None:
    """Print a JSON object with a long list in it, an item at a time; `facts` are the rest, asked for at the end."""
    write = sys.stdout.write
    separator = f'{{\n  "{name}": ['
    for item in items:
        write(f"{separator}\n    {orjson.dumps(item).decode()}")
        separator = ","
    write("\n  ]" if separator == "," else f"{separator}]")
    for key, value in facts().items():
        write(f",\n  {orjson.dumps(key).decode()}: {orjson.dumps(value).decode()}")
    write("\n}\n")


def print_json(value: object) -> None:
    """Print a value as JSON, for programs."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode() + "\n")
