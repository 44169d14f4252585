from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.testclient import TestClient

from lookalike import Catalog, Results
from lookalike.ui.rest import request_json
from lookalike.ui.rest.schemas import DeleteRequest, SearchRequest
from lookalike.ui.server import guard
from lookalike.ui.server.bounds import (
    MAX_FACET_FIELDS,
    MAX_FORM_TEXT_BYTES,
    MAX_JSON_BYTES,
    MAX_JSON_PARTS,
    MAX_LARGE_BODIES,
    MAX_PARAM_VALUES,
    MAX_PARAMS,
    MAX_PARTS,
    MAX_PICTURE_SEARCHES,
    MAX_QUERY_BYTES,
    MAX_TEXT_LENGTH,
    MAX_WAITING_CALLS,
    MAX_WAITING_FORMS,
    PAGE_SEARCHES_AT_ONCE,
    SMALL_BODY_BYTES,
)
from lookalike.ui.server.server import create_app
from tests.conftest import colour_encoder
from tests.fakes import ColourEncoder
from tests.serving import CONTROLS, search_of, serving
from tests.web_shop import COLOURS, make_shop, picture

LONG = "x" * (MAX_TEXT_LENGTH + 1)
WIDE_FILTER = "price < 1 or " * (MAX_TEXT_LENGTH // 13 + 1) + "price < 1"


@pytest.fixture(scope="module")
def encoder() -> Iterator[ColourEncoder]:
    yield from colour_encoder()


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory, encoder: ColourEncoder) -> Iterator[Catalog]:
    with make_shop(tmp_path_factory.mktemp("served")) as made:
        yield made


@pytest.fixture(scope="module")
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


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", "/api/v1/search", "multipart/form-dataX"),
        ("POST", "/api/v1/search", "multipart/form-data-2; boundary=x"),
        ("DELETE", "/api/v1/items", "multipart/form-dataX"),
        ("DELETE", "/api/v1/items", "multipart/form-data; boundary=x"),
        ("POST", "/gradio_api/queue/join", "multipart/form-data; boundary=x"),
    ],
)
def test_only_a_form_for_pictures_may_be_as_large_as_pictures(
    client: TestClient, method: str, path: str, kind: str
) -> None:
    body = b'{"text": "' + b"x" * MAX_JSON_BYTES + b'"}'
    for content in (body, iter([body])):
        answer = client.request(method, path, content=content, headers={"Content-Type": kind})
        assert answer.status_code == 413, answer.text


def test_the_text_of_a_form_is_bounded_in_total(client: TestClient) -> None:
    picture_part = ("image", ("a.png", picture(COLOURS["red"])))
    part = MAX_FORM_TEXT_BYTES // 8
    fitting = [("without", (None, "x" * part)) for _ in range(7)]
    answer = client.post("/api/v1/search", files=[picture_part, *fitting])
    assert answer.status_code == 422, answer.text
    for path in ("/api/v1/search", "/gradio_api/upload"):
        for name in ("without", "unknown"):
            parts = [(name, (None, "x" * (part + 1)))] * 8
            answer = client.post(path, files=[picture_part, *parts])
            assert answer.status_code in (400, 413), answer.text
    assert client.post("/api/v1/search", files=[picture_part, *parts]).status_code == 413


