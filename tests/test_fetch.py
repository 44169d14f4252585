from __future__ import annotations

import gzip
import hashlib
import io
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.data.errors import FetchFailed
from lookalike.data.fetch.answer import seconds_until
from lookalike.data.fetch.cache import CacheEntry, FetchCache
from lookalike.data.fetch.fetcher import Fetcher
from lookalike.data.fetch.hosts import Hosts, Stopped
from lookalike.data.fetch.settings import FetchSettings
from tests.web_host import Answer, Asked, WebHost, answer, hosting, in_turn, with_etag

MEGABYTE = 1_000_000
QUICK = FetchSettings(
    allowed=frozenset({"127.0.0.1"}),
    timeout_s=0.6,
    silence_s=0.3,
    attempts=2,
    backoff_s=0.01,
    max_bytes=MEGABYTE,
)


def png(seed: int = 1) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


PICTURE = png()


@pytest.fixture
def host() -> Iterator[WebHost]:
    with hosting() as running:
        yield running


Make = Callable[..., Fetcher]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Fetcher] = []

    def one(
        settings: FetchSettings = QUICK,
        addresses: Callable[[str, int], Sequence[str]] | None = None,
        trusted: ssl.SSLContext | None = None,
    ) -> Fetcher:
        cache = FetchCache(tmp_path / "fetched", max_bytes=settings.cache_bytes)
        chosen = {"resolve": addresses} if addresses else {}
        made.append(Fetcher(cache, settings, ssl_context=trusted, **chosen))
        return made[-1]

    yield one
    for fetcher in made:
        fetcher.close()


def why(fetcher: Fetcher, url: str) -> str:
    with pytest.raises(FetchFailed) as caught:
        fetcher.fetch(url)
    return str(caught.value)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


# --- what is well behaved ---------------------------------------------------------------------------------------------


def test_a_picture_arrives_byte_for_byte_over_one_connection(host: WebHost, make: Make) -> None:
    pictures = {f"/{number}.png": png(number) for number in range(5)}
    host.answers = {path: answer(content) for path, content in pictures.items()}
    fetcher = make()
    for path, content in pictures.items():
        fetched = fetcher.fetch(host.url(path))
        assert fetched.path is not None
        assert fetched.path.read_bytes() == content
        assert fetched.sha256 == hashlib.sha256(content).digest()
    assert host.connections == 1
    assert (fetcher.counts.fetched, fetcher.counts.bytes) == (5, sum(map(len, pictures.values())))
    assert host.asked[0].headers["accept-encoding"] == "identity"
    assert host.asked[0].headers["host"] == f"127.0.0.1:{host.port}"


def test_what_is_not_ascii_in_an_address_is_sent_as_browsers_do(host: WebHost, make: Make) -> None:
    host.answers["/caf%C3%A9/a%20b%2B.png?q=%C3%BC&x=1"] = answer(PICTURE)
    make().fetch(host.url("/café/a b%2B.png?q=ü&x=1#part"))
    assert len(host.asked) == 1


def test_redirects_are_followed_also_relative_ones(host: WebHost, make: Make) -> None:
    host.answers = {
        "/a": answer(b"moved", "302 Found", Location="b/c"),
        "/b/c": answer(b"", "308 Permanent Redirect", Location=host.url("/d?e=f")),
        "/d?e=f": answer(PICTURE),
    }
    assert make().fetch(host.url("/a")).sha256 == hashlib.sha256(PICTURE).digest()
    assert host.connections == 1


def test_the_name_is_sent_and_the_resolved_address_connected_to(make: Make) -> None:
    with hosting("127.0.0.2") as elsewhere:
        elsewhere.answers["/a.png"] = answer(PICTURE)
        asked: list[tuple[str, int]] = []

        def addresses(name: str, port: int) -> Sequence[str]:
            asked.append((name, port))
            return ["127.0.0.2"]

        make(replace(QUICK, allow_private=True), addresses).fetch(elsewhere.url("/a.png", "Shop.Example."))
        assert asked == [("shop.example", elsewhere.port)]
        assert elsewhere.asked[0].headers["host"] == f"shop.example:{elsewhere.port}"


