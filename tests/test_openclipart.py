from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image

from lookalike.data.sample import openclipart
from lookalike.data.sample.openclipart import (
    Clipart,
    half,
    is_flag,
    is_real_title,
    picture_size,
    query_text,
    read_openclipart,
    write_evaluation,
)

SVG = """<?xml version="1.0"?>
<svg xmlns="http://www.w3.org/2000/svg">
  <metadata><rdf:RDF xmlns:cc="http://web.resource.org/cc/" xmlns:dc="http://purl.org/dc/elements/1.1/"><cc:Work>
    <dc:title>{title}</dc:title>
    <dc:subject><rdf:Bag><rdf:li>hash</rdf:li><rdf:li></rdf:li>{keywords}</rdf:Bag></dc:subject>
    <dc:publisher><cc:Agent><dc:title>A publisher</dc:title></cc:Agent></dc:publisher>
    <dc:creator><cc:Agent><dc:title>{author}</dc:title></cc:Agent></dc:creator>
    <cc:license rdf:resource="{licence}"/>
  </cc:Work></rdf:RDF></metadata>
  {drawing}
</svg>"""
PUBLIC_DOMAIN = "http://web.resource.org/cc/PublicDomain"


def draw(
    root: Path,
    stem: str,
    title: str,
    *,
    keywords: tuple[str, ...] = (),
    author: str = "Ann Author",
    licence: str = PUBLIC_DOMAIN,
    drawing: str = "<path/>",
) -> Path:
    svg = root / "svg" / f"{stem}.svg"
    svg.parent.mkdir(parents=True, exist_ok=True)
    words = "".join(f"<rdf:li>{word}</rdf:li>" for word in keywords)
    text = SVG.format(title=title, keywords=words, author=author, licence=licence, drawing=drawing)
    svg.write_text(text, encoding="utf-8")
    return paint(root, stem)


def paint(root: Path, stem: str) -> Path:
    png = root / "png" / f"{stem}.png"
    png.parent.mkdir(parents=True, exist_ok=True)
    count = len(list((root / "png").rglob("*.png")))
    Image.new("RGB", (8 + count, 8), (count, 90, 120)).save(png)
    return png


def only(root: Path) -> Clipart:
    (clipart,) = read_openclipart(root)
    return clipart


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_metadata_are_read(tmp_path: Path) -> None:
    png = draw(tmp_path, "food/fruit/pear", "A  ripe_pear", keywords=("fruit", "green"))
    assert only(tmp_path) == Clipart(
        stem="food/fruit/pear",
        png=png,
        categories=("food/fruit",),
        title="A ripe pear",
        keywords=("fruit", "green"),
        author="Ann Author",
        public_domain=True,
    )


def test_drawings_come_in_order_of_their_paths(tmp_path: Path) -> None:
    for stem in ("b/two", "a/three", "b/one"):
        draw(tmp_path, stem, stem)
    assert [clipart.stem for clipart in read_openclipart(tmp_path)] == ["a/three", "b/one", "b/two"]


def test_a_missing_title_is_not_replaced_by_the_name_of_a_person(tmp_path: Path) -> None:
    draw(tmp_path, "food/pear", "")
    svg = tmp_path / "svg" / "food" / "pear.svg"
    svg.write_text(svg.read_text().replace("<dc:title></dc:title>", "<dc:title/>"))
    assert only(tmp_path).title == ""
    assert only(tmp_path).author == "Ann Author"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Bread &amp; butter", "Bread & butter"),
        ("Croissant (B &amp;amp; W)", "Croissant (B & W)"),
        ("L&amp;Atilde;&amp;copy;zard", "Lézard"),
        ("Cup\n   of\ttea", "Cup of tea"),
    ],
)
def test_escapes_and_spaces_in_titles_are_undone(tmp_path: Path, written: str, read: str) -> None:
    draw(tmp_path, "food/thing", written)
    assert only(tmp_path).title == read


