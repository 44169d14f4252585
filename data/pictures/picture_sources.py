"""Where the bytes of a picture are: in a file, behind an address, in an archive, or in hand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from lookalike.data.errors import NotAPicture
from lookalike.data.pictures.image_decoder import MAX_BYTES, read_bytes

__all__ = ["Address", "Member", "Nowhere", "Place", "Stored", "check_size", "is_address", "read_place"]

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """A picture that has to be fetched first."""

    url: str


@runtime_checkable
class Stored(Protocol):
    """A picture within something else: an archive, a table."""

    def read(self, *, max_bytes: int) -> bytes:
        """Read it whole.

        Raises:
            NotAPicture: it cannot be read, or is larger than `max_bytes`.
        """


Place = Path | Address | Stored


@dataclass(frozen=True, slots=True)
class Nowhere:
    """A picture that is known to be nowhere, and why."""

    reason: str

    def read(self, *, max_bytes: int) -> bytes:
        """Say why not."""
        raise NotAPicture(self.reason)


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive: its name, where its bytes are, and why it is refused, if it is."""

    name: str
    place: Stored
    refused: str = ""


def is_address(source: str) -> bool:
    """Say whether a picture is named by an address (https://...) rather than by a file."""
    return _ADDRESS.match(source) is not None


def check_size(size: int, max_bytes: int) -> None:
    """Refuse to read a picture of `size` bytes when that is more than `max_bytes`.

    Raises:
        NotAPicture: so it is.
    """
    if size > max_bytes:
        raise NotAPicture(f"The file has {size / 1e6:,.0f} MB; at most {max_bytes / 1e6:,.0f} MB are read.")


def read_place(place: Place) -> bytes:
    """Read a picture whole.

    Raises:
        NotAPicture: there is nothing, it cannot be read, is empty, or is too large.
    """
    if isinstance(place, Address):
        raise NotAPicture("Pictures are read from files, not from addresses; download it and name the file.")
    if isinstance(place, Path):
        return read_bytes(place)
    content = place.read(max_bytes=MAX_BYTES)
    if not content:
        raise NotAPicture("The file is empty.")
    return content
