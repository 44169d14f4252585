from __future__ import annotations

import tomllib
from collections.abc import Callable
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import jinja2
import orjson
import pytest

from lookalike import Hit, Results, StoredItem
from lookalike.data.errors import UsageError
from lookalike.data.field_type import FieldType
from lookalike.data.item import Value
from lookalike.retrieval.filters.operands import Field
from lookalike.retrieval.results import Page
from lookalike.retrieval.search.facets import Facet
from lookalike.retrieval.stored_rows import StoredImage
from lookalike.ui import templates
from lookalike.ui.page.cards import CardFields, cards_html
from lookalike.ui.page.filter_panel import panel_html
from lookalike.ui.page.item_view import item_html
from lookalike.ui.page.recipe import Chosen
from lookalike.ui.page.results_view import empty_html, more_html, nothing_html, problem_html, results_html
from lookalike.ui.page.welcome import header_html
from lookalike.ui.rest.reference import reference_html
from tests.conftest import ROOT

TEMPLATES = sorted(path for path in (ROOT / "ui").glob("*/templates/*"))
FIELDS = CardFields("category", "price", "currency", bare=True)
IMAGE = "a" * 64

# Each text begins with the same letter, since a card without a picture shows the first letter of the title.
HOSTILE = [
    'Q<img src=x onerror="window.broken=1">',
    'Q"><script>window.broken=1</script>',
    "Q' onmouseover='window.broken=1' x='",
    'Q" autofocus onfocus="window.broken=1',
    "Q</textarea></title></style></pre></li></ul><h1>",
    "Q<!-- <![CDATA[ ]]> <?x",
    "Q&lt;b&gt; &amp;amp; &#60;b&#62; &quot",
    "Q{{ 7 * 7 }} {% raw %} {# #} ${window.broken=1} {0} %s",
    "Q` = / \\ \N{LINE SEPARATOR} \N{RIGHT-TO-LEFT OVERRIDE} é",
]

Text = Callable[[str], str]


