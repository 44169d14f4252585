"""The command line: parse, call, format."""

from __future__ import annotations

import contextlib
import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.logging import RichHandler
from rich.table import Table
from typer.core import TyperGroup

from lookalike import Catalog
from lookalike.data.errors import LookalikeError
from lookalike.data.feeds.feed import open_feed
from lookalike.ui.cli import index_commands, maintenance_commands, models_commands, reencode_command, store_commands
from lookalike.ui.cli.bench import commands
from lookalike.ui.cli.index_commands import opened_or_created, run_index, types_of
from lookalike.ui.cli.maintenance_commands import shown_progress
from lookalike.ui.cli.options import CatalogArgument, JsonOption
from lookalike.ui.cli.recall_view import show_recall
from lookalike.ui.cli.terminal import err, out, plain, print_json, show_report, show_results
from lookalike.ui.errors import exit_code_of
from lookalike.ui.result_json import results_json

__all__ = ["app", "main"]

SAMPLE = Path(__file__).parents[2] / "data" / "sample" / "catalog.csv"


class _Commands(TyperGroup):
    """Turns our errors into a sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  # Click's own signature
        try:
            return super().invoke(ctx)
        except LookalikeError as error:
            err.print(f"[bold red]Error:[/] {plain(str(error))}", highlight=False)
            raise typer.Exit(exit_code_of(error)) from error
        except KeyboardInterrupt:
            err.print("Stopped.")
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Find products by picture and by words.",
)
app.add_typer(maintenance_commands.app)
app.add_typer(models_commands.app, name="models")
app.add_typer(commands.app, name="bench", help="Measure: every figure is a ratio of things timed in one run.")

HostOption = Annotated[str, typer.Option(help="The address to listen on; any but this machine's own needs --api-key.")]
PortOption = Annotated[int, typer.Option(help="The port to listen on.", min=0, max=65535)]
ApiKeyOption = Annotated[
    str | None,
    typer.Option(envvar="LOOKALIKE_API_KEY", help="Ask everyone who calls for this key.", show_default=False),
]


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to make the catalog.")] = Path(
        "lookalike-demo"
    ),
    serve_it: Annotated[bool, typer.Option("--serve/--no-serve", help="Open the page when done.")] = True,
    host: HostOption = "127.0.0.1",
    port: PortOption = 7860,
    api_key: ApiKeyOption = None,
) -> None:
    """Index the sample shop that comes along and open its page."""
    feed = open_feed(SAMPLE, types=types_of(folder))
    with opened_or_created(folder, None) as catalog:
        show_report(*(run.report for run in run_index(catalog, [feed], restart=False)))
    if serve_it:
        serve(folder, host=host, port=port, api_key=api_key)
    else:
        out.print(f'Try: lookalike search {folder} "a cup of coffee"', highlight=False)


index_commands.register(app)
reencode_command.register(app)


@app.command()
def search(
    catalog: CatalogArgument,
    text: Annotated[str | None, typer.Argument(help="Words to look for.")] = None,
    image: Annotated[list[Path] | None, typer.Option(help="A picture to look for; may be given again.")] = None,
    like: Annotated[list[str] | None, typer.Option(metavar="KEY", help="An item to find others like.")] = None,
    without: Annotated[list[str] | None, typer.Option(metavar="TEXT", help="Words to keep away from.")] = None,
    filter: Annotated[
        str | None,
        typer.Option(metavar="EXPR", help="""What every hit satisfies: 'category == "food" and price < 20'."""),
    ] = None,
    limit: Annotated[int, typer.Option(help="How many hits.")] = 10,
    recall: Annotated[str, typer.Option(help="The share of the true best to find, or exact.")] = "0.95",
    balance: Annotated[float, typer.Option(help="The words' share beside a picture, 0 to 1.")] = 0.5,
    looks: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="Where a second model compares looks: its share of pictures.", show_default="1"
        ),
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Answer as of then: a commit's number, or a time.")
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
            appearance=looks,
            as_of=as_of,
        )
        if json:
            print_json(results_json(results))
        else:
            show_results(results, filtered=filter is not None)


@app.command(name="evaluate")
def evaluate_command(
    catalog: CatalogArgument,
    queries: Annotated[Path, typer.Argument(help="CSV or JSON Lines: text and/or image, filter, relevant.")],
    limit: Annotated[int, typer.Option(help="How deep to search, at least 10.", min=1)] = 10,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the queries in the catalog: a new model is compared on them.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Measure how good search is on judged queries."""
    with Catalog.open(catalog) as opened:
        if keep:
            opened.keep_queries(queries)
        with shown_progress() as told:
            found = opened.evaluate(queries, limit=limit, progress=told)
    measures: dict[str, float] = {
        "recall@1": round(found.recall_at_1, 4),
        "recall@5": round(found.recall_at_5, 4),
        "recall@10": round(found.recall_at_10, 4),
        "mrr": round(found.mrr, 4),
        "ndcg@10": round(found.ndcg_at_10, 4),
        "p50_ms": round(found.p50_ms, 2),
        "p95_ms": round(found.p95_ms, 2),
    }
    if json:
        print_json({"queries": found.queries, **measures, "unknown_relevant": found.unknown})
        return
    table = Table("measure", "value", title=f"{found.queries:,} queries")
    for name, value in measures.items():
        table.add_row(name, f"{value:g}")
    out.print(table)
    if found.unknown:
        out.print(f"{found.unknown:,} relevant keys are in no item of the catalog; they count as not found.")


@app.command()
def info(
    catalog: CatalogArgument,
    recall: Annotated[bool, typer.Option("--recall", help="Compare approximate answers with exact ones, too.")] = False,
    json: JsonOption = False,
) -> None:
    """Say what a catalog is and how much it holds, and whether it finds what it should."""
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
    show_recall(reports)


@app.command()
def delete(
    catalog: CatalogArgument,
    keys: Annotated[list[str] | None, typer.Argument(metavar="KEY...", help="The items to delete.")] = None,
    filter: Annotated[str | None, typer.Option(metavar="EXPR", help="Delete all items that satisfy this.")] = None,
    json: JsonOption = False,
) -> None:
    """Delete items by key or by filter."""
    with Catalog.open(catalog) as opened:
        count = opened.delete(keys=keys or None, filter=filter)
    if json:
        print_json({"deleted": count})
    else:
        out.print(f"Deleted {count:,} items.")


@app.command()
def optimize(
    catalog: CatalogArgument,
    index: Annotated[
        str | None,
        typer.Option(help="auto, flat, ivf_flat, ivf_sq8, ivf_pq, hnsw, nsg or disk.", show_default="as before"),
    ] = None,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Learn the index anew, whether or not what was learned still serves.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Fold what was committed since into a new generation, for quicker search."""
    with Catalog.open(catalog) as opened, err.status("Optimizing"):
        name = opened.optimize(index=index, retrain=retrain)
    if json:
        print_json({"generation": name})
    else:
        out.print(f"Generation {name}")


@app.command()
def serve(
    catalog: CatalogArgument, host: HostOption = "127.0.0.1", port: PortOption = 7860, api_key: ApiKeyOption = None
) -> None:
    """Serve the page and the REST API."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    from lookalike.ui.server import server  # gradio takes seconds to import

    with Catalog.open(catalog) as opened:
        server.serve(opened, host=host, port=port, api_key=api_key)


store_commands.register(app)


def main() -> None:
    """Run the command line."""
    logging.basicConfig(
        level=logging.WARNING, format="%(message)s", handlers=[RichHandler(console=err, show_path=False)], force=True
    )
    app()
