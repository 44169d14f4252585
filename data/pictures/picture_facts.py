"""Facts about a picture from its metadata, and how the facts of several sources are put together.

Metadata is untrusted input: texts and lists are bounded, and values that cannot be right are left out.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime

__all__ = ["MAX_METADATA_BYTES", "PictureFacts", "clean_list", "clean_text", "merged", "place_of"]

MAX_METADATA_BYTES = 1024 * 1024
"""Maximum size of a block or a file of metadata in bytes; a larger one is not read."""

_MAX_TEXT = 2_000
_MAX_LISTED = 200
_MAX_WORD = 100
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_JUNK = re.compile(
    r"[\s.]*|olympus digital camera|sony dsc|exif[ _]jpeg[ _]picture|(konica )?minolta digital camera|samsung|default|"
    r"<?digimax.*|dcim\\.*|untitled|ohne titel|created with gimp|screenshot|dig|cof|hdr|rhdr|edf|mde|oznor\w*",
    re.IGNORECASE,
)
"""Descriptions that cameras and programs write into every picture."""


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """The facts of one source; None and empty lists stand for facts that it does not have.

    `captured` is in the camera's local time if it has no time zone. `latitude` and `longitude` are in degrees. `rating`
    is from 0 to 5 stars, or -1 for a picture marked as rejected.
    """

    title: str | None = None
    caption: str | None = None
    captured: datetime | None = None
    camera: str | None = None
    lens: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    rating: int | None = None
    keywords: tuple[str, ...] = ()
    people: tuple[str, ...] = ()


def merged(sources: Iterable[PictureFacts]) -> PictureFacts:
    """Return the facts of several sources: of each fact the first one there is, and of lists all elements.

    Latitude and longitude are taken from the same source.
    """
    found: dict[str, object] = {}
    for source in sources:
        for one in fields(PictureFacts):
            value = getattr(source, one.name)
            if isinstance(value, tuple):
                found[one.name] = clean_list((*found.get(one.name, ()), *value))  # type: ignore[misc]
            elif value is not None and one.name not in found:
                found[one.name] = value
    return PictureFacts(**found)  # type: ignore[arg-type]


def clean_text(text: object, *, max_length: int = _MAX_TEXT) -> str | None:
    """Return a text in one line without control characters, or None if it is empty or says nothing.

    Descriptions that cameras write into every picture say nothing.
    """
    if not text or not isinstance(text, str):
        return None
    plain = text[: max_length * 4]
    if not plain.isascii():
        plain = unicodedata.normalize("NFC", plain)
    if not plain.isprintable():
        plain = _CONTROL.sub(" ", plain)
    plain = " ".join(plain.split())
    if _JUNK.fullmatch(plain):
        return None
    return plain if len(plain) <= max_length else plain[: max_length - 1].rstrip() + "…"


def clean_list(texts: Iterable[object]) -> tuple[str, ...]:
    """Return the different texts of a list, at most 200."""
    words: dict[str, None] = {}
    for text in texts:
        if (word := clean_text(text, max_length=_MAX_WORD)) is not None:
            words.setdefault(word)
        if len(words) == _MAX_LISTED:
            break
    return tuple(words)


def place_of(latitude: float, longitude: float) -> tuple[float, float] | None:
    """Return a latitude and a longitude in degrees, or None if they are no place on Earth.

    Cameras without a position write zeros for both, so that is no place either.
    """
    if not (math.isfinite(latitude) and math.isfinite(longitude) and abs(latitude) <= 90 and abs(longitude) <= 180):
        return None
    return None if latitude == longitude == 0 else (round(latitude, 7), round(longitude, 7))
