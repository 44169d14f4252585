from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lookalike.retrieval.bench.memory import Memory
from lookalike.retrieval.bench.search_sides import SearchPlan, answer_exactly, build_catalog
from lookalike.retrieval.bench.speed import Speed, fresh, timed, timed_batch
from lookalike.retrieval.bench.synthetic import Synthetic
from tests.running import call, call_json

FILTERS = ["none", "50%", "10%", "1%", "0.1%", "own topic", "other topic"]


def search(*more: object) -> list[object]:
    sizes = ["--count", 3_000, "--dim", 32, "--rounds", 1, "--queries", 40, "--seconds", 0.1]
    return ["bench", "search", *sizes, *more]


def test_speed_is_the_mean_rate_and_percentiles_of_the_seconds() -> None:
    seconds = np.concatenate([np.full(98, 0.001), [0.003, 0.004]])
    speed = Speed.of(seconds)
    assert speed == Speed(100, round(1 / seconds.mean(), 2), 1.0, round(float(np.percentile(seconds, 99)) * 1000, 4))


def test_queries_are_answered_in_order_until_the_time_is_up() -> None:
    queries = np.arange(60, dtype=np.float32).reshape(30, 2)
    answers, seconds = timed(lambda query: float(query[0]), queries, 10.0)
    assert answers == queries[:, 0].tolist()
    assert len(seconds) == 30
    assert len(timed(lambda query: 0, queries, 0.0)[0]) == 20
    asked: list[float] = []
    timed(lambda query: asked.append(float(query[0])), queries, 10.0)
    assert asked == 2 * queries[:, 0].tolist()  # the first time to warm up
    batch, rate = timed_batch(lambda some: some[:, 1].tolist(), queries, 10.0)
    assert batch == queries[:, 1].tolist()
    assert rate > 0


def test_a_fresh_process_shares_nothing_and_hands_errors_back() -> None:
    assert fresh(len, [1, 2, 3]) == 3
    with pytest.raises(ValueError, match="invalid literal"):
        fresh(int, "no number")


def grown_by(numbers: int) -> Memory:
    before = Memory.now()
    held = np.ones(numbers)
    after = Memory.now()
    del held
    return after - before


@pytest.mark.slow
def test_the_memory_of_a_process_grows_with_what_it_holds() -> None:
    grown = fresh(grown_by, 8_000_000)  # this one may have freed memory to take it from
    assert 60_000_000 < grown.anonymous < 70_000_000
    assert grown.resident == grown.anonymous + grown.mapped


def test_the_exact_answers_are_those_of_numpy(tmp_path: Path) -> None:
    plan = SearchPlan(tmp_path, Synthetic(3_000, dim=32), queries=30)
    build_catalog(plan, "flat")
    assert answer_exactly(plan) == 1.0
    (chunk,) = plan.made.chunks()
    stored = chunk.vectors.astype(np.float16).astype(np.float64)
    for workload in plan.made.workloads:
        scores = plan.queries_of(workload).astype(np.float64) @ stored.T
        mask = workload.mask(chunk.columns)
        if mask is not None:
            scores[:, ~mask] = -np.inf
        best = np.argsort(-scores, axis=1)
        for place, rows in enumerate(plan.truth_of(workload)):
            assert len(rows) == min(10, len(stored) if mask is None else int(mask.sum()))
            assert set(rows.tolist()) == set(best[place, : len(rows)].tolist())
    assert np.array_equal(plan.columns()["price"], chunk.columns["price"])


@pytest.mark.slow
def test_the_search_benchmark_measures_both_sides_under_every_filter(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    found = call_json(*search("--keep", kept, "--baselines", "faiss-flat,faiss-ivf-flat"))
    assert found["exact_agrees_with_float64"] == 1.0
    assert list(found["sides"]) == ["lookalike", "faiss-flat", "faiss-ivf-flat"]
    for side in found["sides"].values():
        assert list(side["filters"]) == FILTERS
        for figures in side["filters"].values():
            assert figures["recall"] >= 0.93
            assert figures["p50_ms"] <= figures["p99_ms"]
            assert figures["per_second"] > 0 < figures["batch_per_second"]
        assert side["bytes_on_disk_per_item"] > 64
    assert all(one["recall"] == 1.0 for one in found["sides"]["faiss-flat"]["filters"].values())
    ratios = found["ratios"]["faiss-flat"]["per_second"]
    rates = [found["sides"][side]["filters"]["10%"]["per_second"] for side in ("lookalike", "faiss-flat")]
    assert ratios["10%"] == pytest.approx(rates[0] / rates[1], rel=0.01)
    values = [ratios[name] for name in FILTERS]
    assert ratios["geometric mean"] == pytest.approx(np.exp(np.log(values).mean()), abs=0.002)
    kinds = {"50%", "10%", "1%", "0.1%", "20 brands", "price band", "and, or, not"}
    assert set(found["new_filters"]) == kinds
    assert len(found["load"]) == 3
    built = json.loads((kept / "bench.json").read_text())["built"]
    again = call(*search("--keep", kept, "--baselines", "faiss-flat"))
    assert json.loads((kept / "bench.json").read_text())["built"] == built
    assert "p99 is" in again
    assert "other options" in " ".join(call(*search("--keep", kept, "--queries", 50), code=2).split())


def test_a_baseline_that_is_none_and_a_folder_of_something_else_are_refused(tmp_path: Path) -> None:
    assert "no baseline" in call(*search("--baselines", "annoy"), code=2)
    (tmp_path / "letter.txt").write_text("Dear")
    assert "no benchmark" in " ".join(call(*search("--keep", tmp_path), code=2).split())
