"""The command that searches a catalog, and its table of hits."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Column, Table

from lookalike.retrieval import Catalog, Results
from lookalike.ui.cli.json_output import print_json
from lookalike.ui.cli.options import CatalogArgument, JsonOption
from lookalike.ui.cli.terminal import out, plain
from lookalike.ui.page.clock import clock_of
from lookalike.ui.result_json import results_json

__all__ = ["app"]

app = typer.Typer()

_SHOWN_FIELDS: Final = 4


@app.command()
def search(
    catalog: CatalogArgument,
    text: Annotated[str | None, typer.Argument(help="Words to look for.")] = None,
    image: Annotated[list[Path] | None, typer.Option(help="Picture to look for; may be repeated.")] = None,
    like: Annotated[list[str] | None, typer.Option(metavar="KEY", help="Item to find similar ones to.")] = None,
    without: Annotated[list[str] | None, typer.Option(metavar="TEXT", help="Words to avoid.")] = None,
    filter: Annotated[
        str | None,
        typer.Option(metavar="EXPR", help="""Condition on every hit: 'category == "food" and price < 20'."""),
    ] = None,
    limit: Annotated[int, typer.Option(help="Number of hits.")] = 10,
    recall: Annotated[str, typer.Option(help="Share of the true best hits to find, or exact.")] = "0.95",
    balance: Annotated[float, typer.Option(help="Weight of the words beside a picture, 0 to 1.")] = 0.5,
    looks: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Weight of the second model where it compares looks, beside the first one, 0 to 1.",
            show_default="1",
        ),
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Search an earlier state: a commit's number, or a time.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Search by words, by pictures, by items, or by all of them, within a filter."""
    with Catalog.open(catalog) as opened:
        results = opened.search(
            text=text,
            image=image,
            like=like,
            without=without,
            filter=filter,
            limit=limit,
            recall=recall,
            balance=balance,
            looks=looks,
            as_of=as_of,
        )
        if json:
            print_json(results_json(results))
        else:
            _show(results, filtered=filter is not None)


def _show(results: Results, *, filtered: bool) -> None:
    """Print hits as a table; without hits, the reason depends on whether the search was `filtered`."""
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
    """Choose fields that fit the width of the terminal, the narrowest first; lists and objects are left out."""
    widths = {
        name: max(len(name), *(len(_shown(hit.fields.get(name))) for hit in results))
        for name in results[0].fields
        if name != "title" and not any(isinstance(hit.fields.get(name), list | dict) for hit in results)
    }
    room = out.width - 64
    chosen = []
    for name in sorted(widths, key=lambda name: widths[name])[:_SHOWN_FIELDS]:
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
