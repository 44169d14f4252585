from __future__ import annotations

import importlib.util
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import pytest

from lookalike import Catalog
from lookalike.data.errors import FilterError, NotAPicture, UsageError
from lookalike.ui.page.chosen_filter import PanelFilter
from lookalike.ui.page.handlers import PAGE_ITEMS, Handlers
from lookalike.ui.page.recipe import Chosen, Recipe
from lookalike.ui.page.uploads import Uploads
from lookalike.ui.server.metrics import Metrics
from tests.fakes import ColourEncoder
from tests.web_shop import COLOURS, COUNT, HOSTILE, make_shop, picture

SESSION = "the one who asks"


@pytest.fixture
def catalog(tmp_path: Path, encoder: ColourEncoder) -> Iterator[Catalog]:
    with make_shop(tmp_path) as made:
        yield made


@pytest.fixture
def uploads() -> Iterator[Uploads]:
    made = Uploads()
    yield made
    made.close()


@pytest.fixture
def handlers(catalog: Catalog, uploads: Uploads) -> Handlers:
    return Handlers(catalog, uploads, Metrics(catalog))


def read(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


def keys(html: str) -> list[str]:
    return [part.partition('"')[0] for part in html.split('<li class="card" data-key="')[1:]]


def results(handlers: Handlers, **values: object) -> dict[str, Any]:
    return read(handlers.searched(values, SESSION)[0])


def sent(uploads: Uploads, content: bytes, session: str = SESSION) -> str:
    return json.dumps({"picture": uploads.put(session, io.BytesIO(content), len(content))})


def test_the_page_opens_with_the_first_items(handlers: Handlers, catalog: Catalog) -> None:
    opened = handlers.opened([])
    found = read(opened["results"])
    assert keys(found["html"]) == [f"k{number:02}" for number in range(PAGE_ITEMS)]
    assert "30 items" in opened["header"] and "in the order they were added" in found["html"]
    assert opened["examples"].count('data-action="words"') == 5
    assert 'data-action="like"' in opened["examples"]
    assert "card-score" not in found["html"]
    panel = read(opened["panel"])["html"]
    for name in ("colour", "price", "in_stock", "added", "tags"):
        assert f'data-group="{name}"' in panel


def test_a_search_shows_what_the_catalog_finds(handlers: Handlers, catalog: Catalog) -> None:
    found = results(handlers, text="red")
    expected = catalog.search(text="red", limit=COUNT)
    assert keys(found["html"]) == expected.keys[:PAGE_ITEMS]
    assert "card-score" in found["html"] and "30 items" in found["html"] and "exact" in found["html"]
    assert found["address"] == "q=red" and found["next"] == PAGE_ITEMS and found["turn"] == 0
    more = read(handlers.more(found["recipe"], found["next"]))
    assert keys(more["html"]) == expected.keys[PAGE_ITEMS:]
    assert more["append"] is True and more["next"] is None


def test_an_uploaded_picture_finds_its_item(handlers: Handlers, uploads: Uploads) -> None:
    handlers.opened([])
    subject = sent(uploads, picture(COLOURS["green"], shade=9))
    found = results(handlers, subject=subject)
    assert [int(key[1:]) % len(COLOURS) for key in keys(found["html"])[:6]] == [1] * 6, "the green ones"
    assert "picture" not in found["address"]
    both = results(handlers, subject=subject, text="white", balance=1.0)
    assert int(keys(both["html"])[0][1:]) % len(COLOURS) == 3, "words alone: a white one"
    more = read(handlers.more(json.dumps(found["recipe"]), PAGE_ITEMS, SESSION))
    assert len(keys(more["html"])) == COUNT - PAGE_ITEMS


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "{shop}/feed.csv", "../feed.csv", "..", "\x00", "~", "http://127.0.0.1/a.png", "x" * 43]
)
def test_no_file_is_a_picture_that_was_sent(handlers: Handlers, tmp_path: Path, uploads: Uploads, name: str) -> None:
    sent(uploads, picture(COLOURS["green"]))
    found = results(handlers, subject=json.dumps({"picture": name.replace("{shop}", str(tmp_path))}))
    assert "That picture cannot be read" in found["html"] and "choose it again" in found["html"]