def test_a_host_of_several_addresses_is_reached_by_the_one_that_answers(host: WebHost, make: Make) -> None:
    host.answers["/a.png"] = answer(PICTURE)
    fetcher = make(replace(QUICK, allow_private=True), lambda name, port: ["127.0.0.3", "127.0.0.1"])
    assert fetcher.fetch(host.url("/a.png", "shop.example")).path is not None


def test_what_is_packed_though_not_asked_for_is_unpacked(host: WebHost, make: Make) -> None:
    host.answers["/a.png"] = answer(gzip.compress(PICTURE), Content_Encoding="gzip")
    assert make().fetch(host.url("/a.png")).sha256 == hashlib.sha256(PICTURE).digest()


# --- hostile servers --------------------------------------------------------------------------------------------------


def dripping(head: bytes) -> Answer:
    """Send a byte now and then, without end: every wait is shorter than the allowed silence."""

    def write(connection: socket.socket, asked: Asked) -> bool:
        connection.sendall(head)
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)

    return write


def silent(connection: socket.socket, asked: Asked) -> bool:
    connection.recv(1)
    return False


def endless(head: bytes, piece: bytes) -> Answer:
    def write(connection: socket.socket, asked: Asked) -> bool:
        connection.sendall(head)
        while True:
            connection.sendall(piece)

    return write


def raw(content: bytes) -> Answer:
    def write(connection: socket.socket, asked: Asked) -> bool:
        connection.sendall(content)
        return False

    return write


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
PIECE = bytes(65536)


