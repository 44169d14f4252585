from __future__ import annotations

import io
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

import lookalike.ui.server.guard
from lookalike import Catalog
from lookalike.data.errors import CatalogDamaged
from lookalike.ui.server.server import create_app
from tests.conftest import colour_encoder
from tests.fakes import ColourEncoder
from tests.web_shop import COLOURS, COUNT, make_shop, picture


@pytest.fixture(scope="module")
def encoder() -> Iterator[ColourEncoder]:
    yield from colour_encoder()


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory, encoder: ColourEncoder) -> Iterator[Catalog]:
    """A catalog for all tests here; one that changes it takes `changing`."""
    with make_shop(tmp_path_factory.mktemp("served")) as made:
        yield made


@pytest.fixture(scope="module")
def client(catalog: Catalog) -> Iterator[TestClient]:
    with TestClient(create_app(catalog), raise_server_exceptions=False) as made:
        yield made


@pytest.fixture
def changing(tmp_path: Path, encoder: ColourEncoder) -> Iterator[tuple[Catalog, TestClient]]:
    """A catalog of the test's own, and a client of its application."""
    with make_shop(tmp_path) as catalog, TestClient(create_app(catalog), raise_server_exceptions=False) as client:
        yield catalog, client


def search(client: TestClient, **query: object) -> dict[str, Any]:
    answer = client.post("/api/v1/search", json=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def keys(found: dict[str, Any]) -> list[str]:
    return [hit["key"] for hit in found["hits"]]


def test_search_answers_like_the_catalog(client: TestClient, catalog: Catalog) -> None:
    found = search(client, text="red", limit=5)
    expected = catalog.search(text="red", limit=5)
    assert set(found) == {"hits", "exact", "plan", "took_ms", "total", "notices"}
    assert keys(found) == expected.keys
    assert [hit["score"] for hit in found["hits"]] == pytest.approx(expected.scores, abs=1e-5)
    assert found["total"] == COUNT and found["exact"] is True
    hit = found["hits"][0]
    assert set(hit) == {"key", "score", "scores", "image", "fields", "thumbnail"}
    assert hit["fields"]["added"].startswith("2026-01-") and hit["fields"]["added"].endswith("T00:00:00+00:00")


def test_pages_join_to_one_long_list(client: TestClient) -> None:
    pages = [keys(search(client, text="green", limit=10, offset=offset)) for offset in (0, 10, 20)]
    assert [key for page in pages for key in page] == keys(search(client, text="green", limit=COUNT))


def test_parts_combine(client: TestClient) -> None:
    found = search(client, text=["red", "white"], without="blue", like=["k00"], balance=0.7, recall="exact")
    assert "k00" not in keys(found)
    assert set(found["hits"][0]["scores"]) >= {"text", "without", "like"}
    assert keys(search(client, limit=3)) == ["k00", "k01", "k02"]
    all_scores = [hit["score"] for hit in search(client, like="k01", limit=COUNT)["hits"]]
    least = all_scores[4] - 5e-7  # they are rounded to six places
    kept = search(client, like="k01", limit=COUNT, min_score=least)
    assert [hit["score"] for hit in kept["hits"]] == [score for score in all_scores if score >= least]


def test_a_vector_searches(client: TestClient, catalog: Catalog, encoder: ColourEncoder) -> None:
    vector = encoder.encode_texts(["blue"])[0].tolist()
    assert keys(search(client, vector=vector)) == catalog.search(vector=vector).keys


def test_a_form_with_a_picture_finds_it(client: TestClient, catalog: Catalog) -> None:
    content = picture(COLOURS["green"], shade=9)
    form = {"limit": "3", "filter": "price < {most}", "params": '{"most": 20}', "balance": "0.25"}
    answer = client.post("/api/v1/search", data=form, files=[("image", ("a.png", content, "image/png"))])
    assert answer.status_code == 200, answer.text
    expected = catalog.search(image=content, filter="price < 20", limit=3, balance=0.25)
    assert keys(answer.json()) == expected.keys
    assert answer.json()["hits"][0]["fields"]["colour"] == "green"


def test_several_pictures_and_words_in_one_form(client: TestClient, catalog: Catalog) -> None:
    contents = [picture(COLOURS[name]) for name in ("red", "blue")]
    files = [("image", (f"{place}.png", content)) for place, content in enumerate(contents)]
    answer = client.post("/api/v1/search", data={"text": ["red", "white"]}, files=files)
    assert keys(answer.json()) == catalog.search(image=contents, text=["red", "white"]).keys


@pytest.mark.parametrize("value", ['red" or price >= 0 or colour == "', "red') or true", "{other}", "\\", 'x"]'])
def test_values_of_parameters_cannot_change_the_filter(client: TestClient, value: str) -> None:
    found = search(client, filter="colour == {value}", params={"value": value})
    assert found["total"] == 0 and found["hits"] == []


def test_parameters_bind_lists_numbers_and_truths(client: TestClient) -> None:
    found = search(
        client,
        filter="colour in {colours} and price >= {least} and in_stock == {stock}",
        params={"colours": ["red", "blue"], "least": 6.5, "stock": True},
        limit=COUNT,
    )
    assert sorted(keys(found)) == ["k12", "k18", "k24"]


@pytest.mark.parametrize(
    ("query", "status", "kind", "part"),
    [
        ({"filter": "price <"}, 422, "FilterError", "too early"),
        ({"filter": "weight < 3"}, 422, "FilterError", "weight"),
        ({"filter": "price < {most}"}, 422, "FilterError", "most"),
        ({"like": "nothing"}, 404, "ItemNotFound", "nothing"),
        ({"limit": 0}, 422, "UsageError", "limit"),
        ({"limit": 10_001}, 422, "UsageError", "10,000"),
        ({"offset": -1}, 422, "UsageError", "offset"),
        ({"recall": "most"}, 422, "UsageError", "recall"),
        ({"balance": 2}, 422, "UsageError", "balance"),
        ({"without": "red"}, 422, "UsageError", "look for"),
        ({"vector": [1.0]}, 422, "UsageError", "12"),
        ({"vector": ["x"]}, 422, "UsageError", "vector"),
        ({"txet": "red"}, 422, "UsageError", "txet"),
        ({"text": "x" * 10_001}, 422, "UsageError", "text"),
    ],
)
def test_wrong_queries_are_answered_in_words(
    client: TestClient, query: dict[str, object], status: int, kind: str, part: str
) -> None:
    answer = client.post("/api/v1/search", json=query)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["type"] == kind and part in error["message"] and error["message"]


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b'{"text": 3', b"\xff\xfe", b'{"text": "\\ud800"}'])
def test_a_body_that_is_no_json_object_is_refused(client: TestClient, body: bytes) -> None:
    answer = client.post("/api/v1/search", content=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["type"] == "UsageError"


def test_what_is_no_picture_is_refused(client: TestClient) -> None:
    for content in (b"not a picture", b"<svg onload='alert(1)'></svg>", b""):
        answer = client.post("/api/v1/search", files=[("image", ("a.png", content))])
        assert answer.status_code == 422
        assert answer.json()["error"]["type"] == "NotAPicture"


def test_a_file_in_the_wrong_field_is_refused(client: TestClient) -> None:
    answer = client.post("/api/v1/search", files=[("filter", ("a.png", b"x"))])
    assert answer.status_code == 422 and "image" in answer.json()["error"]["message"]
    answer = client.post("/api/v1/search", data={"params": "{"}, files=[("image", ("a.png", picture((1, 2, 3))))])
    assert answer.status_code == 422 and "JSON" in answer.json()["error"]["message"]


def test_text_where_a_picture_belongs_is_refused(client: TestClient) -> None:
    answer = client.post("/api/v1/search", files=[("image", (None, "img/0.png"))])
    assert answer.status_code == 422
    assert "send the picture as a file" in answer.json()["error"]["message"]


def test_json_nested_too_deeply_is_refused(client: TestClient) -> None:
    answer = client.post("/api/v1/search", files=[("vector", (None, "[" * 100_000))])
    assert answer.status_code == 422
    assert "not JSON" in answer.json()["error"]["message"]


def test_a_request_that_is_too_large_is_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookalike.ui.server.guard, "MAX_BODY_BYTES", 1000)
    announced = client.post("/api/v1/search", files=[("image", ("a.png", b"x" * 2000))])
    assert announced.status_code == 413 and announced.json()["error"]["type"] == "TooLarge"

    sent = 0

    def unannounced() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b"x" * 100

    answer = client.post("/api/v1/search", content=unannounced())
    assert answer.status_code == 413 and answer.json()["error"]["type"] == "TooLarge"
    deleted = client.request("DELETE", "/api/v1/items", content=unannounced())
    assert deleted.status_code == 413


