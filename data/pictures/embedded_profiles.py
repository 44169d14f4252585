"""Colour profiles that picture files hold or name, where Pillow does not read them or refuses the picture for them."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import ExifTags, Image

from lookalike.data.pictures.coded_colours import adobe_rgb, coded_profile

__all__ = ["profile_of", "without_png_profile"]

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_ADOBE_RGB_RULE = "R03"
_MAX_HEAD_BYTES = 64 * 1024
_JP2 = b"\0\0\0\x0cjP  \r\n\x87\n"
_RESTRICTED, _ANY_ICC = 2, 3
_MAX_PARTS = 1000


def profile_of(image: Image.Image, content: bytes) -> bytes:
    """Return the colour profile of a picture file, or nothing if it has none or is sRGB by its codes.

    `image` is the file, opened.
    """
    found = image.info.get("icc_profile")
    if isinstance(found, bytes) and found:
        return found
    if content.startswith(_JP2):
        return _jp2_profile(content)
    if content.startswith(_JPEG):
        return adobe_rgb() if _is_adobe_rgb(image, content) else b""
    return coded_profile(content)


def without_png_profile(content: bytes) -> bytes | None:
    """Return a PNG without its colour profile, or None if it has no profile or is no PNG.

    Pillow refuses a whole PNG for a profile of more than 1 MB, or for one with a wrong checksum.
    """
    if not content.startswith(_PNG):
        return None
    place = len(_PNG)
    for _ in range(_MAX_PARTS):
        end = place + 12 + int.from_bytes(content[place : place + 4])
        kind = content[place + 4 : place + 8]
        if kind == b"iCCP":
            return content[:place] + content[end:]
        if kind in (b"IDAT", b"IEND", b""):
            return None
        place = end
    return None


def _is_adobe_rgb(image: Image.Image, content: bytes) -> bool:
    """Return whether a photograph is in Adobe RGB as cameras say so in EXIF, without a profile (DCF option file)."""
    if content.find(_ADOBE_RGB_RULE.encode(), 0, _MAX_HEAD_BYTES) < 0 or image.mode != "RGB":
        return False
    exif = image.getexif()
    found = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.IFD.Interop)
    if found is not None and not isinstance(found, dict):  # where it lies in the file
        found = exif.get_ifd(ExifTags.IFD.Interop)
    return isinstance(found, dict) and found.get(ExifTags.Interop.InteropIndex) == _ADOBE_RGB_RULE


def _jp2_profile(content: bytes) -> bytes:
    for kind, start, end in _boxes(content, 0, len(content)):
        if kind != b"jp2h":
            continue
        for inner, place, until in _boxes(content, start, end):
            if inner == b"colr" and content[place] in (_RESTRICTED, _ANY_ICC):
                return content[place + 3 : until]
    return b""


def _boxes(content: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind, the start and the end of each box between two places of a JPEG 2000 file."""
    for _ in range(_MAX_PARTS):
        if start + 8 >= end:
            return
        length, head = int.from_bytes(content[start : start + 4]), 8
        if length == 1:
            length, head = int.from_bytes(content[start + 8 : start + 16]), 16
        until = end if length == 0 else start + length
        if until > end or (length and length < head):
            return
        yield content[start + 4 : start + 8], start + head, until
        start = until
