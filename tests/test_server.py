from __future__ import annotations

import base64
import errno
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import lookalike.ui.server.guard
from lookalike import Catalog
from lookalike.data.errors import UsageError
from lookalike.ui.server.guard import LOOPBACK
from lookalike.ui.server.server import create_app, serve
from tests.conftest import colour_encoder
from tests.fakes import ColourEncoder
from tests.web_shop import make_shop

KEY = "a key with ünicode"
ADDRESS = re.compile(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", re.IGNORECASE)


@pytest.fixture(scope="module")
def encoder() -> Iterator[ColourEncoder]:
    yield from colour_encoder()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def catalog(folder: Path, encoder: ColourEncoder) -> Iterator[Catalog]:
    with make_shop(folder) as made:
        yield made


@pytest.fixture(scope="module")
def client(catalog: Catalog) -> Iterator[TestClient]:
    yield from clients(catalog)


@pytest.fixture
def new_client(catalog: Catalog) -> Iterator[TestClient]:
    """A client of an application that nobody has called."""
    yield from clients(catalog)


@pytest.fixture(scope="module")
def locked(catalog: Catalog) -> Iterator[TestClient]:
    with TestClient(create_app(catalog, api_key=KEY)) as made:
        yield made


def clients(catalog: Catalog) -> Iterator[TestClient]:
    with TestClient(create_app(catalog, hosts=LOOPBACK), base_url="http://127.0.0.1:7860") as made:
        yield made


def basic(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"anyone:{password}".encode()).decode()}


def test_health_metrics_and_reference(new_client: TestClient) -> None:
    client = new_client
    assert client.get("/healthz").json() == {"status": "ok"}
    client.post("/api/v1/search", json={"text": "red"})
    client.post("/api/v1/search", json={"filter": "price <"})
    measures = client.get("/metrics").text
    assert "lookalike_items 30.0" in measures
    assert 'lookalike_searches_total{source="rest"} 1.0' in measures
    assert 'lookalike_errors_total{type="FilterError"} 1.0' in measures
    assert "lookalike_search_seconds_bucket" in measures
    paths = client.get("/openapi.json").json()["paths"]
    docs = client.get("/docs").text
    assert {"/api/v1/search", "/api/v1/items/{key}", "/api/v1/facets", "/api/v1/info", "/api/v1/items"} <= set(paths)
    assert all(path in docs for path in paths)
    assert "min_score" in docs and "multipart/form-data" in docs


@pytest.mark.slow
def test_two_applications_count_apart(catalog: Catalog, client: TestClient) -> None:
    client.post("/api/v1/search", json={"text": "red"})
    with TestClient(create_app(catalog)) as other:
        assert 'source="rest"' not in other.get("/metrics").text


def test_an_empty_catalog_is_served(tmp_path: Path, encoder: ColourEncoder) -> None:
    with Catalog.create(tmp_path / "empty", model="compact") as catalog, TestClient(create_app(catalog)) as client:
        assert client.get("/healthz").status_code == 200
        assert client.post("/api/v1/search", json={"text": "red"}).json()["hits"] == []
        assert client.get("/").status_code == 200


@pytest.mark.parametrize("path", ["/", "/docs", "/page.js", "/page.css", "/theme.css"])
def test_what_is_served_names_no_other_site(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    text = answer.text.replace("http://127.0.0.1:7860", "").replace("http://www.w3.org", "")
    assert ADDRESS.findall(re.sub(r"//# sourceMappingURL.*", "", text)) == []


def test_the_page_has_our_head_and_a_strict_policy(client: TestClient) -> None:
    page = client.get("/")
    assert "<script src=" in page.text and "page.js" in page.text and 'rel="icon"' in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert client.head("/").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/queue/status",
        "/gradio_api/info",
        "/gradio_api/openapi.json",
        "/gradio_api/file=/etc/hostname",
        "/gradio_api/file={folder}/records.sqlite",
        "/gradio_api/proxy=http://example.org/",
        "/gradio_api/run-history/records",
        "/gradio_api/runs",
        "/gradio_api/component_server",
        "/monitoring",
        "/monitoring/summary",
        "/login",
        "/records.sqlite",
        "/../records.sqlite",
        "/api/v1/nothing",
    ],
)
def test_only_what_the_page_needs_of_gradio_exists(client: TestClient, folder: Path, path: str) -> None:
    answer = client.get(path.replace("{folder}", str(folder / "shop")))
    assert answer.status_code in (404, 405)
    assert set(answer.json()["error"]) == {"type", "message", "remedy"}


def test_gradio_functions_cannot_be_called_past_the_queue(client: TestClient) -> None:
    for path in ("/gradio_api/run/predict", "/gradio_api/api/search", "/gradio_api/call/search", "/api/predict"):
        assert client.post(path, json={"data": []}).status_code == 404


