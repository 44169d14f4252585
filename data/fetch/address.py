"""The address of a picture on the web, taken apart once: what is checked, connected to and asked for is this."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from urllib.parse import quote, urljoin, urlsplit

import idna

from lookalike.data.errors import FetchFailed

__all__ = ["WebAddress"]

_MAX_LENGTH = 8_000
_PORTS = {"http": 80, "https": 443}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_MAX_NAME_LENGTH = 253
_IN_PATH = "%/:@!$&'()*+,;=~[]|"
_IN_QUERY = _IN_PATH + "?"


@dataclass(frozen=True, slots=True)
class WebAddress:
    """Scheme (http or https), host (ASCII, lower case, an IPv6 one without brackets), port, and path with query."""

    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, url: str) -> WebAddress:
        """Take an address apart; what is not ASCII in it is encoded as browsers do, what is behind a # dropped.

        Raises:
            FetchFailed: it is none, not of the web, or has a user name or a password in it.
        """
        url = url.strip()
        if len(url) > _MAX_LENGTH:
            raise FetchFailed(f"The address has {len(url):,} characters; at most {_MAX_LENGTH:,} are taken.")
        if _CONTROL.search(url):
            raise FetchFailed("The address has control characters in it.")
        try:
            parts = urlsplit(url)
            scheme, port = parts.scheme.lower(), parts.port
            if scheme not in _PORTS:
                raise FetchFailed(f"Pictures are fetched by http and https, not by {scheme or 'nothing'}.")
            if "@" in parts.netloc:
                raise FetchFailed("The address has a user name or a password in it; those are not sent or stored.")
            host = _ascii_host(parts.hostname or "")
            target = quote(parts.path or "/", safe=_IN_PATH)
            if parts.query:
                target += "?" + quote(parts.query, safe=_IN_QUERY)
        except ValueError as error:  # brackets that do not match, no number for a port, no text
            raise FetchFailed(f"The address cannot be read: {error}.") from error
        return cls(scheme, host, port or _PORTS[scheme], target if target.startswith("/") else f"/{target}")

    def redirected(self, location: str) -> WebAddress:
        """Return where a redirect from here leads.

        Raises:
            FetchFailed: to what is no address of the web, or from https to http, where anyone on the way could answer.
        """
        try:
            address = self.parse(urljoin(str(self), location))
        except (FetchFailed, ValueError) as error:
            raise FetchFailed(f"The address redirects to one that is not followed. {error}") from error
        if self.scheme == "https" and address.scheme == "http":
            raise FetchFailed("The address redirects from https to http, which is not followed.")
        return address

    @property
    def authority(self) -> str:
        """The host as it stands in an address and in a request, with the port unless it is the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def _ascii_host(host: str) -> str:
    """Write a host the one way that it is resolved, sent and compared with a certificate.

    Raises:
        ValueError: it is none.
    """
    if ":" in host:
        if "%" in host:
            raise ValueError("the host names a network interface of this machine")
        return str(IPv6Address(host))
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode()
        except idna.IDNAError as error:
            raise ValueError(f"the host {host!r} is no name") from error
    host = host.lower().removesuffix(".")
    if len(host) > _MAX_NAME_LENGTH or not _NAME.fullmatch(host):
        raise ValueError(f"the host {host[:80]!r} is no name" if host else "it names no host")
    return host
