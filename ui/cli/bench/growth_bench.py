"""The growth benchmark: building, opening, searching and memory at several sizes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Column, Table

from lookalike.data.counted import counted
from lookalike.data.errors import StorageFailed, UsageError
from lookalike.retrieval.bench import growth
from lookalike.retrieval.bench.catalog_build import Built, build
from lookalike.retrieval.bench.growth import Opened
from lookalike.retrieval.bench.speed import fresh
from lookalike.retrieval.bench.synthetic import Synthetic
from lookalike.retrieval.vector_index import IndexKind
from lookalike.ui.cli.bench.plot import Chart, svg_of
from lookalike.ui.cli.json_output import print_json
from lookalike.ui.cli.options import JsonOption
from lookalike.ui.cli.terminal import err, out

__all__ = ["register"]

_FEWEST: Final = 256
_WORDS: Final = {
    "add_s": "adding, seconds",
    "optimize_s": "optimizing, seconds",
    "open_ms": "opening again, ms",
    "p50_ms": "search, p50 ms",
    "p99_ms": "search, p99 ms",
    "p50_ms_at_10%": "search among 10%, p50 ms",
    "p99_ms_at_10%": "search among 10%, p99 ms",
    "bytes_on_disk_per_item": "disk, bytes an item",
    "anonymous_mb": "memory of its own, MB",
    "mapped_mb": "memory mapped from files, MB",
}


def growth_command(
    counts: Annotated[str, typer.Option(help="Numbers of vectors, separated by commas.")] = "10000,100000,1000000",
    dim: Annotated[int, typer.Option(help="Length of a vector.", min=8)] = 512,
    index: Annotated[IndexKind, typer.Option(help="Kind of index.")] = IndexKind.AUTO,
    disk_from: Annotated[
        int | None, typer.Option(metavar="N", help="Use the index kind disk from N vectors on.", show_default="never")
    ] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Draw the figures into a file.")] = None,
    json: JsonOption = False,
) -> None:
    """Measure how times, memory and disk space grow with the number of vectors."""
    sizes = _sizes(counts)
    if plot is not None and not plot.absolute().parent.is_dir():
        raise UsageError(
            f"There is no folder {plot.absolute().parent} to draw into.", remedy="Name a file in an existing folder."
        )
    steps = []
    for count in sizes:
        err.print(f"{counted(count, 'vector')}: building", highlight=False)
        kind = index if disk_from is None or count < disk_from else IndexKind.DISK
        with tempfile.TemporaryDirectory() as name:
            folder, made = Path(name) / "catalog", Synthetic(count, dim)
            load = os.getloadavg()[0]
            built = fresh(build, folder, made, kind.value)
            err.print(f"{counted(count, 'vector')}: searching", highlight=False)
            fresh(growth.open_once, folder)
            steps.append(_step(count, kind, built, fresh(growth.open_and_search, folder, made), load))
    if plot is not None:
        _write(plot, steps)
    if json:
        print_json({"dim": dim, "steps": steps})
        return
    columns = [Column(f"{step['count']:,}", justify="right") for step in steps]
    table = Table("vectors", *columns, title=f"{counted(dim, 'number')} a vector")
    table.add_row("index asked for", *(step["index"] for step in steps))
    for name, words in _WORDS.items():
        table.add_row(words, *(_number(step[name]) for step in steps))
    out.print(table)
    if plot is not None:
        out.print(f"Drawn into {plot}", highlight=False)


def register(app: typer.Typer) -> None:
    """Add the command to the benchmarks."""
    app.command(name="growth")(growth_command)


def _sizes(counts: str) -> list[int]:
    try:
        sizes = sorted({int(one.replace("_", "")) for one in counts.split(",") if one.strip()})
    except ValueError:
        sizes = []
    if not sizes or sizes[0] < _FEWEST:
        raise UsageError(
            f"The counts are {counts!r}.", remedy=f"Pass whole numbers of {_FEWEST} or more, such as 10000,100000."
        )
    return sizes


def _step(count: int, kind: IndexKind, built: Built, opened: Opened, load: float) -> dict[str, Any]:
    unfiltered, tenth = opened.speeds
    return {
        "count": count,
        "index": kind.value,
        "add_s": built.add_s,
        "optimize_s": built.index_s,
        "open_ms": opened.open_ms,
        "first_search_ms": opened.first_search_ms,
        "p50_ms": unfiltered.p50_ms,
        "p99_ms": unfiltered.p99_ms,
        "p50_ms_at_10%": tenth.p50_ms,
        "p99_ms_at_10%": tenth.p99_ms,
        "bytes_on_disk_per_item": round(built.bytes_on_disk / count, 1),
        "anonymous_mb": round(opened.memory.anonymous / 1e6, 2),
        "mapped_mb": round(opened.memory.mapped / 1e6, 2),
        "load": round(load, 2),
    }


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _write(path: Path, steps: Sequence[dict[str, Any]]) -> None:
    def chart(title: str, unit: str, names: dict[str, str]) -> Chart:
        lines = {words: [(step["count"], step[name]) for step in steps] for words, name in names.items()}
        return Chart(title, "vectors", unit, lines)

    searches = {"p50": "p50_ms", "p99": "p99_ms", "p50 at 10%": "p50_ms_at_10%", "p99 at 10%": "p99_ms_at_10%"}
    charts = [
        chart("Building", "seconds", {"add": "add_s", "optimize": "optimize_s"}),
        chart("Searching, and opening again", "milliseconds", {**searches, "open": "open_ms"}),
        chart("Memory after 1,000 queries", "MB", {"anonymous": "anonymous_mb", "mapped": "mapped_mb"}),
        chart("Disk", "bytes an item", {"catalog": "bytes_on_disk_per_item"}),
    ]
    try:
        path.write_text(svg_of(charts))
    except OSError as error:
        raise StorageFailed(f"{path} cannot be written: {error.strerror}.") from error