@pytest.mark.parametrize(
    ("hostile", "reason"),
    [
        pytest.param(dripping(OK + b"X-Slow: "), "did not answer in time", id="slow headers"),
        pytest.param(dripping(OK + b"Content-Length: 9000\r\n\r\n"), "did not answer in time", id="slow body"),
        pytest.param(silent, "did not answer in time", id="silence"),
        pytest.param(answer(PICTURE[:50], Content_Length="500"), "broke off", id="closed in the middle"),
        pytest.param(raw(CHUNKED + b"5\r\nhello\r\n"), "broke off", id="chunks that stop"),
        pytest.param(raw(CHUNKED + b"zz\r\n"), "broke off", id="no number of a chunk"),
        pytest.param(raw(b"SSH-2.0-OpenSSH_9.6\r\n"), "broke off", id="another protocol"),
        pytest.param(raw(b""), "broke off", id="no answer"),
        pytest.param(raw(OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"), "broke off", id="two lengths"),
        pytest.param(endless(OK, b"X-Flood: " + b"x" * 9000 + b"\r\n"), "broke off", id="headers without end"),
        pytest.param(answer(gzip.compress(PICTURE)[:-20], Content_Encoding="gzip"), "ends early", id="half a gzip"),
        pytest.param(answer(b"no gzip at all", Content_Encoding="gzip"), "damaged", id="no gzip"),
        pytest.param(answer(b"", "500 Oh"), "answers 500 (Internal Server Error)", id="a failing server"),
        pytest.param(answer(b"", "429 Later"), "answers 429 (Too Many Requests)", id="a busy server"),
    ],
)
def test_what_may_pass_is_tried_again_and_then_said(host: WebHost, make: Make, hostile: Answer, reason: str) -> None:
    host.answers["/a.jpg"] = hostile
    started = time.monotonic()
    with pytest.raises(FetchFailed, match="Tried 2 times") as caught:
        make().fetch(host.url("/a.jpg"))
    assert reason in str(caught.value)
    assert caught.value.temporary
    assert host.paths() == ["/a.jpg", "/a.jpg"]
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    ("hostile", "reason"),
    [
        pytest.param(endless(CHUNKED, b"10000\r\n" + PIECE + b"\r\n"), "more than 1 MB", id="chunks without end"),
        pytest.param(endless(OK + b"\r\n", PIECE), "more than 1 MB", id="a body without end"),
        pytest.param(
            endless(OK + b"Content-Length: 2000000000\r\n\r\n", PIECE), "more than 1 MB", id="two gigabytes, announced"
        ),
        pytest.param(
            answer(gzip.compress(bytes(200 * MEGABYTE), 1), Content_Encoding="gzip"), "more than 1 MB", id="gzip bomb"
        ),
        pytest.param(
            endless(CHUNKED.replace(b"OK", b"OK\r\nContent-Encoding: gzip"), b"10000\r\n" + PIECE + b"\r\n"),
            "damaged",
            id="not even gzip",
        ),
        pytest.param(answer(PICTURE, Content_Encoding="br"), "compressed its answer with br", id="another packing"),
        pytest.param(
            answer(PICTURE, Content_Encoding="gzip, gzip"), "compressed its answer with gzip, gzip", id="packed twice"
        ),
        pytest.param(answer(b"<!DOCTYPE html><p>Not found", Content_Type="image/jpeg"), "web page", id="page as JPEG"),
        pytest.param(answer(b"\xef\xbb\xbf\n <HTML>"), "web page", id="a page after blanks"),
        pytest.param(answer(b"<p>gone</p>", Content_Type="text/html; charset=utf-8"), "web page", id="part of a page"),
        pytest.param(answer(b""), "no bytes at all", id="nothing"),
        pytest.param(answer(b"", "404 Not Found"), "answers 404 (Not Found)", id="not there"),
        pytest.param(answer(b"", "403 Forbidden"), "answers 403 (Forbidden)", id="forbidden"),
        pytest.param(answer(b"", "304 Not Modified"), "answers 304", id="unchanged, unasked"),
        pytest.param(answer(PICTURE, "206 Partial Content"), "answers 206", id="a part"),
        pytest.param(answer(b"", "799 Odd"), "answers 799", id="a status that is none"),
        pytest.param(answer(b"", "302 Found"), "answers 302", id="a redirect to nowhere"),
        pytest.param(answer(b"", "302 Found", Location="/a.jpg"), "more than 5 times", id="a loop"),
        pytest.param(answer(b"", "302 Found", Location="file:///etc/passwd"), "not over file", id="to a file"),
        pytest.param(answer(b"", "302 Found", Location="ftp://127.0.0.1/a"), "not over ftp", id="to another protocol"),
        pytest.param(answer(b"", "302 Found", Location="http://a:b@127.0.0.1/"), "a password", id="to a password"),
        pytest.param(answer(b"", "302 Found", Location="http://[::1"), "is not followed", id="to no address"),
        pytest.param(answer(b"", "302 Found", Location="http://169.254.169.254/latest"), "metadata", id="to metadata"),
        pytest.param(answer(b"", "302 Found", Location="http://[::1]:8000/"), "of this machine", id="to IPv6 loopback"),
        pytest.param(answer(b"", "302 Found", Location="//127.0.0.2/"), "of this machine", id="to this machine"),
        pytest.param(answer(b"", "302 Found", Location="http://127.0.0.1:22/"), "Port 22", id="to a login server"),
    ],
)
def test_what_will_not_pass_is_refused_at_once(
    host: WebHost, make: Make, tmp_path: Path, hostile: Answer, reason: str
) -> None:
    host.answers["/a.jpg"] = hostile
    fetcher = make(replace(QUICK, attempts=1) if reason == "damaged" else QUICK)
    with pytest.raises(FetchFailed) as caught:
        fetcher.fetch(host.url("/a.jpg"))
    assert reason in str(caught.value)
    assert set(host.paths()) == {"/a.jpg"}
    assert len(host.paths()) == (6 if "5 times" in reason else 1)
    assert fetcher.counts.bytes <= MEGABYTE + 65536
    assert files(tmp_path) == []


def test_a_body_of_two_gigabytes_is_hung_up_on(make: Make) -> None:
    sent = []

    def write(connection: socket.socket, asked: Asked) -> bool:
        connection.sendall(OK + b"\r\n")
        for _ in range(2 * 10**9 // len(PIECE)):
            connection.sendall(PIECE)
            sent.append(len(PIECE))
        return False

    with hosting() as host:
        host.answers["/"] = write
        assert "more than 1 MB" in why(make(), host.url("/"))
    assert sum(sent) < 64 * MEGABYTE  # what the system buffers on the way


def test_a_failing_server_is_asked_again_until_it_answers(host: WebHost, make: Make) -> None:
    host.answers["/a.png"] = in_turn(answer(b"", "503 Busy"), answer(PICTURE[:9], Content_Length="90"), answer(PICTURE))
    fetcher = make(replace(QUICK, attempts=3))
    assert fetcher.fetch(host.url("/a.png")).sha256 == hashlib.sha256(PICTURE).digest()
    assert len(host.asked) == 3


def test_a_pause_that_a_server_asks_for_is_kept_by_all_requests_to_it(host: WebHost, make: Make) -> None:
    host.answers = {
        "/a": in_turn(answer(b"", "429 Later", Retry_After="1"), answer(PICTURE)),
        "/b": answer(PICTURE),
    }
    fetcher = make()
    started = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(fetcher.fetch, host.url("/a"))
        while not host.asked:
            time.sleep(0.01)
        time.sleep(0.1)
        pool.submit(fetcher.fetch, host.url("/b")).result()
        assert time.monotonic() - started >= 1
        first.result()
    assert sorted(host.paths()) == ["/a", "/a", "/b"]


def test_a_pause_that_is_too_long_ends_the_asking_of_that_host(host: WebHost, make: Make) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
    host.answers = {"/a": answer(b"", "503 Busy", Retry_After=later), "/b": answer(PICTURE)}
    fetcher = make()
    assert "asks for a pause of 7," in why(fetcher, host.url("/a"))
    assert "asks for a pause of 7," in why(fetcher, host.url("/b"))
    assert host.paths() == ["/a"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("120", 120), ("0", 0), ("9" * 400, 999999999999), ("-5", None), ("soon", None), ("", None), (None, None)],
)
def test_a_retry_after_is_seconds(text: str | None, seconds: float | None) -> None:
    assert seconds_until(text) == seconds


def test_a_retry_after_is_a_date() -> None:
    ahead = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert seconds_until(ahead) == pytest.approx(100, abs=2)
    assert seconds_until("Wed, 21 Oct 2015 07:28:00 GMT") == 0


# --- whom to ask ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1/", "of this machine"),
        ("http://2130706433/", "of this machine"),
        ("http://0x7f.1/", "of this machine"),
        ("http://0177.0.0.1/", "of this machine"),
        ("http://127.1/", "of this machine"),
        ("http://0/", "of this machine"),
        ("http://localhost./", "of this machine"),
        ("http://１２７.０.０.１/", "of this machine"),
        ("http://[::]/", "of this machine"),
        ("http://[::ffff:127.0.0.1]/", "of this machine"),
        ("http://[64:ff9b::a9fe:a9fe]/", "metadata"),
        ("http://169.254.169.254/", "metadata"),
        ("http://[fd00:ec2::254]/", "metadata"),
        ("http://100.100.100.200/", "metadata"),
        ("http://168.63.129.16/", "metadata"),
        ("https://10.0.0.1/", "a private address"),
        ("https://192.168.1.1/", "a private address"),
        ("https://[fd12::1]/", "a private address"),
        ("http://[fe80::1]/", "link-local"),
        ("http://[fe80::1%25eth0]/", "network interface"),
        ("http://1.2.3.4:25/", "Port 25"),
        ("http://user@1.2.3.4/", "a user name"),
        ("http://1.2.3.4\\@5.6.7.8/", "a user name"),
        ("http://1.2.3.4\\.example/", "is not a valid name"),
        ("http:///a.png", "no host"),
        ("http://a..b/", "is not a valid name"),
        ("http://exa mple/", "is not a valid name"),
        ("http://shop.example:99999/", "cannot be read"),
        ("http://shop.example/a\nb", "control characters"),
        ("http://shop.example/" + "a" * 9000, "characters"),
        ("http://☃☃" + "a" * 70 + ".example/", "is not a valid name"),
        ("http://shop.example/\ud800", "cannot be read"),
        ("gopher://shop.example/", "not over gopher"),
        ("s3://bucket/a.png", "not over s3"),
    ],
)
def test_an_address_that_leads_inside_or_nowhere_is_refused(make: Make, url: str, reason: str) -> None:
    assert reason in why(make(replace(QUICK, allowed=frozenset())), url)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("0.1.2.3", "of this machine"),
        ("100.64.0.1", "a private address"),
        ("172.31.255.255", "a private address"),
        ("192.0.0.8", "a reserved address"),
        ("198.19.0.1", "a private address"),
        ("203.0.113.9", "a reserved address"),
        ("224.0.0.251", "a multicast address"),
        ("255.255.255.255", "a reserved address"),
        ("::ffff:10.0.0.1", "a private address"),
        ("::ffff:169.254.169.254", "metadata"),
        ("64:ff9b::10.1.2.3", "a private address"),
        ("64:ff9b:1::1", "a reserved address"),
        ("::127.0.0.1", "a reserved address"),
        ("::ffff:0:127.0.0.1", "a reserved address"),
        ("2002:7f00:1::", "a reserved address"),
        ("2001:0:7f00:1::", "a reserved address"),
        ("2001:db8::1", "a reserved address"),
        ("fe80::1%2", "link-local"),
        ("fec0::1", "a private address"),
        ("ff02::1", "a multicast address"),
        ("4000::1", "a reserved address"),
        ("nonsense", "not a valid address"),
    ],
)
def test_a_name_that_resolves_inside_is_refused(make: Make, address: str, reason: str) -> None:
    fetcher = make(replace(QUICK, allowed=frozenset()), lambda name, port: ["1.1.1.1", address])
    assert reason in why(fetcher, "http://shop.example/")


