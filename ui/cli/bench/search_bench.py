"""The search benchmark: a catalog and plain Faiss in turn, each round in a process of its own."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Column, Table

from lookalike.data.counted import counted
from lookalike.data.errors import UsageError
from lookalike.retrieval.bench import search_sides
from lookalike.retrieval.bench.catalog_build import Built
from lookalike.retrieval.bench.peers.registry import OURS, PEERS, checked_names
from lookalike.retrieval.bench.search_sides import Measured, NewFilter, SearchPlan, WorkloadFigures
from lookalike.retrieval.bench.speed import fresh
from lookalike.retrieval.bench.synthetic import Synthetic
from lookalike.retrieval.vector_index import IndexKind
from lookalike.retrieval.vector_index.baselines import BaselineKind, BaselineSetting
from lookalike.ui.cli.bench.kept_builds import KeptFile, bench_folder
from lookalike.ui.cli.bench.peers_bench import compare_with_peers
from lookalike.ui.cli.json_output import print_json
from lookalike.ui.cli.options import JsonOption, RoundsOption
from lookalike.ui.cli.terminal import err, out

__all__ = ["register"]

TAIL_LIMIT: Final = 4.0
"""Largest acceptable ratio of the 99th percentile of search times to their median."""

_KEPT: Final = "bench.json"
_MEAN: Final = "geometric mean"
_ENOUGH: Final = 0.945
"""Least recall@10 that counts as 0.95, since it is measured on a sample of queries."""

_SIZES: Final = {
    "add_s": "adding, seconds",
    "index_s": "index, seconds",
    "open_ms": "opening, ms",
    "cold_ms": "first 20 searches, ms each",
    "bytes_on_disk_per_item": "disk, bytes an item",
    "resident_per_item": "resident, bytes an item",
    "anonymous_per_item": "of it its own",
    "mapped_per_item": "of it mapped from files",
}
_WORDS: Final = {"per_second": "queries a second, one by one", "batch_per_second": "queries a second, in a batch"}


def search_command(
    count: Annotated[int, typer.Option(help="Number of vectors.", min=1000)] = 200_000,
    rounds: RoundsOption = 3,
    queries: Annotated[int, typer.Option(help="Queries for each filter.", min=20)] = 1000,
    dim: Annotated[int, typer.Option(help="Length of a vector.", min=8)] = 512,
    index: Annotated[IndexKind, typer.Option(help="Kind of index.")] = IndexKind.AUTO,
    baselines: Annotated[
        str, typer.Option(help="Baselines to compare with, separated by commas; empty for none.")
    ] = ",".join(BaselineKind),
    peers: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Compare with these as well, separated by commas, in tables of their own; "
            f"needs the extra bench. Known are {', '.join(PEERS)}.",
        ),
    ] = "",
    seconds: Annotated[float, typer.Option(help="Longest time for one filter, side and round.")] = 1.2,
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the built indexes there and reuse them.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Compare filtered search over synthetic vectors with plain Faiss, at recall@10 of 0.95.

    With --peers, databases and other index libraries take part.
    """
    kinds = _kinds(baselines)
    named = checked_names(name.strip() for name in peers.split(",") if name.strip())
    with bench_folder(keep) as folder:
        plan = SearchPlan(folder, Synthetic(count, dim), queries, seconds)
        if named:
            compare_with_peers(plan, [*map(str, kinds), *named], index, rounds, json)
            return
        built, settings, agreement = _built(plan, kinds, index)
        measured: dict[str, list[Measured]] = {side: [] for side in (OURS, *map(str, kinds))}
        loads = []
        for number in range(rounds):
            sides = list(measured) if number % 2 == 0 else list(measured)[::-1]
            for side in sides:
                err.print(f"Round {number + 1}: {side}", highlight=False)
                loads.append(round(os.getloadavg()[0], 2))
                measured[side].append(_measured(plan, side, settings))
        new_filters = fresh(search_sides.measure_new_filters, plan)
    facts = {
        "count": count,
        "dim": dim,
        "queries": queries,
        "rounds": rounds,
        "load": loads,
        "exact_agrees_with_float64": agreement,
        "sides": {
            side: {**_side_json(built[side], runs, count), "settings": _settings_json(settings.get(side, {}))}
            for side, runs in measured.items()
        },
        "ratios": {kind.value: _ratios(measured[OURS], measured[kind]) for kind in kinds},
        "new_filters": {name: _new_filter_json(one) for name, one in new_filters.items()},
    }
    if json:
        print_json(facts)
    else:
        _show(facts)


