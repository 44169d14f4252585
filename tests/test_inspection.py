from __future__ import annotations

from pathlib import Path

import pytest

from lookalike.data.feeds.feed import open_feed
from lookalike.data.feeds.inspection import inspect_feed
from tests.running import call, call_json

ROWS = "".join(f'S{number},Shoe {number},{number}.jpg,"{number},50 €",0040{number:04}\n' for number in range(60))
ODD_ROWS = "A,No picture,,1,2\nB,Dear,b.jpg,ask us,3\nS1,Twice,c.jpg,1,4\n"
FEED = f"Export of 2026-11-01,,,,\nsku,name,image,price,gtin\n{ROWS}{ODD_ROWS}"


@pytest.fixture
def feed(tmp_path: Path) -> Path:
    path = tmp_path / "shop.csv"
    path.write_text(FEED, encoding="utf-16")
    return path


def test_a_feed_is_described_as_it_would_be_indexed(feed: Path) -> None:
    found = inspect_feed(open_feed(feed))
    assert (found.items, found.pictures, found.rejected) == (61, 61, 2)
    assert found.notes == ("Text in UTF-16, separated by commas, below 1 line that is not part of the table.",)
    columns = {one.name: one for one in found.columns}
    assert list(columns) == ["key", "title", "price", "gtin", "currency"]
    assert (columns["price"].taken_for, columns["price"].values) == ("float (EUR)", 60)
    assert columns["price"].filled == pytest.approx(60 / 61)
    assert columns["gtin"].examples == ("00400000", "00400001", "00400002")
    assert [item.key for item in found.first] == ["S0", "S1", "S2"]
    assert [(one.count, one.row) for one in found.rejects] == [(1, 61), (1, 63)]
    assert [one.reason for one in found.warnings] == ["price is 'ask us'; this column holds numbers."]


def test_problems_are_counted_by_kind(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text(
        "sku,image,price\n" + "".join(f"{n},a.jpg,{n}\n" for n in range(40)) + "x,b.jpg,1,2\ny,b.jpg,1,2,3\n"
    )
    (finding,) = inspect_feed(open_feed(path)).rejects
    assert (finding.count, finding.row) == (2, 41)
    assert "4 cells" in finding.reason


def test_the_command_shows_it_on_the_screen_and_as_json(feed: Path) -> None:
    shown = call("inspect", feed)
    for part in ("61 items, 61 pictures, 2 rejected", "numbers (EUR)", "0.5, 1.5, 2.5", "ask us", "names no picture"):
        assert part in " ".join(shown.split()), part
    found = call_json("inspect", feed)
    assert (found["items"], found["first"][1]["fields"]["price"], found["first"][1]["images"]) == (61, 1.5, ["1.jpg"])
