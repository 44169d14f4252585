"""The command that indexes the sample shop and opens its page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookalike.data.feeds.feed import open_feed
from lookalike.ui.cli.index_view import show_report
from lookalike.ui.cli.indexing import opened_or_created, run_index, types_of
from lookalike.ui.cli.options import ApiKeyOption, HostOption, PortOption
from lookalike.ui.cli.serve_command import serve
from lookalike.ui.cli.terminal import out, plain
from lookalike.ui.settings import DEFAULT_HOST, DEFAULT_PORT

__all__ = ["app"]

app = typer.Typer()

_SAMPLE = Path(__file__).parents[2] / "data" / "sample" / "catalog.csv"


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Folder of the catalog to make.")] = Path(
        "lookalike-demo"
    ),
    serve_it: Annotated[bool, typer.Option("--serve/--no-serve", help="Open the page when done.")] = True,
    host: HostOption = DEFAULT_HOST,
    port: PortOption = DEFAULT_PORT,
    api_key: ApiKeyOption = None,
) -> None:
    """Index the sample shop that comes with Lookalike and open its page."""
    feed = open_feed(_SAMPLE, types=types_of(folder))
    with opened_or_created(folder, None) as catalog:
        show_report(*(run.report for run in run_index(catalog, [feed], restart=False)))
    if serve_it:
        serve(folder, host=host, port=port, api_key=api_key)
    else:
        out.print(f'Try: lookalike search {plain(str(folder))} "a cup of coffee"', highlight=False)
