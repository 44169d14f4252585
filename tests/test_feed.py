from __future__ import annotations

import os
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.data.errors import FeedError, NotAPicture
from lookalike.data.feeds.feed import Feed, open_feed
from lookalike.data.field_type import FieldType
from lookalike.data.item import Item, Rejected, Value
from lookalike.data.pictures.picture_sources import read_place


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def items(feed: Feed) -> list[Item]:
    return [entry for entry in feed if isinstance(entry, Item)]


def rejects(feed: Feed) -> list[Rejected]:
    return [entry for entry in feed if isinstance(entry, Rejected)]


def test_columns_are_found_by_their_usual_names_and_types_by_their_values(tmp_path: Path) -> None:
    feed = open_feed(
        written(
            tmp_path,
            "feed.csv",
            "SKU,Name,photo,price,stock,sold,added,tags,code,size\n"
            "a1,Red cup,a.png|b.png,9.50,3,true,2026-01-31,cup|red,007,10\n"
            "a2,Blue cup,c.png,12,,False,2026-02-01T10:00:00+02:00,cup,012,\n",
        )
    )
    first, second = items(feed)
    assert (first.key, first.title) == ("a1", "Red cup")
    assert [image.place for image in first.images] == [tmp_path / "a.png", tmp_path / "b.png"]
    assert dict(first.fields) == {
        "price": 9.5,
        "stock": 3,
        "sold": True,
        "added": datetime(2026, 1, 31, tzinfo=UTC),
        "tags": ["cup", "red"],
        "code": "007",
        "size": 10,
    }
    assert second.fields["stock"] is None
    assert second.fields["added"] == datetime(2026, 2, 1, 8, tzinfo=UTC)
    assert feed.columns["SKU"] == "key"
    assert feed.columns["tags"] == "strings"
    assert feed.count == 2


def test_options_name_columns_and_unknown_ones_are_refused_with_the_choice(tmp_path: Path) -> None:
    path = written(tmp_path, "feed.csv", "ours,shot,words\n1,a.png,Cup\n")
    (item,) = items(open_feed(path, key="ours", image="SHOT", title="words"))
    assert (item.key, item.title, item.images[0].source) == ("1", "Cup", "a.png")
    with pytest.raises(FeedError, match="--key.*ours, shot, words"):
        open_feed(path)
    with pytest.raises(FeedError, match="no column 'nope'"):
        open_feed(path, key="nope")
    with pytest.raises(FeedError, match="--image"):
        open_feed(path, key="ours")


def test_several_picture_columns_belong_to_one_item(tmp_path: Path) -> None:
    path = written(tmp_path, "f.csv", "id,image_link,additional_image_link,image_2\n1,a.png,b.png|c.png,d.png\n")
    (item,) = items(open_feed(path))
    assert [image.source for image in item.images] == ["a.png", "b.png", "c.png", "d.png"]


def test_bad_rows_are_rejected_with_their_number_and_reason(tmp_path: Path) -> None:
    good = "".join(f"k{number},{number}.png,{number}.5\n" for number in range(40))
    path = written(
        tmp_path,
        "feed.csv",
        b"key,image,price\n"
        + good.encode()
        + b"k40,40.png,ask us\n"  # row 41
        + b"k41,41.png\n"  # row 42
        + b",42.png,1\n"  # row 43
        + b"k\xff,43.png,1\n"  # row 44
        + b"k1,44.png,1\n"  # row 45
        + b"k45,45.png,\n"  # row 46: a null
        + b"k46,46.png,1,2\n",  # row 47
    )
    feed = open_feed(path)
    found = {one.row: one.reason for one in rejects(feed)}
    assert sorted(found) == [43, 45, 47]
    assert found[43] == "The row has no key."
    assert "Row 2 has the key" in found[45]
    assert "4 cells where the header names 3" in found[47]
    assert rejects(feed)[-1].key == "k46"
    taken = {item.row: item for item in items(feed)}
    assert len(taken) == 44
    assert {row: [one.sentence for one in item.warnings] for row, item in taken.items() if item.warnings} == {
        41: ["price is 'ask us'; this column holds numbers."],
    }
    assert [taken[row].fields["price"] for row in (41, 42, 46)] == [None, None, None]
    assert taken[44].key == "kÿ"


