"""The command that searches a catalog, and its table of hits."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Column, Table

from lookalike import Catalog, Results
from lookalike.data.counted import counted
from lookalike.retrieval.query import OPTIONS
from lookalike.ui.cli.json_output import print_json
from lookalike.ui.cli.options import CatalogArgument, JsonOption
from lookalike.ui.cli.terminal import out, plain
from lookalike.ui.page.clock import clock_of
from lookalike.ui.result_json import results_json

__all__ = ["app"]

app = typer.Typer()

_SHOWN_FIELDS: Final = 4


def _option(name: str, **settings: Any) -> Any:  # noqa: ANN401  # Typer keeps the types of its options to itself
    """Return the option of this name with the help that `Query` declares."""
    return typer.Option(help=OPTIONS[name].help, **settings)


@app.command()
def search(
    catalog: CatalogArgument,
    text: Annotated[str | None, typer.Argument(help=OPTIONS["text"].help)] = None,
    image: Annotated[list[Path] | None, _option("image")] = None,
    like: Annotated[list[str] | None, _option("like", metavar="KEY")] = None,
    without: Annotated[list[str] | None, _option("without", metavar="TEXT")] = None,
    filter: Annotated[str | None, _option("filter", metavar="EXPR")] = None,
    limit: Annotated[int, _option("limit")] = OPTIONS["limit"].default,
    offset: Annotated[int, _option("offset")] = OPTIONS["offset"].default,
    recall: Annotated[str, _option("recall")] = str(OPTIONS["recall"].default),
    balance: Annotated[float, _option("balance")] = OPTIONS["balance"].default,
    min_score: Annotated[float | None, _option("min_score")] = None,
    fields: Annotated[list[str] | None, _option("fields", metavar="FIELD")] = None,
    appearance: Annotated[float | None, _option("appearance", metavar="SHARE", show_default="1")] = None,
    as_of: Annotated[str | None, _option("as_of", metavar="WHEN")] = None,
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
            offset=offset,
            recall=recall,
            balance=balance,
            min_score=min_score,
            fields=fields,
            appearance=appearance,
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
    out.print(
        f"{counted(results.total, 'item')} searched, {kind}, {results.took_ms:.0f} ms", style="dim", highlight=False
    )
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
