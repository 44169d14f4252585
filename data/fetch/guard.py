"""Decides which addresses may be connected to, so that a feed cannot reach machines that only this one can reach.

A name is resolved once, all its addresses are checked, and the connection goes to one of these addresses. A name that
resolves differently a moment later (DNS rebinding) therefore gains nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from lookalike.data.errors import FetchFailed

__all__ = ["Guard", "Resolve", "resolve_name", "why_not_public"]

Resolve = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a host and port as text; raises OSError if there are none."""

_LOWEST_FREE_PORT = 1024
_WEB_PORTS = (80, 443)

_METADATA = frozenset(  # AWS, Azure, Google and others; Alibaba; Oracle; Azure's host; AWS over IPv6
    map(ip_address, ("169.254.169.254", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254"))
)
# IANA's special-purpose registries: https://www.iana.org/assignments/iana-ipv4-special-registry and -ipv6-.
_SPECIAL_4 = tuple(
    (IPv4Network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "an address of this machine"),
        ("10.0.0.0/8", "a private address"),
        ("100.64.0.0/10", "a private address"),
        ("127.0.0.0/8", "an address of this machine"),
        ("169.254.0.0/16", "a link-local address"),
        ("172.16.0.0/12", "a private address"),
        ("192.0.0.0/24", "a reserved address"),
        ("192.0.2.0/24", "a reserved address"),
        ("192.88.99.0/24", "a reserved address"),
        ("192.168.0.0/16", "a private address"),
        ("198.18.0.0/15", "a private address"),
        ("198.51.100.0/24", "a reserved address"),
        ("203.0.113.0/24", "a reserved address"),
        ("224.0.0.0/4", "a multicast address"),
        ("240.0.0.0/4", "a reserved address"),
    )
)
_SPECIAL_6 = tuple(
    (IPv6Network(network), kind)
    for network, kind in (
        ("::1/128", "an address of this machine"),
        ("::/128", "an address of this machine"),
        ("fe80::/10", "a link-local address"),
        ("fc00::/7", "a private address"),
        ("fec0::/10", "a private address"),
        ("ff00::/8", "a multicast address"),
        ("2001::/23", "a reserved address"),  # Teredo (embeds an IPv4 address), ORCHID, benchmarking
        ("2001:db8::/32", "a reserved address"),
        ("2002::/16", "a reserved address"),  # 6to4, which embeds an IPv4 address
        ("3fff::/20", "a reserved address"),
    )
)
_GLOBAL_6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")


def why_not_public(address: str) -> str | None:
    """Return the kind of a non-public address ("a private address"), or None for a public internet address.

    An IPv4 address embedded in an IPv6 address (mapped or NAT64) is judged by itself.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return "not a valid address"
    if isinstance(found, IPv6Address):
        inner = found.ipv4_mapped
        if inner is None and found in _NAT64:
            inner = IPv4Address(found.packed[-4:])
        if inner is not None:
            found = inner
    if found in _METADATA:
        return "a cloud metadata address"
    if isinstance(found, IPv4Address):
        return next((kind for network, kind in _SPECIAL_4 if found in network), None)
    special = next((kind for network, kind in _SPECIAL_6 if found in network), None)
    return special or (None if found in _GLOBAL_6 else "a reserved address")


def resolve_name(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host from the operating system, in the order in which to try them.

    Raises:
        OSError: the host has no address.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Guard:
    """Permits public addresses and those in `allowed`; with `allow_private`, every address."""

    def __init__(
        self, *, allow_private: bool = False, allowed: Collection[str] = (), resolve: Resolve = resolve_name
    ) -> None:
        self._allow_private = allow_private
        self._allowed = frozenset(allowed)
        self._resolve = resolve

    def addresses(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses of a host, after checking that each one may be connected to.

        Of the ports below 1024 only 80 and 443 are allowed; the others belong to mail, name and login servers.

        Raises:
            FetchFailed: the host has no address, or one of its addresses, or the port, is not allowed.
            OSError: the name server did not answer.
        """
        if not self._allow_private and port < _LOWEST_FREE_PORT and port not in _WEB_PORTS:
            raise FetchFailed(f"Port {port} is not a web port (80, 443, or 1024 and above).")
        try:
            found = self._resolve(host, port)
        except socket.gaierror as error:
            if error.errno == socket.EAI_AGAIN:
                raise
            raise FetchFailed(f"The host {host} was not found.") from error
        except UnicodeError as error:
            raise FetchFailed(f"The host {host} is not a valid name.") from error
        if not found:
            raise FetchFailed(f"The host {host} was not found.")
        for address in found if not self._allow_private else ():
            kind = why_not_public(address)
            if kind is not None and address not in self._allowed:
                shown = host if host == address else f"{host} ({address})"
                raise FetchFailed(
                    f"{shown} is {kind}; pictures are fetched from public internet addresses only.",
                    remedy="If you trust the feed, add --allow-private.",
                )
        return found