@pytest.mark.parametrize("address", ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::1.1.1.1"])
def test_public_addresses_are_not_refused(make: Make, address: str) -> None:
    fetcher = make(replace(QUICK, attempts=1, silence_s=0.05), lambda name, port: [address])
    assert "public" not in why(fetcher, "http://shop.example/")


def test_a_name_is_resolved_once_for_a_connection_and_checked_anew_for_the_next(host: WebHost, make: Make) -> None:
    asked = []

    def rebinding(name: str, port: int) -> Sequence[str]:
        asked.append(name)
        return ["192.0.2.1"] if len(asked) == 1 else ["127.0.0.1"]

    settings = replace(QUICK, allowed=frozenset({"192.0.2.1"}), silence_s=0.1)
    assert "of this machine" in why(make(settings, rebinding), host.url("/", "shop.example"))
    assert asked == ["shop.example", "shop.example"]  # the first try went to 192.0.2.1, where nobody is
    assert host.connections == 0


def test_a_name_server_that_does_not_answer_is_asked_again(host: WebHost, make: Make) -> None:
    host.answers["/"] = answer(PICTURE)
    found: list[Exception | list[str]] = [socket.gaierror(socket.EAI_AGAIN, "later"), ["127.0.0.1"]]

    def addresses(name: str, port: int) -> Sequence[str]:
        one = found.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    make(addresses=addresses).fetch(host.url("/", "shop.example"))
    assert found == []


def test_a_name_that_is_none_is_not_asked_for_twice(make: Make) -> None:
    asked = []

    def addresses(name: str, port: int) -> Sequence[str]:
        asked.append(name)
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    assert "The host shop.example was not found." in why(make(addresses=addresses), "https://shop.example/")
    assert len(asked) == 1


def test_proxies_of_the_environment_are_not_used(host: WebHost, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    with hosting() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url("/"))
        host.answers["/"] = answer(PICTURE)
        make().fetch(host.url("/"))
        assert proxy.connections == 0


# --- certificates -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("certificate")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=shop.example"]
    command += ["-addext", "subjectAltName=DNS:shop.example", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


def test_the_certificate_has_to_be_trusted_and_that_of_the_name(certificate: tuple[Path, Path], make: Make) -> None:
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(*certificate)
    names = []
    serving.sni_callback = lambda connection, name, context: names.append(name)
    with hosting(context=serving) as host:
        host.answers["/"] = answer(PICTURE)

        def addresses(name: str, port: int) -> Sequence[str]:
            return ["127.0.0.1"]

        assert "certificate of shop.example is not trusted" in why(
            make(addresses=addresses), host.url("/", "shop.example")
        )
        trusted = ssl.create_default_context(cafile=certificate[0])
        other = make(addresses=addresses, trusted=trusted)
        assert "certificate of other.example is not trusted" in why(other, host.url("/", "other.example"))
        other.fetch(host.url("/", "shop.example"))
        assert names == ["shop.example", "other.example", "shop.example"]
        assert host.paths() == ["/"]


def test_a_redirect_from_https_to_http_is_not_followed(certificate: tuple[Path, Path], make: Make) -> None:
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(*certificate)
    with hosting(context=serving) as host, hosting() as plain:
        host.answers["/"] = answer(b"", "301 Moved", Location=plain.url("/"))
        trusted = ssl.create_default_context(cafile=certificate[0])
        fetcher = make(addresses=lambda name, port: ["127.0.0.1"], trusted=trusted)
        assert "from https to http" in why(fetcher, host.url("/", "shop.example"))
        assert plain.connections == 0


# --- how hard to ask --------------------------------------------------------------------------------------------------


def test_no_more_than_so_many_requests_to_a_host_at_a_time(host: WebHost, make: Make) -> None:
    together = threading.Barrier(3, timeout=5)

    def write(connection: socket.socket, asked: Asked) -> bool:
        together.wait()  # three have to be here at once, or none goes on
        return answer(PICTURE)(connection, asked)

    host.answers = {f"/{number}": write for number in range(12)}
    fetcher = make(replace(QUICK, per_host=3, timeout_s=5, silence_s=5))
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(fetcher.fetch, [host.url(path) for path in host.answers]))
    assert host.most_at_once == 3
    assert len(host.asked) == 12


def test_a_host_that_stays_silent_is_given_up() -> None:
    hosts = Hosts(4, patience_s=0)
    for _ in range(15):
        hosts.note_silence("down.example")
    hosts.note_answer("down.example")
    for _ in range(15):
        hosts.note_silence("down.example")
    with hosts.turn("down.example"):
        pass
    hosts.note_silence("down.example")
    with pytest.raises(FetchFailed, match="has not answered 16 requests in a row"), hosts.turn("down.example"):
        pass
    with hosts.turn("up.example"):
        pass


def test_stopping_ends_reading_and_waiting_at_once(host: WebHost, make: Make) -> None:
    reading = threading.Event()

    def never(connection: socket.socket, asked: Asked) -> bool:
        reading.set()
        return silent(connection, asked)

    host.answers["/"] = never
    fetcher = make(replace(QUICK, per_host=1, timeout_s=60, silence_s=60))
    with ThreadPoolExecutor(2) as pool:
        results = [pool.submit(fetcher.fetch, host.url("/")) for _ in range(2)]
        assert reading.wait(5)
        started = time.monotonic()
        fetcher.stop()
        for result in results:
            with pytest.raises(Stopped):
                result.result(5)
    assert time.monotonic() - started < 2


# --- what is kept -----------------------------------------------------------------------------------------------------


def test_an_unchanged_picture_is_not_sent_again(host: WebHost, make: Make) -> None:
    host.answers["/a.png"] = with_etag(PICTURE, '"v1"')
    first = make()
    fetched = first.fetch(host.url("/a.png"))
    assert first.fetch(host.url("/a.png")) == fetched  # in one run nothing is asked twice
    assert len(host.asked) == 1
    again = make()
    assert again.fetch(host.url("/a.png")) == fetched
    assert (again.counts.fetched, again.counts.unchanged, again.counts.bytes) == (0, 1, 0)
    changed = png(2)
    host.answers["/a.png"] = with_etag(changed, '"v2"')
    assert make().fetch(host.url("/a.png")).sha256 == hashlib.sha256(changed).digest()
    assert [one.headers.get("if-none-match") for one in host.asked] == [None, '"v1"', '"v1"']


def test_a_picture_without_an_etag_is_asked_for_by_its_date(host: WebHost, make: Make) -> None:
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    host.answers["/a.png"] = in_turn(
        answer(PICTURE, Last_Modified=date), answer(status="304 Not Modified", Content_Length="")
    )
    fetched = make().fetch(host.url("/a.png"))
    assert make().fetch(host.url("/a.png")) == fetched
    assert host.asked[1].headers["if-modified-since"] == date


def test_the_file_is_not_needed_where_the_bytes_are_known(host: WebHost, make: Make, tmp_path: Path) -> None:
    host.answers["/a.png"] = with_etag(PICTURE, '"v1"')
    fetched = make().fetch(host.url("/a.png"))
    assert fetched.path is not None
    fetched.path.unlink()
    known = make().fetch(host.url("/a.png"), known={fetched.sha256})
    assert (known.sha256, known.path) == (fetched.sha256, None)
    again = make().fetch(host.url("/a.png"))
    assert again.path is not None
    assert again.path.read_bytes() == PICTURE
    assert [one.headers.get("if-none-match") for one in host.asked] == [None, '"v1"', None]


def test_an_etag_goes_only_to_the_address_that_gave_it(host: WebHost, make: Make) -> None:
    host.answers = {"/a": answer(b"", "302 Found", Location="/b"), "/b": with_etag(PICTURE, '"1"')}
    make().fetch(host.url("/a"))
    other = png(2)
    host.answers |= {"/a": answer(b"", "302 Found", Location="/c"), "/c": with_etag(other, '"1"')}
    assert make().fetch(host.url("/a")).sha256 == hashlib.sha256(other).digest()


def test_what_was_fetched_while_private_was_allowed_is_not_given_out_when_it_is_not(host: WebHost, make: Make) -> None:
    host.answers["/a.png"] = with_etag(PICTURE, '"v1"')
    make(replace(QUICK, allow_private=True)).fetch(host.url("/a.png"))
    assert "of this machine" in why(make(replace(QUICK, allowed=frozenset())), host.url("/a.png"))


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b'{"url": 1}', b"\xff\xfe"])
def test_a_damaged_note_is_as_none(host: WebHost, make: Make, tmp_path: Path, damage: bytes) -> None:
    host.answers["/a.png"] = with_etag(PICTURE, '"v1"')
    make().fetch(host.url("/a.png"))
    (note,) = (tmp_path / "fetched" / "about").rglob("*.json")
    note.write_bytes(damage)
    make().fetch(host.url("/a.png"))
    assert [one.headers.get("if-none-match") for one in host.asked] == [None, None]


