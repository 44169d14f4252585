from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lookalike import Catalog
from lookalike.data.errors import UsageError
from lookalike.retrieval.bench.synthetic import QueryKind, Synthetic
from lookalike.retrieval.search.recall import SHARES, TARGETS, QueriesFrom, RecallReport, RecentQueries
from tests.fakes import ColourEncoder
from tests.running import call, call_json

MADE = Synthetic(4_000, dim=32)
QUERIES = MADE.queries(QueryKind.ANY, 300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recall") / "made"
    (chunk,) = MADE.chunks()
    with Catalog.create(folder, dim=32) as catalog:
        catalog.add_vectors(chunk.keys[:3_800], chunk.vectors[:3_800])
        catalog.optimize(index="ivf_pq")
        catalog.add_vectors(chunk.keys[3_800:], chunk.vectors[3_800:])  # the tail
        catalog.delete(keys=["5", "6"])
    return folder


def only(reports: list[RecallReport]) -> RecallReport:
    (report,) = reports
    return report


@pytest.mark.slow
def test_the_recall_among_all_items_is_that_of_brute_force(folder: Path) -> None:
    (chunk,) = MADE.chunks()
    scores = QUERIES[:100].astype(np.float64) @ chunk.vectors.astype(np.float16).astype(np.float64).T
    scores[:, [5, 6]] = -np.inf
    truth = np.argsort(-scores, axis=1)[:, :10]
    with Catalog.open(folder, device="cpu") as catalog:
        catalog.search_many(QUERIES[:100])  # the first search by a selection may go another way than all others
        report = only(catalog.measure_recall(vectors=QUERIES[:100]))
        assert (report.queries_from, report.queries, report.limit) == (QueriesFrom.GIVEN, 100, 10)
        for figure in report.figures[: len(TARGETS)]:
            found = catalog.search_many(QUERIES[:100], recall=figure.target)
            shares = [np.isin(true, list(map(int, one.keys))).mean() for true, one in zip(truth, found, strict=True)]
            assert figure.items == 3_998
            assert figure.recall == pytest.approx(float(np.mean(shares)), abs=0.002)
            assert figure.recall >= figure.target - 0.03


@pytest.mark.slow
def test_every_share_and_target_is_measured(folder: Path) -> None:
    with Catalog.open(folder) as catalog:
        report = only(catalog.measure_recall(vectors=QUERIES))
    assert [(one.share, one.target) for one in report.figures] == [(a, b) for a in SHARES for b in TARGETS]
    for one in report.figures:
        assert abs(one.items - 3_998 * one.share) <= 4 * (3_998 * one.share) ** 0.5
        assert one.recall == 1 if one.exact else one.recall >= one.target - 0.05


@pytest.mark.slow
def test_items_are_left_out_of_their_own_answers_where_nothing_was_searched(folder: Path) -> None:
    with Catalog.open(folder) as catalog:
        report = only(catalog.measure_recall(limit=3))
        assert (report.queries_from, report.queries, report.limit) == (QueriesFrom.HELD_OUT, 256, 3)
        assert all(0.8 <= one.recall <= 1 for one in report.figures)
    with Catalog.create(folder.with_name("two"), dim=2) as two:
        two.add_vectors(["a", "b"], [[1, 0], [0, 1]])
        report = only(two.measure_recall())
        assert report.queries == 2
        assert report.figures[0].items == 2
        assert report.figures[0].recall == 1


@pytest.mark.slow
def test_the_last_queries_of_the_process_are_measured_on(folder: Path) -> None:
    with Catalog.open(folder) as catalog:
        for query in QUERIES[:19]:
            catalog.search(vector=query)
        assert only(catalog.measure_recall()).queries_from is QueriesFrom.HELD_OUT
        catalog.search(vector=QUERIES[19])
        report = only(catalog.measure_recall())
        assert (report.queries_from, report.queries) == (QueriesFrom.LIVE, 20)
        assert report.figures == only(catalog.measure_recall(vectors=QUERIES[:20])).figures
        catalog.search_many(QUERIES)
        report = only(catalog.measure_recall())
        assert report.queries == 256
        assert report.figures == only(catalog.measure_recall(vectors=QUERIES[-256:])).figures


def test_what_is_remembered_is_a_copy_of_the_newest() -> None:
    recent = RecentQueries()
    rows = np.arange(600, dtype=np.float32).reshape(300, 2)
    recent.remember("image", rows)
    recent.remember("title", rows[:1])
    rows[:] = -1
    kept = np.stack(recent.of("image"))
    assert kept.tolist() == np.arange(88, 600, dtype=np.float32).reshape(256, 2).tolist()
    assert np.stack(recent.of("title")).tolist() == [[0, 1]]
    assert recent.of("other") == []


def test_words_and_pictures_are_remembered_by_space(encoder: ColourEncoder, tmp_path: Path) -> None:
    with Catalog.create(tmp_path / "shop", model="compact") as catalog:
        rows = np.random.default_rng(0).random((40, 12), dtype=np.float32)
        titles = [["red", "green", "blue", "white"][row % 4] for row in range(40)]
        catalog.add_vectors([f"k{row}" for row in range(40)], rows)
        catalog.update([f"k{row}" for row in range(40)], titles=titles)
        for _ in range(25):
            catalog.search(text="red", without="blue")
        reports = {report.space: report for report in catalog.measure_recall()}
        assert set(reports) == {"image", "title"}
        assert reports["title"].queries_from is QueriesFrom.LIVE
        assert reports["title"].queries == 25
        assert all(one.recall == 1 and one.exact for report in reports.values() for one in report.figures)


def test_a_limit_or_queries_that_do_not_fit_are_refused(folder: Path) -> None:
    with Catalog.open(folder) as catalog:
        with pytest.raises(UsageError, match="limit"):
            catalog.measure_recall(limit=0)
        with pytest.raises(UsageError, match="queries"):
            catalog.measure_recall(vectors=np.ones((2, 5)))


@pytest.mark.slow
def test_the_command_line_shows_the_recall(folder: Path) -> None:
    assert "recall" not in call_json("info", folder)
    (report,) = call_json("info", folder, "--recall")["recall"]
    assert (report["space"], report["queries_from"], report["queries"]) == ("image", "held out", 256)
    assert len(report["figures"]) == len(SHARES) * len(TARGETS)
    assert set(report["figures"][0]) == {"share", "items", "target", "recall", "exact", "plan"}
    assert "left out" in call("info", folder, "--recall")


def test_an_empty_catalog_has_no_recall(tmp_path: Path) -> None:
    with Catalog.create(tmp_path / "empty", dim=4) as catalog:
        assert catalog.measure_recall() == []
    assert call_json("info", tmp_path / "empty", "--recall")["recall"] == []
