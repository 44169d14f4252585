"""The comparison of a catalog with databases and index libraries, which take turns in processes of their own."""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, ParamSpec, TypeVar

from rich.table import Column, Table

from lookalike.data.counted import counted
from lookalike.retrieval.bench.peers import rounds as peer_rounds
from lookalike.retrieval.bench.peers.peer import Setting
from lookalike.retrieval.bench.peers.registry import OURS, about, version_of
from lookalike.retrieval.bench.peers.rounds import PeerMeasured
from lookalike.retrieval.bench.search_sides import SearchPlan
from lookalike.retrieval.bench.speed import fresh
from lookalike.retrieval.vector_index import IndexKind
from lookalike.ui.cli.bench.kept_builds import KeptFile
from lookalike.ui.cli.json_output import print_json
from lookalike.ui.cli.terminal import err, out, plain, shown_size

__all__ = ["compare_with_peers"]

PREFACE: Final = (
    "Every side holds the same vectors and answers the same queries, one at a time, in turn, each side in a process of "
    "its own; there is no server and no network. Lookalike takes its filter as text and returns keys and two fields; "
    "the others return row numbers only. Each approximate side runs at the quickest of the settings tried that finds "
    "95% of what NumPy finds by scanning all vectors; its experts may know better ones. Exact sides do more than was "
    "asked for. The author of this benchmark is the author of Lookalike."
)
"""What the figures are worth, printed above them."""

_KEPT: Final = "peers.json"
_ENOUGH: Final = 0.945
"""Least recall@10 that counts as 0.95, since settings are chosen on a sample of the queries."""

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


def compare_with_peers(plan: SearchPlan, others: Sequence[str], index: IndexKind, rounds: int, json: bool) -> None:
    """Build, tune and measure a catalog and the other sides, and print the comparison.

    A side that fails is left out of the rest, and its error is shown.
    """
    failed: dict[str, str] = {}
    kept = _built(plan, [OURS, *others], index, failed)
    measured: dict[str, list[PeerMeasured]] = {side: [] for side in (OURS, *others) if side not in failed}
    loads = []
    for number in range(rounds):
        sides = [side for side in measured if side not in failed]
        for side in sides if number % 2 == 0 else sides[::-1]:
            err.print(f"Round {number + 1}: {side}", highlight=False)
            loads.append(round(os.getloadavg()[0], 2))
            run = _attempt(failed, side, peer_rounds.measure_peer, plan, side, kept["settings"][side])
            if run is not None:
                measured[side].append(run)
    ours = measured[OURS]
    facts = {
        "count": plan.made.count,
        "dim": plan.made.dim,
        "queries": plan.queries,
        "rounds": rounds,
        "load": loads,
        "preface": PREFACE,
        "sides": {side: _side_json(side, kept, runs, ours) for side, runs in measured.items() if side not in failed},
        "failed": failed,
    }
    if json:
        print_json(facts)
    else:
        _show(facts)


def _built(plan: SearchPlan, sides: Sequence[str], index: IndexKind, failed: dict[str, str]) -> dict[str, Any]:
    """Build and tune every side that the folder lacks; return the cost of each and its settings by filter."""
    made = {"count": plan.made.count, "dim": plan.made.dim, "queries": plan.queries, "index": index.value}
    file = KeptFile(plan.folder / _KEPT, made)
    kept = file.read()
    if kept is None:
        kept = {"built": {}, "settings": {}, "versions": {}}
        err.print(f"Finding the true neighbours among {counted(plan.made.count, 'vector')} with NumPy", highlight=False)
        fresh(peer_rounds.answer_by_numpy, plan)
        file.write(kept)
    for side in sides:
        if kept["versions"].get(side) == version_of(side):
            continue
        shutil.rmtree(plan.folder / side, ignore_errors=True)  # unfinished, or of another version
        err.print(f"Building {side}", highlight=False)
        built = _attempt(failed, side, peer_rounds.build_peer, plan, side, index.value)
        if built is None:
            continue
        err.print(f"Tuning {side}", highlight=False)
        settings = _attempt(failed, side, peer_rounds.tune_peer, plan, side)
        if settings is not None:
            kept["built"][side], kept["settings"][side] = asdict(built), settings
            kept["versions"][side] = version_of(side)
            file.write(kept)
    return kept