def test_a_title_copied_from_another_file_of_a_batch_is_not_believed(tmp_path: Path) -> None:
    draw(tmp_path, "food/fruit/banana", "Clipart by Nicu Buculei - pear")
    draw(tmp_path, "food/fruit/pear", "Clipart by Nicu Buculei - pear")
    assert [clipart.title for clipart in read_openclipart(tmp_path)] == ["", "pear"]


def test_broken_xml_still_tells_its_title(tmp_path: Path) -> None:
    draw(tmp_path, "tools/hammer", "Hammer", drawing="<g><path d='M 0 0</g>&undefined;")
    assert only(tmp_path).title == "Hammer"


def test_entities_are_not_expanded(tmp_path: Path) -> None:
    draw(tmp_path, "tools/hammer", "&bomb;")
    svg = tmp_path / "svg" / "tools" / "hammer.svg"
    doctype = '<!DOCTYPE svg [<!ENTITY bomb SYSTEM "file:///etc/hostname">]><svg'
    svg.write_text(svg.read_text().replace("<svg", doctype, 1))
    assert only(tmp_path).title == "&bomb;"


@pytest.mark.parametrize("svg", [None, b"", b"\xff\xfe\x00 not markup", b"<svg><path/></svg>", b"<metadata>"])
def test_a_drawing_without_metadata_has_no_title_and_no_licence(tmp_path: Path, svg: bytes | None) -> None:
    paint(tmp_path, "tools/hammer")
    if svg is not None:
        path = tmp_path / "svg" / "tools" / "hammer.svg"
        path.parent.mkdir(parents=True)
        path.write_bytes(svg)
    assert (only(tmp_path).title, only(tmp_path).keywords, only(tmp_path).public_domain) == ("", (), False)


@pytest.mark.parametrize("licence", ["", "http://creativecommons.org/licenses/GPL/2.0/"])
def test_another_licence_is_not_the_public_domain(tmp_path: Path, licence: str) -> None:
    draw(tmp_path, "tools/hammer", "Hammer", licence=licence)
    assert not only(tmp_path).public_domain


def test_a_drawing_in_two_folders_is_one_drawing(tmp_path: Path) -> None:
    draw(tmp_path, "food/pumpkin", "untitled", keywords=("food",))
    draw(tmp_path, "party/pumpkin", "Pumpkin", keywords=("party",))
    png = tmp_path / "png" / "party" / "pumpkin.png"
    png.unlink()
    png.symlink_to("../food/pumpkin.png")
    clipart = only(tmp_path)
    assert (clipart.stem, clipart.title) == ("food/pumpkin", "Pumpkin")
    assert clipart.categories == ("food", "party")
    assert clipart.keywords == ("food", "party")


@pytest.mark.parametrize(
    ("drawing", "whole"),
    [
        ("<path/>", True),
        ('<image xlink:href="data:image/png;base64,AA=="/>', True),
        ('<image width="3" xlink:href="/home/ann/photo.png"/>', False),
    ],
)
def test_a_drawing_that_links_to_another_file_is_not_whole(tmp_path: Path, drawing: str, whole: bool) -> None:
    draw(tmp_path, "animals/duck", "Duck", drawing=drawing)
    assert only(tmp_path).whole is whole


@pytest.mark.parametrize("title", ["Pear", "Cup of coffee", "tv", "8 ball", "Lézard", "Two_Cats", "Route 66", "火山石"])
def test_titles_that_say_what_is_drawn_are_real(title: str) -> None:
    assert is_real_title(title)


@pytest.mark.parametrize(
    "title",
    [
        *("", "  ", "--", "Untitled", "OpenClipart", "clipart", "test", "123", "70a1", "x", "fc23", "2004-08-25"),
        *("drawing.svg", "ann@example.org", "gramastar", "Lemon SVG theme", "AIGA_Symbol_Signs", "gold-theme"),
        *("Part of the Flat Icon Collection (Wed Aug 25 23:29:46 2004)", "blueberry - iconset"),
        "SVG Gradient Collection by Alan Horkan, 2004.",
    ],
)
def test_placeholders_and_names_of_collections_are_not_real_titles(title: str) -> None:
    assert not is_real_title(title)