@pytest.mark.parametrize(
    "start",
    ['{"params": {"a": [', '{"vector": [', '{"text": [', "["],
)
def test_json_of_very_many_values_is_refused_before_it_is_built(client: TestClient, start: str) -> None:
    body = start + ",".join(["{}"] * (MAX_JSON_PARTS // 2 + 1))
    answer = client.post("/api/v1/search", content=body)
    assert answer.status_code == 413 and "250,000" in answer.json()["error"]["message"]
    answer = client.request("DELETE", "/api/v1/items", content=body)
    assert answer.status_code == 413


@pytest.mark.parametrize("model", [SearchRequest, DeleteRequest])
def test_values_that_do_not_fit_are_not_all_listed(model: type[SearchRequest | DeleteRequest]) -> None:
    many: list[object] = [{}] * 100_000
    named: dict[str, object] = {f"a{number}": {} for number in range(100_000)}
    for value in ({"params": {"a": many}}, {"params": named}, {"params": {"a": named}}, named, many, {"text": many}):
        with pytest.raises(RequestValidationError) as refused:
            request_json.validated(model, value)
        found = refused.value.__context__
        assert isinstance(found, ValidationError) and found.error_count() <= 100


def test_json_is_read_outside_the_event_loop(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    loops: list[object] = []
    read = request_json.json_value_of

    def reading(body: bytes) -> object:
        loops.append(asyncio._get_running_loop())
        return read(body)

    monkeypatch.setattr(request_json, "json_value_of", reading)
    assert client.post("/api/v1/search", json={"text": "red"}).status_code == 200
    assert client.request("DELETE", "/api/v1/items", json={"filter": "price < -1"}).status_code == 200
    assert loops == [None, None]


def _sent(address: str, start: str, body: bytes) -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=60)
    headers = "Host: 127.0.0.1\r\nContent-Length: 200000\r\nContent-Type: "
    connection.sendall(f"{start} HTTP/1.1\r\n{headers}".encode() + body)
    return connection


UNFINISHED = [
    ("POST /api/v1/search", b'application/json\r\n\r\n{"text": "r'),
    ("DELETE /api/v1/items", b'application/json\r\n\r\n{"keys": ["r'),
    ("POST /gradio_api/queue/join", b'application/json\r\n\r\n{"data": ['),
    ("POST /api/v1/search", b"multipart/form-data; boundary=x\r\n\r\n--x\r\n"),
    ("POST /gradio_api/upload", b"multipart/form-data; boundary=x\r\n\r\n--x\r\n"),
]


def test_a_request_that_is_not_complete_in_time_is_answered_and_closed(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "MAX_JSON_SECONDS", 0.2)
    monkeypatch.setattr(guard, "MAX_FORM_SECONDS", 0.2)
    with serving(create_app(catalog)) as address:
        for start, body in UNFINISHED:
            with _sent(address, start, body) as connection:
                said = b"".join(iter(lambda: connection.recv(65_536), b""))
            assert b" 408 " in said.splitlines()[0], said
            assert b"was not complete" in said


def test_a_caller_that_goes_away_leaves_no_traceback_in_the_log(
    catalog: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(create_app(catalog)) as address, httpx.Client(base_url=address) as client:
        for start, body in UNFINISHED:
            connection = _sent(address, start, body)
            client.get("/healthz").raise_for_status()
            connection.close()
        session = client.get("/gradio_api/queue/data", params={"session_hash": "unknown"})
        assert session.status_code == 404
        client.get("/healthz").raise_for_status()
    assert [record.getMessage() for record in caplog.records] == []


def test_large_bodies_that_are_received_at_once_are_bounded(catalog: Catalog) -> None:
    large = b'{"text": "red", "filter": "price < 90' + b" " * SMALL_BODY_BYTES

    async def crowd(client: httpx.AsyncClient) -> None:
        go_on, begun = asyncio.Event(), 0

        async def slowly() -> AsyncIterator[bytes]:
            nonlocal begun
            yield large
            begun += 1
            await go_on.wait()
            yield b'"}'

        async def ask(content: bytes | AsyncIterator[bytes]) -> int:
            return (await client.post("/api/v1/search", content=content)).status_code

        tasks = [asyncio.create_task(ask(slowly())) for _ in range(MAX_LARGE_BODIES)]
        while begun < MAX_LARGE_BODIES:
            await asyncio.sleep(0.01)
        refused = await client.post("/api/v1/search", content=large + b'"}')
        assert refused.status_code == 503 and refused.json()["error"]["type"] == "TooMany"
        assert await ask(b'{"text": "red"}') == 200
        tasks.pop().cancel()
        await asyncio.sleep(0)
        assert await ask(large + b'"}') == 422  # the filter is longer than is read
        go_on.set()
        assert set(await asyncio.gather(*tasks)) == {422}

    _within(catalog, crowd)


class Held:
    """A catalog's search that does not return before it is let go; counts how many run at once."""

    def __init__(self, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        self._search = catalog.search
        self._lock = threading.Lock()
        self.go_on = threading.Event()
        self.running = self.most = self.done = 0
        self.begun = threading.Semaphore(0)
        monkeypatch.setattr(catalog, "search", self._held)

    def _held(self, **options: Any) -> Results:  # noqa: ANN401
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.begun.release()
        assert self.go_on.wait(60)
        with self._lock:
            self.running -= 1
            self.done += 1
        return self._search(**options)


@pytest.mark.slow
def test_searches_with_pictures_that_wait_are_bounded(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(catalog, monkeypatch)
    files = {"image": ("a.png", picture(COLOURS["red"]))}
    admitted, beyond = MAX_PICTURE_SEARCHES + MAX_WAITING_FORMS, 5

    async def crowd(client: httpx.AsyncClient) -> None:
        tasks = {asyncio.create_task(client.post("/api/v1/search", files=files)) for _ in range(admitted + beyond)}
        refused: set[asyncio.Task[httpx.Response]] = set()
        while len(refused) < beyond:
            refused |= (await asyncio.wait(tasks - refused, return_when=asyncio.FIRST_COMPLETED, timeout=60))[0]
        for task in refused:
            assert task.result().status_code == 503
            error = task.result().json()["error"]
            assert error["type"] == "TooMany" and "try again" in error["message"]
        for _ in range(MAX_PICTURE_SEARCHES):
            assert await asyncio.to_thread(held.begun.acquire, timeout=60)
        held.go_on.set()
        answers = await asyncio.gather(*(tasks - refused))
        assert [answer.status_code for answer in answers] == [200] * admitted
        assert held.most == MAX_PICTURE_SEARCHES
        assert (await client.post("/api/v1/search", files=files)).status_code == 200, "places are free again"

    _within(catalog, crowd)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "name", "admitted"),
    [
        ("/api/v1/search", "image", MAX_PICTURE_SEARCHES + MAX_WAITING_FORMS),
        ("/gradio_api/upload", "files", MAX_WAITING_FORMS),
    ],
)
def test_forms_with_pictures_that_are_being_received_are_bounded(
    catalog: Catalog, path: str, name: str, admitted: int
) -> None:
    form = httpx.Request("POST", "http://x", files={name: ("a.png", picture(COLOURS["red"]))})
    body, headers = form.read(), {"Content-Type": form.headers["Content-Type"]}

    async def crowd(client: httpx.AsyncClient) -> None:
        go_on, begun, cut = asyncio.Event(), 0, asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            nonlocal begun
            yield body[:20]
            begun += 1
            if begun == admitted:
                cut.set()
            await go_on.wait()
            yield body[20:]

        tasks = [asyncio.create_task(client.post(path, content=slowly(), headers=headers)) for _ in range(admitted)]
        await asyncio.wait_for(cut.wait(), 60)
        answer = await client.post(path, content=body, headers=headers)
        assert answer.status_code == 503 and answer.json()["error"]["type"] == "TooMany"
        tasks.pop().cancel()
        await asyncio.sleep(0)
        go_on.set()
        assert {answer.status_code for answer in await asyncio.gather(*tasks)} == {200}
        assert (await client.post(path, content=body, headers=headers)).status_code == 200

    _within(catalog, crowd)


@pytest.mark.slow
def test_calls_of_the_page_that_run_and_wait_are_bounded(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(create_app(catalog)) as address, httpx.Client(base_url=address) as client:
        held, function = Held(catalog, monkeypatch), search_of(client)

        def join(number: int) -> int:
            body = {"data": list(CONTROLS.values()), "fn_index": function, "session_hash": f"s{number}"}
            return client.post("/gradio_api/queue/join", json=body).status_code

        try:
            assert [join(number) for number in range(PAGE_SEARCHES_AT_ONCE)] == [200] * PAGE_SEARCHES_AT_ONCE
            for _ in range(PAGE_SEARCHES_AT_ONCE):
                assert held.begun.acquire(timeout=60)
            waiting = Counter(join(number) for number in range(100, 100 + MAX_WAITING_CALLS + 5))
            assert waiting == {200: MAX_WAITING_CALLS, 503: 5}
            assert held.most == PAGE_SEARCHES_AT_ONCE
        finally:
            held.go_on.set()
        for _ in range(MAX_WAITING_CALLS):
            assert held.begun.acquire(timeout=60)
        assert held.most == PAGE_SEARCHES_AT_ONCE
        assert join(999) == 200


def _within(catalog: Catalog, crowd: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
    """Run many requests at once against an application of the catalog, in one event loop."""

    async def run() -> None:
        transport = httpx.ASGITransport(create_app(catalog))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=60) as client:
            await crowd(client)

    asyncio.run(run())
