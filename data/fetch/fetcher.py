"""Downloads of pictures, each into a file.

Every address connected to, including those after redirects, is checked (`guard.py`). A response is limited in time and
size, whatever it declares. Busy servers are asked again later, servers that are down are left alone, and a picture that
has not changed since the last fetch is not sent again.
"""

from __future__ import annotations

import hashlib
import random
import ssl
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus

import httpcore2

from lookalike.data.errors import FetchFailed
from lookalike.data.fetch.address import WebAddress
from lookalike.data.fetch.answer import check_head, decoded, phrase_of, seconds_until, too_large
from lookalike.data.fetch.cache import CacheEntry, FetchCache
from lookalike.data.fetch.fetched import FetchCounts, Fetched
from lookalike.data.fetch.guard import Guard, Resolve, resolve_name
from lookalike.data.fetch.hosts import Hosts
from lookalike.data.fetch.network import GuardedNetwork
from lookalike.data.fetch.settings import FetchSettings

__all__ = ["Fetcher"]

_MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_BUSY = (408, 425, 429)
_SERVER_ERROR = 5  # first digit of the status
_IDLE_S = 15.0
_HEAD_BYTES = 512
_SMALL_BYTES = 16 * 1024
_MAX_VALIDATOR_LENGTH = 1_000
_HEADERS: Sequence[tuple[bytes | str, bytes | str]] = (
    ("User-Agent", "Lookalike (indexes product pictures)"),
    ("Accept", "image/*,*/*;q=0.5"),
    ("Accept-Encoding", "identity"),
)