def test_the_name_of_the_author_is_not_a_real_title() -> None:
    assert not is_real_title("Ann Author", author="ann author")
    assert is_real_title("Ann Author", author="Someone else")


def test_flags_are_told_by_folder_title_or_keyword(tmp_path: Path) -> None:
    draw(tmp_path, "a/flagstone", "Flagstone")
    draw(tmp_path, "b/umbrella", "Canada Flag Umbrella")
    draw(tmp_path, "c/sweden", "Sweden", keywords=("flag",))
    draw(tmp_path, "signs_and_symbols/flags/europe/italy", "Italy")
    assert [is_flag(clipart) for clipart in read_openclipart(tmp_path)] == [False, True, True, True]


def test_titles_that_differ_in_case_punctuation_or_a_last_number_make_one_query() -> None:
    assert {query_text(title) for title in ("Mail-Box", "mail box", "Mail_box 2", "mail box3")} == {"mail box"}
    assert query_text("8 ball") == "8 ball"
    assert query_text("101") == "101"


def test_both_halves_are_used_and_titles_of_one_query_share_theirs() -> None:
    assert {half(f"thing number {chr(letter)}") for letter in range(97, 123)} == {0, 1}
    assert half("Mailbox") == half("mailbox 2")


def test_the_size_of_a_damaged_picture_is_none(tmp_path: Path) -> None:
    png = paint(tmp_path, "tools/hammer")
    assert picture_size(png) == (8, 8)
    png.write_bytes(png.read_bytes()[:20])
    assert picture_size(png) is None


def test_the_size_of_a_bomb_is_told_without_decoding_it(tmp_path: Path) -> None:
    png = tmp_path / "large.png"
    Image.new("1", (20_000, 10_000)).save(png)
    size = picture_size(png)
    assert size is not None
    assert size[0] * size[1] > openclipart.MAX_PIXELS


def test_the_evaluation_asks_for_every_real_title_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(tmp_path, "a/mailbox_1", "Mailbox 1")
    draw(tmp_path, "a/mailbox_2", "mailbox")
    draw(tmp_path, "a/pear", "Pear")
    draw(tmp_path, "b/untitled", "untitled")
    draw(tmp_path, "b/flag", "Flag of Italy")
    draw(tmp_path, "b/linked", "Linked", drawing='<image xlink:href="photo.png"/>')
    draw(tmp_path, "b/damaged", "Damaged").write_bytes(b"not a picture")
    Image.new("RGB", (50, 50)).save(draw(tmp_path, "b/large", "Large"))
    monkeypatch.setattr(openclipart, "MAX_PIXELS", 2000)

    summary = write_evaluation(tmp_path, tmp_path / "out")

    assert summary == openclipart.EvaluationSummary(
        pictures=3, queries=2, without_title=1, flags=1, too_large=1, unreadable=2
    )
    assert rows(tmp_path / "out" / "queries.csv") == [
        {"text": "mailbox", "relevant": "a/mailbox_1|a/mailbox_2"},
        {"text": "pear", "relevant": "a/pear"},
    ]
    pictures = rows(tmp_path / "out" / "pictures.csv")
    assert [row["key"] for row in pictures] == ["a/mailbox_1", "a/mailbox_2", "a/pear"]
    assert all(set(row) == {"key", "image"} and Path(row["image"]).is_file() for row in pictures)


def test_a_limit_draws_the_same_pictures_every_time(tmp_path: Path) -> None:
    for letter in "abcdefgh":
        draw(tmp_path, f"things/{letter}", f"Thing {letter}{letter}{letter}")
    summary = write_evaluation(tmp_path, tmp_path / "one", limit=3)
    write_evaluation(tmp_path, tmp_path / "two", limit=3)
    keys = [row["key"] for row in rows(tmp_path / "one" / "pictures.csv")]
    assert summary.pictures == summary.queries == len(keys) == 3
    assert keys == sorted(keys) == [row["key"] for row in rows(tmp_path / "two" / "pictures.csv")]