def _attempt(
    failed: dict[str, str],
    side: str,
    step: Callable[Arguments, Answer],
    *arguments: Arguments.args,
    **named: Arguments.kwargs,
) -> Answer | None:
    """Take one step of a side in a new process; if it fails, note why and return None.

    Raises:
        Exception: Lookalike itself failed.
    """
    try:
        return fresh(step, *arguments, **named)
    except Exception as error:
        if side == OURS:
            raise
        failed[side] = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        err.print(f"[yellow]{side} failed and is left out:[/] {plain(failed[side])}", highlight=False)
        return None


def _side_json(
    side: str, kept: Mapping[str, Any], runs: Sequence[PeerMeasured], ours: Sequence[PeerMeasured]
) -> dict[str, Any]:
    """Return the medians over rounds; `to_lookalike` is the median ratio of a side's median time to Lookalike's."""
    settings: Mapping[str, Setting] = kept["settings"][side]
    filters: dict[str, dict[str, Any]] = {}
    for name in runs[0].filters:
        figures = [run.filters[name] for run in runs]
        by_round = [one.p50_us / other.filters[name].p50_us for one, other in zip(figures, ours, strict=True)]
        filters[name] = {
            "recall": statistics.median(one.recall for one in figures),
            "p50_us": statistics.median(one.p50_us for one in figures),
            "p90_us": statistics.median(one.p90_us for one in figures),
            "to_lookalike": round(statistics.median(by_round), 3),
            "searches": figures[0].searches,
            "wrong": max(one.wrong for one in figures),
            "setting": settings[name],
        }
    return {
        "version": kept["versions"][side],
        "about": about(side),
        "build_s": kept["built"][side]["seconds"],
        "bytes_on_disk": kept["built"][side]["bytes_on_disk"],
        "open_ms": statistics.median(run.open_ms for run in runs),
        "resident_bytes": int(statistics.median(run.memory.resident for run in runs)),
        "anonymous_bytes": int(statistics.median(run.memory.anonymous for run in runs)),
        "to_lookalike": round(statistics.geometric_mean(one["to_lookalike"] for one in filters.values()), 3),
        "filters": filters,
    }


def _show(facts: Mapping[str, Any]) -> None:
    sides = facts["sides"]
    out.print(PREFACE, highlight=False)
    for name in sides[OURS]["filters"]:
        title = f"{counted(facts['count'], 'vector')}, filter: {name} (ratio: median time to that of {OURS})"
        table = _table(["side", "setting"], ["recall@10", "median µs", "p90 µs", "ratio"], title)
        for side, one in sides.items():
            table.add_row(side, *_row(one["filters"][name]))
        out.print(table)
    out.print(f"* recall@10 below {_ENOUGH:g}", highlight=False)
    title = "Sizes, memory after all searches, and the geometric mean of the ratios"
    table = _table(["side", "version"], ["build s", "disk", "memory", "private", "ratio"], title)
    for side, one in sides.items():
        sizes = (shown_size(one[size]) for size in ("bytes_on_disk", "resident_bytes", "anonymous_bytes"))
        table.add_row(side, one["version"], f"{one['build_s']:,.1f}", *sizes, f"{one['to_lookalike']:.2f}")
    out.print(table)
    for side, one in sides.items():
        out.print(f"{side}: {one['about']}", highlight=False)
        wrong = {name: figures["wrong"] for name, figures in one["filters"].items() if figures["wrong"]}
        if wrong:
            out.print(f"{side} returned rows that do not pass the filter: {wrong}", highlight=False, markup=False)
    load = statistics.median(facts["load"])
    out.print(f"The load was {load:.1f} on {os.cpu_count() or 1} processors.", highlight=False)
    for side, why in facts["failed"].items():
        out.print(f"{side} failed: {plain(why)}", highlight=False)


def _row(figures: Mapping[str, Any]) -> list[str]:
    setting = ", ".join(f"{name}={value}" for name, value in figures["setting"].items()) or "-"
    star = "" if figures["recall"] >= _ENOUGH else "*"
    times = (f"{figures[name]:,.0f}" for name in ("p50_us", "p90_us"))
    return [setting, f"{figures['recall']:.3f}{star}", *times, f"{figures['to_lookalike']:.2f}"]


def _table(words: Sequence[str], numbers: Sequence[str], title: str) -> Table:
    first, *others = words
    figures = (Column(name, justify="right", no_wrap=True) for name in numbers)
    return Table(Column(first, no_wrap=True), *others, *figures, title=title, title_justify="left")
