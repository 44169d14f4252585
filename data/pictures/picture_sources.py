"""Places where the bytes of a picture can be: a file, a web address, an archive member, or memory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from lookalike.data.errors import NotAPicture
from lookalike.data.pictures.image_decoder import MAX_BYTES, read_bytes

__all__ = ["Address", "Member", "Place", "Stored", "Unreadable", "check_size", "is_address", "read_place"]

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """A picture on the web, which must be fetched first."""

    url: str


@runtime_checkable
class Stored(Protocol):
    """A picture stored within something else, such as an archive or a table."""

    def read(self, *, max_bytes: int) -> bytes:
        """Return the bytes of the picture.

        Raises:
            NotAPicture: it cannot be read, or is larger than `max_bytes`.
        """


Place = Path | Address | Stored


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A picture that is known to be unreadable, and the reason."""

    reason: str

    def read(self, *, max_bytes: int) -> bytes:
        """Raise `NotAPicture` with the reason."""
        raise NotAPicture(self.reason)


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive: its name, the place of its bytes, and the reason if it is refused."""

    name: str
    place: Stored
    refused: str = ""


def is_address(source: str) -> bool:
    """Return whether a picture is named by an address (https://...) rather than by a file name."""
    return _ADDRESS.match(source) is not None


def check_size(size: int, max_bytes: int) -> None:
    """Check the size of a picture before it is read.

    Raises:
        NotAPicture: `size` is more than `max_bytes`.
    """
    if size > max_bytes:
        raise NotAPicture(f"The file has {size / 1e6:,.0f} MB; at most {max_bytes / 1e6:,.0f} MB are read.")


def read_place(place: Place) -> bytes:
    """Return the bytes of a picture.

    Raises:
        NotAPicture: the picture is missing, cannot be read, is empty or too large, or is on the web.
    """
    if isinstance(place, Address):
        raise NotAPicture(
            "Pictures are read from files, not from addresses.", remedy="Download the picture and name its file."
        )
    if isinstance(place, Path):
        return read_bytes(place)
    content = place.read(max_bytes=MAX_BYTES)
    if not content:
        raise NotAPicture("The file is empty.")
    return content