def kept(cache: FetchCache, content: bytes, age_s: float) -> Path:
    digest = hashlib.sha256(content).hexdigest()
    with cache.receiving() as (file, path):
        file.write(content)
        file.close()
        cache.keep(path, digest)
    used = time.time() - age_s
    os.utime(cache.path(digest), (used, used))
    return cache.path(digest)


def test_pictures_not_used_for_longest_go_and_those_in_use_stay(tmp_path: Path) -> None:
    cache = FetchCache(tmp_path, max_bytes=2500)
    paths = [kept(cache, bytes([number]) * 1000, 1000.0 - number) for number in range(5)]
    assert all(path.exists() for path in paths)  # all handed out
    for path in paths[1:]:
        cache.release(path.name)
    cache.sweep()
    assert [path.exists() for path in paths] == [True, False, False, False, True]
    cache.release(paths[0].name)
    assert cache.acquire(paths[0].name) == paths[0]  # used just now, and in use
    assert cache.acquire(paths[1].name) is None


def test_what_a_killed_process_left_goes(tmp_path: Path) -> None:
    cache = FetchCache(tmp_path, max_bytes=2500)
    cache.record("http://shop.example/", CacheEntry("http://shop.example/", "0" * 64, None, None, 1.0))
    with cache.receiving() as (_, path):
        young, old = path.with_name(".young"), path.with_name(".old")
        young.touch()
        old.touch()
        os.utime(old, (1, 1))
        (note,) = (tmp_path / "about").rglob("*.json")
        os.utime(note, (1, 1))
        cache.sweep()
        cache.forget()
        assert [one.exists() for one in (path, young, old, note)] == [True, True, False, False]
    assert not path.exists()


def test_two_caches_in_one_folder_do_not_get_in_each_others_way(host: WebHost, make: Make, tmp_path: Path) -> None:
    contents = [png(number) for number in range(20)]
    host.answers = {f"/{number}": with_etag(content, f'"{number}"') for number, content in enumerate(contents)}
    fetchers = [make(replace(QUICK, cache_bytes=1, timeout_s=10, silence_s=10)) for _ in range(2)]

    def fetch(number: int) -> bool:
        fetcher, expected = fetchers[number % 2], contents[number // 4]
        fetched = fetcher.fetch(host.url(f"/{number // 4}"))
        try:
            return fetched.path is not None and fetched.path.read_bytes() == expected
        except FileNotFoundError:  # the other one has tidied up
            return True
        finally:
            fetcher.release(fetched)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(fetch, range(80)))
    for fetcher in fetchers:
        fetcher.close()
    assert files(tmp_path / "fetched" / "pictures") == []
