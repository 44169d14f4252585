from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "1" * 40


class Hub:
    """Serves folders as the hub serves repositories, as far as huggingface_hub asks; counts, cuts and corrupts.

    `root` has `organisation/name/` folders. The file named `cut` ends half way the first time; that named `corrupt`
    comes with one byte changed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cut: str | None = None
        self.corrupt: str | None = None
        self.requests: list[str] = []
        self.address = ""

    @contextmanager
    def running(self) -> Iterator[Hub]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                hub.answer(self, body=False)

            def do_GET(self) -> None:
                hub.answer(self, body=True)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        self.address = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def answer(self, request: BaseHTTPRequestHandler, *, body: bool) -> None:
        path = unquote(urlsplit(request.path).path).strip("/")
        self.requests.append(f"{request.command} {path}")
        parts = path.split("/")
        if parts[:2] == ["api", "models"]:
            self._list(request, self.root / parts[2] / parts[3])
        elif "resolve" in parts:
            place = parts.index("resolve")
            self._send(request, self.root.joinpath(*parts[:place], *parts[place + 2 :]), body=body)
        else:
            self._refuse(request, "RepoNotFound")

    def _list(self, request: BaseHTTPRequestHandler, folder: Path) -> None:
        if not folder.is_dir():
            self._refuse(request, "RepoNotFound")
            return
        names = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]
        facts = {"id": "/".join(folder.parts[-2:]), "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
        self._reply(request, json.dumps(facts).encode(), {"Content-Type": "application/json"})

    def _send(self, request: BaseHTTPRequestHandler, path: Path, *, body: bool) -> None:
        if not path.is_file():
            self._refuse(request, "EntryNotFound" if path.parent.is_dir() else "RepoNotFound")
            return
        content = path.read_bytes()
        large = path.suffix in (".safetensors", ".bin")  # which the hub keeps by their SHA-256, others by git's hash
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        digest = hashlib.sha256(content).hexdigest() if large else git
        start = int((request.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        headers = {"ETag": f'"{digest}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if body and path.name == self.corrupt:
            content = bytes([content[0] ^ 1]) + content[1:]
        if body and path.name == self.cut:
            self.cut = None
            request.send_response(200)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                request.send_header(name, value)
            request.end_headers()
            request.wfile.write(content[: len(content) // 2])
            request.close_connection = True
            return
        self._reply(request, content[start:], headers, status=206 if start else 200, body=body)

    def _refuse(self, request: BaseHTTPRequestHandler, code: str) -> None:
        self._reply(request, b"", {"X-Error-Code": code, "X-Error-Message": "not here"}, status=404)

    def _reply(
        self,
        request: BaseHTTPRequestHandler,
        content: bytes,
        headers: dict[str, str],
        *,
        status: int = 200,
        body: bool = True,
    ) -> None:
        request.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            request.send_header(name, value)
        request.end_headers()
        if body and request.command == "GET":
            request.wfile.write(content)
