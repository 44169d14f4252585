"""Gradio's application, reduced to the routes that the page needs.

Gradio also serves files by path, accepts and fetches files, and has routes for a login, a monitor and a history. Only
the routes listed here exist; every other one answers 404. Calls are checked by `call_checks.py`, and pictures are
received by `uploads.py`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from urllib.parse import quote

from fastapi.responses import JSONResponse
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lookalike.ui.page.call_checks import CallChecks
from lookalike.ui.server.guard import error_body
from lookalike.ui.server.methods import methods_at, wrong_method
from lookalike.ui.templates import render

__all__ = ["PageApp"]

_PATHS = re.compile(
    r"/(?:config/?|theme\.css|favicon\.ico|manifest\.json|robots\.txt|(?:assets|static|svelte)/.+|"
    r"gradio_api/(?:queue/(?:join|data)|heartbeat/\w+|cancel|startup-events|app_id/?|theme\.css))?"
)
_CALLS = ("/gradio_api/queue/join", "/gradio_api/cancel")
_ANSWERS = "/gradio_api/queue/data"
_SHARING_TAGS = re.compile(rb'<meta\s+(?:property="og:|name="twitter:)[^>]*>')
_ICON = "data:image/svg+xml," + quote(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><circle cx="12" cy="16" r="9" fill="#4f46e5"/>'
    '<circle cx="20" cy="16" r="9" fill="#f97362" fill-opacity=".85"/></svg>',
    safe="",
)


class PageApp:
    """Passes on the requests that the page needs, and adds description, icon, style and script to its HTML.

    `others` are the routes of the application beside the page. Requests for them arrive here if their method is wrong,
    because the page takes every address.
    """

    def __init__(self, app: ASGIApp, checks: CallChecks, *, title: str, others: Sequence[BaseRoute] = ()) -> None:
        self._app = app
        self._checks = checks
        self._others = others
        folder = Path(__file__).with_name("static")
        stamp = int(max((folder / name).stat().st_mtime for name in ("page.css", "page.js")))
        head = render("page/head.html", title=title, icon=_ICON, stamp=stamp)
        self._head = f"{head}</head>".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
        is_of_page = _PATHS.fullmatch(path) is not None
        methods = _methods_of(path) if is_of_page else methods_at(scope, self._others)
        if methods and scope["method"] not in methods:
            await wrong_method(scope, methods)(scope, receive, send)
        elif not is_of_page or (path == _ANSWERS and not self._checks.has_answers_for(scope["query_string"])):
            await JSONResponse(error_body("NotFound", "There is nothing here."), 404)(scope, receive, send)
        elif path == "/":
            await self._page(scope, receive, send)
        elif path in _CALLS:
            await self._app(_as_json(scope), _replay(await self._checks.read_call(path, receive), receive), send)
        else:
            await self._app(scope, receive, send)

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        plain = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
        start: Message = {}
        body = b""

        async def collect(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
            elif message["type"] == "http.response.body":
                body += message.get("body", b"")

        await self._app({**scope, "headers": plain}, receive, collect)
        html = _SHARING_TAGS.sub(b"", body).replace(b"</head>", self._head, 1)
        kept = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
        kept.append((b"content-length", str(len(html)).encode()))
        await send({**start, "headers": kept})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else html})


def _methods_of(path: str) -> Collection[str]:
    """Return the methods of one of the page's own addresses."""
    if path in _CALLS:
        return ("POST",)
    return ("GET", "HEAD") if path == "/" else ("GET",)


def _as_json(scope: Scope) -> Scope:
    """Return the scope of a request whose body has been replaced by JSON of another length."""
    body_headers = (b"content-type", b"content-length", b"content-encoding", b"transfer-encoding")
    kept = [(name, value) for name, value in scope["headers"] if name.lower() not in body_headers]
    return {**scope, "headers": [*kept, (b"content-type", b"application/json")]}


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a receiver that yields a body that has been read already, and then the messages after it."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return first.pop() if first else await receive()

    return replayed