def test_items_by_key(client: TestClient) -> None:
    item = client.get("/api/v1/items/k05").json()
    assert (item["key"], item["title"], item["fields"]["price"]) == ("k05", "green square 5", 5)
    assert item["fields"]["tags"] == ["odd", "all"]
    assert [image["source"] for image in item["images"]] == ["k05.png", "second.png"], "no path of the machine"
    assert all(client.get(image["thumbnail"]).status_code == 200 for image in item["images"])
    missing = client.get("/api/v1/items/a/b%20c")
    assert missing.status_code == 404 and "a/b c" in missing.json()["error"]["message"]


def test_keys_with_slashes_are_found(changing: tuple[Catalog, TestClient], encoder: ColourEncoder) -> None:
    catalog, client = changing
    catalog.add_vectors(["food/a cup?.png"], encoder.encode_texts(["red"]))
    assert client.get("/api/v1/items/food/a%20cup%3F.png").json()["key"] == "food/a cup?.png"


def test_facets_count_what_a_filter_leaves(client: TestClient) -> None:
    facets = {one["name"]: one for one in client.get("/api/v1/facets", params={"filter": "price < 8"}).json()["facets"]}
    assert facets["colour"]["values"] == [["blue", 2], ["green", 2], ["red", 2], ["white", 2]]
    assert facets["in_stock"]["values"] == [[False, 5], [True, 3]]
    assert (facets["price"]["low"], facets["price"]["high"]) == (0, 7)
    assert facets["added"]["high"] == "2026-01-08T00:00:00+00:00"
    only = client.get("/api/v1/facets", params={"field": "colour", "limit": 1}).json()["facets"]
    assert [(one["name"], len(one["values"]), one["distinct"]) for one in only] == [("colour", 1, 4)]
    for wrong in ({"field": "size"}, {"filter": "price <"}, {"limit": 0}):
        assert client.get("/api/v1/facets", params=wrong).status_code == 422


