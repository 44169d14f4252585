"""Tables of random cells, written in random dialects, are read back cell for cell."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.data.errors import FeedError
from lookalike.data.feeds.csv_table import open_csv
from lookalike.data.feeds.feed import open_feed
from lookalike.data.feeds.table import Row
from lookalike.data.item import Item, Rejected

WORDS = st.text(st.characters(codec="cp1252", exclude_characters="\r\n\0\x1a", exclude_categories=["Cc"]), max_size=10)
TABLES = st.integers(2, 6).flatmap(
    lambda width: st.lists(st.lists(WORDS, min_size=width, max_size=width), min_size=1, max_size=12)
)


def cells_of(path: Path) -> tuple[list[list[str]], list[Rejected]]:
    table = open_csv(path)
    rows = list(table.read())
    assert len(rows) == table.count
    assert [row.number if isinstance(row, Row) else row.row for row in rows] == list(range(1, table.count + 1))
    return (
        [[str(row.values[name]) for name in table.columns] for row in rows if isinstance(row, Row)],
        [row for row in rows if isinstance(row, Rejected)],
    )


@settings(max_examples=150, deadline=None)
@given(
    TABLES,
    st.sampled_from(",;\t|"),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_a_table_is_read_back_cell_for_cell(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[list[str]],
    separator: str,
    encoding: str,
    quoting: int,
    line_end: str,
    blank_first: bool,
) -> None:
    path = tmp_path_factory.mktemp("feed") / "feed.csv"
    header = [f"column{'abcdefgh'[place]}" for place in range(len(rows[0]))]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, quoting=quoting, lineterminator=line_end).writerows([header, *rows])  # type: ignore[arg-type]
    content = (line_end * blank_first + text.getvalue()).encode(encoding)
    path.write_bytes(content)
    expected = [row for row in rows if any(cell.strip() for cell in row)]
    found, rejected = cells_of(path)
    assert not rejected
    if encoding != "cp1252" or not any(ord(letter) > 127 for row in rows for cell in row for letter in cell):
        assert found == expected
    else:  # its letters may be those of another encoding, but no cell is joined, split or lost
        assert [[cell.isascii() and cell for cell in row] for row in expected] == [
            [cell.isascii() and cell for cell in row] for row in found
        ] or [len(row) for row in found] == [len(row) for row in expected]


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("ab1.,;|\t\"\n\r'= \0é€"), max_size=120))
def test_no_row_is_lost_and_no_other_error_comes(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("feed") / "feed.csv"
    path.write_bytes(text.encode())
    try:
        cells_of(path)
    except FeedError:
        return


def written(folder: Path, text: str, name: str = "feed.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def items(path: Path) -> list[Item]:
    found = list(open_feed(path))
    assert not [one for one in found if isinstance(one, Rejected)], found
    return [one for one in found if isinstance(one, Item)]


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\nsku;name;image;price\n1;Mug;a.jpg;9,90\n",
        '"sep=;"\r\nsku;name;image;price\r\n1;Mug;a.jpg;9,90\r\n',
        "\r\n\r\nsku,name,image,price\r\n1,Mug,a.jpg,9.90\r\n",
        "Product list of 2026-11-01,,,\nsku,name,image,price\n1,Mug,a.jpg,9.90\n",
        "Product list\n\nsku,name,image,price\n1,Mug,a.jpg,9.90\n",
        "sku,name,image,price,\n1,Mug,a.jpg,9.90,\n",
        "sku,name,image,price,,\n1,Mug,a.jpg,9.90\n",
        "sku;name;image;price\n1;Mug;a.jpg;9,90\n",
        "sku\tname\timage\tprice\n1\tMug\ta.jpg\t9.90\n",
        "sku|name|image|price\n1|Mug|a.jpg|9.90\n",
        ' "sku" , "name" , "image" , "price" \n1,Mug,a.jpg,9.90\n'.replace(' "', '"').replace('" ', '"'),
    ],
)
def test_what_is_around_a_table_is_no_part_of_it(tmp_path: Path, text: str) -> None:
    (item,) = items(written(tmp_path, text))
    assert (item.key, item.title, item.images[0].source, dict(item.fields)) == ("1", "Mug", "a.jpg", {"price": 9.9})


def test_a_header_may_have_commas_in_quotes(tmp_path: Path) -> None:
    (item,) = items(written(tmp_path, '"Price, EUR, gross";sku;name;image\n9.90;1;Mug;a.jpg\n'))
    assert (item.key, item.fields) == ("1", {"Price, EUR, gross": 9.9})


def test_quotes_that_are_no_quotes_never_join_rows(tmp_path: Path) -> None:
    rows = '1\t"Retro" lamp 12"\ta.jpg\n2\tTV 40"\tb.jpg\n3\t"Big sale\tc.jpg\n4\tOK\td.jpg\n5\tEnd"\te.jpg\n'
    found = items(written(tmp_path, "sku\tname\timage\n" + rows, "feed.tsv"))
    assert [(item.key, item.title) for item in found] == [
        ("1", '"Retro" lamp 12"'),
        ("2", 'TV 40"'),
        ("3", '"Big sale'),
        ("4", "OK"),
        ("5", 'End"'),
    ]


def test_a_text_of_several_lines_stays_one_cell(tmp_path: Path) -> None:
    text = 'sku\tname\timage\n1\t"two\nlines"\ta.jpg\n2\t"with ""quotes""\n\nand a blank line"\tb.jpg\n'
    assert [item.title for item in items(written(tmp_path, text, "feed.tsv"))] == [
        "two\nlines",
        'with "quotes"\n\nand a blank line',
    ]


def test_short_rows_are_filled_and_repeated_names_numbered(tmp_path: Path) -> None:
    text = "sku,name,image,image,note,note\n1,Mug,a.jpg,b.jpg,x,y\n2,Hat,c.jpg\n"
    mug, hat = items(written(tmp_path, text))
    assert [image.source for image in mug.images] == ["a.jpg", "b.jpg"]
    assert (mug.fields, hat.fields) == ({"note": "x", "note 2": "y"}, {"note": None, "note 2": None})


@pytest.mark.parametrize(
    ("encoding", "title"),
    [
        ("cp1252", "Tasse für Bären à la crème"),
        ("cp1250", "Żółty kubek i Łóżko drewniane"),
        ("cp1251", "Красная кружка и синяя шляпа"),
        ("cp932", "赤いマグカップとランニングシューズ"),
        ("gb18030", "蓝色帽子和白色鞋子，木制桌子"),
        ("big5", "藍色帽子和白色鞋子，木製桌子"),
        ("cp949", "빨간 머그컵과 파란 모자"),
    ],
)
def test_old_encodings_are_recognised_by_their_letters(tmp_path: Path, encoding: str, title: str) -> None:
    path = tmp_path / "feed.csv"
    path.write_bytes(("sku,name,image\n" + "".join(f"{n},{title},a.jpg\n" for n in range(3))).encode(encoding))
    assert {item.title for item in items(path)} == {title}


def test_compressed_feeds_are_read(tmp_path: Path) -> None:
    for name, text in (("f.csv.gz", "sku,image\n1,a.jpg\n"), ("f.jsonl.gz", '{"sku": "1", "image": "a.jpg"}\n')):
        (tmp_path / name).write_bytes(gzip.compress(text.encode()))
        assert [item.key for item in items(tmp_path / name)] == ["1"]
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"sku,image\n1,a.jpg\n")[:-9])
    with pytest.raises(FeedError, match="cannot be read"):
        open_feed(tmp_path / "cut.csv.gz")
