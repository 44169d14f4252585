"""What a server answers with, made sense of: its body as it comes in, the pause it asks for, whether it is a page."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import httpcore2

from lookalike.data.errors import FetchFailed

__all__ = ["check_head", "decoded", "phrase_of", "seconds_until", "too_large"]

_PIECE_BYTES = 64 * 1024
_WEB_PAGE = (b"<!doctype html", b"<html", b"<head", b"<body", b"<script", b"<title", b"<meta")
_ZIPPED = ("gzip", "x-gzip", "deflate")
_EITHER_HEADER = zlib.MAX_WBITS | 32


def decoded(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Yield the body, unpacked where the server packed it though it was asked not to; at most 64 KiB at a time.

    Raises:
        FetchFailed: it is packed in another way.
        RemoteProtocolError: it cannot be unpacked, or ends early.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        yield from chunks
    elif encoding in _ZIPPED:
        yield from _unzipped(chunks)
    else:
        raise FetchFailed(f"The address answers packed with {encoding[:40]}, which was not asked for.")


def _unzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    unzip = zlib.decompressobj(wbits=_EITHER_HEADER)
    try:
        for chunk in chunks:
            left = chunk
            while left and not unzip.eof:
                yield unzip.decompress(left, _PIECE_BYTES)
                left = unzip.unconsumed_tail
        while rest := unzip.decompress(unzip.unconsumed_tail, _PIECE_BYTES):
            yield rest
    except zlib.error as error:
        raise httpcore2.RemoteProtocolError("its packed answer is damaged") from error
    if not unzip.eof:
        raise httpcore2.RemoteProtocolError("its packed answer ends early")


def check_head(head: bytes, content_type: str) -> None:
    """Refuse what begins like a web page, whatever the address and the server call it; nothing is refused too.

    Raises:
        FetchFailed: so it is.
    """
    if not head:
        raise FetchFailed("The address answers with no bytes at all.")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    says_page = content_type.lower().startswith(("text/html", "application/xhtml+xml"))
    if text.startswith(_WEB_PAGE) or (says_page and text.startswith(b"<")):
        raise FetchFailed("The address answers with a web page, not with a picture.")


def seconds_until(retry_after: str | None) -> float | None:
    """Read a Retry-After: seconds, or a date (RFC 9110, 10.2.3); None where it is neither."""
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
    """Say in words what a status is, where it is a known one."""
    try:
        return f"{status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return str(status)


def too_large(max_bytes: int) -> FetchFailed:
    """Make the error for a picture of too many bytes."""
    return FetchFailed(f"The picture has more than {max_bytes / 1e6:,.0f} MB; more are not fetched.")