@pytest.mark.parametrize("other", ["", "another session"])
def test_the_picture_of_another_session_is_none(handlers: Handlers, uploads: Uploads, other: str) -> None:
    subject = sent(uploads, picture(COLOURS["green"]))
    for found in (
        read(handlers.searched({"subject": subject}, other)[0]),
        read(handlers.more(json.dumps({"subject": json.loads(subject)}), PAGE_ITEMS, other)),
    ):
        assert "That picture cannot be read" in found["html"] and "choose it again" in found["html"]


@pytest.mark.parametrize("subject", [{"path": "/etc/passwd"}, {"picture": "x", "path": "x"}, {"url": "http://a"}])
def test_a_subject_with_a_path_is_nothing_the_page_sends(handlers: Handlers, subject: dict[str, str]) -> None:
    assert "reload the page" in results(handlers, subject=json.dumps(subject))["problem"]


def test_what_is_no_picture_is_said_kindly(handlers: Handlers, uploads: Uploads) -> None:
    found = results(handlers, subject=sent(uploads, b"<html>"))
    assert "That picture cannot be read" in found["html"] and "Choose another one" in found["html"]


def test_a_format_without_its_reader_is_no_command_for_a_visitor(
    handlers: Handlers, uploads: Uploads, catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "resvg_py" else object())
    drawing = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="5" height="5"/></svg>'
    found = results(handlers, subject=sent(uploads, drawing))
    assert found["problem"] == "SVG drawings cannot be read here."
    assert "Supported formats: JPEG, PNG" in found["html"] and "PDF, camera RAW." in found["html"]
    assert "pip" not in found["html"] and found["html"].count("SVG") == 1
    (tmp_path / "logo.svg").write_bytes(drawing)
    with pytest.raises(NotAPicture) as refused:
        catalog.search(image=tmp_path / "logo.svg")
    assert refused.value.message == f"{tmp_path / 'logo.svg'}: SVG drawings need an extra that is not installed."
    assert refused.value.remedy == "Install it with: pip install 'lookalike[svg]'"


def test_filters_of_the_panel_combine(handlers: Handlers) -> None:
    handlers.opened([])
    chosen = {"values": {"colour": ["red", "blue"], "in_stock": ["true"]}, "low": {"price": "6,5"}, "expression": ""}
    found, panel = (read(text) for text in handlers.searched({"chosen": json.dumps(chosen)}))
    assert keys(found["html"]) == ["k12", "k18", "k24"]
    assert "3 items" in found["html"] and "match the filters" in found["html"]
    assert found["address"] == "in.colour=red&in.colour=blue&in.in_stock=true&min.price=6%2C5"
    assert panel["chosen"]["values"] == chosen["values"]
    assert panel["html"].count(" checked>") == 3


def test_each_field_is_counted_under_the_other_filters(handlers: Handlers) -> None:
    handlers.opened([])
    chosen = Chosen(values={"colour": ["red"]}, high={"price": "7"})
    panel = read(handlers.searched({"chosen": chosen.model_dump_json()})[1])["html"]
    colours = panel.partition('data-group="colour"')[2].partition("</details>")[0]
    assert [colours.count(f'value="{name}"') for name in COLOURS] == [1, 1, 1, 1]
    assert colours.count('<span class="count">2</span>') == 4, "of the 8 cheapest, two of each colour"
    stock = panel.partition('data-group="in_stock"')[2].partition("</details>")[0]
    assert stock.count('<span class="count">1</span>') == 2, "of the red ones below 8: k00 and k04"


@pytest.mark.parametrize(
    ("chosen", "passes"),
    [
        ({"values": {"tags": ["even"]}}, lambda number: number % 2 == 0),
        ({"values": {"tags": ["even", "odd"]}}, lambda number: True),
        ({"values": {"in_stock": ["true", "false"]}}, lambda number: True),
        ({"values": {"in_stock": ["false"]}}, lambda number: number % 3 != 0),
        ({"low": {"added": "2026-01-05"}, "high": {"added": "2026-01-07"}}, lambda number: 4 <= number <= 6),
        ({"high": {"added": "9999-12-31"}}, lambda number: True),
        ({"low": {"price": " 3 "}, "high": {"price": "1e1"}}, lambda number: 3 <= number <= 10),
        ({"expression": "price < 5 or price > 27"}, lambda number: number < 5 or number > 27),
        ({"expression": "price < 5 or price > 27", "values": {"tags": ["odd"]}}, lambda n: n in (1, 3, 29)),
        ({"values": {"colour": ['red" or price >= 0 or colour == "']}}, lambda number: False),
        ({"values": {"colour": ["{x}"]}}, lambda number: False),
    ],
)
def test_what_is_chosen_becomes_one_exact_filter(
    catalog: Catalog, chosen: dict[str, Any], passes: Callable[[int], bool]
) -> None:
    kinds = catalog._core.records.schema().filterable
    text = PanelFilter.read(Chosen.model_validate(chosen), kinds).text()
    expected = [f"k{number:02}" for number in range(COUNT) if passes(number)]
    assert sorted(catalog.search(filter=text, limit=COUNT).keys) == expected


