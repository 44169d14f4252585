"""Who may ask, and how much they may send: checked before any other code sees the request."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Collection
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lookalike.ui.server.bounds import MAX_BODY_BYTES, MAX_JSON_BYTES, MAX_QUERY_BYTES

__all__ = ["LOOPBACK", "Guard", "error_body"]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""The names by which a machine calls itself."""

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::\d+)?")
_OPEN_TO_ALL = "/healthz"
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_OWN_SITES = ("same-origin", "none")

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'; object-src 'none'; base-uri 'self'; frame-ancestors 'self'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def error_body(kind: str, message: str) -> dict[str, dict[str, str]]:
    """Give the one shape that errors have."""
    return {"error": {"type": kind, "message": message}}


class Guard:
    """Refuses requests under a foreign host name, from another site's page, without the key, or that are too large.

    `hosts` are the names the server answers to, None for any: a page of another site cannot reach a server on this
    machine by a name of its own. With a key, `Authorization: Bearer KEY` lets in, and so does a browser's own login
    with the key as the password and any name.
    """

    def __init__(self, app: ASGIApp, *, api_key: str | None, hosts: Collection[str] | None) -> None:
        self._app = app
        self._api_key = api_key
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await refusal(scope, receive, send)
            return

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    sent.setdefault(name, value)
                for name in [one for one in sent if one.lower().startswith("access-control-")]:
                    del sent[name]
            await send(message)

        await self._app(scope, _Limited(receive, _limit(headers)), send_protected)

    def _refusal(self, scope: Scope, headers: Headers) -> JSONResponse | None:
        host = headers.get("host", "")
        if self._hosts is not None and _name(host) not in self._hosts:
            return _refuse(421, "WrongHost", "This server does not answer to that name.")
        if scope["method"] not in _SAFE_METHODS and not _is_own_site(headers, host):
            return _refuse(403, "OtherSite", "Pages of other sites may not send requests here.")
        if self._api_key is not None and scope["path"] != _OPEN_TO_ALL and not self._has_key(headers):
            challenge = 'Basic realm="Lookalike", charset="UTF-8"'
            message = "Give the key: as Authorization: Bearer KEY, or as the password of the login."
            return _refuse(401, "Unauthorized", message, {"WWW-Authenticate": challenge})
        if len(scope["query_string"]) > MAX_QUERY_BYTES:
            message = f"The address is too long; at most {MAX_QUERY_BYTES // 1024} kB are read after its question mark."
            return _refuse(414, "TooLarge", message)
        length, limit = headers.get("content-length", "0"), _limit(headers)
        if length.isdigit() and (len(length) > 18 or int(length) > limit):
            return _refuse(413, "TooLarge", _too_large(limit))
        return None

    def _has_key(self, headers: Headers) -> bool:
        kind, _, text = headers.get("authorization", "").partition(" ")
        given = text.strip().encode("latin-1")  # as the bytes came
        if kind.lower() == "basic":
            try:
                given = base64.b64decode(given, validate=True).partition(b":")[2]
            except binascii.Error:
                return False
        elif kind.lower() != "bearer":
            return False
        return hmac.compare_digest(given, (self._api_key or "").encode())


class _Limited:
    """Counts what is received, whatever its announced length, and breaks off past the limit."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = self._left = limit

    async def __call__(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise HTTPException(413, _too_large(self._limit))
        return message


def _is_own_site(headers: Headers, host: str) -> bool:
    """Say whether a request comes from a page of this server, or from no page at all."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in _OWN_SITES
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc in (host, headers.get("x-forwarded-host"))


def _name(host: str) -> str:
    """Give the name in a Host header, without the port."""
    found = _HOST.fullmatch(host)
    return found[1].strip("[]").lower() if found else ""


def _limit(headers: Headers) -> int:
    """Return how many bytes of a body are read: forms may carry pictures."""
    is_form = headers.get("content-type", "").lower().startswith("multipart/form-data")
    return MAX_BODY_BYTES if is_form else min(MAX_JSON_BYTES, MAX_BODY_BYTES)


def _too_large(limit: int) -> str:
    return f"The request is too large; at most {limit // 2**20} MB are read."


def _refuse(status: int, kind: str, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(error_body(kind, message), status, headers)
