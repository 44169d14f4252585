"""Interpretation of a server's response: its body, the pause it asks for, and whether it is a web page."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import httpcore2

from lookalike.data.errors import FetchFailed

__all__ = ["check_head", "decoded", "phrase_of", "seconds_until", "too_large"]

_CHUNK_BYTES = 64 * 1024
_WEB_PAGE = (b"<!doctype html", b"<html", b"<head", b"<body", b"<script", b"<title", b"<meta")
_DEFLATE_ENCODINGS = ("gzip", "x-gzip", "deflate")
_EITHER_HEADER = zlib.MAX_WBITS | 32


def decoded(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Yield the response body in chunks of at most 64 KiB, decompressed if the server compressed it unasked.

    Raises:
        FetchFailed: the body has an unsupported encoding.
        RemoteProtocolError: the body cannot be decompressed, or ends early.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        yield from chunks
    elif encoding in _DEFLATE_ENCODINGS:
        yield from _decompressed(chunks)
    else:
        raise FetchFailed(f"The server compressed its answer with {encoding[:40]}, which was not asked for.")


def _decompressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    decompressor = zlib.decompressobj(wbits=_EITHER_HEADER)
    try:
        for chunk in chunks:
            remaining = chunk
            while remaining and not decompressor.eof:
                yield decompressor.decompress(remaining, _CHUNK_BYTES)
                remaining = decompressor.unconsumed_tail
        while rest := decompressor.decompress(decompressor.unconsumed_tail, _CHUNK_BYTES):
            yield rest
    except zlib.error as error:
        raise httpcore2.RemoteProtocolError("its compressed answer is damaged") from error
    if not decompressor.eof:
        raise httpcore2.RemoteProtocolError("its compressed answer ends early")


def check_head(head: bytes, content_type: str) -> None:
    """Check the first bytes of a body, whatever the address and the server claim it to be.

    Raises:
        FetchFailed: the body is empty, or begins like a web page.
    """
    if not head:
        raise FetchFailed("The address answers with no bytes at all.")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    declared_as_page = content_type.lower().startswith(("text/html", "application/xhtml+xml"))
    if text.startswith(_WEB_PAGE) or (declared_as_page and text.startswith(b"<")):
        raise FetchFailed("The address answers with a web page, not with a picture.")


def seconds_until(retry_after: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for (RFC 9110, 10.2.3), or None if it cannot be parsed."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)


def phrase_of(status: int) -> str:
    """Return an HTTP status with its standard phrase: "404 (Not Found)"."""
    try:
        return f"{status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return str(status)


def too_large(max_bytes: int) -> FetchFailed:
    """Return the error for a picture of more than `max_bytes` bytes."""
    return FetchFailed(f"The picture has more than {max_bytes / 1e6:,.0f} MB; larger ones are not fetched.")
