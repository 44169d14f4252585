"""The metadata of a picture, from its file and from the sidecars beside it.

Only headers are read, from bytes that are in memory for the decoder anyway. Metadata never makes a picture fail: a
block that is damaged, too large or of an unknown kind has no facts.

Of several sources, sidecars in XMP come first, since they are written by the program in which a collection is kept;
then follow XMP, EXIF and IPTC in the file, and JSON from Google Takeout, which a service derived from the file.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from PIL import Image

from lookalike.data.errors import NotAPicture
from lookalike.data.pictures.exif_facts import exif_facts
from lookalike.data.pictures.heif import is_heif, register_heif
from lookalike.data.pictures.image_decoder import read_bytes
from lookalike.data.pictures.iptc_facts import iptc_facts
from lookalike.data.pictures.picture_facts import MAX_METADATA_BYTES, PictureFacts, merged
from lookalike.data.pictures.picture_sources import Address, Place
from lookalike.data.pictures.takeout import takeout_facts
from lookalike.data.pictures.xmp_facts import xmp_facts

__all__ = ["facts_of"]

_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF")
_TIFF = (b"II*\0", b"MM\0*")
_PHOTOSHOP_IPTC = 0x0404
_TIFF_XMP, _TIFF_IPTC = 700, 33723


def facts_of(content: bytes, sidecars: Sequence[Place] = ()) -> PictureFacts:
    """Return the facts of a picture whose file has the bytes `content`; `content` is empty for a video.

    A sidecar that cannot be read is left out.
    """
    beside: list[tuple[bool, PictureFacts]] = []
    for place in sidecars:
        try:
            text = _read(place)
        except NotAPicture:
            continue
        is_json = text.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
        beside.append((is_json, _facts(takeout_facts if is_json else xmp_facts, text)))
    return merged(
        (
            *(facts for is_json, facts in beside if not is_json),
            *_inside(content),
            *(facts for is_json, facts in beside if is_json),
        )
    )


def _read(place: Place) -> bytes:
    if isinstance(place, Address):
        raise NotAPicture("Sidecars are not fetched.")
    return (
        read_bytes(place, max_bytes=MAX_METADATA_BYTES)
        if isinstance(place, Path)
        else place.read(max_bytes=MAX_METADATA_BYTES)
    )


def _inside(content: bytes) -> Iterator[PictureFacts]:
    """Yield the facts of the blocks in a picture's file: XMP, EXIF and IPTC."""
    try:
        blocks = _blocks(content)
    except Exception:  # a parser given hostile bytes may raise anything; the decoder says what is wrong
        return
    for name, read in (("xmp", xmp_facts), ("exif", _exif), ("iptc", iptc_facts)):
        block = blocks.get(name)
        if isinstance(block, bytes) and block and (len(block) <= MAX_METADATA_BYTES or block is content):
            yield _facts(read, block)


def _blocks(content: bytes) -> Mapping[str, object]:
    """Return the blocks of metadata by their names. A TIFF, and so most camera RAW, is a block of EXIF itself."""
    if content.startswith(_TIFF):
        tags = Image.Exif()
        tags.load(content)
        return {"exif": content, "xmp": _bytes(tags.get(_TIFF_XMP)), "iptc": _bytes(tags.get(_TIFF_IPTC))}
    if heif := is_heif(content):
        register_heif()
    with Image.open(io.BytesIO(content), formats=("HEIF",) if heif else _FORMATS) as image:
        info = image.info
    resources = info.get("photoshop")
    iptc = resources.get(_PHOTOSHOP_IPTC) if isinstance(resources, dict) else None
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp")
    return {
        "exif": info.get("exif"),
        "xmp": xmp.encode("utf-8", "replace") if isinstance(xmp, str) else xmp,
        "iptc": iptc,
    }


def _bytes(value: object) -> bytes:
    if isinstance(value, tuple) and all(isinstance(one, int) and 0 <= one < 256 for one in value):
        return bytes(value)
    return value if isinstance(value, bytes) else b""


def _exif(block: bytes) -> PictureFacts:
    exif = Image.Exif()
    exif.load(block)
    return exif_facts(exif)


def _facts(read: Callable[[bytes], PictureFacts], block: bytes) -> PictureFacts:
    try:
        return read(block)
    except Exception:  # see above
        return PictureFacts()
