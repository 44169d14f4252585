"""Commands that keep a catalog fast and sound: optimize, verify, repair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from lookalike import Catalog
from lookalike.data.counted import counted
from lookalike.retrieval.maintenance.repair import repair
from lookalike.retrieval.maintenance.verification import Problem, verify
from lookalike.ui.cli.json_output import print_json
from lookalike.ui.cli.options import CatalogArgument, JsonOption
from lookalike.ui.cli.progress_bar import shown_progress
from lookalike.ui.cli.terminal import err, out, plain

__all__ = ["app"]

app = typer.Typer()

_MAX_SHOWN: Final = 20


@app.command()
def optimize(
    catalog: CatalogArgument,
    index: Annotated[
        str | None,
        typer.Option(help="Index: auto, flat, ivf_flat, ivf_sq8, ivf_pq, hnsw, nsg or disk.", show_default="as before"),
    ] = None,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Train the index again even if its training still fits the vectors.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Fold recent commits into a new generation, for faster search."""
    with Catalog.open(catalog) as opened, err.status("Optimizing"):
        name = opened.optimize(index=index, retrain=retrain)
    if json:
        print_json({"generation": name})
    else:
        out.print(f"Generation {name}")


@app.command(name="verify")
def verify_command(catalog: CatalogArgument, json: JsonOption = False) -> None:
    """Check everything in a catalog and change nothing.

    The exit code is 1 if there are problems.
    """
    with shown_progress() as listener:
        found = verify(catalog, progress=listener)
    if json:
        print_json({"problems": [_problem_json(one) for one in found.problems], "checked": found.checked})
    else:
        checked = ", ".join(counted(count, what.removesuffix("s")) for what, count in found.checked.items())
        out.print(f"{counted(len(found.problems), 'problem')}; checked {checked or 'nothing'}.", highlight=False)
        _show_problems(found.problems)
    if found.problems:
        raise typer.Exit(1)


@app.command(name="repair")
def repair_command(
    catalog: CatalogArgument,
    pictures: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder of the pictures, to make thumbnails from.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Rebuild derived files and set aside what cannot be trusted.

    The exit code is 1 if problems remain.
    """
    with shown_progress() as listener:
        report = repair(catalog, pictures=pictures, progress=listener)
    if json:
        facts = asdict(report)
        facts["recovered"] = None if report.recovered is None else str(report.recovered)
        print_json({**facts, "left": [_problem_json(one) for one in report.left]})
    else:
        for line in report.mended or ([] if report.left else ["Nothing is wrong."]):
            out.print(plain(line), highlight=False)
        if report.quarantine:
            out.print(f"Set aside in {report.quarantine}: {plain(', '.join(report.quarantined[:10]))}")
        for line in report.lost:
            out.print(f"Lost: {plain(line)}", highlight=False)
        if report.left:
            out.print(f"{counted(len(report.left), 'problem')} left:", highlight=False)
            _show_problems(report.left)
    if report.left:
        raise typer.Exit(1)


def _show_problems(problems: Sequence[Problem]) -> None:
    for one in problems[:_MAX_SHOWN]:
        out.print(f"  {plain(one.where)}: {plain(one.what)} To fix it: {plain(one.mend)}", highlight=False)
    if len(problems) > _MAX_SHOWN:
        out.print(f"  ... and {len(problems) - _MAX_SHOWN:,} more; list all with --json")


def _problem_json(problem: Problem) -> dict[str, str]:
    return {"kind": problem.kind.value, "what": problem.what, "where": problem.where, "mend": problem.mend}