def register(app: typer.Typer) -> None:
    """Add the command to the benchmarks."""
    app.command(name="search")(search_command)


def _kinds(names: str) -> list[BaselineKind]:
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in list(BaselineKind):
            raise UsageError(f"There is no baseline {name!r}; the baselines are {', '.join(BaselineKind)}.")
    return [BaselineKind(name) for name in wanted]


def _built(
    plan: SearchPlan, kinds: list[BaselineKind], index: IndexKind
) -> tuple[dict[str, Built], dict[str, dict[str, BaselineSetting]], float]:
    """Build every side that the folder lacks.

    Returns:
        The cost of building each side, the tuned settings of each baseline by filter, and the share of exact answers
        that agree with NumPy in float64.

    Raises:
        UsageError: the folder holds other data.
    """
    made = {"count": plan.made.count, "dim": plan.made.dim, "queries": plan.queries, "index": index.value}
    kept_file = KeptFile(plan.folder / _KEPT, made)
    kept = kept_file.read()
    if kept is None:
        kept = {"built": {}, "settings": {}}
        err.print(f"Building the catalog of {counted(plan.made.count, 'vector')}", highlight=False)
        kept["built"][OURS] = asdict(fresh(search_sides.build_catalog, plan, index.value))
        err.print("Answering exactly", highlight=False)
        kept["agreement"] = fresh(search_sides.answer_exactly, plan)
        kept_file.write(kept)
    for kind in kinds:
        if kind not in kept["built"]:
            err.print(f"Building and tuning {kind}", highlight=False)
            built = asdict(fresh(search_sides.build_baseline, plan, kind))
            tuned = fresh(search_sides.tune_baseline, plan, kind)
            kept["settings"][kind.value] = {name: asdict(setting) for name, setting in tuned.items()}
            kept["built"][kind.value] = built
            kept_file.write(kept)
    settings = {
        side: {name: BaselineSetting(**setting) for name, setting in by_filter.items()}
        for side, by_filter in kept["settings"].items()
    }
    return {side: Built(**one) for side, one in kept["built"].items()}, settings, kept["agreement"]


def _measured(plan: SearchPlan, side: str, settings: Mapping[str, dict[str, BaselineSetting]]) -> Measured:
    if side == OURS:
        return fresh(search_sides.measure_catalog, plan)
    return fresh(search_sides.measure_baseline, plan, BaselineKind(side), settings[side])


def _side_json(built: Built, runs: list[Measured], count: int) -> dict[str, Any]:
    """Return the medians over rounds."""
    workloads = {}
    for name in runs[0].workloads:
        figures = [run.workloads[name] for run in runs]
        medians = {
            "per_second": statistics.median(one.speed.per_second for one in figures),
            "p50_ms": statistics.median(one.speed.p50_ms for one in figures),
            "p99_ms": statistics.median(one.speed.p99_ms for one in figures),
            "p99_to_p50": round(statistics.median(one.speed.p99_ms / one.speed.p50_ms for one in figures), 2),
            "recall": statistics.median(one.recall for one in figures),
            "batch_per_second": statistics.median(one.batch_per_second for one in figures),
            "batch_recall": statistics.median(one.batch_recall for one in figures),
            "bitmap_ready_per_second": statistics.median(one.ready_per_second for one in figures),
        }
        workloads[name] = {**medians, "searches": figures[0].speed.searches}
    memory = [run.memory for run in runs]
    return {
        "add_s": built.add_s,
        "index_s": built.index_s,
        "open_ms": statistics.median(run.open_ms for run in runs),
        "cold_ms": statistics.median(run.cold_ms for run in runs),
        "bytes_on_disk_per_item": round(built.bytes_on_disk / count, 1),
        "resident_per_item": round(statistics.median(one.resident for one in memory) / count, 1),
        "anonymous_per_item": round(statistics.median(one.anonymous for one in memory) / count, 1),
        "mapped_per_item": round(statistics.median(one.mapped for one in memory) / count, 1),
        "filters": workloads,
    }


