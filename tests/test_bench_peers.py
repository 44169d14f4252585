from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike.data.errors import UsageError
from lookalike.retrieval.bench.peers import registry
from lookalike.retrieval.bench.peers.registry import OURS, PEERS, PeerInfo, about, checked_names, peer_of
from lookalike.retrieval.bench.peers.rounds import answer_by_numpy, build_peer, measure_peer, tune_peer
from lookalike.retrieval.bench.peers.sql import sql_of
from lookalike.retrieval.bench.search_sides import SearchPlan
from lookalike.retrieval.bench.speed import fresh
from lookalike.retrieval.bench.synthetic import Synthetic
from lookalike.retrieval.vector_index.baselines import BaselineKind
from tests.running import call, call_json

COUNT, DIM, QUERIES, LIMIT = 3_000, 32, 20, 10
FILTERS = ["none", "50%", "10%", "1%", "0.1%", "own topic", "other topic"]
EXACT = {"sqlite-vec", "faiss-flat"}

BY_HAND = {
    "hnswlib": "it has no wheel, and not every machine that runs the tests has a C++ compiler",
    "lancedb": "its wheel and that of pyarrow have 130 MB",
}
"""Peers of the extra bench that the extra test leaves out, and why; the last step of .ci/run tests them."""

Answers = dict[str, list[list[int]]]


def installed(name: str) -> str:
    if name in BY_HAND and any(importlib.util.find_spec(one) is None for one in PEERS[name].modules):
        pytest.skip(f"{name} is installed by the extra bench only: {BY_HAND[name]}")
    return name


def thorough_answers(plan: SearchPlan, name: str) -> Answers:
    """Build a side, and ask it all queries under all filters at its most thorough setting."""
    build_peer(plan, name)
    peer = peer_of(name)
    peer.open(plan.folder / name)
    setting = peer.ladders()[-1][-1]
    found = {
        workload.name: [
            list(peer.search(query, LIMIT, peer.filter_of(workload), setting)) for query in plan.queries_of(workload)
        ]
        for workload in plan.made.workloads
    }
    peer.close()
    return found


def true_answers(plan: SearchPlan) -> tuple[Answers, dict[str, NDArray[np.float64]], dict[str, NDArray[np.bool_]]]:
    """Return the true rows, all scores [queries, rows] and what passes, by filter, from one scan in float64."""
    (chunk,) = plan.made.chunks()
    vectors = chunk.vectors.astype(np.float64)
    rows, scores, masks = {}, {}, {}
    for workload in plan.made.workloads:
        mask = workload.mask(chunk.columns)
        masks[workload.name] = np.ones(len(vectors), dtype=bool) if mask is None else mask
        scores[workload.name] = plan.queries_of(workload).astype(np.float64) @ vectors.T
        passing = np.where(masks[workload.name], scores[workload.name], -np.inf)
        most = min(LIMIT, int(masks[workload.name].sum()))
        rows[workload.name] = np.argsort(-passing, axis=1)[:, :most].tolist()
    return rows, scores, masks


def share_found(found: list[list[int]], true: list[list[int]]) -> float:
    return float(np.mean([len(set(one) & set(other)) / len(other) for one, other in zip(found, true, strict=True)]))


@pytest.mark.slow
@pytest.mark.parametrize("name", [OURS, *BaselineKind, *PEERS])
def test_a_side_finds_under_every_filter_what_numpy_finds(name: str, tmp_path: Path) -> None:
    installed(name)
    plan = SearchPlan(tmp_path, Synthetic(COUNT, DIM), queries=QUERIES)
    found = fresh(thorough_answers, plan, str(name))
    true, scores, masks = true_answers(plan)
    assert list(found) == FILTERS
    for filter_name, answers in found.items():
        for place, rows in enumerate(answers):
            assert len(set(rows)) == len(rows) == len(true[filter_name][place])
            assert masks[filter_name][rows].all()
            of_rows = scores[filter_name][place][rows]
            assert (np.diff(of_rows) <= 1e-3).all()  # best first, but for the rounding of codes
        share = share_found(answers, true[filter_name])
        assert share == 1.0 if name in EXACT else share >= 0.95


def test_the_true_rows_of_the_comparison_are_those_of_a_scan_in_float64(tmp_path: Path) -> None:
    plan = SearchPlan(tmp_path, Synthetic(COUNT, DIM), queries=QUERIES)
    answer_by_numpy(plan)
    true, _, masks = true_answers(plan)
    for workload in plan.made.workloads:
        assert [set(rows.tolist()) for rows in plan.truth_of(workload)] == [set(one) for one in true[workload.name]]
        mask = workload.mask(plan.columns())
        assert mask is None or np.array_equal(mask, masks[workload.name])


@pytest.mark.slow
def test_the_setting_is_the_cheapest_that_reaches_the_recall(tmp_path: Path) -> None:
    plan = SearchPlan(tmp_path, Synthetic(COUNT, DIM), queries=100, most_s=0.2)
    answer_by_numpy(plan)
    name = str(BaselineKind.HNSW)
    build_peer(plan, name)
    settings = tune_peer(plan, name)
    assert list(settings) == FILTERS
    measured = measure_peer(plan, name, settings)
    cheapest = measure_peer(plan, name, {one: {"efSearch": 10} for one in FILTERS})
    for filter_name, figures in measured.filters.items():
        assert figures.recall >= 0.93
        assert figures.p50_us <= figures.p90_us
        assert figures.wrong == 0
        if settings[filter_name]["efSearch"] > 10:
            assert cheapest.filters[filter_name].recall < 0.96
    assert settings["0.1%"]["efSearch"] > settings["none"]["efSearch"]