def test_info_says_what_the_catalog_is(client: TestClient) -> None:
    info = client.get("/api/v1/info").json()
    assert {"items", "vectors", "model", "dim", "generation", "tail", "bytes_on_disk"} <= set(info)
    assert (info["items"], info["vectors"], info["dim"]) == (COUNT, COUNT + 1, 12)


def test_deleting_by_key_and_by_filter(changing: tuple[Catalog, TestClient]) -> None:
    catalog, client = changing
    assert client.request("DELETE", "/api/v1/items", json={"keys": ["k00", "k01"]}).json() == {"deleted": 2}
    body = {"filter": "price >= {least}", "params": {"least": 20}}
    assert client.request("DELETE", "/api/v1/items", json=body).json() == {"deleted": 10}
    assert catalog.count() == COUNT - 12
    assert client.get("/api/v1/items/k00").status_code == 404
    for wrong in ({}, {"keys": ["k05"], "filter": "price > 0"}, {"filter": ""}, {"all": True}):
        assert client.request("DELETE", "/api/v1/items", json=wrong).status_code == 422
    assert client.request("DELETE", "/api/v1/items", json={"keys": ["k05", "none"]}).status_code == 404
    assert catalog.count() == COUNT - 12


@pytest.mark.parametrize("number", ["9007199254740993.0", "9007199254740992.5", "9007199254740993"])
def test_numbers_of_a_request_are_compared_as_they_were_sent(tmp_path: Path, number: str) -> None:
    whole = [2**53, 2**53 + 1, 2**53 + 2]
    with Catalog.create(tmp_path / "shop", dim=3) as catalog, TestClient(create_app(catalog)) as client:
        catalog.add_vectors(["0", "1", "2"], np.eye(3), {"n": whole})
        expected = [str(place) for place, value in enumerate(whole) if value == Decimal(number)]
        for params in (f'{{"v": {number}}}', f'{{"v": [{number}, 0.5]}}'):
            filter = "n in {v}" if "[" in params else "n == {v}"
            asked = f'{{"filter": "{filter}", "params": {params}}}'
            for sent in (
                {"content": asked},
                {"files": {"filter": (None, filter), "params": (None, params)}},
            ):
                hits = client.post("/api/v1/search", **sent).json()["hits"]
                assert [hit["key"] for hit in hits] == expected
        client.request("DELETE", "/api/v1/items", content=f'{{"filter": "n == {{v}}", "params": {{"v": {number}}}}}')
        assert [item.key for item in catalog.items()] == [key for key in "012" if key not in expected]