class Reader(HTMLParser):
    """Collects the elements with their attributes, and the texts between them without the spaces around them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[object, ...]] = []
        self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._end_text()
        self.found.append((tag, *attrs))

    def handle_endtag(self, tag: str) -> None:
        self._end_text()
        self.found.append(("end", tag))

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_comment(self, data: str) -> None:
        self.found.append(("comment", data))

    def unknown_decl(self, data: str) -> None:
        self.found.append(("declaration", data))

    def handle_pi(self, data: str) -> None:
        self.found.append(("instruction", data))

    def _end_text(self) -> None:
        if self._text.strip():
            self.found.append(("text", self._text.strip()))
        self._text = ""


def parsed(html: str) -> list[tuple[object, ...]]:
    reader = Reader()
    reader.feed(html)
    reader.close()
    reader.handle_endtag("html")
    return reader.found


def hit(text: Text, *, image_id: str | None = IMAGE) -> Hit:
    fields: dict[str, Value] = {
        "title": text("title"),
        "category": text("category"),
        "price": 3.5,
        "currency": text("currency"),
    }
    return Hit(text("key"), 0.5, {text("part"): 0.25}, f"{text('image')}.mp4#t=7", image_id, fields)


def results(text: Text) -> Results:
    values = hit(text).fields
    page = Page(
        [text("key")],
        [0.5],
        {text("part"): [0.25]},
        [StoredImage(1, f"{text('image')}.mp4#t=7", bytes(32))],
        {name: [value] for name, value in values.items()},
    )
    return Results(page, 1234, True, text("plan"), 12.0, (text("notice"), text("query")))


def item(text: Text) -> StoredItem:
    fields: dict[str, Value] = {
        text("name"): text("value"),
        "tags": [text("tag"), text("other tag")],
        "json": {"a": text("json value")},
        "address": "https://shop.example/?a=1&b=2",
        "script": "javascript:window.broken=1",
        "category": text("category"),
        "price": 12,
        "currency": text("currency"),
        "day": datetime(2026, 1, 2),
        "in_stock": True,
        "nothing": None,
    }
    return StoredItem(text("key"), text("title"), fields, (StoredImage(1, "a.png", bytes(32)),))


def panel(text: Text) -> str:
    many = tuple((f"{text('value')} {number}", 400 - number) for number in range(40))
    facets = [
        Facet(text("field"), FieldType.STRING, ((text("value"), 3), (text("other value"), 2), ("", 1)), 3),
        Facet(text("long field"), FieldType.STRINGS, many, 4000),
        Facet(text("number"), FieldType.FLOAT, (), 0, 1.5, 1e9),
        Facet(text("day"), FieldType.TIMESTAMP, (), 0, datetime(2020, 1, 1), datetime(2021, 1, 1)),
        Facet("in_stock", FieldType.BOOL, ((True, 1000), (False, 1)), 2),
    ]
    chosen = Chosen(
        values={text("field"): [text("value"), text("typed value")], "in_stock": ["true"]},
        low={text("number"): text("low")},
        high={text("day"): text("high")},
        expression=text("expression"),
    )
    kinds = {"key": FieldType.STRING, "title": FieldType.STRING, **{facet.name: facet.type for facet in facets}}
    return panel_html(facets, chosen, kinds, text("problem"))


def reference(text: Text) -> str:
    schema = {"type": "string", "description": text("description")}
    described = {"summary": text("summary"), "description": text("description")}
    media = {"schema": {"$ref": "#/components/schemas/Body"}}
    operation = {
        **described,
        "parameters": [{"name": text("name"), "schema": schema, "description": text("description")}],
        "requestBody": {"content": {text("type"): media}},
        "responses": {"200": {"content": {"application/json": media}}},
    }
    openapi = {
        "info": {"title": text("title"), "description": text("description")},
        "paths": {f"/{text('path')}": {"post": operation}, "/search": {"get": {**described, "responses": {}}}},
        "components": {"schemas": {"Body": {**described, "properties": {text("name"): schema}}}},
    }
    return reference_html(openapi, f"http://{text('host')}")


VIEWS: dict[str, Callable[[Text], str]] = {
    "cards": lambda text: cards_html([hit(text), hit(text, image_id=None)], FIELDS, scored=True),
    "results": lambda text: results_html(results(text), FIELDS, asked=True, filtered=True, more=True),
    "browsed": lambda text: results_html(results(text), FIELDS, asked=False, filtered=False, more=False),
    "more": lambda text: more_html(results(text), FIELDS, asked=True),
    "item": lambda text: item_html(item(text), FIELDS, [(IMAGE, text("clock")), (IMAGE, None)]),
    "item without pictures": lambda text: item_html(item(text), FIELDS, []),
    "panel": panel,
    "header": lambda text: header_html(text("name"), 1234, appearance=True),
    "examples": lambda text: templates.render(
        "page/examples.html",
        has_model=True,
        phrases=[text("title").lower(), text("other title").lower()],
        items=[(text("key"), text("title"), text("image"))],
    ),
    "head": lambda text: templates.render("page/head.html", title=text("name"), icon="data:", stamp=1),
    "empty": lambda text: empty_html(text("name")),
    "nothing": lambda text: nothing_html(filtered=True, min_score=False),
    "problem": lambda text: problem_html(UsageError(text("query"))),
    "reference": reference,
}


def token(slot: str) -> str:
    """Return a harmless text for one place; the space and the accent are there to be seen in quoted ids."""
    return f"Q {slot} é."


def in_filter(name: str) -> str:
    return Field(name).to_milvus()


def changed(value: object, replacements: list[tuple[str, str]]) -> object:
    """Return a parsed value in which the harmless texts are replaced by hostile ones."""
    if isinstance(value, tuple):
        return tuple(changed(part, replacements) for part in value)
    if isinstance(value, str):
        for harmless, hostile in replacements:
            value = value.replace(harmless, hostile)
    return value


def in_json(text: str) -> str:
    return orjson.dumps(text).decode()[1:-1]


@pytest.mark.parametrize("view", VIEWS)
def test_a_text_of_the_catalogue_stays_text(view: str) -> None:
    slots: set[str] = set()

    def harmless(slot: str) -> str:
        slots.add(slot)
        return token(slot)

    plain = parsed(VIEWS[view](harmless))
    assert slots or view == "nothing"
    for hostile in HOSTILE:
        texts = {slot: f"{hostile} {slot}" for slot in slots}
        replacements = [
            (change(token(slot)), change(in_json(text) if slot.startswith("json") else text))
            for slot, text in texts.items()
            for change in (in_filter, str, str.lower, str.upper, quote)
        ]
        assert parsed(VIEWS[view](texts.__getitem__)) == [changed(one, replacements) for one in plain], hostile


def test_every_template_is_among_the_views(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: set[str] = set()

    def source(name: str) -> str:
        loaded.add(name)
        return templates._source(name)

    environment = templates._ENVIRONMENT
    assert isinstance(environment.loader, jinja2.FunctionLoader) and environment.cache is not None
    environment.cache.clear()
    monkeypatch.setattr(environment.loader, "load_func", source)
    for view in VIEWS.values():
        view(str)
    assert loaded == {f"{path.parent.parent.name}/{path.name}" for path in TEMPLATES}


def test_no_template_or_module_of_the_page_turns_escaping_off() -> None:
    for path in [*TEMPLATES, *(ROOT / "ui").rglob("*.py")]:
        text = path.read_text()
        assert not any(word in text for word in ("|safe", "| safe", "Markup", "autoescape=False", "{% autoescape"))
        assert "html import escape" not in text


def test_a_value_that_is_not_passed_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="count"):
        templates.render("page/header.html", name="Shop", has_appearance=False)


def test_templates_and_styles_are_installed() -> None:
    installed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    for path in [*TEMPLATES, *(ROOT / "ui").glob("*/static/*")]:
        package = path.parent.parent
        patterns = installed[f"lookalike.ui.{package.name}"]
        assert any(Path(path.relative_to(package)).match(pattern) for pattern in patterns), path