@pytest.mark.parametrize(
    "chosen",
    [
        {"expression": "price < 5) or (price > 0"},
        {"expression": "price <"},
        {"values": {"gone": ["x"]}},
        {"low": {"price": "cheap"}},
        {"low": {"price": "nan"}},
        {"high": {"price": "1e999"}},
        {"low": {"added": "yesterday"}},
    ],
)
def test_a_wrong_filter_is_an_error_and_shown_in_words(
    catalog: Catalog, handlers: Handlers, chosen: dict[str, Any]
) -> None:
    with pytest.raises((FilterError, UsageError)):
        PanelFilter.read(Chosen.model_validate(chosen), catalog._core.records.schema().filterable)
    found, panel = handlers.searched({"text": "red", "chosen": json.dumps(chosen)})
    assert read(found)["problem"] and 'class="state"' in read(found)["html"]
    assert "Filters" in read(panel)["html"], "the panel stays, to be mended"


def test_the_problem_of_an_expression_stands_by_it(handlers: Handlers) -> None:
    handlers.opened([])
    panel = read(handlers.searched({"chosen": json.dumps({"expression": "weight > 3"})})[1])["html"]
    assert 'aria-invalid="true"' in panel and "There is no field" in panel
    assert ">weight &gt; 3</textarea>" in panel


def test_everything_of_the_catalogue_is_escaped(handlers: Handlers, catalog: Catalog) -> None:
    catalog.update(["k03"], titles=[HOSTILE])  # a feed would make plain text of it
    opened = handlers.opened([("q", HOSTILE), ("filter", HOSTILE), ("in.colour", HOSTILE)])
    shown = [
        opened["header"],
        opened["examples"],
        *(read(text)["html"] for text in (opened["results"], opened["panel"])),
        results(handlers)["html"],
        read(handlers.item("k03"))["html"],
    ]
    assert HOSTILE.partition("onerror")[0].replace("<", "&lt;") in shown[-1]
    for html in shown:
        assert "<img src=x" not in html


def test_the_window_of_an_item_shows_all_its_pictures_and_fields(handlers: Handlers) -> None:
    handlers.opened([])
    html = read(handlers.item("k05"))["html"]
    assert html.count("<img") == 3, "the large one, and two to choose from"
    for text in ("green square 5", "Find similar", "2026-01-06", "Key", "k05", "odd", "In stock", "No"):
        assert text in html
    assert read(handlers.item("none"))["problem"].startswith("The catalog has no item")


def test_similar_items_keep_the_filters(handlers: Handlers, catalog: Catalog) -> None:
    chosen = json.dumps({"high": {"price": "20"}})
    found, _, subject = handlers.like("k05", {"text": "red", "chosen": chosen})
    expected = catalog.search(like="k05", filter="price <= 20", limit=PAGE_ITEMS)
    assert keys(read(found)["html"]) == expected.keys
    assert read(subject)["title"] == "green square 5" and read(subject)["thumbnail"].startswith("thumbnails/")
    assert read(found)["address"] == "like=k05&max.price=20"


def test_an_address_opens_the_search_it_was_taken_from(handlers: Handlers) -> None:
    chosen = Chosen(
        values={"colour": ["red"]}, low={"price": "3"}, high={"added": "2026-01-20"}, expression="price > 1"
    )
    recipe = Recipe(text="a & b", without="blue", chosen=chosen)
    assert Recipe.from_address(parse_qsl(recipe.address())) == recipe
    opened = handlers.opened(parse_qsl(recipe.address()))
    assert opened["text"] == "a & b" and opened["without"] == "blue"
    assert read(opened["results"])["recipe"]["chosen"]["low"] == {"price": "3"}


