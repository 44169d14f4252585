"""Facts from XMP, within a picture or in a sidecar of Lightroom, digiKam, darktable or Apple Photos.

A packet is RDF in XML. Packets with a document type are refused, since entities are declared there.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from lookalike.data.pictures.exif_facts import camera_name, exif_time
from lookalike.data.pictures.picture_facts import (
    MAX_METADATA_BYTES,
    PictureFacts,
    clean_list,
    clean_text,
    place_of,
)

__all__ = ["xmp_facts"]

_First = Callable[..., str | None]
"""A function that returns the first text of the named properties."""

_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_XMP = "{http://ns.adobe.com/xap/1.0/}"
_PHOTOSHOP = "{http://ns.adobe.com/photoshop/1.0/}"
_EXIF = "{http://ns.adobe.com/exif/1.0/}"
_EXIF_EX = "{http://cipa.jp/exif/1.0/}"
_AUX = "{http://ns.adobe.com/exif/1.0/aux/}"
_TIFF = "{http://ns.adobe.com/tiff/1.0/}"
_LIGHTROOM = "{http://ns.adobe.com/lightroom/1.0/}"
_DIGIKAM = "{http://www.digikam.org/ns/1.0/}"
_IPTC_EXT = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
_REGION_TYPE = "{http://www.metadataworkinggroup.com/schemas/regions/}Type"
_REGION_NAME = "{http://www.metadataworkinggroup.com/schemas/regions/}Name"
_MICROSOFT_NAME = "{http://ns.microsoft.com/photo/1.2/t/Region#}PersonDisplayName"
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"

_MAX_DEPTH = 32
_DECLARES = re.compile(rb"<!(?:DOCTYPE|ENTITY|ELEMENT|ATTLIST)", re.IGNORECASE)
_ZONE = re.compile(r"(Z|[+-]\d\d:?\d\d)$")
_DATE_ONLY = re.compile(r"\d{4}-\d\d-\d\d")
_COORDINATE = re.compile(r"(\d{1,3}),(\d{1,2}(?:\.\d+)?)(?:,(\d{1,2}(?:\.\d+)?))?([NSEW])")
_DECIMAL = re.compile(r"[+-]?\d{1,3}(?:\.\d+)?")


def xmp_facts(packet: bytes) -> PictureFacts:
    """Return the facts of an XMP packet or sidecar. A packet that is refused or not well-formed has no facts."""
    text = packet.strip(b" \t\r\n\0")
    if len(text) > MAX_METADATA_BYTES or _DECLARES.search(text.replace(b"\0", b"")):
        return PictureFacts()
    root = _parsed(text)
    if root is None:
        return PictureFacts()
    values: dict[str, list[str]] = {}
    for description in root.iter(f"{_RDF}Description"):
        for name, value in description.attrib.items():
            values.setdefault(name, [value])
        for one in description:
            values.setdefault(one.tag, _values(one))

    def first(*names: str) -> str | None:
        found = (clean_text(value) for name in names for value in values.get(name, ()))
        return next((one for one in found if one is not None), None)

    place = _place(first)
    return PictureFacts(
        title=first(f"{_DC}title", f"{_PHOTOSHOP}Headline"),
        caption=first(f"{_DC}description", f"{_EXIF}UserComment"),
        captured=_time(first, f"{_EXIF}DateTimeOriginal", f"{_PHOTOSHOP}DateCreated", f"{_EXIF}DateTimeDigitized"),
        camera=camera_name(first(f"{_TIFF}Make"), first(f"{_TIFF}Model")),
        lens=first(f"{_EXIF_EX}LensModel", f"{_AUX}Lens"),
        latitude=place and place[0],
        longitude=place and place[1],
        rating=_rating(first(f"{_XMP}Rating")),
        keywords=_keywords(values),
        people=clean_list((*values.get(f"{_IPTC_EXT}PersonInImage", ()), *_faces(root))),
    )


def _parsed(text: bytes) -> Element | None:
    """Return the root of a document, or None if it is not well-formed or is nested too deeply."""
    depth = 0
    root = None
    try:
        for event, element in ElementTree.iterparse(io.BytesIO(text), events=("start", "end")):
            root = element if root is None else root
            depth += 1 if event == "start" else -1
            if depth > _MAX_DEPTH:
                return None
    except (ElementTree.ParseError, ValueError, LookupError):  # LookupError: an unknown encoding
        return None
    return root


def _values(element: Element) -> list[str]:
    """Return the value of a property, or the values of its list; of texts in several languages the default first."""
    items = [item for kind in ("Alt", "Seq", "Bag") for item in element.findall(f"{_RDF}{kind}/{_RDF}li")]
    if not items:
        return [element.text or ""]
    items.sort(key=lambda item: item.get(_LANGUAGE) not in (None, "x-default"))
    return [item.text or "" for item in items]


def _keywords(values: dict[str, list[str]]) -> tuple[str, ...]:
    flat = clean_list(values.get(f"{_DC}subject", ()))
    if flat:
        return flat
    levels = (*values.get(f"{_LIGHTROOM}hierarchicalSubject", ()), *values.get(f"{_DIGIKAM}TagsList", ()))
    return clean_list(re.split(r"[|/]", level)[-1] for level in levels)


def _faces(root: Element) -> Iterator[str]:
    """Yield the names of the people in marked regions."""
    for element in root.iter():
        if element.tag == _MICROSOFT_NAME and element.text:
            yield element.text
        elif _MICROSOFT_NAME in element.attrib:
            yield element.attrib[_MICROSOFT_NAME]
        elif (element.get(_REGION_TYPE) or element.findtext(_REGION_TYPE)) == "Face":
            yield element.get(_REGION_NAME) or element.findtext(_REGION_NAME) or ""


def _rating(text: str | None) -> int | None:
    try:
        stars = float(text) if text else None
    except ValueError:
        return None
    return int(stars) if stars is not None and -1 <= stars <= 5 else None


def _time(first: _First, *names: str) -> datetime | None:
    for name in names:
        text = (first(name) or "").strip()
        written = f"{text} 00:00:00" if _DATE_ONLY.fullmatch(text) else text
        zone = _ZONE.search(text) if len(text) > len("2019-07-04") else None
        if (time := exif_time(written, zone and zone[0])) is not None:
            return time
    return None


def _place(first: _First) -> tuple[float, float] | None:
    degrees = []
    for name, west in (("GPSLatitude", "S"), ("GPSLongitude", "W")):
        text = (first(f"{_EXIF}{name}") or "").strip()
        if match := _COORDINATE.fullmatch(text):
            whole, minutes, seconds, letter = match.groups()
            value = int(whole) + float(minutes) / 60 + float(seconds or 0) / 3600
            degrees.append(-value if letter in ("S", "W") else value)
        elif _DECIMAL.fullmatch(text):
            value = float(text)
            degrees.append(-abs(value) if first(f"{_EXIF}{name}Ref") == west else value)
        else:
            return None
    return place_of(*degrees)
