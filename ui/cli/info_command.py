"""The command that describes a catalog."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from typing import Annotated, Final

import typer
from rich.table import Column, Table

from lookalike import Catalog
from lookalike.data.counted import counted
from lookalike.ui.cli.json_output import print_json
from lookalike.ui.cli.options import CatalogArgument, JsonOption
from lookalike.ui.cli.terminal import err, out, plain

__all__ = ["app"]

app = typer.Typer()

_QUERIES: Final = {
    "live": "the last queries of this process",
    "held out": "random items, each left out of its own answer",
    "given": "the queries passed in",
}


@app.command()
def info(
    catalog: CatalogArgument,
    recall: Annotated[bool, typer.Option("--recall", help="Also compare approximate answers with exact ones.")] = False,
    json: JsonOption = False,
) -> None:
    """Show what a catalog holds, and optionally how well it finds it."""
    with Catalog.open(catalog) as opened:
        facts = asdict(opened.info())
        with err.status("Measuring recall") if recall else contextlib.nullcontext():
            reports = opened.measure_recall() if recall else []
    if json:
        print_json({**facts, "recall": [asdict(report) for report in reports]} if recall else facts)
        return
    table = Table(show_header=False, box=None)
    for name, value in facts.items():
        shown = ", ".join(f"{key} ({one})" for key, one in value.items()) if isinstance(value, dict) else value
        table.add_row(name.replace("_", " "), f"{shown:,}" if isinstance(shown, int) else str(shown or "none"))
    out.print(table)
    for report in reports:
        numbers = [Column(name, justify="right") for name in ("share", "items", "asked for", f"recall@{report.limit}")]
        queries = counted(report.queries, "query", "queries")
        table = Table(
            *numbers,
            Column("how", overflow="fold"),
            title=f"space {plain(report.space)}: {queries}, {_QUERIES[report.queries_from]}",
        )
        for one in report.figures:
            how = "exact" if one.exact else plain(one.plan)
            table.add_row(f"{one.share:.0%}", f"{one.items:,}", f"{one.target:g}", f"{one.recall:.4f}", how)
        out.print(table)
