"""Connections for fetching. They lead only to addresses that the guard has checked, and end at the request's deadline.

`httpcore2` speaks HTTP on top of this network backend. No proxy settings are read, and no redirect is followed here.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any
from weakref import WeakSet

import httpcore2

from lookalike.data.fetch.guard import Guard

__all__ = ["GuardedNetwork"]


class GuardedNetwork(httpcore2.NetworkBackend):
    """Connects to checked addresses. Each thread sets the deadline of its request with `set_time_limit`."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._plain = httpcore2.SyncBackend()
        self._request = threading.local()
        self._streams: WeakSet[_Stream] = WeakSet()
        self._lock = threading.Lock()
        self._stopped = False

    def set_time_limit(self, seconds: float) -> None:
        """Allow the calling thread `seconds` for its next request, including all its connections and waits."""
        self._request.deadline = time.monotonic() + seconds

    def remaining(self, timeout: float | None) -> float:
        """Return the seconds that the next step may take: `timeout`, or less if the deadline is nearer.

        Raises:
            ReadTimeout: the deadline has passed, or `stop` was called.
        """
        left: float = self._request.deadline - time.monotonic()
        if left <= 0 or self._stopped:
            raise httpcore2.ReadTimeout("the time limit of the request has passed")
        return left if timeout is None else min(left, timeout)

    def stop(self) -> None:
        """End all open connections, and every one made later."""
        with self._lock:
            self._stopped = True
            streams = list(self._streams)
        for stream in streams:
            stream.interrupt()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect to the first address of `host` that accepts the connection.

        The address is passed on as numbers, so that no name is resolved a second time.

        Raises:
            FetchFailed: the guard refuses the host.
            ConnectError, ConnectTimeout: no address accepts the connection.
        """
        try:
            addresses = self._guard.addresses(host, port)
        except OSError as error:
            raise httpcore2.ConnectError("its name cannot be looked up") from error
        failed: Exception = httpcore2.ConnectError("no address")
        for address in addresses:
            try:
                plain = self._plain.connect_tcp(
                    address, port, self.remaining(timeout), local_address=local_address, socket_options=socket_options
                )
                return self._watched(plain)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failed = error
        raise failed

    def _watched(self, plain: httpcore2.NetworkStream) -> _Stream:
        stream = _Stream(plain, self)
        with self._lock:
            self._streams.add(stream)
        if self._stopped:
            stream.interrupt()
        return stream


class _Stream(httpcore2.NetworkStream):
    """A connection. Each step gets the time left for the request, so that a slow trickle of bytes cannot prolong it."""

    def __init__(self, plain: httpcore2.NetworkStream, network: GuardedNetwork) -> None:
        self._plain = plain
        self._network = network

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read up to `max_bytes` bytes."""
        return self._plain.read(max_bytes, self._network.remaining(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write the whole buffer."""
        self._plain.write(buffer, self._network.remaining(timeout))

    def close(self) -> None:
        """Close the connection."""
        self._plain.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        """Continue with TLS. The certificate must be valid for the host name, not for the address."""
        left = self._network.remaining(timeout)
        return self._network._watched(self._plain.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401  # the signature of httpcore2
        """Return information about the connection."""
        return self._plain.get_extra_info(info)

    def interrupt(self) -> None:
        """End a read that is waiting in another thread."""
        connection = self._plain.get_extra_info("socket")
        with contextlib.suppress(OSError):  # closed already
            connection.shutdown(socket.SHUT_RDWR)