def _ratios(ours: list[Measured], theirs: list[Measured]) -> dict[str, dict[str, float]]:
    """Return, for each rate, the median ratio of `ours` to `theirs` over rounds by filter, and the geometric mean."""
    rates: dict[str, Callable[[WorkloadFigures], float]] = {
        "per_second": lambda one: one.speed.per_second,
        "batch_per_second": lambda one: one.batch_per_second,
    }
    found = {}
    for name, rate in rates.items():
        ratios = {
            workload: round(
                statistics.median(
                    rate(one.workloads[workload]) / rate(other.workloads[workload])
                    for one, other in zip(ours, theirs, strict=True)
                ),
                3,
            )
            for workload in ours[0].workloads
        }
        found[name] = {**ratios, _MEAN: round(statistics.geometric_mean(ratios.values()), 3)}
    return found


def _settings_json(settings: Mapping[str, BaselineSetting]) -> dict[str, Any]:
    return {name: asdict(setting) for name, setting in settings.items()}


def _new_filter_json(one: NewFilter) -> dict[str, float]:
    extra = {
        "extra_ms": round(one.first_ms - one.known_ms, 4),
        "second_extra_ms": round(one.second_ms - one.known_ms, 4),
    }
    return {**asdict(one), **extra}


def _show(facts: Mapping[str, Any]) -> None:
    sides = facts["sides"]
    for rate, words in _WORDS.items():
        table = _table("filter", sides, f"{counted(facts['count'], 'vector')}: {words} (ratio of {OURS} to it)")
        for name in (*sides[OURS]["filters"], _MEAN):
            table.add_row(name, *(_rate(facts, side, rate, name) for side in sides))
        out.print(table)
    out.print(f"* recall@10 below {_ENOUGH:g}", highlight=False)
    table = _table("filter", sides, "p50 / p99 in milliseconds")
    for name in sides[OURS]["filters"]:
        figures = (one["filters"][name] for one in sides.values())
        table.add_row(name, *(f"{one['p50_ms']:.2f} / {one['p99_ms']:.2f}" for one in figures))
    out.print(table)
    worst, slowest = max(sides[OURS]["filters"].items(), key=lambda named: named[1]["p99_to_p50"])
    verdict = "within" if slowest["p99_to_p50"] <= TAIL_LIMIT else "NOT within"
    times = f"{slowest['p99_to_p50']:.1f} times at most ({worst})"
    out.print(f"{OURS}: p99 is {verdict} {TAIL_LIMIT:g} times the median; {times}.", highlight=False)
    load, processors = statistics.median(facts["load"]), os.cpu_count() or 1
    if load > processors:
        busy = f"The load was {load:.1f} on {processors} processors, so other processes contribute to the tails."
        out.print(busy, highlight=False)
    table = _table("", sides, "sizes; memory after all searches")
    for name, words in _SIZES.items():
        table.add_row(words, *(f"{one[name]:,.1f}" for one in sides.values()))
    out.print(table)
    table = Table("new filter", "first ms", "second ms", "known ms", "extra ms of the first")
    for name, one in facts["new_filters"].items():
        table.add_row(name, *(f"{one[figure]:.3f}" for figure in ("first_ms", "second_ms", "known_ms", "extra_ms")))
    out.print(table)
    out.print(f"Exact answers and NumPy in float64 agree on {facts['exact_agrees_with_float64']:.1%}.", highlight=False)


def _table(head: str, sides: Iterable[str], title: str) -> Table:
    return Table(head, *(Column(side.replace("-", " "), justify="right") for side in sides), title=title)


def _rate(facts: Mapping[str, Any], side: str, rate: str, name: str) -> str:
    """Write a rate, with a star if the recall was not reached, and the ratio of our rate to it."""
    filters = facts["sides"][side]["filters"]
    if name == _MEAN:
        shown = f"{statistics.geometric_mean(one[rate] for one in filters.values()):,.0f}"
    else:
        recall = filters[name]["recall" if rate == "per_second" else "batch_recall"]
        shown = f"{filters[name][rate]:,.0f}" + ("" if recall >= _ENOUGH else "*")
    return shown if side == OURS else f"{shown} ({facts['ratios'][side][rate][name]:.2f})"
