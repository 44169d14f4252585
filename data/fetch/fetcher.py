"""Pictures from the web, each into a file: asked for politely, taken with caution.

Every address that is connected to, at first and after each redirect, is checked (`guard.py`); an answer may take so
long and be so large and no more, whatever it says of itself; a server that is busy is asked again later, one that is
down is left alone; and a picture that has not changed since it was last fetched is not sent again.
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
from lookalike.data.fetch.cache import About, FetchCache
from lookalike.data.fetch.fetched import FetchCounts, Fetched
from lookalike.data.fetch.guard import Guard, Resolve, resolve_name
from lookalike.data.fetch.hosts import Hosts
from lookalike.data.fetch.network import GuardedNetwork
from lookalike.data.fetch.settings import FetchSettings

__all__ = ["Fetcher"]

_MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_BUSY = (408, 425, 429)
_SERVER_ERROR = 5  # hundred and so many
_IDLE_S = 15.0
_HEAD_BYTES = 512
_SMALL_BYTES = 16 * 1024
_MAX_VALIDATOR_LENGTH = 1_000
_HEADERS: Sequence[tuple[bytes | str, bytes | str]] = (
    ("User-Agent", "Lookalike (indexes product pictures)"),
    ("Accept", "image/*,*/*;q=0.5"),
    ("Accept-Encoding", "identity"),
)


class _TryAgain(Exception):  # told to the loop that tries, to nobody else
    """The address may answer if asked again, in `after_s` seconds when the server said so."""

    def __init__(self, reason: str, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s


class Fetcher:
    """Fetches pictures; `fetch` is called from up to `settings.threads` threads at a time."""

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
        """What was fetched so far."""
        return self._counts

    def fetch(self, url: str, *, known: Collection[bytes] = ()) -> Fetched:
        """Fetch a picture, unless it is what it was; one with a `known` SHA-256 then needs no file.

        An address is asked once in the life of a fetcher, however often it is fetched. The file is there until
        `let_go`.

        Raises:
            FetchFailed: the address is refused, or does not answer with a picture of at most `max_bytes`.
            Stopped: `stop` was called.
            OSError: the file cannot be written.
        """
        address = WebAddress.parse(url)
        about = self._cache.about(url)
        before = self._before(about, known)
        if about and before and about.checked >= self._started:
            return before
        try:
            for attempt in range(1, self._settings.attempts + 1):
                try:
                    return self._follow(url, address, about if before else None, before)
                except _TryAgain as again:
                    if attempt == self._settings.attempts:
                        tries = f"{attempt} times" if attempt > 1 else "once"
                        raise FetchFailed(f"{again} Tried {tries}.", temporary=True) from again
                    if again.after_s is None:
                        self._hosts.sleep(self._settings.backoff_s * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))
        except BaseException:
            if before:
                self.let_go(before)
            raise
        raise AssertionError("the last attempt returns or raises")

    def let_go(self, fetched: Fetched) -> None:
        """Say that the file of a picture has been read."""
        if fetched.path:
            self._cache.let_go(fetched.sha256.hex())

    def stop(self) -> None:
        """End what is being fetched or waited for, in whatever threads, at once."""
        self._hosts.stop()
        self._network.stop()

    def close(self) -> None:
        """Close the connections and tidy up, when no thread fetches any more."""
        self._pool.close()
        self._cache.sweep()
        self._cache.forget()

    def _before(self, about: About | None, known: Collection[bytes]) -> Fetched | None:
        """Return what an address answered with last time, where that is still to be had."""
        if about is None:
            return None
        sha256 = bytes.fromhex(about.sha256)
        if sha256 in known:
            return Fetched(sha256, None)
        path = self._cache.use(about.sha256)
        return None if path is None else Fetched(sha256, path)

    def _follow(self, url: str, address: WebAddress, about: About | None, before: Fetched | None) -> Fetched:
        """Ask an address, and those that it redirects to."""
        for _ in range(_MAX_REDIRECTS + 1):
            with self._hosts.turn(address.host):
                answer = self._ask(address, about if about and about.url == str(address) else None)
            if isinstance(answer, WebAddress):
                address = answer
                continue
            picture, fresh = answer
            self._cache.note(url, fresh)
            if picture is None:  # as it was
                assert before is not None
                return before
            if before:
                self.let_go(before)
            return picture
        raise FetchFailed(f"The address redirects more than {_MAX_REDIRECTS} times.")

    def _ask(self, address: WebAddress, about: About | None) -> WebAddress | tuple[Fetched | None, About]:
        """Send one request; return where it redirects to, or the picture (None: as `about` has it) and about it."""
        headers = [*_HEADERS, ("Host", address.authority)]
        if about and about.etag:
            headers.append(("If-None-Match", about.etag))
        if about and about.last_modified:
            headers.append(("If-Modified-Since", about.last_modified))
        silence_s = self._settings.silence_s
        timeouts = {"connect": silence_s, "read": silence_s, "write": silence_s, "pool": self._settings.timeout_s}
        target = httpcore2.URL(
            scheme=address.scheme.encode(),
            host=address.host.encode(),
            port=address.port,
            target=address.target.encode(),
        )
        self._network.allow(self._settings.timeout_s)
        try:
            with self._pool.stream("GET", target, headers=headers, extensions={"timeout": timeouts}) as response:
                self._hosts.note_answer(address.host)
                return self._read(response, address, about)
        except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            self._hosts.sleep(0)  # once stopped, it is no error
            self._hosts.note_silence(address.host)
            raise _why(address.host, error) from error

    def _read(
        self, response: httpcore2.Response, address: WebAddress, about: About | None
    ) -> WebAddress | tuple[Fetched | None, About]:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
        status, length = response.status, headers.get("content-length", "")
        length_bytes = int(length) if length.isdigit() else None
        if status == HTTPStatus.NOT_MODIFIED and about is not None:
            self._count(unchanged=1)
            return None, replace(about, checked=time.time())
        if status in _REDIRECTS and "location" in headers:
            if length_bytes is not None and length_bytes <= _SMALL_BYTES:
                response.read()  # so that the connection can be used again
            return address.redirected(headers["location"].encode("latin-1").decode("utf-8", "replace"))
        if status == HTTPStatus.OK:
            if length_bytes is not None and length_bytes > self._settings.max_bytes:
                raise too_large(self._settings.max_bytes)
            picture = self._receive(response, headers)
            etag, last_modified = (_validator(headers.get(name)) for name in ("etag", "last-modified"))
            return picture, About(str(address), picture.sha256.hex(), etag, last_modified, time.time())
        reason = f"{address.host} answers {phrase_of(status)}."
        if status in _BUSY or status // 100 == _SERVER_ERROR:
            raise _TryAgain(reason, self._pause(address.host, reason, headers.get("retry-after")))
        raise FetchFailed(reason)

    def _receive(self, response: httpcore2.Response, headers: Mapping[str, str]) -> Fetched:
        """Write a picture to a file as it comes in."""
        digest, head, size = hashlib.sha256(), b"", 0
        with self._cache.receiving() as (file, path):
            for piece in decoded(self._chunks(response), headers.get("content-encoding", "")):
                size += len(piece)
                if size > self._settings.max_bytes:
                    raise too_large(self._settings.max_bytes)
                if len(head) < _HEAD_BYTES:
                    head += piece[:_HEAD_BYTES]
                digest.update(piece)
                file.write(piece)
            file.close()
            check_head(head, headers.get("content-type", ""))
            self._cache.keep(path, digest.hexdigest())
        self._count(fetched=1)
        return Fetched(digest.digest(), self._cache.path(digest.hexdigest()))

    def _chunks(self, response: httpcore2.Response) -> Iterator[bytes]:
        """Yield what comes in, packed or not, up to the allowed bytes."""
        received = 0
        for chunk in response.iter_stream():
            received += len(chunk)
            self._count(received=len(chunk))
            if received > self._settings.max_bytes:
                raise too_large(self._settings.max_bytes)
            yield chunk

    def _pause(self, host: str, reason: str, retry_after: str | None) -> float | None:
        """Leave a host alone for as long as it asks, or for the rest of the run when that is too long."""
        after_s = seconds_until(retry_after)
        if after_s is not None and after_s > self._settings.longest_pause_s:
            reason = f"{reason} It asks to be left alone for {after_s:,.0f} s; run this again after that."
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
    """Keep what can be sent back as it came."""
    return value if value and value.isascii() and len(value) <= _MAX_VALIDATOR_LENGTH else None


def _why(host: str, error: Exception) -> FetchFailed | _TryAgain:
    """Turn an error of the connection into the one that says whether it is worth another try."""
    cause = error.args[0] if error.args else None  # httpcore2 gives the error that it stands for
    if isinstance(cause, ssl.SSLCertVerificationError):
        return FetchFailed(f"The certificate of {host} is not trusted: {cause.verify_message}.")
    if isinstance(error, httpcore2.TimeoutException):
        return _TryAgain(f"{host} did not answer in time.")
    if isinstance(error, httpcore2.ConnectError):
        said = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(error)
        return _TryAgain(f"{host} cannot be connected to: {said}.")
    return _TryAgain(f"{host} broke off, or sent what is no answer: {error}.")
