from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lookalike import Catalog
from lookalike.data.errors import FeedError
from lookalike.retrieval.evaluation.judged_queries import JudgedQuery, read_queries
from lookalike.retrieval.evaluation.measures import Evaluation, evaluate
from tests.fakes import ColourEncoder
from tests.running import call, run
from tests.test_indexing import picture, write_feed


def test_measures_are_those_computed_by_hand(tmp_path: Path, encoder: ColourEncoder) -> None:
    with Catalog.create(tmp_path / "shop", model="compact") as catalog:
        for number in range(40):
            picture(tmp_path / f"{number}.png", number)
        run(catalog, write_feed(tmp_path, [f"k{number},{number}.png,,1" for number in range(40)]))
        ranked = catalog.search(image=tmp_path / "3.png", limit=20).keys
        queries = [
            JudgedQuery(frozenset({ranked[0]}), image=tmp_path / "3.png"),  # first
            JudgedQuery(frozenset({ranked[3], ranked[7]}), image=tmp_path / "3.png"),  # 4th and 8th
            JudgedQuery(frozenset({ranked[15], "gone"}), image=tmp_path / "3.png"),  # beyond 10, and none
        ]
        *steps, found = evaluate(catalog._core, queries)
    assert steps == [1, 2, 3]
    assert isinstance(found, Evaluation)
    assert found.recall_at_1 == pytest.approx(1 / 3)
    assert found.recall_at_5 == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert found.recall_at_10 == pytest.approx((1 + 1 + 0) / 3)
    assert found.mrr == pytest.approx((1 + 1 / 4 + 0) / 3)
    gain = (1 / np.log2(5) + 1 / np.log2(9)) / (1 / np.log2(2) + 1 / np.log2(3))
    assert found.ndcg_at_10 == pytest.approx((1 + gain + 0) / 3)
    assert (found.queries, found.unknown) == (3, 1)
    assert 0 < found.p50_ms <= found.p95_ms


def test_queries_are_read_from_csv_and_json_lines(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text('text,image,filter,relevant\nred cup,,"price < 3",a|b\n,x.png,,c\n')
    (tmp_path / "q.jsonl").write_text('{"text": "red cup", "relevant": ["a", "b"]}\n')
    first, second = read_queries(tmp_path / "q.csv")
    assert first == JudgedQuery(frozenset({"a", "b"}), text="red cup", filter="price < 3")
    assert second == JudgedQuery(frozenset({"c"}), image=tmp_path / "x.png")
    assert read_queries(tmp_path / "q.jsonl") == [JudgedQuery(frozenset({"a", "b"}), text="red cup")]


@pytest.mark.parametrize(
    ("content", "reason"),
    [("text,wanted\na,b\n", "needs the columns"), ("text,relevant\n,b\n", "row 1"), ("text,relevant\n", "no query")],
)
def test_wrong_queries_are_refused(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "q.csv").write_text(content)
    with pytest.raises(FeedError, match=reason):
        read_queries(tmp_path / "q.csv")


def test_the_command_line_names_a_file_that_is_missing(tmp_path: Path, encoder: ColourEncoder) -> None:
    with Catalog.create(tmp_path / "shop", model="compact") as catalog:
        picture(tmp_path / "0.png", 0)
        run(catalog, write_feed(tmp_path, ["k0,0.png,,1"]))
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "q.csv").write_text("image,relevant\n0.png,k0\ngone.png,k0\n")
    for arguments, words in {
        ("search", "--image", "none.jpg"): "none.jpg: There is no such file.",
        ("search", "--image", "0.png", "--image", "text.png"): "text.png: This is a text file, not a picture",
        ("evaluate", "none.csv"): "none.csv'.",
        ("evaluate", "q.csv"): "Query 2 cannot be searched: gone.png: There is no such file.",
        ("evaluate", "q.csv", "--keep"): "gone.png: There is no such file.",
        ("index", "none.csv"): "There is no feed at 'none.csv'.",
    }.items():
        paths = [str(tmp_path / one) if "." in one else one for one in arguments[1:]]
        shown = " ".join(call(arguments[0], tmp_path / "shop", *paths, code=1).replace("\n", "").split())
        assert words in shown.replace(f"{tmp_path}/", ""), shown
