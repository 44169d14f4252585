"""Where the bytes of a picture are: in a file, or behind an address."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from data.errors import NotAPicture
from data.images import read_bytes

__all__ = ["Address", "Place", "is_address", "read_place"]

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """A picture that has to be fetched first."""

    url: str


Place = Path | Address


def is_address(source: str) -> bool:
    """Say whether a picture is named by an address (https://...) rather than by a file."""
    return _ADDRESS.match(source) is not None


def read_place(place: Place) -> bytes:
    """Read a picture whole.

    Raises:
        NotAPicture: there is nothing, it cannot be read, is empty, or is too large.
    """
    if isinstance(place, Address):
        raise NotAPicture("Pictures are read from files, not from addresses; download it and name the file.")
    return read_bytes(place)