def test_a_filter_is_written_as_sql() -> None:
    written = {workload.name: sql_of(workload) for workload in Synthetic(COUNT, DIM).workloads}
    assert written["none"] is None
    assert written["50%"] == "in_stock = true"
    assert written["1%"] == "category = 'c1' AND price >= 20.09 AND price < 25.88"


def test_every_side_is_described() -> None:
    sides = [OURS, *BaselineKind, *PEERS]
    assert all("exact" in about(side) or "approximate" in about(side) for side in sides)
    assert [side for side in sides if about(side).startswith("exact")] == ["faiss-flat", "sqlite-vec"]


def test_a_peer_that_is_unknown_or_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no peer 'annoy'") as refused:
        checked_names(["annoy"])
    assert all(name in refused.value.remedy for name in PEERS)
    absent = PeerInfo(PEERS["hnswlib"].make, "not-on-pypi", ("not_importable",), "exact")
    assert "There is no peer 'annoy'" in call("bench", "search", "--peers", "hnswlib,annoy", code=2)
    monkeypatch.setattr(registry, "PEERS", {"absent": absent})
    for attempt in (lambda: checked_names(["absent"]), lambda: peer_of("absent")):
        with pytest.raises(UsageError, match="needs the package not-on-pypi") as refused:
            attempt()
        assert refused.value.remedy == "Install it with: pip install 'lookalike[bench]'"


def compare(*more: object) -> list[object]:
    sizes = ["--count", COUNT, "--dim", DIM, "--rounds", 1, "--queries", 40, "--seconds", 0.05]
    return ["bench", "search", *sizes, "--baselines", "faiss-flat", "--peers", "usearch", *more]


@pytest.mark.slow
def test_the_comparison_shows_every_side_and_goes_on_without_one_that_fails(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    found = call_json(*compare("--keep", kept))
    assert list(found["sides"]) == ["lookalike", "faiss-flat", "usearch"]
    assert found["failed"] == {}
    assert len(found["load"]) == 3
    assert "NumPy" in found["preface"]
    for name, side in found["sides"].items():
        assert side["version"]
        assert side["build_s"] > 0
        assert side["bytes_on_disk"] > COUNT * DIM * 2
        assert list(side["filters"]) == FILTERS
        for figures in side["filters"].values():
            assert figures["recall"] >= (1.0 if name in EXACT else 0.93)
            assert figures["p50_us"] <= figures["p90_us"]
            assert figures["wrong"] == 0
    ours, theirs = (found["sides"][side]["filters"]["10%"] for side in ("lookalike", "usearch"))
    assert ours["to_lookalike"] == 1.0
    assert theirs["to_lookalike"] == pytest.approx(theirs["p50_us"] / ours["p50_us"], abs=0.001)
    assert all("expansion" in one["setting"] for one in found["sides"]["usearch"]["filters"].values())

    (kept / "usearch" / "usearch.index").write_bytes(b"damaged")
    before = {path: path.stat().st_mtime_ns for path in kept.rglob("*.index")}
    assert len(before) >= 2
    shown = call(*compare("--keep", kept))
    assert {path: path.stat().st_mtime_ns for path in kept.rglob("*.index")} == before
    assert "filter: 0.1%" in shown and "faiss-flat: exact" in shown
    assert "usearch failed: " in shown and "usearch: approximate" not in shown
    assert "other options" in " ".join(call(*compare("--keep", kept, "--index", "flat"), code=2).split())


def fail(kind: str) -> None:
    if kind == "exit":
        os._exit(3)
    raise UsageError("It is wrong.", remedy="Mend it.")


def test_a_fresh_process_that_ends_without_an_answer_is_an_error() -> None:
    with pytest.raises(ChildProcessError, match="exit code 3"):
        fresh(fail, "exit")
    with pytest.raises(UsageError, match="It is wrong") as raised:
        fresh(fail, "raise")
    assert raised.value.remedy == "Mend it."
    assert "in fail" in raised.value.__notes__[0]


def running_in_group(group: int) -> list[str]:
    """Return the processes of a group that have not ended; one that has may wait for its parent for ever."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of_group = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue  # it has just ended
        if int(of_group) == group and state != "Z":
            found.append(path.parent.name)
    return found


@pytest.mark.slow
def test_an_interrupt_ends_the_comparison_and_removes_its_files(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lookalike", "bench", "search", "--count", "20000", "--peers", "usearch"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        lines = [process.stderr.readline(), process.stderr.readline()]  # the truth was found; a catalog is being built
        assert lines[1].startswith("Building lookalike")
        time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)
        said = process.stderr.read()
        assert process.wait(timeout=30) == 1
    assert said == "Stopped.\n"
    assert list(tmp_path.iterdir()) == []
    until = time.monotonic() + 10
    while running_in_group(process.pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert running_in_group(process.pid) == []