def test_uploads_are_limited(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    small = client.post("/gradio_api/upload", files=[("files", ("a.png", b"x" * 100))])
    assert small.status_code == 200
    monkeypatch.setattr(lookalike.ui.server.guard, "MAX_BODY_BYTES", 1000)
    assert client.post("/gradio_api/upload", files=[("files", ("a.png", b"x" * 2000))]).status_code == 413


def test_other_host_names_are_refused(client: TestClient) -> None:
    for host in ("localhost:7860", "127.0.0.1", "[::1]:7860"):
        assert client.get("/healthz", headers={"Host": host}).status_code == 200
    for host in ("evil.example", "127.0.0.1.evil.example:7860", "", "[", "user@127.0.0.1:7860/x"):
        assert client.get("/api/v1/info", headers={"Host": host}).status_code in (400, 421), host


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://["}])
def test_pages_of_other_sites_cannot_write_or_read(client: TestClient, headers: dict[str, str]) -> None:
    for method, path in (("DELETE", "/api/v1/items"), ("POST", "/api/v1/search"), ("POST", "/gradio_api/upload")):
        answer = client.request(method, path, json={"keys": ["k00"]}, headers=headers)
        assert answer.status_code == 403
    read = client.get("/api/v1/info", headers=headers)
    assert not any(name.startswith("access-control") for name in read.headers)
    config = client.get("/config", headers=headers)
    assert not any(name.startswith("access-control") for name in config.headers)
    cross = {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:7860"}
    assert client.post("/api/v1/search", json={}, headers=cross).status_code == 403
    own = {"Origin": "http://127.0.0.1:7860"}
    assert client.post("/api/v1/search", json={}, headers=own).status_code == 200


def test_with_a_key_all_is_closed_without_it(locked: TestClient, catalog: Catalog) -> None:
    hit = catalog.search(limit=1)[0]
    paths = ["/", "/docs", "/metrics", "/config", "/page.js", "/openapi.json", "/gradio_api/queue/data"]
    for path in [*paths, "/api/v1/info", f"/thumbnails/{hit.image_id}.webp", "/nothing"]:
        answer = locked.get(path)
        assert answer.status_code == 401 and "Basic" in answer.headers["www-authenticate"], path
    assert locked.post("/api/v1/search", json={}).status_code == 401
    assert locked.post("/gradio_api/upload", files=[("files", ("a.png", b"x"))]).status_code == 401
    assert locked.request("DELETE", "/api/v1/items", json={"keys": ["k00"]}).status_code == 401
    assert locked.get("/healthz").status_code == 200


def test_the_key_opens_page_pictures_and_api_alike(locked: TestClient, catalog: Catalog) -> None:
    hit = catalog.search(limit=1)[0]
    for path in ("/", "/api/v1/info", f"/thumbnails/{hit.image_id}.webp", "/metrics", "/docs"):
        assert locked.get(path, headers=basic(KEY)).status_code == 200
        assert locked.get(path, headers=[(b"Authorization", f"Bearer {KEY}".encode())]).status_code == 200


@pytest.mark.parametrize(
    "value", ["Bearer", "Bearer wrong", "Basic", "Basic !!!", "Basic /w==", "Digest x", f"Bearer {KEY[:-1]}x", "x"]
)
def test_a_wrong_key_opens_nothing(locked: TestClient, value: str) -> None:
    assert locked.get("/api/v1/info", headers=[(b"Authorization", value.encode())]).status_code == 401
    assert locked.get("/", headers=basic("")).status_code == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "shop.example"])
def test_another_address_without_a_key_is_refused(catalog: Catalog, host: str) -> None:
    for key in (None, ""):
        with pytest.raises(UsageError, match="--api-key"):
            serve(catalog, host, 7860, api_key=key)


def test_a_port_in_use_is_a_clear_error(catalog: Catalog) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="--port"):
            serve(catalog, port=taken.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "port", "error", "words"),
    [
        (
            "198.51.100.7",
            0,
            None,
            "it is not an address of this machine. Use 127.0.0.1 to serve this machine only, or 0.0",
        ),
        ("2001:db8::7", 0, OSError(errno.EADDRNOTAVAIL, "x"), "it is not an address of this machine. Use 127.0.0.1"),
        ("no host", 0, None, "there is no host of that name. Use 127.0.0.1"),
        ("127.0.0.1", 80, PermissionError(errno.EACCES, "x"), "this user may not use it. Choose a port above 1023"),
        ("127.0.0.1", 7860, OSError(errno.EADDRINUSE, "x"), "another program uses it. Choose another port, or 0"),
    ],
)
def test_an_address_that_cannot_be_used_is_explained(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, host: str, port: int, error: OSError | None, words: str
) -> None:
    class Refusing(socket.socket):
        def bind(self, address: object) -> None:
            raise error or AssertionError

    if error is not None:
        monkeypatch.setattr(socket, "socket", Refusing)
    with pytest.raises(UsageError) as refused:
        serve(catalog, host, port, api_key="a key")
    assert str(refused.value).startswith(f"Cannot listen on {host}, port {port}: {words}")


def test_a_host_that_is_no_text_is_refused(catalog: Catalog) -> None:
    with pytest.raises(UsageError, match="no address"):
        serve(catalog, "\udcff", 0, api_key="a-key")
