"""Connections for fetching: made only to addresses that the guard has checked, and never longer than was allowed.

`httpcore2` speaks HTTP; below it stands what is here. It reads no proxy settings and follows nothing by itself.
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
    """Connects to checked addresses. A thread says how long its request may take in all with `allow`."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._plain = httpcore2.SyncBackend()
        self._request = threading.local()
        self._streams: WeakSet[_Stream] = WeakSet()
        self._lock = threading.Lock()
        self._stopped = False

    def allow(self, seconds: float) -> None:
        """Give what this thread does next so long, however many answers and silences it is made of."""
        self._request.deadline = time.monotonic() + seconds

    def left(self, timeout: float | None) -> float:
        """Return the seconds that the next step may take.

        Raises:
            ReadTimeout: none.
        """
        left: float = self._request.deadline - time.monotonic()
        if left <= 0 or self._stopped:
            raise httpcore2.ReadTimeout("the time is up")
        return left if timeout is None else min(left, timeout)

    def stop(self) -> None:
        """End all connections under way, and those to come."""
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
        """Connect to the first address of a host that takes the connection.

        The address is given as numbers, so nothing is resolved a second time.

        Raises:
            FetchFailed: the guard refuses the host.
            ConnectError, ConnectTimeout: no address takes it.
        """
        try:
            addresses = self._guard.addresses(host, port)
        except OSError as error:
            raise httpcore2.ConnectError("its name cannot be looked up") from error
        failed: Exception = httpcore2.ConnectError("no address")
        for address in addresses:
            try:
                plain = self._plain.connect_tcp(
                    address, port, self.left(timeout), local_address=local_address, socket_options=socket_options
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
    """A connection; each step has what is left of the request's time, so a byte now and then does not prolong it."""

    def __init__(self, plain: httpcore2.NetworkStream, network: GuardedNetwork) -> None:
        self._plain = plain
        self._network = network

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what there is."""
        return self._plain.read(max_bytes, self._network.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all."""
        self._plain.write(buffer, self._network.left(timeout))

    def close(self) -> None:
        """Close the connection."""
        self._plain.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        """Go on with TLS: the certificate has to be that of the name, not of the address."""
        left = self._network.left(timeout)
        return self._network._watched(self._plain.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401  # the signature of httpcore2
        """Tell about the connection."""
        return self._plain.get_extra_info(info)

    def interrupt(self) -> None:
        """End a read that waits in another thread."""
        connection = self._plain.get_extra_info("socket")
        with contextlib.suppress(OSError):  # closed already
            connection.shutdown(socket.SHUT_RDWR)
