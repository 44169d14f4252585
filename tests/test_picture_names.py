from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from lookalike.data.errors import FeedError
from lookalike.data.feeds.feed import open_feed
from lookalike.data.feeds.named_pictures import feed_folder_resolver, found_as
from lookalike.data.feeds.picture_lists import mended_address
from lookalike.data.fetch.address import WebAddress
from lookalike.data.item import Item
from lookalike.data.pictures.picture_sources import Address, Unreadable


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("//cdn.shop.example/a.jpg", "https://cdn.shop.example/a.jpg"),
        ("www.shop.example/a.jpg", "https://www.shop.example/a.jpg"),
        ("cdn.shop.com/a b.jpg", "https://cdn.shop.com/a%20b.jpg"),
        ("cdn.shop.pl:8080/a.jpg", "https://cdn.shop.pl:8080/a.jpg"),
        ('"https://shop.example/a.jpg"', "https://shop.example/a.jpg"),
        ("“https://shop.example/a.jpg”", "https://shop.example/a.jpg"),
        ("<https://shop.example/a.jpg>", "https://shop.example/a.jpg"),
        (" https://shop.example/a b.jpg\n", "https://shop.example/a%20b.jpg"),
        ("https://shop.example/long\n/a.jpg", "https://shop.example/long/a.jpg"),
        ("https://shop.example/a.jpg?w=1&amp;h=2", "https://shop.example/a.jpg?w=1&h=2"),
        (r"https:\\shop.example\a.jpg", "https://shop.example/a.jpg"),
        ("HTTPS://Shop.Example/A.jpg", "HTTPS://Shop.Example/A.jpg"),
    ],
)
def test_addresses_are_mended_as_a_browser_does(written: str, address: str) -> None:
    assert mended_address(written) == address


@pytest.mark.parametrize(
    "name", ["red mug.jpg", "a&amp;b.jpg", "photos/a.com", "2.5/a.jpg", r"images\a.jpg", "it's.jpg"]
)
def test_names_of_files_are_no_addresses(name: str) -> None:
    assert mended_address(name) == name


def test_quotes_around_the_name_of_a_file_are_not_part_of_it() -> None:
    assert mended_address("'a.jpg'") == "a.jpg"


def test_a_host_with_other_letters_is_asked_for_by_its_ascii_name() -> None:
    address = WebAddress.parse(mended_address("//bücher.example/größe 1.jpg"))
    assert str(address) == "https://xn--bcher-kva.example/gr%C3%B6%C3%9Fe%201.jpg"


def files(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(
    "name",
    [
        r"images\Red Mug.jpg",
        "images/Red%20Mug.jpg",
        "./images/Red Mug.jpg",
        "/images/Red Mug.jpg",
        "IMAGES/red mug.JPG",
    ],
)
def test_a_file_is_found_by_other_writings_of_its_name(tmp_path: Path, name: str) -> None:
    files(tmp_path, "images/Red Mug.jpg")
    assert feed_folder_resolver(tmp_path)(name).place == tmp_path / "images" / "Red Mug.jpg"


def test_a_file_whose_name_is_written_as_in_the_feed_comes_first(tmp_path: Path) -> None:
    files(tmp_path, "a%20b.jpg", "a b.jpg", "A%20B.jpg", r"c\d.jpg", "c/d.jpg", "e&amp;f.jpg", "g&h.jpg")
    resolve = feed_folder_resolver(tmp_path)
    for name in ("a%20b.jpg", r"c\d.jpg", "e&amp;f.jpg"):
        assert resolve(name).place == tmp_path / name
    assert resolve("g&amp;h.jpg").place == tmp_path / "g&h.jpg"


def test_names_that_differ_by_case_only_are_not_guessed(tmp_path: Path) -> None:
    files(tmp_path, "A.jpg", "a.JPG")
    assert feed_folder_resolver(tmp_path)("a.jpg").place == tmp_path / "a.jpg"


def test_an_accent_may_be_a_letter_of_its_own(tmp_path: Path) -> None:
    name = unicodedata.normalize("NFD", "café.jpg")
    files(tmp_path, name)
    image = feed_folder_resolver(tmp_path)("café.jpg")
    assert image.place == tmp_path / name
    assert found_as(image) == name


def test_a_picture_that_is_copied_later_is_found_in_another_case_too(tmp_path: Path) -> None:
    resolve = feed_folder_resolver(tmp_path)
    assert resolve("mug.jpg").place == tmp_path / "mug.jpg"
    files(tmp_path, "MUG.JPG")
    assert resolve("mug.jpg").place == tmp_path / "MUG.JPG"


def test_addresses_of_files_are_paths_and_shown_by_their_file_names(tmp_path: Path) -> None:
    files(tmp_path, "red mug.jpg")
    resolve = feed_folder_resolver(Path("/elsewhere"))
    for host in ("", "localhost"):
        image = resolve(f"file://{host}{tmp_path}/red%20mug.jpg")
        assert (image.source, image.place) == ("red mug.jpg", tmp_path / "red mug.jpg")
    assert resolve("file:///C:/pictures/mug.jpg").source == "mug.jpg"
    other = resolve("file://server/share/mug.jpg")
    assert (other.source, other.place) == ("mug.jpg", Unreadable("The file is on another machine (server)."))


def test_an_absolute_path_is_shown_by_its_file_name(tmp_path: Path) -> None:
    files(tmp_path, "mug.jpg")
    image = feed_folder_resolver(Path("/elsewhere"))(str(tmp_path / "mug.jpg"))
    assert (image.source, image.place) == ("mug.jpg", tmp_path / "mug.jpg")
    assert feed_folder_resolver(tmp_path)(r"C:\pictures\mug.jpg").source == "mug.jpg"
    assert feed_folder_resolver(tmp_path)("/none/mug.jpg").source == "mug.jpg"


def test_a_base_is_the_place_of_names_that_begin_with_a_slash_too(tmp_path: Path) -> None:
    files(tmp_path, "media/m/h/mh01.jpg", "m/h/mh01.jpg")
    to_folder = feed_folder_resolver(tmp_path, str(tmp_path / "media"))
    for name in ("/m/h/mh01.jpg", "m/h/mh01.jpg", r"m\h\MH01.JPG"):
        assert to_folder(name).place == tmp_path / "media" / "m" / "h" / "mh01.jpg"
    assert to_folder("https://shop.example/a.jpg").place == Address("https://shop.example/a.jpg")
    for base in ("https://shop.example/media", "https://shop.example/media/"):
        to_web = feed_folder_resolver(tmp_path, base)
        assert to_web("/m/h/mh 01.jpg").place == Address("https://shop.example/media/m/h/mh%2001.jpg")
        assert to_web(r"m\ü.jpg").place == Address("https://shop.example/media/m/%C3%BC.jpg")


def test_another_case_is_said_in_a_warning(tmp_path: Path) -> None:
    files(tmp_path, "Mug.JPG")
    (tmp_path / "feed.csv").write_text("sku,photo\na,mug.jpg\nb,Mug.JPG\n", encoding="utf-8")
    first, second = (one for one in open_feed(tmp_path / "feed.csv") if isinstance(one, Item))
    assert [one.sentence for one in first.warnings] == ["photo is 'mug.jpg'; the file is called Mug.JPG."]
    assert second.warnings == ()


def test_a_base_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "feed.csv").write_text("sku,photo\na,mug.jpg\n", encoding="utf-8")
    with pytest.raises(FeedError, match="no folder of pictures at 'nowhere'") as error:
        open_feed(tmp_path / "feed.csv", base="nowhere")
    assert error.value.remedy == "Name a folder or a web address."
