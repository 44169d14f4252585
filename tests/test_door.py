from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import HTTPException
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from starlette.types import Message

from lookalike import Catalog
from lookalike.ui.page.call_checks import CallChecks
from lookalike.ui.page.uploads import Uploads, remove_leftover_folders
from lookalike.ui.server.bounds import MAX_CALL_BYTES, MAX_SESSIONS, MAX_UNREAD, MAX_UPLOADS, MAX_UPLOADS_OF_ONE
from lookalike.ui.server.server import create_app
from tests.conftest import ROOT, colour_encoder
from tests.fakes import ColourEncoder
from tests.hostile import Trap
from tests.running import no_file_grows_beyond
from tests.serving import CONTROLS, call, functions, search_of, serving
from tests.test_handlers import keys
from tests.web_shop import COLOURS, make_shop, picture

META = {"_type": "gradio.FileData"}
GREEN = picture(COLOURS["green"], shade=9)
OPENED: list[str] = []
"""Paths that Python opened since it was last cleared; SQLite's own way to its files is another."""


def note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        OPENED.append(os.fsdecode(arguments[0]))


sys.addaudithook(note)


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


def clients(catalog: Catalog) -> Iterator[TestClient]:
    with TestClient(create_app(catalog), raise_server_exceptions=False) as made:
        yield made


def join(client: TestClient, **body: object) -> tuple[int, str]:
    answer = client.post("/gradio_api/queue/join", content=json.dumps({"session_hash": "h", **body}))
    return answer.status_code, answer.text


def paths(folder: Path) -> dict[str, str]:
    """Files of the machine that anyone might like to have, by what they are."""
    link = folder / "link.png"
    link.symlink_to(folder / "pictures" / "k01.png")
    return {
        "nothing": "/there/is/no/such/file",
        "picture": str(folder / "pictures" / "k01.png"),
        "link": str(link),
        "records": str(folder / "shop" / "records.sqlite"),
        "log": str(folder / "shop" / "records.sqlite-wal"),
        "passwords": "/etc/passwd",
        "environment": "/proc/self/environ",
        "endless": "/dev/zero",
        "folder": "/etc",
        "relative": "../../etc/passwd",
        "home": "~/.ssh/id_rsa",
        "nul": "\x00",
    }


def forms(path: str) -> list[object]:
    """Ways to hand Gradio a file: bare, by its address, hidden in others, several."""
    file = {"path": path, "meta": META}
    return [
        file,
        {"path": path},
        {"url": path, "path": path, "meta": META, "is_stream": True},
        {"url": f"file://{path}"},
        {"a": {"b": [{"c": file}]}},
        [file],
        [[{"x": [file, file]}]],
        [path],
        {},
        [],
    ]


@pytest.mark.slow
def test_no_value_of_a_call_is_a_file(client: TestClient, folder: Path) -> None:
    wanted = paths(folder)
    takes = functions(client)
    assert max(takes.values()) == len(CONTROLS) and len(takes) > 10
    with Trap(GREEN).open() as trap:
        wanted |= {"address": f"{trap.address}/a.png", "metadata": "http://169.254.169.254/latest"}
        OPENED.clear()
        answers = set()
        for name, path in wanted.items():
            for function, count in takes.items():
                plain = list(CONTROLS.values())[:count]
                for number, form in enumerate(forms(path)):
                    place = (number + function) % (count or 1)
                    answers.add(join(client, fn_index=function, data=[*plain[:place], form, *plain[place + 1 :]]))
                    if number < 3 or name == "records":
                        event = {"recipe": form, "key": form}
                        answers.add(join(client, fn_index=function, data=plain, event_data=event))
        opened = [one for one in OPENED if any(path in one for path in wanted.values() if len(path) > 4)]
        assert trap.count == 0
    assert [status for status, _ in answers] == [422], "one answer, whether there is a file or not"
    assert "reload the page" in answers.pop()[1]
    assert opened == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.sampled_from(["path", "meta", "x"]), inside),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(st.lists(JSON, max_size=3), JSON, st.integers(-2, 40))