def test_a_field_keeps_the_type_that_the_catalog_gave_it(tmp_path: Path) -> None:
    path = written(tmp_path, "feed.csv", "key,image,size\n1,a.png,10\n")
    (item,) = items(open_feed(path, types={"size": FieldType.STRING}))
    assert item.fields["size"] == "10"


@pytest.mark.parametrize(("name", "separator"), [("f.csv", ";"), ("f.csv", "\t"), ("f.tsv", "\t"), ("f.csv", "|")])
def test_the_separator_is_found_in_the_header(tmp_path: Path, name: str, separator: str) -> None:
    text = separator.join(["key", "image", "price"]) + "\n" + separator.join(["a", "a.png", "1.5"]) + "\n"
    (item,) = items(open_feed(written(tmp_path, name, text)))
    assert item.fields == {"price": 1.5}


def test_a_place_on_this_machine_is_read_and_never_shown(tmp_path: Path) -> None:
    path = written(tmp_path, "f.csv", f"key,image\na,{tmp_path}/deep/x.png\n")
    (item,) = items(open_feed(path))
    assert (item.images[0].source, item.images[0].place) == ("x.png", tmp_path / "deep" / "x.png")


def test_a_column_called_title_or_key_that_is_neither_is_kept_under_another_name(tmp_path: Path) -> None:
    path = written(tmp_path, "f.csv", "sku,image,key,name,title\na,x.png,k,Cup,Dr\n")
    (item,) = items(open_feed(path, key="sku", title="name"))
    assert (item.key, item.title, item.fields) == ("a", "Cup", {"key_": "k", "title_": "Dr"})


def test_json_lines_bring_their_own_types(tmp_path: Path) -> None:
    rows = [
        {"id": 7, "images": ["a.png", "b.png"], "title": "Cup", "price": 3, "tags": ["x"], "size": {"w": 1}},
        {"id": "8", "image": "c.png", "price": None},
    ]
    path = written(tmp_path, "f.jsonl", b"\n".join(map(orjson.dumps, rows)) + b"\nnot json\n[1]\n")
    first, second = items(open_feed(path, image="images"))
    assert first.key == "7"
    assert first.fields == {"image": None, "price": 3, "tags": ["x"], "size": {"w": 1}} or first.fields == {
        "price": 3,
        "tags": ["x"],
        "size": {"w": 1},
    }
    assert second.images == ()
    reasons = [one.reason for one in rejects(open_feed(path, image="images"))]
    assert "not JSON" in reasons[0]
    assert "not a JSON object" in reasons[1]


def test_parquet_is_read_in_order(tmp_path: Path) -> None:
    frame = pl.DataFrame({"key": ["a", "b"], "image": ["1.png", "2.png"], "price": [1.5, None], "tags": [["x"], []]})
    frame.write_parquet(tmp_path / "f.parquet")
    first, second = items(open_feed(tmp_path / "f.parquet"))
    assert first.fields == {"price": 1.5, "tags": ["x"]}
    assert second.fields == {"price": None, "tags": []}


def test_a_folder_gives_key_category_and_title(tmp_path: Path) -> None:
    for name in ("mugs/big_blue-mug.png", "mugs/deep/x.jpg", "loose.png", ".hidden/a.png", "mugs/.b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = {item.key: item for item in items(open_feed(tmp_path))}
    assert list(found) == ["loose.png", "mugs/big_blue-mug.png", "mugs/deep/x.jpg"]
    assert found["mugs/big_blue-mug.png"].title == "big blue mug"
    assert found["mugs/deep/x.jpg"].fields == {"category": "mugs", "folder": ["mugs", "mugs/deep"], "file": "x.jpg"}
    assert found["loose.png"].fields == {"category": None, "folder": None, "file": "loose.png"}


def test_a_file_name_that_is_not_utf8_gets_a_readable_key(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.png"
    with open(path, "wb") as file:  # noqa: PTH123  # a path of bytes
        file.write(b"x")
    (item,) = items(open_feed(tmp_path))
    assert item.key == "caf\\xe9.png"
    assert read_place(item.images[0].place) == b"x"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("f.csv", "", "empty"),
        ("f.csv", "key,key\n", "no column for pictures"),
        ("f.jsonl", "\n", "no row"),
        ("f.docx", "x", "not in a supported format"),
        ("f.xlsx", "x", "cannot be read as a spreadsheet"),
        ("f.xml", "<a>", "not well-formed"),
        ("f.xml", "<!DOCTYPE a [<!ENTITY b 'c'>]><a><b/></a>", "entities"),
        ("f.json", "{", "not JSON"),
        ("f.parquet", "x", "cannot be read"),
    ],
)
def test_a_feed_that_cannot_be_read_says_why(tmp_path: Path, name: str, content: str, reason: str) -> None:
    with pytest.raises(FeedError, match=reason):
        open_feed(written(tmp_path, name, content))


