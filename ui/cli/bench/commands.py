"""Benchmarks: each compares sides in one run and prints ratios, since machines differ and are shared."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from lookalike import Catalog
from lookalike.data.counted import counted
from lookalike.data.errors import FeedError
from lookalike.data.sample.openclipart import DEBIAN_ROOT, write_evaluation
from lookalike.ui.cli.bench import growth_bench, index_bench, query_bench, search_bench
from lookalike.ui.cli.evaluate_command import measures_of
from lookalike.ui.cli.json_output import print_json
from lookalike.ui.cli.options import JsonOption
from lookalike.ui.cli.terminal import err, out

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Run benchmarks; every figure is a ratio of things timed in one run.")
index_bench.register(app)
search_bench.register(app)
growth_bench.register(app)
query_bench.register(app)


@app.command(name="text")
def text_command(
    pictures: Annotated[Path, typer.Option(help="Folder of openclipart, with png and svg in it.")] = DEBIAN_ROOT,
    model: Annotated[str, typer.Option(help="Model to measure.")] = "compact",
    json: JsonOption = False,
) -> None:
    """Measure how well words find pictures without titles.

    The pictures are those of openclipart, and their titles are the queries.
    """
    with tempfile.TemporaryDirectory() as folder:
        err.print("Reading titles")
        summary = write_evaluation(pictures, Path(folder))
        if not summary.queries:
            raise FeedError(
                f"There is no picture with a title below {pictures}.",
                remedy="Install Debian's package openclipart, or name its folder with --pictures.",
            )
        err.print(f"Indexing {counted(summary.pictures, 'picture')}")
        with Catalog.create(Path(folder) / "shop", model=model) as catalog:
            catalog.index(Path(folder) / "pictures.csv").finish()
            catalog.optimize()
            found = catalog.evaluate(Path(folder) / "queries.csv")
    figures = {
        "pictures": summary.pictures,
        "queries": found.queries,
        **measures_of(found),
    }
    if json:
        print_json(figures)
        return
    table = Table("figure", "value", title=f"{model}: a title finds its picture, which is indexed without it")
    for name, value in figures.items():
        table.add_row(name, f"{value:,}")
    out.print(table)