def test_only_flat_calls_with_as_many_values_as_a_function_takes_pass(
    data: list[object], event: object, function: int
) -> None:
    takes = {0: 0, 3: 2, 9: 1}
    body = json.dumps({"data": data, "event_data": event, "fn_index": function, "session_hash": "h", "batched": True})
    messages = [{"type": "http.request", "body": body.encode(), "more_body": False}]

    async def receive() -> Message:
        return messages.pop()

    def flat(values: Iterable[object]) -> bool:
        return all(not isinstance(one, dict | list) for one in values)

    events = event.values() if isinstance(event, dict) else [event]
    good = takes.get(function) == len(data) and flat(data) and flat(events)
    coming = CallChecks(takes, {}, {}).read_call("/gradio_api/queue/join", receive)
    try:
        coming.send(None)
    except StopIteration as done:
        passed = json.loads(done.value)
        assert good and passed["data"] == data and passed["event_data"] == event
        assert set(passed) == {"data", "event_data", "fn_index", "trigger_id", "session_hash"}
    except HTTPException as refused:
        assert refused.status_code == 422 and not (good and _is_small(body))


def _is_small(body: str) -> bool:
    """Return whether a body has no number that is too long for JSON parsers."""
    return not any(len(part) > 4000 for part in body.split())


@pytest.mark.parametrize("function", [-1, 1, 999, 10**30, None, "2", 2.5, [2], {"path": "/etc/passwd"}])
def test_an_unknown_function_is_refused_in_words(client: TestClient, function: object) -> None:
    assert function not in list(functions(client))
    for data in ([], list(CONTROLS.values())):
        status, text = join(client, fn_index=function, data=data)
        assert status == 422 and "reload the page" in json.loads(text)["error"]["message"]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{", b"\xff", b'{"data": ' + b"[" * 100_000, b'{"data": [], "fn_index": 0}']
)
def test_what_is_no_call_is_refused_in_words(client: TestClient, body: bytes) -> None:
    for path in ("/gradio_api/queue/join", "/gradio_api/cancel"):
        answer = client.post(path, content=body)
        assert answer.status_code == 422 and answer.json()["error"]["type"] == "UsageError"


@pytest.mark.parametrize("session", ["", "x" * 65, "../h", "h\n", None, 3])
def test_a_session_of_an_odd_name_is_refused(client: TestClient, session: object) -> None:
    assert join(client, fn_index=search_of(client), data=[*CONTROLS.values()], session_hash=session)[0] == 422


def test_calls_are_bounded(client: TestClient) -> None:
    function, data = search_of(client), ["x" * MAX_CALL_BYTES, *list(CONTROLS.values())[1:]]
    status, text = join(client, fn_index=function, data=data)
    assert status == 413 and json.loads(text)["error"]["type"] == "TooLarge"


def test_answers_that_nobody_reads_are_not_piled_up() -> None:
    unread: dict[str, set[str]] = {}
    answers: dict[str, object] = {}
    checks = CallChecks({0: 0}, unread, answers)

    def checked(session: str) -> bool:
        body = json.dumps({"data": [], "fn_index": 0, "session_hash": session}).encode()

        async def receive() -> Message:
            return {"type": "http.request", "body": body}

        try:
            checks.read_call("/gradio_api/queue/join", receive).send(None)
        except StopIteration:
            unread.setdefault(session, set()).add(str(time.monotonic_ns()))
            answers[session] = "answers"
            return True
        except HTTPException as refused:
            assert refused.status_code == 429
        return False

    assert [checked("one") for _ in range(MAX_UNREAD + 3)] == [True] * MAX_UNREAD + [False] * 3
    unread["read"] = set()
    for number in range(2 * MAX_SESSIONS):
        assert checked(f"s{number}")
        assert len(unread) <= MAX_SESSIONS
        assert len(answers) <= MAX_SESSIONS
    assert "read" not in unread


@pytest.mark.slow
def test_a_picture_is_searched_with_by_who_sent_it_only(catalog: Catalog) -> None:
    with serving(create_app(catalog)) as address, httpx.Client(base_url=address) as own:
        function = search_of(own)
        answer = own.post("/gradio_api/upload", files={"files": ("/etc/passwd", GREEN)})
        (name,) = answer.json()
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=lax" in cookie and "/" not in name
        data = [*({**CONTROLS, "subject": json.dumps({"picture": name})}).values()]
        found, _ = call(own, function, data)
        assert [int(key[1:]) % len(COLOURS) for key in keys(found["html"])[:6]] == [1] * 6, "the green ones"
        for number in (one for one, count in functions(own).items() if count == 0 and one):
            event = {"recipe": json.dumps(found["recipe"]), "offset": 24, "key": "k00"}
            (said,) = call(own, number, [], event_data=event)
            assert "html" in said
        with httpx.Client(base_url=address) as other:
            other.post("/gradio_api/upload", files={"files": ("a.png", GREEN)})
            for stranger in (
                other,
                httpx.Client(base_url=address),
                httpx.Client(base_url=address, cookies={"lookalike-session": "x"}),
            ):
                refused, _ = call(stranger, function, data)
                assert "choose it again" in refused["problem"]
                made_up, _ = call(
                    stranger, function, [*({**CONTROLS, "subject": json.dumps({"picture": "x" * 43})}).values()]
                )
                assert made_up["html"] == refused["html"]
        assert "html" in call(own, function, data)[0]


@pytest.mark.parametrize(
    "sent",
    [
        {"data": {"files": "/etc/passwd"}},
        {"files": {"file": ("a.png", GREEN)}},
        {"files": [("files", ("a.png", GREEN)), ("files", ("b.png", GREEN))]},
        {"files": {"files": (None, "/etc/passwd")}},
        {"json": {"path": "/etc/passwd", "meta": META}},
        {"content": GREEN},
    ],
)
def test_only_one_file_of_a_form_is_a_picture_for_the_page(client: TestClient, sent: dict[str, Any]) -> None:
    answer = client.post("/gradio_api/upload", **sent)
    assert answer.status_code in (400, 422) and set(answer.json()) == {"error"}
    assert "set-cookie" not in answer.headers


def test_uploads_are_kept_within_their_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    uploads = Uploads()
    own = [uploads.put("me", io.BytesIO(b"%d" % number), 1) for number in range(MAX_UPLOADS_OF_ONE + 2)]
    with pytest.raises(Exception, match="choose it again"):
        uploads.read("me", own[1])
    assert uploads.read("me", own[2]) == b"2" and uploads.read("me", own[-1]) == b"9"
    for number in range(MAX_UPLOADS):
        newest = uploads.put(f"visitor {number}", io.BytesIO(b"x"), 1)
    with pytest.raises(Exception, match="choose it again"):
        uploads.read("me", own[-1])
    monkeypatch.setattr("lookalike.ui.page.uploads.MAX_UPLOADED_BYTES", 10)
    large = uploads.put("large", io.BytesIO(b"x" * 9), 9)
    assert uploads.read(f"visitor {MAX_UPLOADS - 1}", newest) == b"x" and uploads.read("large", large) == b"x" * 9
    monkeypatch.setattr("lookalike.ui.page.uploads.UPLOAD_SECONDS", -1.0)
    gone = uploads.put("late", io.BytesIO(b"x"), 1)
    with pytest.raises(Exception, match="choose it again"):
        uploads.read("late", gone)
    uploads.close()
    with pytest.raises(Exception, match="choose it again"):
        uploads.read("large", large)


def test_a_picture_that_does_not_fit_on_the_disk_leaves_nothing_and_the_next_is_taken(
    new_client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, folder = new_client, tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    large = GREEN + os.urandom(3_000_000)
    for path, name in (("/gradio_api/upload", "files"), ("/api/v1/search", "image")):
        with no_file_grows_beyond(2_000_000):
            answer = client.post(path, files={name: ("a.png", large)})
        assert answer.status_code == 507 and "no room" in answer.json()["error"]["message"]
        assert list(folder.iterdir()) == []
        assert client.post(path, files={name: ("a.png", GREEN)}).status_code == 200
        assert client.post(path, files={name: ("a.png", large)}).status_code == 200
        assert list(folder.iterdir()) == [], "its file has no name"


def test_folders_of_killed_servers_are_removed_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "photo.png").write_bytes(GREEN)
    for name in ("lookalike-uploads-dead", "lookalike-uploads-used", "lookalike-uploads", "lookalike-uploads-x.txt"):
        folder = tmp_path / name
        if folder.suffix:
            folder.write_text("a file")
        else:
            (folder / "ab").mkdir(parents=True)
            (folder / "ab" / "photo.png").write_bytes(GREEN)
    (tmp_path / "lookalike-uploads-link").symlink_to(tmp_path / "elsewhere")
    for path in (*tmp_path.rglob("*"),):
        os.utime(path, (0, 0), follow_symlinks=False)
    os.utime(tmp_path / "lookalike-uploads-used" / "ab" / "photo.png")
    remove_leftover_folders()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "elsewhere",
        "lookalike-uploads",
        "lookalike-uploads-link",
        "lookalike-uploads-used",
        "lookalike-uploads-x.txt",
    ]
    assert (tmp_path / "elsewhere" / "photo.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_that_was_asked_for_an_endless_file_ends_and_leaves_no_file(tmp_path: Path, end: int) -> None:
    with Catalog.create(tmp_path / "shop", dim=3) as catalog:
        catalog.add_vectors(["a", "b"], [[1, 0, 0], [0, 1, 0]])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = [
        sys.executable,
        "-c",
        "from lookalike.ui.cli.main import main; main()",
        "serve",
        str(tmp_path / "shop"),
        "--port",
        str(port),
    ]
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    with subprocess.Popen(command, env=surroundings, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert "Lookalike is at" in server.stdout.readline()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            function = search_of(client)
            for path in ("/dev/zero", "/dev/stdin", "/etc/passwd"):
                data = [*({**CONTROLS, "subject": {"path": path, "meta": META}}).values()]
                body = {"data": data, "fn_index": function, "session_hash": "h"}
                assert client.post("/gradio_api/queue/join", json=body).status_code == 422
            assert client.post("/gradio_api/upload", files={"files": ("a.png", GREEN)}).status_code == 200
            large = GREEN + os.urandom(2_000_000)
            assert client.post("/gradio_api/upload", files={"files": ("a.png", large)}).status_code == 200
            assert len(call(client, function, [*CONTROLS.values()])) == 2
        server.send_signal(end)
        server.wait(15)
    assert list(temporary.iterdir()) == []
    shutil.rmtree(temporary)


@pytest.mark.parametrize("value", ["/etc/passwd", "file:///etc/passwd", "http://127.0.0.1/a.png", "img/0.png"])
def test_the_api_takes_no_file_by_its_name_either(client: TestClient, value: str) -> None:
    file = {"path": value, "meta": META}
    for body in ({"image": value}, {"image": file}, {"text": file}, {"like": [file]}, {"params": {"x": file}}):
        answer = client.post("/api/v1/search", json=body)
        assert answer.status_code == 422 and answer.json()["error"]["type"] == "UsageError"
    for files in ({"image": (None, value)}, {"text": (value, b"red")}, {"image": (value, b"no picture")}):
        assert client.post("/api/v1/search", files=files).status_code == 422
    good = client.post("/api/v1/search", files={"image": (value, GREEN)})
    assert good.status_code == 200 and good.json()["hits"][0]["fields"]["colour"] == "green"