@pytest.mark.parametrize(
    "values",
    [
        {"text": 3},
        {"text": "x" * 3000},
        {"text": ["red"]},
        {"text": "\ud800"},
        {"subject": "no json"},
        {"subject": '{"path": 3}'},
        {"subject": {"key": ["k00"]}},
        {"chosen": '{"values": [1]}'},
        {"chosen": '{"values": {"colour": "red"}}'},
        {"chosen": json.dumps({"values": {"colour": ["x"] * 1000}})},
        {"chosen": json.dumps({"values": {f"f{number}": ["x", "y"] for number in range(101)}})},
        {"balance": 7},
        {"balance": "nan"},
        {"exact": "perhaps"},
        {"min_score": "high"},
        {"min_score": "inf"},
        {"turn": "-1"},
    ],
)
def test_values_the_page_would_not_send_are_refused(handlers: Handlers, values: dict[str, object]) -> None:
    found, panel = handlers.searched(values)
    assert read(found)["problem"] and panel == ""
    assert "pydantic" not in found and "Traceback" not in found


def test_answers_carry_the_turn_they_answer(handlers: Handlers) -> None:
    for values in ({"text": "red"}, {"without": "red"}):
        assert [read(text)["turn"] for text in handlers.searched({**values, "turn": "7"})] == [7, 7]
    assert read(handlers.more({"turn": 7}, PAGE_ITEMS))["turn"] == 7


def test_events_with_foreign_values_are_refused(handlers: Handlers) -> None:
    for key in (None, 3, ["k00"], "x" * 600, "\ud800"):
        assert "problem" in read(handlers.item(key))
        assert "problem" in read(handlers.like(key, {})[0])
    for offset in (None, "24", True, -1, 10**9, 2.5):
        assert "problem" in read(handlers.more({}, offset))
    assert "problem" in read(handlers.more({"text": 3}, 24))


def test_nothing_found_says_what_to_do(handlers: Handlers) -> None:
    filtered = results(handlers, chosen=json.dumps({"low": {"price": "1000"}}))
    assert "No item passes these filters" in filtered["html"] and 'data-action="clear"' in filtered["html"]
    least = results(handlers, text="red", min_score="1000")
    assert "No item is that similar" in least["html"]


def test_without_alone_and_notices_are_said(handlers: Handlers) -> None:
    assert "look for" in results(handlers, without="red")["problem"]
    assert 'class="notice"' in results(handlers, text="red without blue")["html"]


def test_an_empty_catalogue_says_how_to_fill_it(tmp_path: Path, uploads: Uploads, encoder: ColourEncoder) -> None:
    with Catalog.create(tmp_path / "empty", model="compact") as catalog:
        opened = Handlers(catalog, uploads, Metrics(catalog)).opened([])
        assert "This catalogue is empty" in read(opened["results"])["html"]
        assert "lookalike index empty" in read(opened["results"])["html"]
        assert "0 items" in opened["header"] and read(opened["panel"])["html"] == ""


def test_a_catalogue_without_a_model_is_browsed_and_searched_by_item(tmp_path: Path, uploads: Uploads) -> None:
    with Catalog.create(tmp_path / "bare", dim=2) as catalog:
        catalog.add_vectors(["a", "b", "c"], np.array([[1, 0], [0, 1], [0.9, 0.1]]), {"size": [1, 2, 3]})
        handlers = Handlers(catalog, uploads, Metrics(catalog))
        opened = handlers.opened([])
        assert keys(read(opened["results"])["html"]) == ["a", "b", "c"]
        assert "no model" in opened["examples"]
        assert "Find similar" in read(handlers.item("a"))["html"] and "card-similar" in opened["results"]
        assert keys(read(handlers.like("a", {})[0])["html"]) == ["c", "b"]
        assert "cannot be searched that way" in results(handlers, text="red")["html"]


def test_an_unexpected_error_is_said_without_its_text(
    handlers: Handlers, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**_: object) -> None:
        raise ZeroDivisionError("/home/someone")

    monkeypatch.setattr(catalog, "search", broken)
    for text in (handlers.searched({"text": "red"})[0], handlers.more({}, 24), handlers.opened([])["results"]):
        assert "someone" not in text and "server" in read(text)["problem"]