def test_a_missing_feed_says_so(tmp_path: Path) -> None:
    with pytest.raises(FeedError, match="no feed"):
        open_feed(tmp_path / "gone.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FeedError, match="no files"):
        open_feed(tmp_path / "empty")


CELLS = st.one_of(
    st.none(),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0|"), max_size=12),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=30))
def test_every_row_of_a_csv_comes_out_once_as_item_or_reject(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Value, Value]]
) -> None:
    path = tmp_path_factory.mktemp("feed") / "feed.csv"
    columns = {"key": [f"k{place}" for place in range(len(rows))], "image": ["a.png"] * len(rows)}
    cells = {name: [None if row[at] is None else str(row[at]) for row in rows] for at, name in enumerate(("p", "q"))}
    pl.DataFrame({**columns, **cells}, schema_overrides={"p": pl.String, "q": pl.String}).write_csv(path)
    feed = open_feed(path)
    assert [entry.row for entry in feed] == list(range(1, len(rows) + 1)) == list(range(1, feed.count + 1))


def test_a_quote_that_is_never_closed_costs_its_own_row_only(tmp_path: Path) -> None:
    path = written(
        tmp_path, "f.csv", 'id,image,title\nA,a.png,"5 inch\nB,b.png,t\nC,c.png,"7" disk\nD,d.png,"x ""y"" z"\n'
    )
    feed = open_feed(path)
    assert [item.key for item in items(feed)] == ["B", "D"]
    assert items(feed)[1].title == 'x "y" z'
    assert {one.row for one in rejects(feed)} == {1, 3}
    assert all("a quote in it is not closed" in one.reason for one in rejects(feed))
    assert feed.count == 4


def test_an_embedded_line_break_stays_in_its_cell(tmp_path: Path) -> None:
    (item, other) = items(open_feed(written(tmp_path, "f.csv", 'id,image,text\r\n1,a.png,"x\r\ny"\r\n2,b.png,z\r\n')))
    assert item.fields == {"text": "x\r\ny"}
    assert other.fields == {"text": "z"}


def test_parquet_decimals_are_numbers_and_times_are_text(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "key": ["a"],
            "image": ["a.png"],
            "price": [Decimal("1.50")],
            "opens": [time(9, 30)],
            "lasts": [timedelta(hours=2)],
        }
    )
    frame.write_parquet(tmp_path / "f.parquet")
    (item,) = items(open_feed(tmp_path / "f.parquet"))
    assert item.fields["price"] == 1.5
    assert str(item.fields["opens"]).startswith("09:30")
    assert isinstance(item.fields["lasts"], str)


def test_pictures_may_be_held_in_a_parquet_feed(tmp_path: Path) -> None:
    (tmp_path / "d.png").write_bytes(b"beside")
    frame = pl.DataFrame(
        {
            "key": ["a", "b", "c"],
            "photo": [b"\x89PNG|x|y", None, b"[1]"],
            "image_2": [
                {"bytes": b"inside", "path": "C:\\me\\x.png"},
                {"bytes": None, "path": "d.png"},
                {"bytes": b"inside", "path": None},
            ],
            "scan": [b"more", b"more", b"more"],
            "price": [1, 2, 3],
        }
    )
    frame.write_parquet(tmp_path / "f.parquet")
    feed = open_feed(tmp_path / "f.parquet")
    found = {item.key: [(one.source, read_place(one.place)) for one in item.images] for item in feed}  # type: ignore
    assert found == {
        "a": [("photo", b"\x89PNG|x|y"), ("x.png", b"inside")],
        "b": [("d.png", b"beside")],
        "c": [("photo", b"[1]"), ("image_2", b"inside")],
    }
    assert feed.columns["scan"] == "left out: holds bytes"
    assert [dict(item.fields) for item in items(feed)] == [{"price": 1}, {"price": 2}, {"price": 3}]
    several = frame.select("key", pictures=pl.concat_list("photo", "scan"))
    several.write_parquet(tmp_path / "g.parquet")
    first, second, _ = items(open_feed(tmp_path / "g.parquet"))
    assert [one.source for one in first.images] == ["pictures 1", "pictures 2"]
    assert [read_place(one.place) for one in second.images] == [b"more"]