class _Retry(Exception):  # caught by the retry loop; never leaves this module
    """The address may answer another time, in `after_s` seconds if the server said so."""

    def __init__(self, reason: str, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s


class Fetcher:
    """Fetches pictures. `fetch` may be called from up to `settings.threads` threads at a time.

    Example:
        >>> from pathlib import Path
        >>> fetcher = Fetcher(FetchCache(Path("pictures"), max_bytes=10**9), FetchSettings())
        >>> fetcher.fetch("http://127.0.0.1/shoe.jpg")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        lookalike.data.errors.FetchFailed: 127.0.0.1 is an address of this machine; ...
    """

    def __init__(
        self,
        cache: FetchCache,
        settings: FetchSettings,
        *,
        resolve: Resolve = resolve_name,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._cache = cache
        self._settings = settings
        self._started = time.time()
        self._hosts = Hosts(settings.per_host, patience_s=settings.patience_s)
        self._network = GuardedNetwork(
            Guard(allow_private=settings.allow_private, allowed=settings.allowed, resolve=resolve)
        )
        self._pool = httpcore2.ConnectionPool(
            ssl_context=ssl_context or httpcore2.default_ssl_context(),
            max_connections=settings.threads,
            keepalive_expiry=_IDLE_S,
            network_backend=self._network,
        )
        self._lock = threading.Lock()
        self._counts = FetchCounts()

    @property
    def counts(self) -> FetchCounts:
        """The number of pictures and bytes fetched so far."""
        return self._counts

    def fetch(self, url: str, *, known: Collection[bytes] = ()) -> Fetched:
        """Fetch a picture unless it is unchanged. A picture whose SHA-256 digest is in `known` then needs no file.

        A fetcher asks each address only once, however often it is fetched. The file exists until `release`.

        Raises:
            FetchFailed: the address is refused, or does not answer with a picture of at most `max_bytes`.
            Stopped: `stop` was called.
            OSError: the file cannot be written.
        """
        address = WebAddress.parse(url)
        entry = self._cache.entry(url)
        cached = self._cached(entry, known)
        if entry and cached and entry.checked >= self._started:
            return cached
        try:
            for attempt in range(1, self._settings.attempts + 1):
                try:
                    return self._follow(url, address, entry if cached else None, cached)
                except _Retry as again:
                    if attempt == self._settings.attempts:
                        tries = f"{attempt} times" if attempt > 1 else "once"
                        raise FetchFailed(f"{again} Tried {tries}.", temporary=True) from again
                    if again.after_s is None:
                        self._hosts.sleep(self._settings.backoff_s * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))
        except BaseException:
            if cached:
                self.release(cached)
            raise
        raise AssertionError("the last attempt returns or raises")

    def release(self, fetched: Fetched) -> None:
        """Allow the file of a picture to be removed."""
        if fetched.path:
            self._cache.release(fetched.sha256.hex())

    def stop(self) -> None:
        """End every fetch and wait at once, in all threads."""
        self._hosts.stop()
        self._network.stop()

    def close(self) -> None:
        """Close the connections and clean up the cache, once no thread fetches any more."""
        self._pool.close()
        self._cache.sweep()
        self._cache.forget()

    def _cached(self, entry: CacheEntry | None, known: Collection[bytes]) -> Fetched | None:
        """Return what an address answered with last time, if it is still available."""
        if entry is None:
            return None
        sha256 = bytes.fromhex(entry.sha256)
        if sha256 in known:
            return Fetched(sha256, None)
        path = self._cache.acquire(entry.sha256)
        return None if path is None else Fetched(sha256, path)

    def _follow(self, url: str, address: WebAddress, entry: CacheEntry | None, cached: Fetched | None) -> Fetched:
        """Request an address, and the addresses it redirects to."""
        for _ in range(_MAX_REDIRECTS + 1):
            with self._hosts.turn(address.host):
                answer = self._request(address, entry if entry and entry.url == str(address) else None)
            if isinstance(answer, WebAddress):
                address = answer
                continue
            picture, fresh = answer
            self._cache.record(url, fresh)
            if picture is None:  # unchanged
                assert cached is not None
                return cached
            if cached:
                self.release(cached)
            return picture
        raise FetchFailed(f"The address redirects more than {_MAX_REDIRECTS} times.")

    def _request(self, address: WebAddress, entry: CacheEntry | None) -> WebAddress | tuple[Fetched | None, CacheEntry]:
        """Send one request. Return the target of a redirect, or the picture (None if unchanged) and its cache entry."""
        headers = [*_HEADERS, ("Host", address.authority)]
        if entry and entry.etag:
            headers.append(("If-None-Match", entry.etag))
        if entry and entry.last_modified:
            headers.append(("If-Modified-Since", entry.last_modified))
        silence_s = self._settings.silence_s
        timeouts = {"connect": silence_s, "read": silence_s, "write": silence_s, "pool": self._settings.timeout_s}
        target = httpcore2.URL(
            scheme=address.scheme.encode(),
            host=address.host.encode(),
            port=address.port,
            target=address.target.encode(),
        )
        self._network.set_time_limit(self._settings.timeout_s)
        try:
            with self._pool.stream("GET", target, headers=headers, extensions={"timeout": timeouts}) as response:
                self._hosts.note_answer(address.host)
                return self._read(response, address, entry)
        except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            self._hosts.sleep(0)  # raises Stopped if that is the reason
            self._hosts.note_silence(address.host)
            raise _failure_of(address.host, error) from error

    def _read(
        self, response: httpcore2.Response, address: WebAddress, entry: CacheEntry | None
    ) -> WebAddress | tuple[Fetched | None, CacheEntry]:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
        status, length = response.status, headers.get("content-length", "")
        length_bytes = int(length) if length.isdigit() else None
        if status == HTTPStatus.NOT_MODIFIED and entry is not None:
            self._count(unchanged=1)
            return None, replace(entry, checked=time.time())
        if status in _REDIRECTS and "location" in headers:
            if length_bytes is not None and length_bytes <= _SMALL_BYTES:
                response.read()  # so that the connection can be used again
            return address.redirected(headers["location"].encode("latin-1").decode("utf-8", "replace"))
        if status == HTTPStatus.OK:
            if length_bytes is not None and length_bytes > self._settings.max_bytes:
                raise too_large(self._settings.max_bytes)
            picture = self._receive(response, headers)
            etag, last_modified = (_validator(headers.get(name)) for name in ("etag", "last-modified"))
            return picture, CacheEntry(str(address), picture.sha256.hex(), etag, last_modified, time.time())
        reason = f"{address.host} answers {phrase_of(status)}."
        if status in _BUSY or status // 100 == _SERVER_ERROR:
            raise _Retry(reason, self._pause(address.host, reason, headers.get("retry-after")))
        raise FetchFailed(reason)

    def _receive(self, response: httpcore2.Response, headers: Mapping[str, str]) -> Fetched:
        """Write a picture to a file while it arrives."""
        digest, head, size = hashlib.sha256(), b"", 0
        with self._cache.receiving() as (file, path):
            for chunk in decoded(self._chunks(response), headers.get("content-encoding", "")):
                size += len(chunk)
                if size > self._settings.max_bytes:
                    raise too_large(self._settings.max_bytes)
                if len(head) < _HEAD_BYTES:
                    head += chunk[:_HEAD_BYTES]
                digest.update(chunk)
                file.write(chunk)
            file.close()
            check_head(head, headers.get("content-type", ""))
            self._cache.keep(path, digest.hexdigest())
        self._count(fetched=1)
        return Fetched(digest.digest(), self._cache.path(digest.hexdigest()))

    def _chunks(self, response: httpcore2.Response) -> Iterator[bytes]:
        """Yield the body as received, compressed or not, up to `max_bytes`."""
        received = 0
        for chunk in response.iter_stream():
            received += len(chunk)
            self._count(received=len(chunk))
            if received > self._settings.max_bytes:
                raise too_large(self._settings.max_bytes)
            yield chunk

    def _pause(self, host: str, reason: str, retry_after: str | None) -> float | None:
        """Pause a host for as long as it asks, or give it up if that is too long. Return the pause in seconds."""
        after_s = seconds_until(retry_after)
        if after_s is not None and after_s > self._settings.longest_pause_s:
            reason = f"{reason} It asks for a pause of {after_s:,.0f} s; run this again after that."
            self._hosts.give_up(host, reason)
            raise FetchFailed(reason, temporary=True)
        if after_s is not None:
            self._hosts.pause(host, after_s)
        return after_s

    def _count(self, *, fetched: int = 0, unchanged: int = 0, received: int = 0) -> None:
        with self._lock:
            before = self._counts
            self._counts = FetchCounts(before.fetched + fetched, before.unchanged + unchanged, before.bytes + received)


def _validator(value: str | None) -> str | None:
    """Return a validator if it can be sent back unchanged, otherwise None."""
    return value if value and value.isascii() and len(value) <= _MAX_VALIDATOR_LENGTH else None


def _failure_of(host: str, error: Exception) -> FetchFailed | _Retry:
    """Return the error that stands for a failed connection: `_Retry` if another attempt may succeed."""
    cause = error.args[0] if error.args else None  # the underlying error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return FetchFailed(f"The certificate of {host} is not trusted: {cause.verify_message}.")
    if isinstance(error, httpcore2.TimeoutException):
        return _Retry(f"{host} did not answer in time.")
    if isinstance(error, httpcore2.ConnectError):
        detail = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(error)
        return _Retry(f"{host} cannot be connected to: {detail}.")
    return _Retry(f"{host} broke off, or sent an invalid answer: {error}.")
