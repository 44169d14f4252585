"""A web server on this machine that answers each path as a test tells it to, byte by byte if it likes."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Asked:
    """A request as it came in."""

    path: str
    headers: Mapping[str, str]


Answer = Callable[[socket.socket, Asked], bool]
"""Writes to the connection; says whether it can be used again."""


def answer(body: bytes = b"", status: str = "200 OK", **headers: str) -> Answer:
    """Return an answer with this body and status, and the right length unless another is given."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named.setdefault("Content-Length", str(len(body)))
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items() if value)
    content = f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1") + body

    def write(connection: socket.socket, asked: Asked) -> bool:
        connection.sendall(content)
        return int(named["Content-Length"] or 0) == len(body)

    return write


def in_turn(*answers: Answer) -> Answer:
    """Return an answer that gives one of `answers` after another, and the last one from then on."""
    left = list(answers)

    def write(connection: socket.socket, asked: Asked) -> bool:
        return (left.pop(0) if len(left) > 1 else left[0])(connection, asked)

    return write


def with_etag(body: bytes, etag: str) -> Answer:
    """Return an answer with an ETag: 304 to a request that already has it, otherwise the body."""

    def write(connection: socket.socket, asked: Asked) -> bool:
        if asked.headers.get("if-none-match") == etag:
            return answer(status="304 Not Modified", ETag=etag, Content_Length="")(connection, asked)
        return answer(body, ETag=etag)(connection, asked)

    return write


@dataclass
class WebHost:
    """`answers` by path; `asked` is what came in; `most_at_once` how many requests were under way at a time."""

    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    most_at_once: int = 0
    port: int = 0
    scheme: str = "http"
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    def paths(self) -> list[str]:
        return [one.path for one in self.asked]

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            self.connections += 1
            while asked := _read(connection):
                with self._lock:
                    self.asked.append(asked)
                    self._now += 1
                    self.most_at_once = max(self.most_at_once, self._now)
                try:
                    again = self.answers.get(asked.path, answer(status="404 Not Found"))(connection, asked)
                finally:
                    with self._lock:
                        self._now -= 1
                if not again:
                    return


@contextmanager
def hosting(address: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> Iterator[WebHost]:
    """Run a server until the end of the block."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as listening:
        host = WebHost(port=listening.getsockname()[1], scheme="https" if context else "http")
        threads: list[threading.Thread] = []

        def serve(plain: socket.socket) -> None:
            with suppress(OSError):
                host._serve(context.wrap_socket(plain, server_side=True) if context else plain)
            plain.close()

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
                    threads[-1].start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield host
        finally:
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            accepting.join()


def _read(connection: socket.socket) -> Asked | None:
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = connection.recv(65536)
        if not chunk:
            return None
        received += chunk
    first, *lines = received.decode("latin-1").split("\r\n\r\n")[0].split("\r\n")
    headers = (line.split(": ", 1) for line in lines)
    return Asked(first.split(" ")[1], {name.lower(): value for name, value in headers})
