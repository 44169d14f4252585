"""Access control and size limits, checked before any other code sees a request."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lookalike.ui.server.bodies import BodySlots, LimitedBody, is_form, too_large
from lookalike.ui.server.bounds import (
    MAX_BODY_BYTES,
    MAX_FORM_SECONDS,
    MAX_JSON_BYTES,
    MAX_JSON_SECONDS,
    MAX_LARGE_BODIES,
    MAX_QUERY_BYTES,
    SMALL_BODY_BYTES,
)

__all__ = ["LOOPBACK", "Guard", "error_body"]

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
"""Names of this machine for itself."""

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::\d+)?")
_OPEN_TO_ALL: Final = "/healthz"
_FORM_PATHS: Final = ("/api/v1/search", "/gradio_api/upload")
_SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")
_OWN_SITES: Final = ("same-origin", "none")

_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'; object-src 'none'; base-uri 'self'; frame-ancestors 'self'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def error_body(kind: str, message: str, remedy: str = "") -> dict[str, dict[str, str]]:
    """Return the JSON body of every error: its type, what is wrong, and what to do next (empty if unknown)."""
    return {"error": {"type": kind, "message": message, "remedy": remedy}}


class Guard:
    """Middleware that refuses requests with a wrong host name, from another site's page, without the key, or too large.

    `hosts` are the names that the server answers to, None for any; they stop a page of another site from reaching a
    server on this machine under a name of its own. If `api_key` is set, a request must carry it, either as
    `Authorization: Bearer KEY` or as the password of a browser's own login, with any user name.
    """

    def __init__(self, app: ASGIApp, *, api_key: str | None, hosts: Collection[str] | None) -> None:
        self._app = app
        self._api_key = api_key
        self._hosts = hosts
        self._slots = BodySlots(MAX_LARGE_BODIES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse one request, or pass it on."""
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

        forms = _takes_form(scope, headers)
        body = LimitedBody(
            receive,
            limit=_limit(scope, headers),
            seconds=MAX_FORM_SECONDS if forms else MAX_JSON_SECONDS,
            slots=None if forms else self._slots,
            small=SMALL_BODY_BYTES,
        )
        try:
            await self._app(scope, body, send_protected)
        except ClientDisconnect:
            pass  # there is nobody to answer
        finally:
            body.close()

    def _refusal(self, scope: Scope, headers: Headers) -> JSONResponse | None:
        host = headers.get("host", "")
        if self._hosts is not None and _name(host) not in self._hosts:
            return _refuse(421, "WrongHost", "This server does not answer to that host name.")
        if scope["method"] not in _SAFE_METHODS and not _is_own_site(headers, host):
            return _refuse(403, "OtherSite", "Pages of other sites may not send requests to this server.")
        if self._api_key is not None and scope["path"] != _OPEN_TO_ALL and not self._has_key(headers):
            challenge = 'Basic realm="Lookalike", charset="UTF-8"'
            remedy = "Send it as Authorization: Bearer KEY, or as the password of the login."
            return _refuse(401, "Unauthorized", "This server requires a key.", remedy, {"WWW-Authenticate": challenge})
        if len(scope["query_string"]) > MAX_QUERY_BYTES:
            message = f"The query string is too long; at most {MAX_QUERY_BYTES // 1024} kB are read."
            return _refuse(414, "TooLarge", message)
        length, limit = headers.get("content-length", "0"), _limit(scope, headers)
        if length.isdigit() and (len(length) > 18 or int(length) > limit):
            return _refuse(413, "TooLarge", too_large(limit))
        return None

    def _has_key(self, headers: Headers) -> bool:
        kind, _, text = headers.get("authorization", "").partition(" ")
        given = text.strip().encode("latin-1")  # the bytes as they were sent
        if kind.lower() == "basic":
            try:
                given = base64.b64decode(given, validate=True).partition(b":")[2]
            except binascii.Error:
                return False
        elif kind.lower() != "bearer":
            return False
        return hmac.compare_digest(given, (self._api_key or "").encode())


def _is_own_site(headers: Headers, host: str) -> bool:
    """Return whether a request comes from a page of this server, or from no page at all."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in _OWN_SITES
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        return urlsplit(origin).netloc in (host, headers.get("x-forwarded-host"))
    except ValueError:  # an address that cannot be read, such as http://[
        return False


def _name(host: str) -> str:
    """Return the host name in a Host header, without the port; empty if it cannot be read."""
    found = _HOST.fullmatch(host)
    return found[1].strip("[]").lower() if found else ""


def _takes_form(scope: Scope, headers: Headers) -> bool:
    """Return whether a request sends a form to a route that reads forms."""
    return scope["method"] == "POST" and scope["path"].endswith(_FORM_PATHS) and is_form(headers)


def _limit(scope: Scope, headers: Headers) -> int:
    """Return the largest number of bytes that a body may have: more for forms, which may carry pictures."""
    return MAX_BODY_BYTES if _takes_form(scope, headers) else min(MAX_JSON_BYTES, MAX_BODY_BYTES)


def _refuse(
    status: int, kind: str, message: str, remedy: str = "", headers: dict[str, str] | None = None
) -> JSONResponse:
    return JSONResponse(error_body(kind, message, remedy), status, headers)
