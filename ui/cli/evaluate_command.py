"""The command that measures search quality on judged queries."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from lookalike import Catalog
from lookalike.data.counted import counted
from lookalike.retrieval.evaluation.measures import Evaluation
from lookalike.ui.cli.json_output import print_json
from lookalike.ui.cli.options import CatalogArgument, JsonOption
from lookalike.ui.cli.progress_bar import shown_progress
from lookalike.ui.cli.terminal import out

__all__ = ["app", "measures_of"]

app = typer.Typer()


@app.command(name="evaluate")
def evaluate_command(
    catalog: CatalogArgument,
    queries: Annotated[Path, typer.Argument(help="CSV or JSON Lines: text and/or image, filter, relevant.")],
    limit: Annotated[int, typer.Option(help="Hits searched for each query, at least 10.", min=1)] = 10,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Keep the queries in the catalog; a later change of model is compared on them."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Measure search quality on judged queries."""
    with Catalog.open(catalog) as opened:
        if keep:
            opened.keep_queries(queries)
        with shown_progress() as told:
            found = opened.evaluate(queries, limit=limit, progress=told)
    measures = {**measures_of(found), "p95_ms": round(found.p95_ms, 2)}
    if json:
        print_json({"queries": found.queries, **measures, "unknown_relevant": found.unknown})
        return
    table = Table("measure", "value", title=counted(found.queries, "query", "queries"))
    for name, value in measures.items():
        table.add_row(name, f"{value:g}")
    out.print(table)
    if found.unknown:
        out.print(f"In no item of the catalog, and counted as not found: {counted(found.unknown, 'relevant key')}.")


def measures_of(found: Evaluation) -> dict[str, float]:
    """Return the measures that every report of an evaluation shows, by name, rounded."""
    return {
        "recall@1": round(found.recall_at_1, 4),
        "recall@5": round(found.recall_at_5, 4),
        "recall@10": round(found.recall_at_10, 4),
        "mrr": round(found.mrr, 4),
        "ndcg@10": round(found.ndcg_at_10, 4),
        "p50_ms": round(found.p50_ms, 2),
    }