def test_pictures_may_be_held_in_a_text_feed_in_base64(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"id": "a", "image": "data:image/png;base64,aW5zaWRl"},
        {"id": "b", "image": {"bytes": "aW5zaWRl", "path": "x.png"}},
        {"id": "c", "image": ["data:image/png;base64,aW5zaWRl", "y.png"]},
        {"id": "d", "image": "data:image/png;base64,*"},
    ]
    feed = open_feed(written(tmp_path, "f.jsonl", b"\n".join(map(orjson.dumps, rows))))
    a, b, c, d = items(feed)
    assert [read_place(one.images[0].place) for one in (a, b, c)] == [b"inside"] * 3
    assert [one.images[0].source for one in (a, b, c)] == ["image", "x.png", "image 1"]
    assert c.images[1].place == tmp_path / "y.png"
    with pytest.raises(NotAPicture, match="base64"):
        read_place(d.images[0].place)
    (item,) = items(open_feed(written(tmp_path, "f.csv", 'id,image\na,"data:image/png;base64,aW5zaWRl"\n')))
    assert read_place(item.images[0].place) == b"inside"


@pytest.mark.parametrize("rows_in_group", [7, 100_000])
def test_a_parquet_feed_of_pictures_is_read_in_order_and_row_by_row(tmp_path: Path, rows_in_group: int) -> None:
    keys = [f"k{number}" for number in range(500)]
    frame = pl.DataFrame({"key": keys, "image": [key.encode() for key in keys]})
    frame.write_parquet(tmp_path / "f.parquet", row_group_size=rows_in_group)
    found = items(open_feed(tmp_path / "f.parquet"))
    assert [(item.key, item.row) for item in found] == [(key, row) for row, key in enumerate(keys, start=1)]
    assert [read_place(item.images[0].place) for item in found] == [key.encode() for key in keys]


def test_a_catalog_inside_the_folder_is_left_out(tmp_path: Path) -> None:
    for name in ("a.png", "shop/catalog.json", "shop/records.sqlite", "shop/thumbnails/b.webp", "shops/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [item.key for item in items(open_feed(tmp_path))] == ["a.png", "shops/c.png"]
    with pytest.raises(FeedError, match="is a catalog"):
        open_feed(tmp_path / "shop")


def test_a_byte_of_another_encoding_costs_nothing_but_a_warning(tmp_path: Path) -> None:
    rows = "".join(f"{number},a.png,Größe für Bären\n" for number in range(20)).encode()
    found = items(open_feed(written(tmp_path, "f.csv", b"key,image,title\n" + rows + b"20,a.png,caf\xe9\n")))
    assert found[-1].title == "café"
    assert [one.sentence for one in found[-1].warnings] == ["title is 'café'; it has bytes of another encoding."]
    assert not any(item.warnings for item in found[:-1])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_unicode_is_read_in_every_form(tmp_path: Path, encoding: str) -> None:
    (item,) = items(open_feed(written(tmp_path, "f.csv", "key,image,title\n1,a.png,Größe 東京\n".encode(encoding))))
    assert (item.key, item.title) == ("1", "Größe 東京")


def test_of_rows_with_one_key_the_first_counts_even_if_it_is_rejected(tmp_path: Path) -> None:
    rows = "id,image,price\na,a.png,1,1\nb,b.png,5\na,c.png,3\na,d.png,1,1\n"
    feed = open_feed(written(tmp_path, "feed.csv", rows))
    for _ in range(2):
        assert [one.key for one in items(feed)] == ["b"]
        assert {one.row: (one.key, one.repeated) for one in rejects(feed)} == {
            1: ("a", False),
            3: ("a", True),
            4: ("a", True),
        }