def test_thumbnails_by_opaque_id(client: TestClient) -> None:
    address = search(client, limit=1)["hits"][0]["thumbnail"]
    answer = client.get(address)
    assert answer.headers["content-type"] == "image/webp" and "immutable" in answer.headers["cache-control"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert io.BytesIO(answer.content).read(4) == b"RIFF"
    for wrong in ("0" * 64, "..", "%2e%2e%2frecords", "A" * 64, "x"):
        assert client.get(f"/thumbnails/{wrong}.webp").status_code == 404


def test_errors_say_nothing_of_the_machine(
    client: TestClient, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(**_: object) -> None:
        raise CatalogDamaged("The records at /home/someone/shop are damaged.")

    monkeypatch.setattr(catalog, "search", damaged)
    answer = client.post("/api/v1/search", json={"text": "red"})
    assert answer.status_code == 500 and answer.json()["error"]["type"] == "CatalogDamaged"
    assert "someone" not in answer.text

    def broken(**_: object) -> None:
        raise ZeroDivisionError("/home/someone")

    monkeypatch.setattr(catalog, "search", broken)
    answer = client.post("/api/v1/search", json={"text": "red"})
    assert answer.status_code == 500 and answer.json()["error"]["type"] == "InternalError"
    assert "someone" not in answer.text and "Traceback" not in answer.text


def test_a_catalog_of_ready_vectors_says_what_it_cannot_do(tmp_path: Path) -> None:
    with Catalog.create(tmp_path / "bare", dim=3) as catalog, TestClient(create_app(catalog)) as client:
        catalog.add_vectors(["a", "b"], [[1, 0, 0], [0, 1, 0]])
        answer = client.post("/api/v1/search", json={"text": "red"})
        assert answer.status_code == 422 and answer.json()["error"]["type"] == "ModalityUnsupported"
        assert keys(search(client, vector=[0, 1, 0])) == ["b", "a"]
        assert search(client, vector=[0, 1, 0])["hits"][0]["thumbnail"] is None


METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
ALLOWED = {
    "/": "GET, HEAD",
    "/api/v1/search": "POST",
    "/api/v1/items": "DELETE",
    "/api/v1/items/k00": "GET",
    "/api/v1/facets": "GET",
    "/api/v1/info": "GET",
    "/thumbnails/x.webp": "GET",
    "/healthz": "GET",
    "/metrics": "GET",
    "/docs": "GET",
    "/openapi.json": "GET, HEAD",
    "/page.css": "GET",
    "/page.js": "GET",
    "/config": "GET",
    "/gradio_api/upload": "POST",
    "/gradio_api/queue/join": "POST",
    "/gradio_api/queue/data": "GET",
    "/gradio_api/cancel": "POST",
}


@pytest.mark.parametrize(("path", "allowed"), ALLOWED.items())
def test_a_wrong_method_is_named_with_the_right_ones(client: TestClient, path: str, allowed: str) -> None:
    for method in METHODS:
        answer = client.request(method, path)
        if method in allowed.split(", "):
            assert answer.status_code != 405
            continue
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed), (method, path)
        if method != "HEAD":
            error = answer.json()["error"]
            assert error["type"] == "MethodNotAllowed"
            assert error["remedy"] == f"Use {allowed.replace(', ', ' or ')}."


def test_every_route_is_among_those_whose_methods_are_tested(client: TestClient) -> None:
    paths = [path.format(key="k00", image_id="x") for path in client.get("/openapi.json").json()["paths"]]
    assert set(paths) <= ALLOWED.keys()
    assert client.delete("/nothing").status_code == 404


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The body is empty."),
        (b'{\n"text": red}', "The body is not JSON: line 2, column 9."),
        (b"[]", "The body is a list, not a JSON object."),
        (b"null", "The body is null, not a JSON object."),
        (b'"red"', "The body is the string 'red', not a JSON object."),
        (b'{"limit": "ten"}', "limit: expected integer, found the string 'ten'."),
        (b'{"limit": 1.5}', "limit: expected integer, found 1.5."),
        (b'{"limit": null}', "limit: expected integer, found null."),
        (b'{"text": 5}', "text: expected string or list of string, found 5."),
        (b'{"text": ["red", null]}', "text[1]: expected string, found null."),
        (b'{"like": {"key": "k00"}}', "like: expected string or list of string, found an object."),
        (b'{"vector": "1, 2"}', "vector: expected list of number, found the string '1, 2'."),
        (b'{"vector": [1, "a"]}', "vector[1]: expected number, found the string 'a'."),
        (b'{"vector": [NaN]}', "vector[0] is not a finite number."),
        (b'{"vector": [1]}', "The query vector has 1 number; this catalog takes vectors of 12."),
        (b'{"params": [1]}', "params: expected object, found a list."),
        (b'{"params": {"a": null}}', "params.a: expected string, number, boolean, or list of these, found null."),
        (b'{"params": {"a": [{}]}}', "params.a[0]: expected string, number, or boolean, found an object."),
        (b'{"recall": [1]}', "recall: expected number or string, found a list."),
        (b'{"as_of": 1.5}', "as_of: expected integer or string, found 1.5."),
        (b'{"fields": "title"}', "fields: expected list of string, found the string 'title'."),
        (b'{"min_score": "\\u00e9"}', "min_score: expected number, found the string 'é'."),
    ],
)
def test_what_does_not_fit_is_said_with_what_does(client: TestClient, body: bytes, message: str) -> None:
    error = client.post("/api/v1/search", content=body).json()["error"]
    assert (error["type"], error["message"]) == ("UsageError", message)
    assert ("JSON object" in error["remedy"]) == message.startswith("The body")


def test_an_unknown_field_is_answered_with_the_known_ones(client: TestClient) -> None:
    error = client.post("/api/v1/search", json={"query": "red", "top_k": 3}).json()["error"]
    assert error["message"].startswith("There is no field 'query'; the fields are text, like, vector,")
    error = client.post("/api/v1/search", json={"image": "http://127.0.0.1/a.jpg"}).json()["error"]
    assert error["remedy"] == "Send pictures as files named image, in a form."
    error = client.request("DELETE", "/api/v1/items", json={"key": "k00"}).json()["error"]
    assert error["message"] == "There is no field 'key'; the fields are keys, filter, params."


def test_a_query_string_that_does_not_fit_is_said_in_words(client: TestClient) -> None:
    for query, message in {
        "limit=x": "limit: expected integer, found the string 'x'.",
        "limit=0": "limit is 0; the least is 1.",
        "limit=99999": "limit is 99999; the most is 10,000.",
        f"field=key&field={'x' * 600}": "field[1] is too long; at most 512 characters are read.",
    }.items():
        answer = client.get(f"/api/v1/facets?{query}")
        assert (answer.status_code, answer.json()["error"]["message"]) == (422, message)
