from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from retrieval import Catalog
from tests.fakes import ColourEncoder
from tests.web_shop import COLOURS, make_shop, picture
from ui.bounds import (
    MAX_FACET_FIELDS,
    MAX_JSON_BYTES,
    MAX_PARAM_VALUES,
    MAX_PARAMS,
    MAX_PARTS,
    MAX_QUERY_BYTES,
    MAX_TEXT_LENGTH,
)
from ui.server import create_app

LONG = "x" * (MAX_TEXT_LENGTH + 1)
WIDE_FILTER = "price < 1 or " * (MAX_TEXT_LENGTH // 13 + 1) + "price < 1"


@pytest.fixture
def catalog(tmp_path: Path, encoder: ColourEncoder) -> Iterator[Catalog]:
    with make_shop(tmp_path) as made:
        yield made


@pytest.fixture
def client(catalog: Catalog) -> Iterator[TestClient]:
    with TestClient(create_app(catalog), raise_server_exceptions=False) as made:
        yield made


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ({"text": ["x" * 10_000] * 32}, "10,000"),
        ({"text": ["x" * 400] * 26}, "together"),
        ({"text": "x" * 6000, "without": "y" * 6000}, "together"),
        ({"text": "red", "without": ["y" * 5001, "y" * 5000]}, "together"),
        ({"text": ["red"] * (MAX_PARTS + 1)}, "text"),
        ({"like": ["k00"] * (MAX_PARTS + 1)}, "like"),
        ({"like": "x" * 513}, "like"),
        ({"filter": WIDE_FILTER}, "filter"),
        ({"filter": "price < {a}", "params": {f"p{number}": 1 for number in range(MAX_PARAMS + 1)}}, "params"),
        ({"filter": "price in {a}", "params": {"a": [1] * (MAX_PARAM_VALUES + 1)}}, "values"),
        ({"filter": "price in {a}", "params": {f"p{n}": [1] * 1000 for n in range(11)}}, "values"),
        ({"filter": "colour == {a}", "params": {"a": LONG}}, "params"),
        ({"filter": "colour == {a}", "params": {"a": [LONG]}}, "params"),
        ({"filter": "colour == {a}", "params": {"x" * 513: 1}}, "params"),
        ({"vector": [0.0] * 65_537}, "vector"),
        ({"as_of": "x" * 65}, "as_of"),
        ({"recall": "x" * 513}, "recall"),
    ],
)
def test_what_is_beyond_a_bound_of_a_search_is_refused_in_words(
    client: TestClient, encoder: ColourEncoder, body: dict[str, Any], part: str
) -> None:
    before = len(encoder.texts)
    answer = client.post("/api/v1/search", json=body)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["type"] == "UsageError" and part in error["message"] and len(error["message"]) < 300
    assert set(encoder.texts[before:]) <= {"a cup"}, "the model is asked for no more than to warm up"


def test_what_is_at_a_bound_is_answered(client: TestClient, encoder: ColourEncoder) -> None:
    for body in (
        {"text": "red " * (MAX_TEXT_LENGTH // 4)},
        {"text": ["red"] * MAX_PARTS, "without": "x" * (MAX_TEXT_LENGTH - 3 * MAX_PARTS)},
        {"like": ["k00"] * MAX_PARTS},
        {"filter": "price < 1 or " * 700 + "price < 1"},
        {"filter": "colour in {p}", "params": {"p": ["red"] * MAX_PARAM_VALUES}},
        {
            "filter": " or ".join(f"price == {{p{number}}}" for number in range(MAX_PARAMS)),
            "params": {f"p{number}": number for number in range(MAX_PARAMS)},
        },
    ):
        answer = client.post("/api/v1/search", json=body)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "query",
    [
        [("field", "colour")] * 2000,
        [("field", "colour")] * (MAX_FACET_FIELDS + 1),
        [("field", "x" * 513)],
        [("filter", WIDE_FILTER)],
        [("limit", "10001")],
    ],
)
def test_facets_are_bounded(client: TestClient, query: list[tuple[str, str | int | float | bool | None]]) -> None:
    answer = client.get("/api/v1/facets", params=query)
    assert answer.status_code == 422
    assert answer.json()["error"]["message"].startswith(query[0][0])


def test_facets_at_their_bounds_are_counted(client: TestClient) -> None:
    wide = "price < 1 or " * 700 + "price < 1"
    for query in ("&".join(["field=colour"] * MAX_FACET_FIELDS), f"filter={quote(wide)}"):
        assert client.get(f"/api/v1/facets?{query}").status_code == 200


def test_other_routes_are_bounded(client: TestClient) -> None:
    for method, path, sent in (
        ("DELETE", "/api/v1/items", {"json": {"keys": ["k00"] * 10_001}}),
        ("DELETE", "/api/v1/items", {"json": {"keys": ["x" * 513]}}),
        ("DELETE", "/api/v1/items", {"json": {"filter": WIDE_FILTER}}),
        ("DELETE", "/api/v1/items", {"json": {"filter": "price < 0", "params": {"a": [1] * 10_001}}}),
        ("GET", f"/api/v1/items/{'x' * 513}", {}),
        ("GET", "/api/v1/items/k00", {"params": {"as_of": "x" * 65}}),
    ):
        answer = client.request(method, path, **sent)
        assert answer.status_code == 422 and answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "path", ["/api/v1/facets", "/api/v1/info", "/", "/gradio_api/queue/data", "/thumbnails/x.webp"]
)
def test_a_query_string_has_a_bound(client: TestClient, path: str) -> None:
    answer = client.get(f"{path}?x={'x' * MAX_QUERY_BYTES}")
    assert answer.status_code == 414 and answer.json()["error"]["type"] == "TooLarge"


@pytest.mark.parametrize(("method", "path"), [("POST", "/api/v1/search"), ("DELETE", "/api/v1/items")])
def test_a_body_without_pictures_has_a_smaller_bound(client: TestClient, method: str, path: str) -> None:
    body = b'{"text": "' + b"x" * MAX_JSON_BYTES + b'"}'

    def unannounced() -> Iterator[bytes]:
        for place in range(0, len(body), 100_000):
            yield body[place : place + 100_000]

    for content in (body, unannounced()):
        answer = client.request(method, path, content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413 and "8 MB" in answer.json()["error"]["message"]
    odd = client.request(method, path, content=b"{}", headers={"Content-Length": "9" * 5000})
    assert odd.status_code == 413


def test_forms_are_bounded(client: TestClient) -> None:
    content = picture(COLOURS["red"])
    many = [("image", (f"{number}.png", content)) for number in range(9)]
    fields = [("text", (None, "red"))] * 201
    for files in (many, fields, [("text", (None, "x" * 400))] * 26, [("text", (None, "x"))] * (MAX_PARTS + 1)):
        answer = client.post("/api/v1/search", files=files)
        assert answer.status_code in (400, 422) and answer.json()["error"]["message"], answer.text
    assert client.post("/api/v1/search", files=many[:8]).status_code == 200
