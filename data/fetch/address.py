"""Web addresses of pictures, parsed once. The parsed form is the one that is checked, connected to and requested."""

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
_SAFE_IN_PATH = "%/:@!$&'()*+,;=~[]|"
_SAFE_IN_QUERY = _SAFE_IN_PATH + "?"


@dataclass(frozen=True, slots=True)
class WebAddress:
    """An http or https address.

    `host` is ASCII and lower case, an IPv6 address without brackets. `target` is the path with the query.
    """

    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, url: str) -> WebAddress:
        """Parse an address. Characters outside ASCII are encoded as browsers do; the fragment is dropped.

        Raises:
            FetchFailed: the address is not a valid http or https URL, or contains a user name or a password.
        """
        url = url.strip()
        if len(url) > _MAX_LENGTH:
            raise FetchFailed(f"The address has {len(url):,} characters; at most {_MAX_LENGTH:,} are allowed.")
        if _CONTROL.search(url):
            raise FetchFailed("The address contains control characters.")
        try:
            parts = urlsplit(url)
            scheme, port = parts.scheme.lower(), parts.port
            if scheme not in _PORTS:
                raise FetchFailed(
                    f"Pictures are fetched over http and https, not over {scheme or 'an address without a scheme'}."
                )
            if "@" in parts.netloc:
                raise FetchFailed("The address contains a user name or a password, which is never sent or stored.")
            host = _ascii_host(parts.hostname or "")
            target = quote(parts.path or "/", safe=_SAFE_IN_PATH)
            if parts.query:
                target += "?" + quote(parts.query, safe=_SAFE_IN_QUERY)
        except ValueError as error:  # unbalanced brackets, a port that is not a number, invalid text
            raise FetchFailed(f"The address cannot be read: {error}.") from error
        return cls(scheme, host, port or _PORTS[scheme], target if target.startswith("/") else f"/{target}")

    def redirected(self, location: str) -> WebAddress:
        """Return the address that a redirect from this one leads to.

        Raises:
            FetchFailed: the target is not a web address, or leads from https to http, where the answer could be forged.
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
        """The host as written in an address and in a request, with the port unless it is the scheme's default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def _ascii_host(host: str) -> str:
    """Return a host in the one form in which it is resolved, sent, and compared with a certificate.

    Raises:
        ValueError: it is not a valid host.
    """
    if ":" in host:
        if "%" in host:
            raise ValueError("the host names a network interface of this machine")
        return str(IPv6Address(host))
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode()
        except idna.IDNAError as error:
            raise ValueError(f"the host {host!r} is not a valid name") from error
    host = host.lower().removesuffix(".")
    if len(host) > _MAX_NAME_LENGTH or not _NAME.fullmatch(host):
        raise ValueError(f"the host {host[:80]!r} is not a valid name" if host else "it has no host")
    return host
