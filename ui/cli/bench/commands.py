"""Benchmarks: each compares sides in one run and prints ratios, since machines differ and are shared."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from lookalike import Catalog
from lookalike.data.errors import FeedError
from lookalike.data.sample.openclipart import DEBIAN_ROOT, write_evaluation
from lookalike.ui.cli.bench import growth_bench, index_bench, search_bench
from lookalike.ui.cli.terminal import err, out, print_json

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True)
index_bench.register(app)
search_bench.register(app)
growth_bench.register(app)

ModelOption = Annotated[str, typer.Option(help="The model to measure.")]
RoundsOption = Annotated[int, typer.Option(help="How often each side runs, in turn; medians are shown.", min=1)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@app.command(name="text")
def text_command(
    pictures: Annotated[Path, typer.Option(help="The openclipart tree, with its folders png and svg.")] = DEBIAN_ROOT,
    model: ModelOption = "compact",
    json: JsonOption = False,
) -> None:
    """Measure how well words find pictures that have no title: openclipart by picture alone, its titles as queries."""
    with tempfile.TemporaryDirectory() as folder:
        err.print("Reading titles")
        summary = write_evaluation(pictures, Path(folder))
        if not summary.queries:
            raise FeedError(f"No picture with a title is found below {pictures}.")
        err.print(f"Indexing {summary.pictures:,} pictures")
        with Catalog.create(Path(folder) / "shop", model=model) as catalog:
            catalog.index(Path(folder) / "pictures.csv").finish()
            catalog.optimize()
            found = catalog.evaluate(Path(folder) / "queries.csv")
    figures = {
        "pictures": summary.pictures,
        "queries": found.queries,
        "recall@1": round(found.recall_at_1, 4),
        "recall@5": round(found.recall_at_5, 4),
        "recall@10": round(found.recall_at_10, 4),
        "mrr": round(found.mrr, 4),
        "p50_ms": round(found.p50_ms, 2),
    }
    if json:
        print_json(figures)
        return
    table = Table("figure", "value", title=f"{model}: a title finds its picture, by the picture alone")
    for name, value in figures.items():
        table.add_row(name, f"{value:,}")
    out.print(table)
