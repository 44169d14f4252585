from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from lookalike.data.sample_tools.colour import COLOURS, dominant_colour, oklab

FOLDER = Path(__file__).parent.parent / "data" / "sample"

with (FOLDER / "catalog.csv").open(encoding="utf-8", newline="") as file:
    ITEMS = list(csv.DictReader(file))
FILES = [name for item in ITEMS for name in item["image"].split("|")]


def test_the_shop_is_large_enough_to_try_things_on() -> None:
    assert len(ITEMS) >= 400
    assert len({item["category"] for item in ITEMS}) >= 12


def test_keys_and_titles_are_unique() -> None:
    assert len({item["key"] for item in ITEMS}) == len(ITEMS)
    assert len({item["title"] for item in ITEMS}) == len(ITEMS)


def test_the_catalogue_and_the_folder_list_the_same_pictures() -> None:
    assert sorted(FILES) == sorted(f"pictures/{path.name}" for path in (FOLDER / "pictures").iterdir())


def test_between_thirty_and_sixty_items_have_a_second_picture() -> None:
    assert 30 <= sum("|" in item["image"] for item in ITEMS) <= 60


def test_every_picture_decodes_and_is_small() -> None:
    for name in FILES:
        with Image.open(FOLDER / name) as picture:
            picture.load()
            assert picture.format == "WEBP", name
            assert max(picture.size) <= 320, name


def test_all_pictures_together_stay_within_six_megabytes() -> None:
    assert sum((FOLDER / name).stat().st_size for name in FILES) <= 6_000_000


def test_no_two_pictures_are_the_same_bytes() -> None:
    assert len({(FOLDER / name).read_bytes() for name in FILES}) == len(FILES)


def test_prices_are_positive_and_stock_is_true_or_false() -> None:
    assert all(float(item["price"]) > 0 for item in ITEMS)
    assert {item["in_stock"] for item in ITEMS} == {"true", "false"}


def test_every_item_names_an_author_and_no_mail_address() -> None:
    assert all(item["author"] for item in ITEMS)
    assert not any("@" in item["author"] for item in ITEMS)


def test_cups_of_coffee_are_food_below_twenty() -> None:
    cups = [item for item in ITEMS if item["category"] == "food" and "Coffee" in item["title"]]
    assert len([cup for cup in cups if float(cup["price"]) < 20]) >= 4


def test_the_licence_and_the_origin_are_told() -> None:
    assert "public domain" in (FOLDER / "LICENSE").read_text(encoding="utf-8")
    assert "openclipart" in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_the_readme_counts_right() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    categories = len({item["category"] for item in ITEMS})
    assert f"{len(ITEMS)} items in {categories} categories with {len(FILES)} pictures" in readme


@pytest.mark.parametrize("item", ITEMS[::25], ids=lambda item: str(item["key"]))
def test_the_colour_is_the_one_measured_in_the_picture(item: dict[str, str]) -> None:
    with Image.open(FOLDER / item["image"].split("|")[0]) as picture:
        assert dominant_colour(picture) == item["colour"]


def test_every_colour_is_one_of_the_names_and_every_name_is_used() -> None:
    assert {item["colour"] for item in ITEMS} == set(COLOURS)


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((10, 10, 10), "black"),
        ((128, 128, 128), "grey"),
        ((220, 20, 20), "red"),
        ((255, 140, 0), "orange"),
        ((139, 69, 19), "brown"),
        ((255, 230, 0), "yellow"),
        ((0, 140, 30), "green"),
        ((30, 60, 220), "blue"),
        ((128, 0, 128), "purple"),
        ((255, 160, 190), "pink"),
    ],
)
def test_a_disc_of_one_colour_has_that_name(rgb: tuple[int, int, int], name: str) -> None:
    picture = Image.new("RGB", (60, 60), "white")
    ImageDraw.Draw(picture).ellipse((10, 10, 50, 50), fill=rgb)
    assert dominant_colour(picture) == name


def test_white_inside_an_outline_is_white_and_an_empty_picture_too() -> None:
    picture = Image.new("RGB", (60, 60), "white")
    assert dominant_colour(picture) == "white"
    ImageDraw.Draw(picture).ellipse((10, 10, 50, 50), fill="white", outline="black")
    assert dominant_colour(picture) == "white"


def test_oklab_agrees_with_the_published_values() -> None:
    colours = np.array([[255, 255, 255], [255, 0, 0], [0, 0, 255]], dtype=np.uint8)
    expected = [[1.0, 0.0, 0.0], [0.628, 0.225, 0.126], [0.452, -0.032, -0.312]]
    np.testing.assert_allclose(oklab(colours), expected, atol=1e-3)
