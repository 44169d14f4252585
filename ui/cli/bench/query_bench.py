"""The query benchmark: a search by words beside one run of the text network."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from lookalike import Catalog
from lookalike.retrieval.bench.query_speed import measure_query_speed
from lookalike.retrieval.bench.speed import fresh
from lookalike.ui.cli.json_output import print_json
from lookalike.ui.cli.options import JsonOption
from lookalike.ui.cli.terminal import err, out

__all__ = ["register"]

_SAMPLE: Final = Path(__file__).parents[3] / "data" / "sample" / "catalog.csv"
_WORDS: Final = {
    "network_ms": "one run of the text network, ms",
    "text_ms": "a search by new words, ms",
    "repeated_ms": "a search by the same words again, ms",
    "ratio": "search by new words to one run of the network",
}


def query_command(
    catalog: Annotated[
        Path | None, typer.Argument(metavar="[CATALOG]", help="Catalog to search; the sample shop if left out.")
    ] = None,
    queries: Annotated[int, typer.Option(help="Number of searches.", min=5, max=10_000)] = 100,
    json: JsonOption = False,
) -> None:
    """Measure how long a search by words takes, beside one run of the text network. Figures are medians."""
    with tempfile.TemporaryDirectory() as name:
        folder = catalog
        if folder is None:
            folder = Path(name) / "shop"
            err.print("Indexing the sample shop")
            with Catalog.create(folder, model="compact") as shop:
                shop.index(_SAMPLE).finish()
                shop.optimize()
        found = fresh(measure_query_speed, folder, queries)
    if json:
        print_json(asdict(found))
        return
    table = Table("figure", "median", title=f"{found.queries:,} searches, one after the other")
    for field, words in _WORDS.items():
        table.add_row(words, f"{getattr(found, field):g}")
    out.print(table)


def register(app: typer.Typer) -> None:
    """Add the command to an app."""
    app.command(name="query")(query_command)