def test_a_page_that_was_opened_with_an_item_searches_with_what_it_was_given(
    handlers: Handlers, catalog: Catalog
) -> None:
    (key,) = catalog._core.sample_keys(1)
    opened = handlers.opened([("like", key)])
    subject = json.loads(opened["subject"])
    assert subject["key"] == key and subject["thumbnail"]
    assert Recipe.of({"subject": opened["subject"]}).subject.key == key


def test_a_minimum_score_is_said_with_the_number_of_items_that_reach_it(handlers: Handlers, catalog: Catalog) -> None:
    handlers.opened([])
    scores = catalog.search(text="red", limit=COUNT).scores
    reached = sum(score >= scores[2] for score in scores)
    assert 1 < reached < PAGE_ITEMS
    found = results(handlers, text="red", min_score=str(scores[2]))["html"]
    assert f"<strong>{reached} of {COUNT} items</strong> score {scores[2]:g} or more, best first, exact" in found
    few = json.dumps({"high": {"price": "3"}})
    found = results(handlers, text="red", min_score=str(scores[2]), chosen=few)["html"]
    assert "<strong>1 of 4 items</strong> that pass the filters scores" in found
    one = json.dumps({"low": {"price": "4"}, "high": {"price": "4"}})
    found = results(handlers, text="red", min_score="-9", chosen=one)["html"]
    assert "<strong>1 of 1 item</strong> that passes the filters scores -9 or more" in found
    assert min(scores) > -9
    found = results(handlers, text="red", min_score="-9")["html"]
    assert f"<strong>At least {PAGE_ITEMS} of {COUNT} items</strong> score -9 or more" in found
    chosen = json.dumps({"values": {"colour": ["red"]}})
    found = results(handlers, text="red", min_score="-9", chosen=chosen)["html"]
    assert "<strong>8 of 8 items</strong> that pass the filters score -9 or more" in found
    assert f"<strong>{COUNT} items</strong>, in the order" in results(handlers, min_score="-9")["html"]
    assert "No item is that similar" in results(handlers, text="red", min_score="99")["html"]


@pytest.mark.parametrize(
    ("field", "low", "high", "is_crossed"),
    [
        ("price", "9", "3", True),
        ("price", "3,5", "3.4", True),
        ("price", "3", "3", False),
        ("price", "9", "x", False),
        ("price", "9", "", False),
        ("added", "2026-01-09", "2026-01-03", True),
        ("added", "2026-01-09", "2026-01-09", False),
    ],
)
def test_a_range_that_begins_above_its_end_is_explained(
    handlers: Handlers, field: str, low: str, high: str, is_crossed: bool
) -> None:
    handlers.opened([])
    chosen = json.dumps({"low": {field: low}, "high": {field: high}})
    found, panel = (read(text)["html"] for text in handlers.searched({"chosen": chosen}))
    assert ("The first value is above the second" in panel) == is_crossed
    assert (f"{field.capitalize()}: the first value is above the second" in found) == is_crossed
    assert ("No item passes these filters" in found) == is_crossed


def test_the_panel_leads_to_the_number_of_items_that_pass(handlers: Handlers) -> None:
    handlers.opened([])

    def label(**chosen: object) -> str:
        panel = read(handlers.searched({"chosen": json.dumps(chosen)})[1])["html"]
        return str(re.findall(r'data-action="show">([^<]*)<', panel)[0])

    assert label() == f"Show {COUNT} items"
    assert label(values={"colour": ["red"]}) == "Show 8 items"
    assert label(low={"price": "29"}) == "Show 1 item"
    assert label(low={"price": "99"}) == label(expression="price <") == "Show results"


def test_the_recipe_of_a_search_for_similar_items_has_what_the_page_shows_of_the_item(handlers: Handlers) -> None:
    handlers.opened([])
    found, _, subject = (read(text) for text in handlers.like("k05", {}))
    assert found["recipe"]["subject"] == {"picture": None, **subject}
    assert subject["title"] == "green square 5" and subject["thumbnail"].startswith("thumbnails/")
    opened = handlers.opened([("like", "k05")])
    assert read(opened["results"])["recipe"]["subject"] == {"picture": None, **read(opened["subject"])}
    assert handlers.opened([("like", "gone")])["subject"] == ""
